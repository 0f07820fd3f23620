// SPDX-License-Identifier: Apache-2.0
// Help groups: the headings of --help. Those that several blocks share are here, a block's own stand in its source.
// Owner:  immutable.
#pragma once

#include <string_view>

namespace millrace::config {

struct HelpGroup {
  std::string_view heading;
  int order;
};

inline constexpr HelpGroup kServerHelp = {"Server Options", 10};
inline constexpr HelpGroup kTuningHelp = {"Tuning Options (of this broker; also in the block `millrace` of the file)",
                                          70};
inline constexpr HelpGroup kCommonHelp = {"Common Options", 90};

}  // namespace millrace::config
