// SPDX-License-Identifier: Apache-2.0
// StoreLock: one process at a time has a store. The lock is taken before anything of it is read, on a file of its own
//         in the store's directory, and ends with the process at the latest. A copy of a store has a lock of its own.
// Owner:  caller; blocking, at start.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "store/disk.h"

namespace millrace {

inline constexpr std::string_view kStoreLockFile = "lock";

struct StoreUser {
  int64_t pid = 0;   // as its own machine, or container, counts
  std::string host;  // its name
};

// "1234 name\n", what the holder leaves in the file; nonsense, as of a half-written note, is nobody.
std::string NoteOf(const StoreUser& user);
StoreUser ReadNote(std::string_view note);
// "process 1234 on name", "another process".
std::string NameOf(const StoreUser& user);

// kAlreadyExists: somebody else has it; the message is NameOf the holder. Nothing in the store has been touched then.
absl::Status LockStore(Disk& disk, const StoreUser& self);

}  // namespace millrace
