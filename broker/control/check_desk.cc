// SPDX-License-Identifier: Apache-2.0
#include "broker/control/check_desk.h"

#include <algorithm>
#include <utility>

namespace millrace {

CheckDesk::CheckDesk(Io& io, Mesh& mesh, Logger& log, const Tuning& tuning)
    : io_(io),
      mesh_(mesh),
      log_(log),
      helpers_max_(static_cast<size_t>(tuning.auth_helpers)),
      waiting_(static_cast<size_t>(tuning.auth_checks_max)) {}

CheckDesk::~CheckDesk() { MR_CHECK(helpers_.empty() || stopped()); }

void CheckDesk::OnQuestion(const ConnectionId& id, Question question) {
  if (stopping_) return;
  if (std::optional<CheckQueue::Entry> refused = waiting_.Add({id, std::move(question)})) {
    Tell(refused->id, Finding::kNoTime);
  }
  HandOut();
}

void CheckDesk::HandOut() {
  while (waiting_.size() > 0) {
    HelperThread* helper = FindIdle();
    if (helper == nullptr) return;
    CheckQueue::Entry next = *waiting_.Take();
    helper->Give(std::make_unique<Check>(next.id, std::move(next.question)));
  }
}

// nullptr: all have something to do. Where none can be started nothing waits.
HelperThread* CheckDesk::FindIdle() {
  for (const std::unique_ptr<HelperThread>& helper : helpers_) {
    if (!helper->busy()) return helper.get();
  }
  if (helpers_.size() >= helpers_max_) return nullptr;
  auto started = HelperThread::Start(
      io_, [this](HelperThread*, std::unique_ptr<Check> check) { OnDone(std::move(check)); });
  if (started.ok()) return helpers_.emplace_back(std::move(*started)).get();
  if (!helpers_.empty()) return nullptr;
  log_.Error(std::string(started.status().message()));
  while (std::optional<CheckQueue::Entry> entry = waiting_.Take()) Tell(entry->id, Finding::kNoTime);
  return nullptr;
}

void CheckDesk::OnDone(std::unique_ptr<Check> check) {
  Tell(check->id, check->finding);
  HandOut();
}

void CheckDesk::Tell(const ConnectionId& id, Finding finding) {
  mesh_.port(mesh_.control()).SendParcel(id.shard, std::make_unique<Found>(id, finding));
}

void CheckDesk::Stop() {
  if (std::exchange(stopping_, true)) return;
  waiting_.Clear();
  for (const std::unique_ptr<HelperThread>& helper : helpers_) helper->Stop();
}

bool CheckDesk::stopped() const {
  return stopping_ && std::all_of(helpers_.begin(), helpers_.end(),
                                  [](const std::unique_ptr<HelperThread>& helper) { return helper->stopped(); });
}

}  // namespace millrace
