// SPDX-License-Identifier: Apache-2.0
// CPUs: how many this process may use.
// Owner:  process.
#pragma once

#include <string_view>

namespace millrace::config {

// The lesser of the CPUs in the affinity mask and the quotas of the cgroups above us, rounded up;
// 1..most.
int DefaultShardCount(int most);

// Content of a cpu.max file, "200000 100000": 2. "max 100000" and anything unreadable: 0.
int CpusOfQuota(std::string_view cpu_max);

}  // namespace millrace::config
