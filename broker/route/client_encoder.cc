// SPDX-License-Identifier: Apache-2.0
#include "broker/route/client_encoder.h"

#include <algorithm>
#include <cstring>

#include "proto/encoder.h"

namespace millrace {
namespace {

// Of the text that all messages of a run begin with: what is copied at least, and beyond what it is not prepared.
constexpr size_t kRunLineCopy = 32;
constexpr size_t kRunLineMax = 288;

char* AppendZeros(char* at, unsigned count) {
  std::memset(at, '0', count);
  return at + count;
}

// MSG or HMSG with the sizes as the publisher wrote them. A message whose header block is stripped has a size of its
// own.
char* AppendHeaderVerbatim(char* at, const Message& message, std::string_view sid, bool with_headers) {
  at = AppendBytes(at, with_headers ? "HMSG " : "MSG ");
  at = AppendBytes(at, message.subject);
  *at++ = ' ';
  at = AppendBytes(at, sid);
  *at++ = ' ';
  if (!message.reply.empty()) {
    at = AppendBytes(at, message.reply);
    *at++ = ' ';
  }
  if (with_headers) {
    at = AppendDecimal(AppendZeros(at, message.header_zeros), message.header_bytes);
    *at++ = ' ';
  }
  const bool stripped = message.header_bytes > 0 && !with_headers;
  at = AppendZeros(at, stripped ? 0 : message.size_zeros);
  at = AppendDecimal(at, message.payload.size() - (stripped ? message.header_bytes : 0));
  return AppendBytes(at, kCrLf);
}

// What stands in front of the tails where subjects differ.
class MixedLine {
 public:
  explicit MixedLine(std::string_view sid) : sid_(sid), behind_bytes_(sid.size() + 2) {
    if (behind_bytes_ > sizeof behind_) return;
    behind_[0] = ' ';
    *AppendBytes(behind_ + 1, sid) = ' ';
  }

  // There is room for the line and the tail, and for kRunLineCopy bytes.
  char* Append(char* at, const RunMessage& message) const {
    if (message.header_bytes > 0) *at++ = 'H';
    at = AppendBytes(at, "MSG ");
    const std::string_view subject = message.subject;
    // Short ones are copied as if they had 32 and 16 bytes: behind them come, here and there, those of a long tail.
    const bool before_tail = subject.data() + subject.size() + 1 == message.tail.data();
    if (before_tail && subject.size() <= kRunLineCopy && behind_bytes_ <= sizeof behind_ &&
        message.tail.size() >= kRunLineCopy) [[likely]] {
      std::memcpy(at, subject.data(), kRunLineCopy);
      std::memcpy(at + subject.size(), behind_, sizeof behind_);
      return at + subject.size() + behind_bytes_;
    }
    at = AppendBytes(at, subject);
    *at = ' ';
    at = AppendBytes(at + 1, sid_);
    *at = ' ';
    return at + 1;
  }

 private:
  std::string_view sid_;
  size_t behind_bytes_;
  char behind_[16] = {};  // the sid between blanks
};

}  // namespace

Encoded EncodeMessage(const Subscription& sub, const Message& message, Receiver* receiver) {
  MR_DCHECK(!receiver->closed && sub.receiver == receiver);
  MR_DCHECK(message.header_bytes <= message.payload.size());
  MR_DCHECK(message.tail.empty() || message.tail.size() >= message.payload.size() + kCrLf.size());
  Outbox& out = receiver->outbox;
  std::string_view payload = message.payload;
  const bool with_headers = message.header_bytes > 0 && receiver->headers;
  if (message.header_bytes > 0 && !with_headers) payload.remove_prefix(message.header_bytes);
  const bool as_written = !message.tail.empty() && with_headers == (message.header_bytes > 0);
  const size_t header_max = MsgHeaderBytesMax(message.subject, sub.sid(), message.reply);
  const size_t total = header_max + payload.size() + kCrLf.size();
  const bool contiguous = total <= out.contiguous_bytes_max();
  char* at = out.Reserve(contiguous ? total : header_max);
  if (as_written && contiguous) [[likely]] {
    at = AppendBytes(at, with_headers ? std::string_view("HMSG ") : std::string_view("MSG "));
    at = AppendBytes(at, message.subject);
    *at++ = ' ';
    at = AppendBytes(at, sub.sid());
    *at++ = ' ';
    out.Commit(AppendBytes(at, message.tail));
    return {1, payload.size()};
  }
  if (message.size_zeros + message.header_zeros == 0) [[likely]] {
    at = with_headers
             ? AppendHmsgHeader(at, message.subject, sub.sid(), message.reply, message.header_bytes, payload.size())
             : AppendMsgHeader(at, message.subject, sub.sid(), message.reply, payload.size());
  } else {
    at = AppendHeaderVerbatim(at, message, sub.sid(), with_headers);
  }
  if (contiguous) {
    at = AppendBytes(at, payload);
    std::memcpy(at, kCrLf.data(), 2);
    out.Commit(at + 2);
  } else {
    out.Commit(at);
    out.Append(payload);
    out.Append(kCrLf);
  }
  return {1, payload.size()};
}

// What stands in front of the tails is the same for all, but for the subject where they differ.
Encoded EncodeRun(const Subscription& sub, const MessageRun& run, Receiver* receiver) {
  MR_DCHECK(!receiver->closed && sub.receiver == receiver);
  Outbox& out = receiver->outbox;
  const std::string_view sid = sub.sid();
  const std::string_view first = run.common().subject;
  const uint32_t count = run.size();
  const bool mixed = run.mixed();
  char line[kRunLineMax];
  const size_t line_bytes = first.size() + sid.size() + sizeof("HMSG   ") - 1;
  const bool short_line = line_bytes <= sizeof line;
  if (short_line) {
    char* at = AppendBytes(AppendBytes(line, "HMSG "), first);
    *at = ' ';
    *AppendBytes(at + 1, sid) = ' ';
  }
  MixedLine mixed_line(sid);
  Encoded encoded;
  char* at = out.Reserve(0);
  for (uint32_t i = 0; i < count; ++i) {
    const RunMessage& message = run[i];
    // Short lines are copied as if they had 32 bytes.
    const size_t room =
        std::max(line_bytes + message.subject.size() - first.size(), kRunLineCopy) + message.tail.size();
    const bool as_written = message.header_bytes == 0 || receiver->headers;
    if (!short_line || !as_written || room > out.contiguous_bytes_max()) [[unlikely]] {
      out.Commit(at);
      const Encoded one = EncodeMessage(sub, run.At(i), receiver);
      encoded.messages += one.messages;
      encoded.payload_bytes += one.payload_bytes;
      at = out.Reserve(0);
      continue;
    }
    if (static_cast<size_t>(out.limit() - at) < room) [[unlikely]] {
      out.Commit(at);
      at = out.Reserve(room);
    }
    ++encoded.messages;
    encoded.payload_bytes += message.payload_bytes;
    if (mixed) {
      at = AppendBytes(mixed_line.Append(at, message), message.tail);
      continue;
    }
    const size_t skip = message.header_bytes > 0 ? 0 : 1;  // the H
    if (line_bytes <= kRunLineCopy) [[likely]] {
      std::memcpy(at, line + skip, kRunLineCopy);
    } else {
      std::memcpy(at, line + skip, line_bytes - skip);
    }
    at = AppendBytes(at + line_bytes - skip, message.tail);
  }
  out.Commit(at);
  return encoded;
}

}  // namespace millrace
