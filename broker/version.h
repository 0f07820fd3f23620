// SPDX-License-Identifier: Apache-2.0
// Version: what we claim to be in INFO, /varz, the banner and the version flag.
// Owner:  immutable.
#pragma once

#include <string_view>

namespace millrace {

inline constexpr std::string_view kServerVersion = "2.15.2";  // the peer release we stand in for
inline constexpr int kProto = 1;                              // INFO proto, /varz proto
inline constexpr int kApiLevel = 5;                           // INFO api_lvl: JetStream API level
// Tools print "go", some parse it as a Go version; ours is the toolchain of that peer release.
inline constexpr std::string_view kGoVersion = "go1.26.8";
#ifdef MR_GIT_COMMIT
inline constexpr std::string_view kGitCommit = MR_GIT_COMMIT;
#else
inline constexpr std::string_view kGitCommit = "";  // omitted in /varz, "[not set]" in the banner
#endif
inline constexpr std::string_view kMillraceVersion = "0.1.0";

}  // namespace millrace
