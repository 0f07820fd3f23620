// SPDX-License-Identifier: Apache-2.0
// FileLock: a lock on a file that ends with whoever took it, and how far it reaches on the file system below.
// Owner:  caller; blocking.
// The lock is one of the open file description (F_OFD_SETLK): two in one process exclude each other, closing some other
// descriptor of the file does not end it, and on NFS and the like it is asked of the server.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace millrace {

// Returns the descriptor that holds it; `note` then stands in the file. kAlreadyExists: somebody else has it, the
// message is their note, the file is as it was. kUnimplemented: the file system, which the message names, has no locks.
absl::StatusOr<int> LockFile(int directory, const std::string& name, std::string_view note);

// What a path lies on, as /proc/self/mountinfo tells it.
struct Mount {
  std::string type;     // "ext4", "nfs4"
  std::string source;   // "/dev/vda1", "server:/export"
  std::string point;    // where it is mounted
  std::string options;  // of the file system, with commas between
};
// From the text of mountinfo; `id` is the mount's. Empty when it is not in there.
Mount FindMount(std::string_view mountinfo, std::string_view id);
Mount MountOf(int fd);
std::string Describe(const Mount& mount);  // "nfs4 (server:/export on /mnt)"

enum class LockReach : uint8_t {
  kEveryone,     // whoever can use the file system asks the same authority, or this machine is the only one
  kThisMachine,  // others can write there too, and know nothing of our locks
};
LockReach ReachOf(const Mount& mount);

}  // namespace millrace
