// SPDX-License-Identifier: Apache-2.0
// CheckDesk: takes what speakers of all shards want to know and hands it to helper threads, in fair order, so that
//            neither a shard nor the control thread ever waits for it.
// Owner:  control thread.
// Bounds: as many helpers as the tuning says, started when there is something for them; see CheckQueue for what waits.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "broker/admin.h"
#include "broker/control/check_queue.h"
#include "broker/control/helper_thread.h"
#include "broker/io/io.h"
#include "broker/log/log.h"
#include "broker/mesh/mesh.h"

namespace millrace {

class CheckDesk {
 public:
  CheckDesk(Io& io, Mesh& mesh, Logger& log, const Tuning& tuning);
  ~CheckDesk();

  void OnQuestion(const ConnectionId& id, Question question);
  // The connection's peer has probably gone.
  void OnPostponed(const ConnectionId& id) { waiting_.Postpone(id); }
  // The connection is gone.
  void OnWithdrawn(const ConnectionId& id) { waiting_.Remove(id); }

  // Nobody is told anything any more.
  void Stop();
  bool stopped() const;

 private:
  void HandOut();
  HelperThread* FindIdle();
  void OnDone(std::unique_ptr<Check> check);
  void Tell(const ConnectionId& id, Finding finding);

  Io& io_;
  Mesh& mesh_;
  Logger& log_;
  const size_t helpers_max_;
  CheckQueue waiting_;
  bool stopping_ = false;
  std::vector<std::unique_ptr<HelperThread>> helpers_;
};

}  // namespace millrace
