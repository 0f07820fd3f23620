// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/stream/decimal.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

// Digits as text, highest first, no leading zeros.
bool LessThan(const std::string& a, const std::string& b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

int DigitFromEnd(const std::string& digits, size_t i) {
  return i < digits.size() ? digits[digits.size() - 1 - i] - '0' : 0;
}

std::string AddDigits(const std::string& a, const std::string& b) {
  const size_t size = std::max(a.size(), b.size()) + 1;
  std::string sum(size, '0');
  int carry = 0;
  for (size_t i = 0; i < size; ++i) {
    const int digit = DigitFromEnd(a, i) + DigitFromEnd(b, i) + carry;
    carry = digit >= 10 ? 1 : 0;
    sum[size - 1 - i] = static_cast<char>('0' + digit - 10 * carry);
  }
  return sum;
}

// a >= b
std::string SubtractDigits(const std::string& a, const std::string& b) {
  std::string rest(a.size(), '0');
  int borrow = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const int digit = DigitFromEnd(a, i) - DigitFromEnd(b, i) - borrow;
    borrow = digit < 0 ? 1 : 0;
    rest[a.size() - 1 - i] = static_cast<char>('0' + digit + 10 * borrow);
  }
  return rest;
}

}  // namespace

Decimal Decimal::Normal(bool negative, std::string digits) {
  const size_t first = std::min(digits.find_first_not_of('0'), digits.size() - 1);
  digits.erase(0, first);
  const bool zero = digits == "0";
  return Decimal(negative && !zero, std::move(digits));
}

std::optional<Decimal> Decimal::Parse(std::string_view text) {
  bool negative = false;
  if (!text.empty() && (text.front() == '+' || text.front() == '-')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  const bool digits = std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (text.empty() || !digits) return std::nullopt;
  return Normal(negative, std::string(text));
}

Decimal Decimal::operator-() const { return Normal(!negative_, digits_); }

Decimal operator+(const Decimal& a, const Decimal& b) {
  if (a.negative_ == b.negative_) return Decimal::Normal(a.negative_, AddDigits(a.digits_, b.digits_));
  if (LessThan(a.digits_, b.digits_)) return Decimal::Normal(b.negative_, SubtractDigits(b.digits_, a.digits_));
  return Decimal::Normal(a.negative_, SubtractDigits(a.digits_, b.digits_));
}

std::string Decimal::ToString() const { return negative_ ? "-" + digits_ : digits_; }

}  // namespace millrace
