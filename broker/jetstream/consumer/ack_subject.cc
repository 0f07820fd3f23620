// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/consumer/ack_subject.h"

#include "proto/base/check.h"
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

// Cuts a token off the front of *rest; false when it is the last one.
bool CutToken(std::string_view* rest, std::string_view* token) {
  const size_t dot = rest->find('.');
  if (dot == std::string_view::npos) return false;
  *token = rest->substr(0, dot);
  rest->remove_prefix(dot + 1);
  return true;
}

// Cuts digits and the dot behind them off the front of *rest; false when there is anything else.
bool CutNumber(std::string_view* rest, uint64_t* number) {
  uint64_t value = 0;
  for (size_t i = 0; i < rest->size(); ++i) {
    const auto digit = static_cast<unsigned>((*rest)[i] - '0');
    if (digit > 9) {
      if (i == 0 || (*rest)[i] != '.') return false;
      *number = value;
      rest->remove_prefix(i + 1);
      return true;
    }
    value = value * 10 + digit;
  }
  return false;
}

// v1 as we write it: nearly every ack.
bool ParseOwn(std::string_view rest, AckSubject* ack) {
  return CutToken(&rest, &ack->stream) && CutToken(&rest, &ack->consumer) && CutNumber(&rest, &ack->deliveries) &&
         CutNumber(&rest, &ack->stream_seq) && CutNumber(&rest, &ack->consumer_seq) &&
         CutToken(&rest, &ack->time_text) && rest.find('.') == std::string_view::npos &&
         (ack->pending_text = rest, true);
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

int64_t AckSubject::time_ns() const { return static_cast<int64_t>(ReadNumber(time_text)); }

uint64_t AckSubject::pending() const { return ReadNumber(pending_text); }

bool ParseAckSubject(std::string_view subject, AckSubject* ack) {
  if (!subject.starts_with(kAckPrefix)) return false;
  subject.remove_prefix(kAckPrefix.size());
  *ack = AckSubject{};
  if (ParseOwn(subject, ack)) return true;
  std::string_view tokens[9];
  size_t count = 0;
  for (TokenCursor cursor(subject); !cursor.done(); cursor.Advance()) {
    if (count < 9) tokens[count] = cursor.token();
    ++count;
  }
  if (count != 7 && count < 9) return false;
  const std::string_view* token = tokens;
  *ack = AckSubject{};
  if (count >= 9) {
    ack->domain = *token++;
    ack->account_hash = *token++;
  }
  ack->stream = token[0];
  ack->consumer = token[1];
  ack->deliveries = ReadNumber(token[2]);
  ack->stream_seq = ReadNumber(token[3]);
  ack->consumer_seq = ReadNumber(token[4]);
  ack->time_text = token[5];
  ack->pending_text = token[6];
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
  MR_DCHECK(consumer_at_ > prefix_bytes_ && time_at_ > consumer_at_ && time_at_ < text_.size());
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
  MR_DCHECK(bytes_ <= text_.size() && pending_at_ < bytes_);
  return {text_.data(), bytes_};
}

}  // namespace millrace
