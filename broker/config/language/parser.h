// SPDX-License-Identifier: Apache-2.0
// Parser: a configuration file, its includes and variables, as one tree (rows G-01..G-18).
// Owner:  caller (pure but for the files and the environment it reads).
// Limits: kFileBytesMax per file, kIncludeDepthMax, kValuesMax values once variables are filled in.
// Errors: the text is the peer's, without the "nats-server: " that main puts before it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "broker/config/language/value.h"

namespace millrace::config {

inline constexpr size_t kFileBytesMax = 64 * 1024 * 1024;
inline constexpr int kIncludeDepthMax = 50;
inline constexpr size_t kValuesMax = 4'000'000;

absl::StatusOr<Document> ParseFile(const std::string& path);
// For tests: includes are relative to the working directory.
absl::StatusOr<Document> ParseText(std::string_view text);

// The whole file. Errors read "open <path>: no such file or directory".
absl::StatusOr<std::string> ReadWholeFile(const std::string& path);
// "no such file or directory": the text for errno as the peer writes it.
std::string ErrnoText(int error);

}  // namespace millrace::config
