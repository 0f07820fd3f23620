// SPDX-License-Identifier: Apache-2.0
// Status macros for cold paths (start-up, config, recovery, administration).
// Owner:  caller (pure).
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define MR_RETURN_IF_ERROR(expression)                  \
  do {                                                  \
    if (auto mr_status = (expression); !mr_status.ok()) \
      return mr_status;                                 \
  } while (false)

#define MR_STATUS_CONCAT_INNER(a, b) a##b
#define MR_STATUS_CONCAT(a, b) MR_STATUS_CONCAT_INNER(a, b)
#define MR_ASSIGN_OR_RETURN(target, expression)                                    \
  auto MR_STATUS_CONCAT(mr_value_, __LINE__) = (expression);                       \
  if (!MR_STATUS_CONCAT(mr_value_, __LINE__).ok())                                 \
    return std::move(MR_STATUS_CONCAT(mr_value_, __LINE__)).status();              \
  target = std::move(MR_STATUS_CONCAT(mr_value_, __LINE__)).value()
