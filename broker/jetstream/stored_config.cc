// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/stored_config.h"

#include <charconv>

#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/api/print.h"

namespace millrace {
namespace {

template <class Config>
std::string Write(int64_t created_ns, const Config& config) {
  return std::to_string(created_ns) + " " + PrintJson(config);
}

template <class Config>
bool Read(std::string_view text, int64_t* created_ns, Config* config) {
  const size_t blank = text.find(' ');
  if (blank == std::string_view::npos) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + blank, *created_ns);
  if (error != std::errc() || end != text.data() + blank) return false;
  return ParseJson(text.substr(blank + 1), config).empty();
}

}  // namespace

std::string WriteStored(int64_t created_ns, const StreamConfig& config) { return Write(created_ns, config); }
std::string WriteStored(int64_t created_ns, const ConsumerConfig& config) { return Write(created_ns, config); }
bool ReadStored(std::string_view text, int64_t* created_ns, StreamConfig* config) {
  return Read(text, created_ns, config);
}
bool ReadStored(std::string_view text, int64_t* created_ns, ConsumerConfig* config) {
  return Read(text, created_ns, config);
}

}  // namespace millrace
