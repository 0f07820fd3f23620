// SPDX-License-Identifier: Apache-2.0
// Completion, IoResult: one asynchronous operation and what the kernel said about it.
// Owner:  shard. A Completion is a member of its owner and stays in place until its last result (IoResult::more false).
#pragma once

#include <cstdint>
#include <string_view>

#include "proto/base/check.h"

namespace millrace {

// What the kernel said about one operation.
struct IoResult {
  int32_t value = 0;       // >= 0: bytes, or a new descriptor; < 0: -errno
  bool more = false;       // multishot: the operation is still armed and will report again
  std::string_view bytes;  // Recv: what arrived; valid until the handler returns

  bool ok() const { return value >= 0; }
  int error() const { return value < 0 ? -value : 0; }
};

// One operation in flight. The owner embeds it, binds its handler once, and may reuse it after the last result.
class Completion {
 public:
  using Handler = void (*)(void* owner, const IoResult& result);

  Completion() = default;
  Completion(const Completion&) = delete;
  Completion& operator=(const Completion&) = delete;
  ~Completion() { MR_DCHECK(!busy_); }

  template <auto Method, class Owner>
  void Bind(Owner* owner) {
    owner_ = owner;
    handler_ = [](void* self, const IoResult& result) { (static_cast<Owner*>(self)->*Method)(result); };
  }

  bool busy() const { return busy_; }

  // For Io and Disk implementations only.
  void Started(uint8_t tag) {
    MR_DCHECK(handler_ != nullptr && !busy_);
    busy_ = true;
    tag_ = tag;
  }
  uint8_t tag() const { return tag_; }
  void set_tag(uint8_t tag) { tag_ = tag; }
  void Finish(const IoResult& result) {
    busy_ = result.more;
    handler_(owner_, result);
  }

 private:
  void* owner_ = nullptr;
  Handler handler_ = nullptr;
  bool busy_ = false;
  uint8_t tag_ = 0;
};

}  // namespace millrace
