// SPDX-License-Identifier: Apache-2.0
// Backups: the snapshots and restores that are under way.
// Owner:  shard; part of the engine.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/backup/stream_restore.h"
#include "broker/jetstream/backup/stream_snapshot.h"

namespace millrace {

class Backups {
 public:
  void Start(std::unique_ptr<StreamSnapshot> snapshot) { snapshots_.push_back(std::move(snapshot)); }
  void Start(std::unique_ptr<StreamRestore> restore) { restores_.push_back(std::move(restore)); }
  bool IsRestoring(AccountId account, std::string_view stream) const;
  // Some steps of each. True: more can be done now.
  bool Run();
  void Stop() {
    snapshots_.clear();
    restores_.clear();
  }

 private:
  std::vector<std::unique_ptr<StreamSnapshot>> snapshots_;
  std::vector<std::unique_ptr<StreamRestore>> restores_;
};

}  // namespace millrace
