// SPDX-License-Identifier: Apache-2.0
// Permission keys: the block `permissions` of users, defaults, and of whatever else publishes and subscribes on behalf
// of somebody (rows A-20..A-23).
// Owner:  immutable.
#pragma once

#include <span>

#include "broker/config/blocks/permissions.h"
#include "broker/config/table/reading.h"

namespace millrace::config {

extern const std::span<const Row> kPermissionKeys;

inline constexpr char kPermissionsNoMap[] = "Expected permissions to be a map/struct, got %v";
inline constexpr char kPermissionsUnknown[] = "Unknown field %s parsing permissions";

bool FinishPermissions(Permissions& permissions, Reading& reading, const BlockEnd& end);

}  // namespace millrace::config
