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
  for (const RecoveredConsumer& found : recovered.consumers) AdoptRecord(found);
  streams_.ForEachAwake([this](Stream& stream) {
    if (const size_t count = stream.consumers().size(); count > 0)
      host_.port().log().Info(ConsumersRecoverLine(host_.account().name, stream.name(), count));
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
  Applied applied = Applied::kWhole;
  if (!ReadStored(found->config, &created_ns, &config, &applied)) {
    return log.Error(absl::StrFormat("JetStream: the configuration of stream %d cannot be read; it is kept, and not "
                                     "served", found->uid));
  }
  if (!found->damage.empty())
    log.Warn(absl::StrFormat("JetStream: stream '%s > %s': %s", host_.account().name, config.name, found->damage));
  for (const LostRange& lost : found->lost) {
    log.Error(absl::StrFormat("JetStream: stream '%s > %s' has lost messages %d to %d", host_.account().name,
                              config.name, lost.first_seq, lost.last_seq));
  }
  log.Info(RestoreStartsLine(host_.account().name, config.name));
  Stream* stream = streams_.Add(
      std::make_unique<Stream>(host_, std::move(config), created_ns, host_.store().FindStream(found->uid)));
  stream->NoteLost(found->lost);
  if (applied == Applied::kPartly) stream->NoteUnfinishedUpdate();
  // The store has done the work before; what is left takes no time.
  log.Info(RestoredLine(host_.account().name, stream->name(), stream->log().state().messages, 0));
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

void StreamDirectory::AdoptRecord(const RecoveredConsumer& found) {
  Stream* stream = streams_.FindAwake(found.stream_uid);
  if (found.config == kIdsRecord || stream == nullptr) return;
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
    host_.port().log().Error(absl::StrFormat("JetStream: state of consumer '%s > %s > %s': %s", host_.account().name,
                                             stream->name(), consumer->name(), std::string(restored.message())));
  }
  host_.records().Add(found.uid, consumer);
}

}  // namespace millrace
