// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/base/storage_use.h"

#include "absl/strings/str_format.h"

namespace millrace {
namespace {

constexpr Nanos kTellLimitEvery = std::chrono::seconds(10);

}  // namespace

void StorageUse::TellLimit(Storage storage) {
  if (port_.Now() < tell_limit_at_) return;
  tell_limit_at_ = port_.Now() + kTellLimitEvery;
  port_.log().Error(absl::StrFormat("JetStream %s resource limits exceeded for server",
                                    storage == Storage::kMemory ? "memory" : "file"));
}

}  // namespace millrace
