// SPDX-License-Identifier: Apache-2.0
// Accounts that get JetStream, lose it or are purged: their streams are put away, come back, or go.
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/jetstream/directory/start_lines.h"
#include "broker/jetstream/directory/stream_directory.h"
#include "proto/base/check.h"

namespace millrace {

// While a task waits for a stream the accounts may change again: it looks until there is nothing left to do, so one of
// them is enough.
void StreamDirectory::FollowAccounts() {
  if (std::exchange(following_, true)) return;
  while (FollowOne()) {
  }
  following_ = false;
}

bool StreamDirectory::FollowOne() {
  JetStreamAccount* found = nullptr;
  host_.accounts().ForEach([&](JetStreamAccount& account) {
    const bool wrong = account.enabled() ? kept_.size(account.name()) > 0 : streams_.size(account.id()) > 0;
    if (wrong) found = &account;
  });
  if (found == nullptr) return false;
  if (found->enabled()) {
    for (KeptStream& kept : kept_.Take(found->name())) TakeBack(*found, std::move(kept));
    return true;
  }
  streams_.ForEach(found->id(), &host_.tasks(), [this](Stream& stream) { PutAway(&stream); });
  if (kept_.size(found->name()) > 0) {
    host_.port().log().Warn(absl::StrFormat("JetStream: account '%s' has it no more, %d streams are kept, and not "
                                            "served", found->name(), kept_.size(found->name())));
  }
  return true;
}

void StreamDirectory::PutAway(Stream* stream) {
  if (!stream->started()) return DropStream(stream);  // half of a restore
  KeptStream kept;
  kept.uid = stream->uid();
  kept.config = stream->config();
  kept.created_ns = stream->created_ns();
  if (stream->has_unfinished_update()) kept.applied = Applied::kPartly;
  stream->Stop(StopReason::kServerShutdown);
  for (const auto& [name, consumer] : stream->consumers()) {
    const ConsumerIdentity& identity = consumer->identity();
    if (!identity.persistent) continue;
    KeptConsumer& put = kept.consumers.emplace_back();
    put.uid = identity.uid;
    put.config = consumer->config();
    put.created_ns = identity.created_ns;
    consumer->EncodeState(&put.state);
    host_.records().Remove(identity.uid);
  }
  kept.sources_uid = stream->ReleaseSources(&kept.sources);
  kept.ids = stream->ReleaseIds();
  Unlist(stream);
  const std::unique_ptr<Stream> owned = streams_.Remove(stream);
  owned->DropConsumers();
  host_.readers().WakeReadersOf(owned->account(), owned->name());
  kept_.Put(owned->account_name(), std::move(kept));
}

void StreamDirectory::TakeBack(JetStreamAccount& owner, KeptStream kept) {
  LogPort& log = host_.port().log();
  log.Info(RestoreStartsLine(owner.name(), kept.config.name));
  Stream* stream = streams_.Add(std::make_unique<Stream>(host_, owner, std::move(kept.config), kept.created_ns,
                                                         host_.store().FindStream(kept.uid)));
  stream->NoteLost(kept.lost);
  if (kept.applied == Applied::kPartly) stream->NoteUnfinishedUpdate();
  List(stream);
  if (kept.ids != nullptr) stream->RestoreIds(std::move(kept.ids));
  if (kept.sources_uid != 0) stream->RestoreSources(kept.sources_uid, kept.sources);
  for (const KeptConsumer& consumer : kept.consumers) TakeBackConsumer(stream, consumer);
  stream->Start();
  log.Info(RestoredLine(owner.name(), stream->name(), stream->log().state().messages, 0));
  host_.readers().WakeReadersOf(owner.id(), stream->name());
}

void StreamDirectory::TakeBackConsumer(Stream* stream, const KeptConsumer& kept) {
  std::string name = kept.config.name;
  Consumer* consumer = stream->AddConsumer(kept.config, ConsumerIdentity{std::move(name), kept.created_ns, kept.uid});
  const absl::Status restored = consumer->RestoreState(kept.state, {});
  if (!restored.ok()) {
    host_.port().log().Error(absl::StrFormat("JetStream: state of consumer '%s > %s > %s': %s", stream->owner().name(),
                                             stream->name(), consumer->name(), std::string(restored.message())));
  }
  host_.records().Add(kept.uid, consumer);
}

size_t StreamDirectory::PurgeAccount(std::string_view name) {
  size_t purged = 0;
  if (const JetStreamAccount* account = host_.accounts().Find(name)) {
    streams_.ForEach(account->id(), &host_.tasks(), [&](Stream& stream) {
      stream.Dissolve();
      DropStream(&stream);
      ++purged;
    });
  }
  for (KeptStream& kept : kept_.Take(name)) {
    kept.ids.reset();
    host_.store().DeleteStream(kept.uid);
    ++purged;
  }
  return purged;
}

}  // namespace millrace
