// SPDX-License-Identifier: Apache-2.0
// How a shard ends, and how its parts end on a shard that goes on. shard.h says what a Shard is.
// States (event -> next), of the shard:
//   serving    Stop -> stopping: no more clients, those that are there get what is queued for them, for kStopPatience
//   stopping   connections, store and mail of its own have ended -> finished: tells the control thread
//   finished   goes on to take the others' mail, which may wait for room in its ring; Exit -> stopped
// Who stopped to read as soon as it had nothing to say itself would leave the others waiting for that room for ever.
#include <algorithm>
#include <vector>

#include "absl/strings/str_format.h"
#include "broker/shard.h"

namespace millrace {
namespace {

// A stopping server waits so long for clients to take what is queued for them.
constexpr Nanos kStopPatience = std::chrono::milliseconds(500);

}  // namespace

void Shard::OnStop() {
  if (std::exchange(stopping_, true)) return;
  OnStopAccepting();
  if (mesh_.self() == 0) server_events_.Shutdown();
  server_events_.FallSilent();
  for (const std::unique_ptr<ShardPart>& part : parts_) part->StartStop();
  // The other shards hear of it from here, behind what the parts just told their clients.
  for (uint32_t shard = 1; mesh_.self() == 0 && shard < mesh_.shards(); ++shard) {
    mesh_.SendParcel(shard, std::make_unique<Stop>());
  }
  OnCloseSome(CloseSome(UINT64_MAX, ClosedReason::kServerShutdown));
  timers_.Arm(&stop_deadline_, session_shared_.now + kStopPatience);
}

void Shard::OnStopDeadline() {
  for (const std::unique_ptr<Connection>& connection : connections_) {
    if (connection != nullptr) connection->End(ClosedReason::kServerShutdown);
  }
}

// Lame duck mode: the parts end first, but those that serve in it. EndParts says when it is over.
void Shard::OnStopParts() {
  if (!HasEndingParts()) return mesh_.SendParcel(mesh_.control(), std::make_unique<StopParts>());
  for (const std::unique_ptr<ShardPart>& part : parts_) {
    if (!part->ServesLameDuck()) part->StartStop();
  }
}

bool Shard::HasEndingParts() const {
  return std::any_of(parts_.begin(), parts_.end(), [](const auto& part) { return !part->ServesLameDuck(); });
}

// At the end of a turn, when nothing refers to what is theirs any more.
void Shard::EndParts() {
  if (parts_.empty()) return;
  const bool had = HasEndingParts();
  std::erase_if(parts_, [](const std::unique_ptr<ShardPart>& part) { return part->StepStop(); });
  if (!had || HasEndingParts()) return;
  mesh_.SendParcel(mesh_.control(), std::make_unique<StopParts>());
  work_left_ = true;  // the parcel leaves with the next turn
}

void Shard::StepStop() {
  EndParts();
  if (!stopping_ || finished_) return;
  if (open_ > 0 || !acceptors_.empty() || !parts_.empty() || mesh_.AnyOverflowAbove(0)) return;
  finished_ = true;
  mesh_.SendParcel(mesh_.control(), std::make_unique<Stop>());
  work_left_ = true;
}

std::string Shard::StopWaitsFor() const {
  std::string what;
  const auto add = [&what](const std::string& item) { what += (what.empty() ? "" : ", ") + item; };
  if (open_ > 0) add(absl::StrFormat("%d connections", open_));
  if (!acceptors_.empty()) add("a listener");
  for (const std::unique_ptr<ShardPart>& part : parts_) add(part->StopWaitsFor());
  for (uint32_t target = 0; target <= mesh_.shards(); ++target) {
    const uint64_t bytes = target == mesh_.self() ? 0 : mesh_.overflow_bytes(target);
    if (bytes == 0) continue;
    const std::string reader = target == mesh_.control() ? "the control thread" : absl::StrFormat("shard %d", target);
    add(absl::StrFormat("%d bytes of mail for %s", bytes, reader));
  }
  return what;
}

}  // namespace millrace
