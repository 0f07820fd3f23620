// SPDX-License-Identifier: Apache-2.0
// FrameReader: walks what the server sends in strides of the known frame length and reads one tag per frame.
// Owner:  caller.  Input: any split of the stream.
// A Sink has
//   void OnTag(uint64_t tag);                      one delivered message
//   void OnControl(std::string_view line);         PING, PONG, INFO, +OK, -ERR, without the CRLF
//   void OnBadFrame(std::string_view what);        the bytes are not the frame that was asked for
// Every frame is checked for its verb and its tag, and a wrong length shows in the very next tag; each kFullCheck-th
// is compared byte by byte with the template. Frames of unexpected shape are reported once and still walked.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "bench/load/message_shape.h"

namespace millrace::bench {

template <typename Sink>
class FrameReader {
 public:
  static constexpr uint32_t kFullCheck = 256;

  FrameReader(Sink* sink, LineTemplate frame) : sink_(sink), frame_(std::move(frame)) {
    std::memcpy(&verb_, frame_.bytes.data(), sizeof verb_);
    head_bytes_ = frame_.tag_offset + MessageTag::kBytes;
  }

  void OnBytes(const char* data, size_t bytes) {
    if (skip_ != 0) {
      const size_t skipped = std::min(skip_, bytes);
      skip_ -= skipped;
      data += skipped;
      bytes -= skipped;
    }
    // A head that was cut by the end of the last buffer is completed in carry_, a little at a time, because the
    // rest of its frame and all that follows can be read in place.
    while (!carry_.empty() && bytes != 0) {
      const size_t before = carry_.size();
      const size_t added = std::min(bytes, kCarryStep);
      carry_.append(data, added);
      const size_t used = Walk(carry_.data(), carry_.size());
      if (used < before) {
        carry_.erase(0, used);
        data += added;
        bytes -= added;
        continue;
      }
      carry_.clear();
      const size_t fresh = used - before;  // of the new bytes; may reach beyond the buffer
      skip_ = fresh > bytes ? fresh - bytes : 0;
      const size_t step = std::min(fresh, bytes);
      data += step;
      bytes -= step;
    }
    if (bytes == 0) return;
    const size_t used = Walk(data, bytes);
    if (used > bytes) {
      skip_ = used - bytes;
    } else {
      carry_.append(data + used, bytes - used);
    }
  }

 private:
  static constexpr size_t kCarryStep = 256;
  static constexpr size_t kLineBytesMax = 64 * 1024;

  // Handles all complete heads; returns the bytes used, beyond `bytes` when the last frame's payload is cut.
  size_t Walk(const char* data, size_t bytes) {
    const size_t frame_bytes = frame_.bytes.size();
    size_t at = 0;
    for (;;) {
      while (at + head_bytes_ <= bytes) {
        const char* frame = data + at;
        uint32_t verb = 0;
        std::memcpy(&verb, frame, sizeof verb);
        if (verb != verb_ || frame[frame_.line_bytes - 1] != '\n') break;
        if (--until_check_ == 0) [[unlikely]] {
          until_check_ = kFullCheck;
          if (!Matches(frame, std::min(frame_bytes, bytes - at))) sink_->OnBadFrame({frame, head_bytes_});
        }
        sink_->OnTag(LoadTag(frame + frame_.tag_offset));
        at += frame_bytes;
      }
      if (at >= bytes) return at;
      const size_t used = WalkOther(data + at, bytes - at);
      if (used == 0) return at;
      at += used;
    }
  }

  // A control line, or a message of another shape. Returns 0 when the line is not complete.
  size_t WalkOther(const char* data, size_t bytes) {
    const auto* end = static_cast<const char*>(std::memchr(data, '\n', bytes));
    if (end == nullptr) {
      if (bytes > kLineBytesMax) sink_->OnBadFrame("a line without end");
      return 0;
    }
    const size_t line_bytes = static_cast<size_t>(end - data) + 1;
    std::string_view line(data, line_bytes - 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const bool message = line.starts_with("MSG ") || line.starts_with("HMSG ");
    if (!message) {
      sink_->OnControl(line);
      return line_bytes;
    }
    uint32_t verb = 0;
    std::memcpy(&verb, data, sizeof verb);
    if (verb == verb_ && line_bytes == frame_.line_bytes) return 0;  // the usual frame, head still cut
    sink_->OnBadFrame(line);
    size_t payload = 0;
    for (const char c : line.substr(line.rfind(' ') + 1)) {
      payload = payload * 10 + static_cast<size_t>(c - '0');
    }
    return line_bytes + payload + 2;
  }

  bool Matches(const char* frame, size_t bytes) const {
    const auto same = [&](size_t from, size_t to) {
      to = std::min(to, bytes);
      return from >= to || std::memcmp(frame + from, frame_.bytes.data() + from, to - from) == 0;
    };
    return same(0, frame_.varying_from) &&
           same(frame_.varying_from + frame_.varying_bytes, frame_.tag_offset) &&
           same(frame_.tag_offset + MessageTag::kBytes, frame_.bytes.size());
  }

  Sink* const sink_;
  const LineTemplate frame_;
  uint32_t verb_ = 0;
  size_t head_bytes_ = 0;
  uint32_t until_check_ = 1;  // the first frame is always compared in full
  size_t skip_ = 0;           // bytes of the last frame still to come
  std::string carry_;
};

}  // namespace millrace::bench
