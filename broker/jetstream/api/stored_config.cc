// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/stored_config.h"

#include <charconv>

#include "broker/jetstream/api/parse.h"
#include "broker/jetstream/api/print.h"

namespace millrace {
namespace {

template <class Config>
std::string Write(int64_t created_ns, const Config& config, Applied applied) {
  return std::to_string(created_ns) + (applied == Applied::kPartly ? "+ " : " ") + PrintJson(config);
}

template <class Config>
bool Read(std::string_view text, int64_t* created_ns, Config* config, Applied* applied) {
  const size_t blank = text.find(' ');
  if (blank == std::string_view::npos) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + blank, *created_ns);
  if (error != std::errc()) return false;
  const std::string_view mark(end, static_cast<size_t>(text.data() + blank - end));
  if (!mark.empty() && mark != "+") return false;
  *applied = mark.empty() ? Applied::kWhole : Applied::kPartly;
  return ParseJson(text.substr(blank + 1), config).empty();
}

}  // namespace

std::string WriteStored(int64_t created_ns, const StreamConfig& config, Applied applied) {
  return Write(created_ns, config, applied);
}
std::string WriteStored(int64_t created_ns, const ConsumerConfig& config) {
  return Write(created_ns, config, Applied::kWhole);
}
bool ReadStored(std::string_view text, int64_t* created_ns, StreamConfig* config, Applied* applied) {
  return Read(text, created_ns, config, applied);
}
bool ReadStored(std::string_view text, int64_t* created_ns, ConsumerConfig* config) {
  Applied applied = Applied::kWhole;
  return Read(text, created_ns, config, &applied) && applied == Applied::kWhole;
}

}  // namespace millrace
