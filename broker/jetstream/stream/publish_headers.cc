// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/stream/publish_headers.h"

#include "proto/headers.h"

namespace millrace {
namespace {

struct Field {
  std::string_view key;  // behind "Nats-"
  std::string_view PublishHeaders::*member;
};

constexpr Field kFields[] = {
    {"Msg-Id", &PublishHeaders::msg_id},
    {"Expected-Stream", &PublishHeaders::expected_stream},
    {"Expected-Last-Sequence", &PublishHeaders::expected_last_seq},
    {"Expected-Last-Subject-Sequence", &PublishHeaders::expected_subject_seq},
    {"Expected-Last-Subject-Sequence-Subject", &PublishHeaders::expected_subject_seq_from},
    {"Expected-Last-Msg-Id", &PublishHeaders::expected_last_msg_id},
    {"Rollup", &PublishHeaders::rollup},
    {"TTL", &PublishHeaders::ttl},
    {"Incr", &PublishHeaders::increment},
    {"Batch-Id", &PublishHeaders::batch_id},
    {"Batch-Sequence", &PublishHeaders::batch_sequence},
    {"Batch-Commit", &PublishHeaders::batch_commit},
    {"Schedule", &PublishHeaders::schedule},
    {"Schedule-Target", &PublishHeaders::schedule_target},
    {"Schedule-Source", &PublishHeaders::schedule_source},
    {"Schedule-TTL", &PublishHeaders::schedule_ttl},
    {"Schedule-Time-Zone", &PublishHeaders::schedule_time_zone},
    {"Schedule-Rollup", &PublishHeaders::schedule_rollup},
    {"Schedule-Next", &PublishHeaders::schedule_next},
    {"Scheduler", &PublishHeaders::scheduler},
    {"Stream-Source", &PublishHeaders::stream_source},
    {"Required-Api-Level", &PublishHeaders::required_api_level},
};

constexpr std::string_view kPrefix = "Nats-";

}  // namespace

PublishHeaders ReadPublishHeaders(std::string_view block) {
  PublishHeaders headers;
  ForEachHeader(block, [&headers](const HeaderField& field) {
    if (!field.key.starts_with(kPrefix)) return;
    const std::string_view key = field.key.substr(kPrefix.size());
    for (const Field& known : kFields) {
      if (known.key != key) continue;
      if ((headers.*known.member).data() == nullptr) headers.*known.member = field.value;
      return;
    }
  });
  return headers;
}

std::optional<uint64_t> ReadSequence(std::string_view value) {
  if (value.empty()) return std::nullopt;
  constexpr uint64_t kNone = UINT64_MAX;
  if (value.size() > 19) return kNone;
  uint64_t number = 0;
  for (const char c : value) {
    if (c < '0' || c > '9') return kNone;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number > static_cast<uint64_t>(INT64_MAX) ? kNone : number;
}

}  // namespace millrace
