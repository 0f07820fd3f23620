// SPDX-License-Identifier: Apache-2.0
#include "store/shard/eraser.h"

#include <algorithm>
#include <utility>

namespace millrace {
namespace {

constexpr Nanos kRetryAfter = std::chrono::seconds(1);
constexpr uint32_t kDoublings = 6;

}  // namespace

Eraser::Eraser(WriteAheadLog& wal, StoredLogs& logs, Checkpoint& checkpoint)
    : wal_(wal), logs_(logs), checkpoint_(checkpoint) {
  sync_.Bind<&Eraser::OnSynced>(this);
}

uint64_t Eraser::Ask(uint64_t uid) {
  asking_.push_back(uid);
  return ++asked_;
}

void Eraser::Invariant() const {
  MR_CHECK_OP(done_, <=, serves_);
  MR_CHECK_OP(serves_, <=, asked_);
  MR_CHECK_OP(asking_.size(), ==, asked_ - serves_);
  MR_CHECK((step_ == Phase::kIdle) == (done_ == serves_));
  MR_CHECK(!sync_.busy() || step_ == Phase::kSync);
  MR_CHECK_OP(cut_, <=, wal_.staged());
}

void Eraser::Begin() {
  MR_CHECK_OP(asked_, >, done_);
  serves_ = asked_;
  streams_.insert(streams_.end(), asking_.begin(), asking_.end());
  std::vector<uint64_t>().swap(asking_);
  std::sort(streams_.begin(), streams_.end());
  streams_.erase(std::unique(streams_.begin(), streams_.end()), streams_.end());
  cut_ = wal_.staged();
  wal_.files().Taint();
  step_ = Phase::kLeave;
}

void Eraser::Step(Nanos now) {
  more_ = false;
  if (asked_ == done_ || wal_.failed()) return;
  if (retry_at_ != Nanos::max() && now < retry_at_) return;
  retry_at_ = Nanos::max();
  const Phase before = step_;
  StepPass(now);
  more_ = more_ || (step_ != before && retry_at_ == Nanos::max());
}

void Eraser::StepPass(Nanos now) {
  switch (step_) {
    case Phase::kIdle:
      return Begin();
    case Phase::kLeave:
      (void)wal_.files().Clean();
      if (!wal_.files().HasClean()) return wal_.files().Prepare(0, now);
      if (wal_.durable() < cut_ || !wal_.LeaveFile()) return;
      wal_.files().Taint();
      logs_.PrepareSweep();
      // One that is under way began before the log left its file.
      checkpoint_number_ = checkpoint_.begun() + 1;
      checkpoint_.Want();
      step_ = Phase::kCheckpoint;
      return;
    case Phase::kCheckpoint:
      (void)wal_.files().Clean();
      if (checkpoint_.succeeded() < checkpoint_number_) return;
      MR_CHECK_OP(wal_.durable(), >=, cut_);
      logs_.StartSweep(streams_);
      step_ = Phase::kOverwrite;
      return;
    case Phase::kOverwrite: {
      const bool clean = wal_.files().Clean();
      const bool swept = logs_.Sweep();
      if (!swept) {
        more_ = logs_.idle();  // it lists what lives
        return;
      }
      if (!clean) {
        // Traffic was faster than the zeros, and took a file that had not had them.
        if (!wal_.files().cleaning() && wal_.files().TaintedInUse()) Again();
        return;
      }
      // Of two syncs of a file under way the later one would not wait for what the earlier one has taken on.
      if (checkpoint_.running()) return;
      sync_failed_ = false;
      step_ = Phase::kSync;
      logs_.SyncAll(&sync_);
      return;
    }
    case Phase::kSync:
      if (sync_.busy()) return;
      if (sync_failed_ || logs_.SweepFailed()) return Fail(now);
      logs_.EndSweep();
      streams_.clear();
      done_ = serves_;
      failures_ = 0;
      step_ = Phase::kIdle;
      return;
  }
}

void Eraser::Again() {
  logs_.EndSweep();
  step_ = Phase::kLeave;
}

void Eraser::Fail(Nanos now) {
  retry_at_ = now + kRetryAfter * (1 << std::min(failures_++, kDoublings));
  Again();
}

void Eraser::OnSynced(const IoResult& result) { sync_failed_ = !result.ok(); }

}  // namespace millrace
