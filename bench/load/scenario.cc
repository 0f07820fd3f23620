// SPDX-License-Identifier: Apache-2.0
#include "bench/load/scenario.h"

#include <bit>
#include <cstdio>
#include <utility>

namespace millrace::bench {
namespace {

constexpr uint64_t kTickNs = 500'000'000;

}  // namespace

Ring::Options Setup::RingFor(uint64_t connections) const {
  // 1 MiB of buffers in both cases: more falls out of the L2 cache, and the buffers are used in turn.
  Ring::Options options;
  if (connections > 64) {
    options.buffer_bytes = 8 * 1024;
    options.buffer_count = 512;
    options.entries = 4096;
  }
  options.buffer_bytes = static_cast<uint32_t>(flags->Number("recv-bytes", options.buffer_bytes));
  options.buffer_count = static_cast<uint32_t>(flags->Number("recv-buffers", options.buffer_count));
  if (!std::has_single_bit(options.buffer_count) || options.buffer_count > 32768) {
    Fail("--recv-buffers must be a power of two up to 32768");
  }
  return options;
}

MessageShape::Options Setup::Shape(size_t payload_bytes) const {
  MessageShape::Options options;
  options.subject = flags->Text("subject", "bench");
  options.subjects = flags->Number("subjects", 1);
  options.payload_bytes = flags->Number("size", payload_bytes);
  options.headers = flags->Bool("headers");
  if (options.payload_bytes < MessageTag::kBytes) {
    Fail("--size must be at least 8: every payload begins with its number");
  }
  if (options.subjects == 0 || options.subjects > MessageShape::kSubjectsMax) {
    Fail("--subjects must be 1 to 1000000");
  }
  return options;
}

MessageShape::Options Setup::ReceivedShape(size_t payload_bytes) const {
  MessageShape::Options options = Shape(payload_bytes);
  options.subject = flags->Text("to-subject", options.subject);
  return options;
}

Progress::Progress(const Setup& setup, std::string unit, uint64_t goal)
    : enabled_(setup.progress), stall_ns_(setup.stall_ns), unit_(std::move(unit)), goal_(goal) {
  moved_ns_ = printed_ns_ = NowNs();
  next_ns_ = moved_ns_ + kTickNs;
}

bool Progress::Tick(uint64_t done) {
  if (done != last_done_ && ++skip_ % 64 != 0) return true;  // the clock is read on some turns only
  const uint64_t now = NowNs();
  if (done != last_done_) {
    last_done_ = done;
    moved_ns_ = now;
  } else if (now - moved_ns_ > stall_ns_) {
    return false;
  }
  if (now >= next_ns_) {
    next_ns_ = now + kTickNs;
    if (enabled_) Print(done, now);
  }
  return true;
}

void Progress::Print(uint64_t done, uint64_t now_ns) {
  const double seconds = static_cast<double>(now_ns - printed_ns_) / 1e9;
  const double rate = static_cast<double>(done - printed_done_) / seconds;
  printed_done_ = done;
  printed_ns_ = now_ns;
  if (goal_ != 0) {
    std::fprintf(stderr, "\r%3.0f %%  %.3g %s/s   ",
                 100.0 * static_cast<double>(done) / static_cast<double>(goal_), rate, unit_.c_str());
  } else {
    std::fprintf(stderr, "\r%llu  %.3g %s/s   ", static_cast<unsigned long long>(done), rate,
                 unit_.c_str());
  }
}

void Progress::Finish() {
  if (enabled_) std::fprintf(stderr, "\r%40s\r", "");
}

int ReportCounts(JsonLine* line, const DeliveryCounts& counts, uint64_t bad_frames) {
  line->Add("lost", counts.lost);
  line->Add("duplicated", counts.duplicated);
  line->Add("disordered", counts.disordered);
  line->Add("foreign", counts.foreign);
  line->Add("bad_frames", bad_frames);
  return counts.clean() && bad_frames == 0 ? kExitClean : kExitIncorrect;
}

}  // namespace millrace::bench
