// SPDX-License-Identifier: Apache-2.0
#include "store/shard/store_lock.h"

#include <charconv>

#include "absl/strings/str_format.h"

namespace millrace {

std::string NoteOf(const StoreUser& user) { return absl::StrFormat("%d %s\n", user.pid, user.host); }

StoreUser ReadNote(std::string_view note) {
  StoreUser user;
  const char* const end = note.data() + note.size();
  const auto [at, error] = std::from_chars(note.data(), end, user.pid);
  if (error != std::errc() || user.pid <= 0 || at == end || *at != ' ') return {};
  const std::string_view rest = note.substr(static_cast<size_t>(at - note.data()) + 1);
  if (!rest.ends_with('\n')) return {};
  user.host = rest.substr(0, rest.size() - 1);
  return user;
}

std::string NameOf(const StoreUser& user) {
  if (user.pid == 0) return "another process";
  return absl::StrFormat("process %d%s%s", user.pid, user.host.empty() ? "" : " on ", user.host);
}

absl::Status LockStore(Disk& disk, const StoreUser& self) {
  const absl::Status status = disk.Lock(kStoreLockFile, NoteOf(self));
  if (!absl::IsAlreadyExists(status)) return status;
  return absl::AlreadyExistsError(NameOf(ReadNote({status.message().data(), status.message().size()})));
}

}  // namespace millrace
