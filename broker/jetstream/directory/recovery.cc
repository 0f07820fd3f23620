// SPDX-License-Identifier: Apache-2.0
// Streams and consumers as the store has found them.
#include <utility>

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/stored_config.h"
#include "broker/jetstream/directory/start_lines.h"
#include "broker/jetstream/directory/stream_directory.h"
#include "proto/base/check.h"

namespace millrace {
void StreamDirectory::Adopt() {
  Recovered& recovered = host_.store().recovered();
  Recovery recovery = SortRecords(&recovered.consumers);
  for (RecoveredStream& found : recovered.streams) AdoptStream(&found, &recovery);
  for (const RecoveredConsumer& found : recovered.consumers) AdoptRecord(found, &recovery);
  for (auto& [uid, unserved] : recovery.unserved) kept_.Put(unserved.account, std::move(unserved.stream));
  kept_.Tell();
  streams_.ForEachAwake([this](Stream& stream) {
    if (const size_t count = stream.consumers().size(); count > 0)
      host_.port().log().Info(ConsumersRecoverLine(stream.owner().name(), stream.name(), count));
  });
  std::vector<RecoveredStream>().swap(recovered.streams);
  std::vector<RecoveredConsumer>().swap(recovered.consumers);
}

// Records of message ids are moved out of theirs.
StreamDirectory::Recovery StreamDirectory::SortRecords(std::vector<RecoveredConsumer>* records) {
  Recovery recovery;
  for (RecoveredConsumer& record : *records) {
    if (record.config == kIdsRecord) {
      recovery.ids[record.stream_uid].push_back({record.uid, std::move(record.state), std::move(record.deltas)});
    } else {
      recovery.with_consumers.insert(record.stream_uid);
    }
  }
  return recovery;
}

void StreamDirectory::AdoptStream(RecoveredStream* found, Recovery* recovery) {
  LogPort& log = host_.port().log();
  int64_t created_ns = 0;
  StreamConfig config;
  std::string account;
  Applied applied = Applied::kWhole;
  if (!ReadStored(found->config, &created_ns, &config, &account, &applied)) {
    return log.Error(absl::StrFormat("JetStream: the configuration of stream %d cannot be read; it is kept, and not "
                                     "served", found->uid));
  }
  if (const JetStreamAccount* unnamed = host_.accounts().Find(host_.options().unnamed_account);
      account.empty() && unnamed != nullptr) {
    account = unnamed->name();
  }
  if (!found->damage.empty())
    log.Warn(absl::StrFormat("JetStream: stream '%s > %s': %s", account, config.name, found->damage));
  for (const LostRange& lost : found->lost) {
    log.Error(absl::StrFormat("JetStream: stream '%s > %s' has lost messages %d to %d", account, config.name,
                              lost.first_seq, lost.last_seq));
  }
  JetStreamAccount* owner = host_.accounts().Find(std::string_view(account));
  if (owner == nullptr || !owner->enabled()) {
    KeptStream kept{found->uid, std::move(config), created_ns, applied, found->lost, {}, 0, {}, nullptr};
    return KeepStream(found, std::move(account), std::move(kept), recovery);
  }
  log.Info(RestoreStartsLine(account, config.name));
  Stream* stream = streams_.Add(
      std::make_unique<Stream>(host_, *owner, std::move(config), created_ns, host_.store().FindStream(found->uid)));
  stream->NoteLost(found->lost);
  if (applied == Applied::kPartly) stream->NoteUnfinishedUpdate();
  // The store has done the work before; what is left takes no time.
  log.Info(RestoredLine(account, stream->name(), stream->log().state().messages, 0));
  List(stream);
  const auto ids = recovery->ids.find(found->uid);
  const bool has_ids = ids != recovery->ids.end();
  if (has_ids || !found->seen.empty())
    stream->RestoreIds(has_ids ? std::move(ids->second) : std::vector<MessageIds::Record>(), std::move(found->seen));
  std::string().swap(found->config);
  // One of very many, that reads no other: it is at rest until somebody uses it.
  const bool reads = stream->config().mirror || !stream->config().sources.empty();
  if (reads || recovery->with_consumers.contains(found->uid) || !streams_.crowded()) return;
  stream->Start();
  streams_.TryRest(stream);
}

void StreamDirectory::KeepStream(RecoveredStream* found, std::string account, KeptStream kept, Recovery* recovery) {
  const auto ids = recovery->ids.find(found->uid);
  const bool has_ids = ids != recovery->ids.end();
  if (has_ids || !found->seen.empty()) {
    kept.ids = std::make_unique<MessageIds>(host_.port(), host_.store(), host_.records(), found->uid,
                                            kept.config.storage == Storage::kFile);
    kept.ids->set_window(kept.config.duplicate_window_ns);
    kept.ids->Restore(has_ids ? std::move(ids->second) : std::vector<MessageIds::Record>(), std::move(found->seen));
  }
  std::string().swap(found->config);
  recovery->unserved[found->uid] = {std::move(account), std::move(kept)};
}

void StreamDirectory::KeepRecord(const RecoveredConsumer& found, KeptStream* stream) {
  if (found.config == kSourceRecord) {
    if (stream->sources_uid != 0) host_.store().DeleteConsumer(stream->sources_uid);  // the later one knows more
    stream->sources_uid = found.uid;
    stream->sources += found.state;
    for (const std::string& delta : found.deltas) stream->sources += delta;
    return;
  }
  KeptConsumer kept;
  kept.uid = found.uid;
  if (!ReadStored(found.config, &kept.created_ns, &kept.config)) return;
  if (!found.state.empty() || !found.deltas.empty()) {
    ConsumerState state(kept.config.ack_policy);
    absl::Status restored = found.state.empty() ? absl::OkStatus() : state.Decode(found.state);
    for (const std::string& delta : found.deltas) {
      if (restored.ok()) restored = state.Replay(delta);
    }
    if (!restored.ok()) {
      host_.port().log().Error(absl::StrFormat("JetStream: state of consumer '%s > %s': %s", stream->config.name,
                                               kept.config.name, std::string(restored.message())));
    }
    state.Encode(&kept.state);
  }
  stream->consumers.push_back(std::move(kept));
}

void StreamDirectory::AdoptRecord(const RecoveredConsumer& found, Recovery* recovery) {
  if (found.config == kIdsRecord) return;
  if (const auto kept = recovery->unserved.find(found.stream_uid); kept != recovery->unserved.end())
    return KeepRecord(found, &kept->second.stream);
  Stream* stream = streams_.FindAwake(found.stream_uid);
  if (stream == nullptr) return;
  if (found.config != kSourceRecord) return AdoptConsumer(found, stream);
  stream->RestoreSources(found.uid, found.state);
  for (const std::string& delta : found.deltas) stream->RestoreSources(found.uid, delta);
}

void StreamDirectory::AdoptConsumer(const RecoveredConsumer& found, Stream* stream) {
  int64_t created_ns = 0;
  ConsumerConfig config;
  if (!ReadStored(found.config, &created_ns, &config)) return;
  if (!IsStored(config)) {  // a store from when it was
    host_.store().DeleteConsumer(found.uid);
    return;
  }
  std::string name = config.name;
  Consumer* consumer = stream->AddConsumer(std::move(config), ConsumerIdentity{std::move(name), created_ns, found.uid});
  const std::vector<std::string_view> deltas(found.deltas.begin(), found.deltas.end());
  const absl::Status restored = consumer->RestoreState(found.state, deltas);
  if (!restored.ok()) {
    host_.port().log().Error(absl::StrFormat("JetStream: state of consumer '%s > %s > %s': %s", stream->owner().name(),
                                             stream->name(), consumer->name(), std::string(restored.message())));
  }
  host_.records().Add(found.uid, consumer);
}

}  // namespace millrace
