// SPDX-License-Identifier: Apache-2.0
// Runs of SimWorld that end in the middle: JetStream on the first shard, on a simulated disk; flooders; then a stop, or
// lame duck mode and a stop. All shards must end, within ten seconds and with nothing left open, the store must be free
// and hold what was confirmed, on stable storage.
#include <string>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/stored_config.h"
#include "tests/sim/sim_store.h"
#include "tests/sim/world.h"

namespace millrace::sim {
namespace {

constexpr Nanos kStopMax = std::chrono::seconds(10);

}  // namespace

void SimWorld::OpenFlooder() {
  const bool adopt = random_.Chance(60);
  const std::shared_ptr<Socket> socket =
      kernel_->Connect(!adopt, random_.Between(512, 65536), random_.Between(512, 65536));
  sockets_.push_back(socket);
  if (adopt) {
    Participant& p = participants_[random_.Below(mesh_->shards())];
    p.adoptions.emplace_back(socket->fd, 2'000'000 + adopted_++);
    p.io->Ring();
  }
  flooders_.push_back(std::make_unique<Flooder>(*kernel_, socket, static_cast<uint32_t>(flooders_.size())));
}

// The old server lives on: its successor gets the store when the old one has closed it, and may write into it from then
// on; SimDisk sees to it that the old one does not.
void SimWorld::TellOfLameDuck() {
  Tell(0, std::make_unique<StopAccepting>());
  Tell(0, std::make_unique<StopParts>());
  const std::unique_ptr<Disk> successor = disk_->Join();
  bool has = false;
  RunUntil("JetStream has stopped, and the store is free", [&] {
    has = has || LockStore(*successor, SimHome::Successor()).ok();
    return has && !store_open_;
  });
  CheckStore();
  for (uint64_t steps = random_.Below(2000); steps > 0; --steps) Step();
}

void SimWorld::CheckStore() {
  const std::unique_ptr<SimDisk> stable = disk_->Survivor(random_.Next(), Survival::kNothing);
  OpenedStore opened = OpenOn(*stable);
  std::map<std::string, uint64_t> found;
  for (const RecoveredStream& stream : opened.shard->recovered().streams) {
    int64_t created_ns = 0;
    StreamConfig config;
    std::string account;
    Applied applied = Applied::kWhole;
    if (!ReadStored(stream.config, &created_ns, &config, &account, &applied))
      Fail("a stream's configuration cannot be read");
    if (!stream.lost.empty() || !stream.damage.empty()) Fail("damaged: " + stream.damage);
    found[config.name] = opened.shard->FindStream(stream.uid)->state().last_seq;
  }
  for (const std::unique_ptr<Flooder>& flooder : flooders_) {
    for (const auto& [name, seq] : flooder->confirmed()) {
      if (!name.starts_with("KEEP")) continue;  // others are purged and deleted
      if (found.count(name) == 0) Fail(name + " has vanished");
      if (found[name] < seq) Fail(absl::StrFormat("%s ends at %d, but %d was confirmed", name, found[name], seq));
      ++confirmed_;
    }
  }
  Drop(*stable, &opened);
}

void SimWorld::RunStop() {
  plan_.mix.hash_auth = false;
  plan_.shard.limits.pending_bytes_max = 64 << 20;
  plan_.flood = true;  // participants stand still for longer
  disk_ = std::make_unique<SimDisk>(random_.Next());
  home_ = std::make_unique<SimHome>(*disk_);
  server_may_close_ = true;
  Start();
  for (uint64_t n = random_.Between(1, 5); n > 0; --n) OpenFlooder();
  for (uint64_t steps = random_.Below(random_.Pick({300, 3000, 12000})); steps > 0; --steps) Step();
  if (random_.Chance(40)) TellOfLameDuck();
  const Nanos told = kernel_->now;
  // As a server does: the others hear of it from the first shard.
  Tell(0, std::make_unique<millrace::Stop>());
  for (uint32_t i = 0; i < mesh_->shards(); ++i) Tell(i, std::make_unique<StopReport>());
  RunUntil("every shard has stopped", [this] {
    return std::all_of(participants_.begin(), participants_.end(),
                       [](const Participant& p) { return p.fiber->done(); });
  });
  if (kernel_->now - told > kStopMax) Fail("the stop has taken too long");
  if (store_open_) Fail("nobody was told that the store is closed");
  const std::unique_ptr<Disk> successor = disk_->Join();
  if (const absl::Status status = LockStore(*successor, SimHome::Successor()); !status.ok()) Fail(status.ToString());
  for (const std::unique_ptr<Flooder>& flooder : flooders_) {
    while (flooder->CanMove()) flooder->Move();  // what had reached it by then counts
  }
  CheckStore();
  TearDown();
}

}  // namespace millrace::sim
