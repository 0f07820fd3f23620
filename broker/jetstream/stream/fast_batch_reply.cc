// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/stream/fast_batch_reply.h"

#include <algorithm>
#include <charconv>

namespace millrace {
namespace {

// Takes the last token off `rest`. False: no dot is left before it.
bool TakeLast(std::string_view* rest, std::string_view* token) {
  const size_t dot = rest->rfind('.');
  if (dot == std::string_view::npos) return false;
  *token = rest->substr(dot + 1);
  *rest = rest->substr(0, dot);
  return true;
}

std::optional<uint64_t> ReadNumber(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

enum Operation : uint64_t { kStart, kAppend, kCommit, kCommitWithout, kPing };

}  // namespace

std::optional<FastBatchReply> ParseFastBatchReply(std::string_view reply) {
  if (!IsFastBatchReply(reply)) return std::nullopt;
  std::string_view rest = reply.substr(0, reply.size() - 4);
  std::string_view token;
  FastBatchReply batch;
  if (!TakeLast(&rest, &token)) return std::nullopt;
  const std::optional<uint64_t> operation = ReadNumber(token);
  if (!operation || *operation > kPing) return std::nullopt;
  batch.ping = *operation == kPing;
  batch.commit_without = *operation == kCommitWithout;
  batch.commit = batch.commit_without || *operation == kCommit;

  if (!TakeLast(&rest, &token)) return std::nullopt;
  const std::optional<uint64_t> seq = ReadNumber(token);
  if (!seq || *seq == 0 || *seq == UINT64_MAX) return std::nullopt;
  batch.seq = *seq;
  if (batch.seq == 1 && (batch.commit_without || *operation == kAppend)) return std::nullopt;
  if (batch.seq != 1 && *operation == kStart) return std::nullopt;

  if (!TakeLast(&rest, &token) || (token != "ok" && token != "fail")) return std::nullopt;
  batch.gap_ok = token == "ok";

  if (!TakeLast(&rest, &token)) return std::nullopt;
  const uint64_t flow = ReadNumber(token).value_or(0);
  constexpr uint64_t kFlowDefault = 10;
  batch.flow = static_cast<uint16_t>(std::min<uint64_t>(flow == 0 ? kFlowDefault : flow, UINT16_MAX));

  if (!TakeLast(&rest, &batch.id)) return std::nullopt;
  return batch;
}

}  // namespace millrace
