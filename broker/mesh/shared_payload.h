// SPDX-License-Identifier: Apache-2.0
// SharedPayload: a payload too large to copy into a ring, shared by reference with other shards.
// Owner:  two shards. The producing shard allocates it and alone touches the count; a consumer only reads the bytes and
//         mails it home (kPayloadHome) when it is done.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "proto/base/check.h"

namespace millrace {

struct SharedPayload {
  uint32_t references = 0;
  uint32_t owner = 0;
  uint32_t bytes = 0;
  uint32_t reserved = 0;

  char* data() { return reinterpret_cast<char*>(this + 1); }
  std::string_view view() { return {data(), bytes}; }

  static SharedPayload* Create(uint32_t owner, std::string_view payload) {
    auto* shared = static_cast<SharedPayload*>(std::malloc(sizeof(SharedPayload) + payload.size()));
    MR_CHECK(shared != nullptr);
    *shared = SharedPayload{0, owner, static_cast<uint32_t>(payload.size()), 0};
    std::memcpy(shared->data(), payload.data(), payload.size());
    return shared;
  }
  // On the owner's shard only.
  static void Release(SharedPayload* shared) {
    MR_CHECK(shared->references > 0);
    if (--shared->references == 0) std::free(shared);
  }
};

}  // namespace millrace
