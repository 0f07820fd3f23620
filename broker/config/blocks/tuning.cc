// SPDX-License-Identifier: Apache-2.0
#include "broker/config/blocks/tuning.h"

#include "absl/strings/str_format.h"
#include "broker/config/blocks/cpus.h"
#include "broker/config/table/table.h"

namespace millrace {
namespace config {
namespace {

using enum OnReload;

// The block of our own; other tables bring keys of it as well.
constexpr Row kRows[] = {
    {.key = "millrace", .order = 870, .is_own_block = true, .on_reload = kIgnore},
};

constexpr Row kOwnRows[] = {
    {.key = "shards", .flags = "--shards", .value_name = "<n>",
     .help = "Threads that serve (default: one per CPU this process may use)", .group = &kTuningHelp, .order = 880,
     .member = &kMember<&Tuning::shards>, .least = 1, .most = kShardsMax},
    {.key = "pin_shards", .flags = "--pin_shards", .help = "Bind each to a CPU (default: true)",
     .group = &kTuningHelp, .order = 890, .member = &kMember<&Tuning::pin_shards>},
    {.key = "spin_us", .flags = "--spin_us", .value_name = "<microseconds>",
     .help = "Poll at most so long before sleeping, 0: never (default: 100)", .group = &kTuningHelp, .order = 900,
     .member = &kMember<&Tuning::spin_us>, .least = 0, .most = 1000},
    {.key = "batch_wait_us", .flags = "--batch_wait_us", .value_name = "<microseconds>",
     .help = "Gather messages so long where nobody waits for an answer, 0: never (default: 0)", .group = &kTuningHelp,
     .order = 910, .member = &kMember<&Tuning::batch_wait_us>, .least = 0, .most = 10000},
    {.key = "recv_buffer_bytes_small", .flags = "--recv_buffer_bytes_small", .value_name = "<bytes>",
     .help = "Receive buffer of a quiet connection (default: 4096)", .group = &kTuningHelp, .order = 920,
     .member = &kMember<&Tuning::recv_buffer_bytes_small>, .least = 512, .most = 1 << 20},
    {.key = "recv_buffer_bytes_large", .flags = "--recv_buffer_bytes_large", .value_name = "<bytes>",
     .help = "Receive buffer of a busy connection (default: 131072)", .group = &kTuningHelp, .order = 930,
     .member = &kMember<&Tuning::recv_buffer_bytes_large>, .least = 4096, .most = 16 << 20},
    {.key = "recv_buffers_small", .flags = "--recv_buffers_small", .value_name = "<n>",
     .help = "How many of the former, per shard (default: 1024)", .group = &kTuningHelp, .order = 940,
     .member = &kMember<&Tuning::recv_buffers_small>, .least = 2, .most = 32768, .power_of_two = true},
    {.key = "recv_buffers_large", .flags = "--recv_buffers_large", .value_name = "<n>",
     .help = "How many of the latter, per shard (default: 8)", .group = &kTuningHelp, .order = 950,
     .member = &kMember<&Tuning::recv_buffers_large>, .least = 2, .most = 32768, .power_of_two = true},
    {.key = "ring_bytes", .flags = "--ring_bytes", .value_name = "<bytes>",
     .help = "Ring between each two shards (default: 1048576)", .group = &kTuningHelp, .order = 960,
     .member = &kMember<&Tuning::ring_bytes>, .least = 65536, .most = 1 << 30, .power_of_two = true},
    {.key = "mail_inline_bytes_max", .flags = "--mail_inline_bytes_max", .value_name = "<bytes>",
     .help = "Payload copied into that ring; larger ones by reference (default: 2048)", .group = &kTuningHelp,
     .order = 970, .member = &kMember<&Tuning::mail_inline_bytes_max>, .least = 0, .most = 16384},
    {.key = "send_bytes_max", .flags = "--send_bytes_max", .value_name = "<bytes>",
     .help = "Most that one send carries (default: 1048576)", .group = &kTuningHelp, .order = 980,
     .member = &kMember<&Tuning::send_bytes_max>, .least = 4096, .most = 64 << 20},
    {.key = "send_bytes_shared", .flags = "--send_bytes_shared", .value_name = "<bytes>",
     .help = "The same while clients that send little are served as well (default: 65536)", .group = &kTuningHelp,
     .order = 990, .member = &kMember<&Tuning::send_bytes_shared>, .least = 4096, .most = 64 << 20},
    {.key = "outbox_chunk_bytes", .flags = "--outbox_chunk_bytes", .value_name = "<bytes>",
     .help = "Block in which output is gathered (default: 65536)", .group = &kTuningHelp, .order = 1000,
     .member = &kMember<&Tuning::outbox_chunk_bytes>, .least = 16384, .most = 16 << 20},
    {.key = "output_high_water", .flags = "--output_high_water", .value_name = "<bytes>",
     .help = "Backlog at which producers are paused (default: 1048576)", .group = &kTuningHelp, .order = 1010,
     .member = &kMember<&Tuning::output_high_water>, .least = 4096, .most = int64_t{1} << 40},
    {.key = "bytes_per_turn", .flags = "--bytes_per_turn", .value_name = "<bytes>",
     .help = "Input that a shard works off before it sends (default: 131072)", .group = &kTuningHelp, .order = 1020,
     .member = &kMember<&Tuning::bytes_per_turn>, .least = 4096, .most = 64 << 20},
    {.key = "uring_entries", .flags = "--uring_entries", .value_name = "<n>",
     .help = "Length of the submission queue (default: 4096)", .group = &kTuningHelp, .order = 1030,
     .member = &kMember<&Tuning::uring_entries>, .least = 64, .most = 32768, .power_of_two = true},
    {.key = "match_cache_entries", .flags = "--match_cache_entries", .value_name = "<n>",
     .help = "Subjects whose targets are remembered, per shard (default: 65536)", .group = &kTuningHelp,
     .order = 1040, .member = &kMember<&Tuning::match_cache_entries>, .least = 64, .most = 1 << 24,
     .power_of_two = true},
    {.key = "auth_helpers", .flags = "--auth-helpers", .value_name = "<n>",
     .help = "Threads that compare passwords with bcrypt hashes (default: 1)", .group = &kTuningHelp, .order = 1041,
     .member = &kMember<&Tuning::auth_helpers>, .least = 1, .most = 64},
    {.key = "auth_checks_max", .flags = "--auth-checks-max", .value_name = "<n>",
     .help = "Logins that may wait for them; others are told 'Authentication Timeout' (default: 64)",
     .group = &kTuningHelp, .order = 1042, .member = &kMember<&Tuning::auth_checks_max>, .least = 1, .most = 65536},
};

void StartTuning(TuningBlock& block) { block.tuning.shards = DefaultShardCount(kShardsMax); }

absl::Status CheckTuning(const TuningBlock& block) {
  const Tuning& tuning = block.tuning;
  // The largest record of a ring must leave it room to work.
  if (tuning.mail_inline_bytes_max * 4 <= tuning.ring_bytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s (%d) must be at most a quarter of %s (%d)", NameOf<&Tuning::mail_inline_bytes_max>(kOwnRows),
      tuning.mail_inline_bytes_max, NameOf<&Tuning::ring_bytes>(kOwnRows), tuning.ring_bytes));
}

}  // namespace
}  // namespace config

constexpr config::Table TuningBlock::kTable = {
    .type = &config::kTypeTag<TuningBlock>,
    .rows = config::kRows,
    .own_rows = config::kOwnRows,
    .own = &config::kWithin<&TuningBlock::tuning>,
    .start = config::kHook<config::StartTuning>,
    .check_bounded = config::kHook<config::CheckTuning>,
};

}  // namespace millrace
