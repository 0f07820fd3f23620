// SPDX-License-Identifier: Apache-2.0
// Not built: keys and flags of the peer's features that this build lacks. A list that only shrinks: to build a feature
// is to take its rows from here into a block of its own.
// Owner:  immutable.
#pragma once

namespace millrace {

namespace config {
struct Table;
}

struct NotBuilt {
  static const config::Table kTable;
  bool operator==(const NotBuilt&) const = default;
};

}  // namespace millrace
