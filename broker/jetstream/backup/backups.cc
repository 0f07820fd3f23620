// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/backup/backups.h"

#include <algorithm>

namespace millrace {
namespace {

template <typename Backup>
bool RunAll(std::vector<std::unique_ptr<Backup>>* backups) {
  bool more = false;
  for (size_t i = 0; i < backups->size();) {
    const BackupStep step = (*backups)[i]->Run();
    more |= step == BackupStep::kMore;
    if (step == BackupStep::kDone) {
      backups->erase(backups->begin() + static_cast<ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  return more;
}

}  // namespace

bool Backups::IsRestoring(AccountId account, std::string_view stream) const {
  return std::any_of(restores_.begin(), restores_.end(), [account, stream](const auto& restore) {
    return restore->account() == account && restore->stream_name() == stream;
  });
}

bool Backups::Run() {
  const bool snapshots = RunAll(&snapshots_);
  return RunAll(&restores_) || snapshots;
}

}  // namespace millrace
