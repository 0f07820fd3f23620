// SPDX-License-Identifier: Apache-2.0
// Decimal: a whole number of any size, as counters need it: read, add, negate, print.
// Owner:  caller (pure).  Cost: linear in the digits, which a header block bounds. No library: four operations do not
//         pay for one, and digits as text are what comes in and goes out.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace millrace {

class Decimal {
 public:
  Decimal() = default;  // 0

  // [+-]digits, as Go's big.Int reads base 10; nullopt for anything else, the empty text included.
  static std::optional<Decimal> Parse(std::string_view text);

  Decimal operator-() const;
  friend Decimal operator+(const Decimal& a, const Decimal& b);
  friend Decimal operator-(const Decimal& a, const Decimal& b) { return a + -b; }
  bool operator==(const Decimal&) const = default;

  std::string ToString() const;

 private:
  Decimal(bool negative, std::string digits) : negative_(negative), digits_(std::move(digits)) {}
  static Decimal Normal(bool negative, std::string digits);

  bool negative_ = false;    // never of 0
  std::string digits_ = "0";  // highest first, no leading zeros
};

}  // namespace millrace
