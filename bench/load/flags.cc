// SPDX-License-Identifier: Apache-2.0
#include "bench/load/flags.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace millrace::bench {
namespace {

[[noreturn]] void Usage(const std::string& message) {
  std::fprintf(stderr, "millrace-load: %s (see --help)\n", message.c_str());
  std::exit(64);
}

}  // namespace

uint64_t ParseCount(std::string_view text) {
  uint64_t value = 0;
  size_t i = 0;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
    value = value * 10 + static_cast<uint64_t>(text[i] - '0');
  }
  const std::string_view unit = text.substr(i);
  if (i == 0) Usage("not a number: " + std::string(text));
  if (unit.empty()) return value;
  if (unit == "k") return value * 1000;
  if (unit == "M") return value * 1'000'000;
  if (unit == "Ki") return value * 1024;
  if (unit == "Mi") return value * 1024 * 1024;
  Usage("unknown unit: " + std::string(text));
}

Flags::Flags(int argc, char** argv, int first) {
  for (int i = first; i < argc; ++i) {
    std::string word = argv[i];
    if (word.rfind("--", 0) != 0) Usage("unexpected argument: " + word);
    word.erase(0, 2);
    const size_t equals = word.find('=');
    if (equals != std::string::npos) {
      values_[word.substr(0, equals)] = word.substr(equals + 1);
    } else if (i + 1 < argc && std::string_view(argv[i + 1]).substr(0, 2) != "--") {
      values_[word] = argv[++i];
    } else {
      values_[word] = "";
    }
  }
}

const std::string* Flags::Find(const std::string& name) {
  known_.insert(name);
  const auto it = values_.find(name);
  return it == values_.end() ? nullptr : &it->second;
}

uint64_t Flags::Number(const std::string& name, uint64_t fallback) {
  const std::string* text = Find(name);
  return text == nullptr ? fallback : ParseCount(*text);
}

double Flags::Real(const std::string& name, double fallback) {
  const std::string* text = Find(name);
  if (text == nullptr) return fallback;
  char* end = nullptr;
  const double value = std::strtod(text->c_str(), &end);
  if (!text->empty() && std::string_view(end) == "k") return value * 1e3;
  if (!text->empty() && std::string_view(end) == "M") return value * 1e6;
  if (text->empty() || *end != '\0') Usage("not a number: --" + name + " " + *text);
  return value;
}

std::string Flags::Text(const std::string& name, std::string fallback) {
  const std::string* text = Find(name);
  return text == nullptr ? std::move(fallback) : *text;
}

bool Flags::Bool(const std::string& name) {
  const std::string* text = Find(name);
  if (text != nullptr && !text->empty()) Usage("--" + name + " takes no value");
  return text != nullptr;
}

void Flags::RejectUnknown() const {
  for (const auto& [name, value] : values_) {
    if (known_.count(name) == 0) Usage("unknown option for this scenario: --" + name);
  }
}

}  // namespace millrace::bench
