// SPDX-License-Identifier: Apache-2.0
// Frame: a payload too large to copy into a ring, shared by reference with other shards.
// Owner:  two shards. The producing shard allocates it and alone touches the count; a consumer only reads the bytes and
//         mails the frame home (kFrameRelease) when it is done.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "proto/base/check.h"

namespace millrace {

struct Frame {
  uint32_t references = 0;
  uint32_t owner = 0;
  uint32_t bytes = 0;
  uint32_t reserved = 0;

  char* data() { return reinterpret_cast<char*>(this + 1); }
  std::string_view view() { return {data(), bytes}; }

  static Frame* Create(uint32_t owner, std::string_view payload) {
    auto* frame = static_cast<Frame*>(std::malloc(sizeof(Frame) + payload.size()));
    MR_CHECK(frame != nullptr);
    *frame = Frame{0, owner, static_cast<uint32_t>(payload.size()), 0};
    std::memcpy(frame->data(), payload.data(), payload.size());
    return frame;
  }
  // On the owner's shard only.
  static void Release(Frame* frame) {
    MR_CHECK(frame->references > 0);
    if (--frame->references == 0) std::free(frame);
  }
};

}  // namespace millrace
