// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/ack_subject.h"

#include "proto/encoder.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr std::string_view kAckPrefix = "$JS.ACK.";
constexpr int64_t kSecond = 1'000'000'000;
constexpr size_t kNumbersMax = 5 * 21;  // 20 digits and a dot each

// As in the peer: all ones when there is a byte that is no digit; wraps around.
uint64_t ReadNumber(std::string_view token) {
  if (token.empty()) return UINT64_MAX;
  uint64_t value = 0;
  for (const char c : token) {
    const auto digit = static_cast<unsigned>(c - '0');
    if (digit > 9) return UINT64_MAX;
    value = value * 10 + digit;
  }
  return value;
}

// Nine digits, with leading zeros.
void WriteFraction(char* at, uint32_t value) {
  for (int i = 8; i >= 0; --i) {
    at[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

// Adds one to the digits in [begin, end); false (and all zeros) when a digit more is needed.
bool Increment(char* begin, char* end) {
  while (end != begin) {
    --end;
    if (*end != '9') {
      ++*end;
      return true;
    }
    *end = '0';
  }
  return false;
}

// Takes one from the digits in [begin, end), which are not zero; false when the first one becomes 0: a digit less.
bool Decrement(char* begin, char* end) {
  const char* const last = end;
  while (end != begin) {
    --end;
    if (*end != '0') {
      --*end;
      return *begin != '0' || begin + 1 == last;
    }
    *end = '9';
  }
  return false;
}

}  // namespace

bool ParseAckSubject(std::string_view subject, AckSubject* ack) {
  if (!subject.starts_with(kAckPrefix)) return false;
  std::string_view tokens[9];
  size_t count = 0;
  size_t at = kAckPrefix.size();
  while (true) {
    const size_t end = FindTokenEnd(subject, at);
    if (count < 9) tokens[count] = subject.substr(at, end - at);
    ++count;
    if (end == subject.size()) break;
    at = end + 1;
  }
  const std::string_view* token = tokens;
  if (count == 7) {
    ack->domain = {};
    ack->account_hash = {};
  } else if (count >= 9) {
    ack->domain = tokens[0];
    ack->account_hash = tokens[1];
    token += 2;
  } else {
    return false;
  }
  ack->stream = token[0];
  ack->consumer = token[1];
  ack->deliveries = ReadNumber(token[2]);
  ack->stream_seq = ReadNumber(token[3]);
  ack->consumer_seq = ReadNumber(token[4]);
  ack->time_ns = static_cast<int64_t>(ReadNumber(token[5]));
  ack->pending = ReadNumber(token[6]);
  return true;
}

AckSubjectWriter::AckSubjectWriter(std::string_view stream, std::string_view consumer) {
  text_.reserve(kAckPrefix.size() + stream.size() + consumer.size() + 2 + kNumbersMax);
  text_.append(kAckPrefix).append(stream).append(".").append(consumer).append(".");
  prefix_bytes_ = static_cast<uint32_t>(text_.size());
  text_.resize(text_.size() + kNumbersMax);
}

std::string_view AckSubjectWriter::Write(uint64_t deliveries, uint64_t stream_seq, uint64_t consumer_seq,
                                         int64_t time_ns, uint64_t pending) {
  char* const begin = text_.data() + prefix_bytes_;
  char* const stream_begin = begin + 2;  // "1."
  const bool next = deliveries == 1 && stream_seq_ != 0 && stream_seq == stream_seq_ + 1 &&
                    consumer_seq == consumer_seq_ + 1 &&
                    Increment(stream_begin, text_.data() + consumer_at_ - 1) &&
                    Increment(text_.data() + consumer_at_, text_.data() + time_at_ - 1);
  const auto time_u = static_cast<uint64_t>(time_ns);
  if (!next) {
    char* at = AppendDecimal(begin, deliveries);
    *at++ = '.';
    at = AppendDecimal(at, stream_seq);
    *at++ = '.';
    consumer_at_ = static_cast<uint32_t>(at - text_.data());
    at = AppendDecimal(at, consumer_seq);
    *at++ = '.';
    time_at_ = static_cast<uint32_t>(at - text_.data());
    time_s_ = -1;
  }
  stream_seq_ = deliveries == 1 ? stream_seq : 0;
  consumer_seq_ = consumer_seq;

  char* at = text_.data() + time_at_;
  if (time_s_ >= 0 && time_ns >= time_s_ && time_ns - time_s_ < kSecond) {
    WriteFraction(text_.data() + pending_at_ - 10, static_cast<uint32_t>(time_ns - time_s_));
    at = text_.data() + pending_at_;
    if (pending == pending_) return {text_.data(), bytes_};
    if (pending == pending_ - 1 && Decrement(at, text_.data() + bytes_)) {
      pending_ = pending;
      return {text_.data(), bytes_};
    }
  } else {
    at = AppendDecimal(at, time_u);
    *at++ = '.';
    pending_at_ = static_cast<uint32_t>(at - text_.data());
    time_s_ = time_ns >= kSecond ? time_ns - time_ns % kSecond : -1;  // ten digits and more have a fraction to rewrite
  }
  at = AppendDecimal(at, pending);
  pending_ = pending;
  bytes_ = static_cast<uint32_t>(at - text_.data());
  return {text_.data(), bytes_};
}

}  // namespace millrace
