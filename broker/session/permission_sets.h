// SPDX-License-Identifier: Apache-2.0
// PermissionSets: the permissions of this shard's clients, compiled once for all who have the same.
// Owner:  shard.  A set lives as long as somebody holds a Ref to it, whatever becomes of the config that it came from.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "broker/session/permissions.h"
#include "proto/base/check.h"

namespace millrace {

class PermissionSets {
  struct Shared {
    Shared(PermissionSets* of, std::string name, const Permissions& permissions)
        : home(of), fingerprint(std::move(name)), set(permissions) {}
    PermissionSets* const home;
    const std::string fingerprint;
    const PermissionSet set;
    uint32_t references = 0;
  };

 public:
  class Ref {
   public:
    Ref() = default;  // to none
    Ref(Ref&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
    Ref& operator=(Ref&& other) noexcept {
      Ref gone(std::move(other));
      std::swap(shared_, gone.shared_);
      return *this;
    }
    ~Ref() {
      if (shared_ != nullptr) shared_->home->Release(shared_);
    }

    explicit operator bool() const { return shared_ != nullptr; }
    const PermissionSet* operator->() const { return &shared_->set; }

   private:
    friend class PermissionSets;
    explicit Ref(Shared* shared) : shared_(shared) { ++shared_->references; }
    Shared* shared_ = nullptr;
  };

  PermissionSets() = default;
  ~PermissionSets() { MR_CHECK(sets_.empty()); }
  PermissionSets(const PermissionSets&) = delete;
  PermissionSets& operator=(const PermissionSets&) = delete;

  // `fingerprint` is that of `permissions` (permissions.h).
  Ref Get(const Permissions& permissions, const std::string& fingerprint) {
    std::unique_ptr<Shared>& shared = sets_[fingerprint];
    if (shared == nullptr) shared = std::make_unique<Shared>(this, fingerprint, permissions);
    return Ref(shared.get());
  }
  size_t size() const { return sets_.size(); }

 private:
  void Release(Shared* shared) {
    MR_CHECK(shared->references > 0);
    if (--shared->references == 0) sets_.erase(sets_.find(shared->fingerprint));
  }

  std::unordered_map<std::string, std::unique_ptr<Shared>> sets_;  // by fingerprint
};

}  // namespace millrace
