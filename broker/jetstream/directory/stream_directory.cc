// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/directory/stream_directory.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/api/consumer_check.h"
#include "broker/jetstream/api/stored_config.h"
#include "proto/base/check.h"

namespace millrace {

void StreamDirectory::Start() {
  streams_.ForEachAwake([](Stream& stream) {
    if (!stream.started()) stream.Start();
  });
}

// ---- subjects and reservations -------------------------------------------------------------------------------------

void StreamDirectory::List(Stream* stream) {
  for (const std::string& subject : stream->config().subjects) stream->owner().subjects().Add(subject, stream->uid());
  Reserve(stream, 1);
}

void StreamDirectory::Unlist(Stream* stream) {
  for (const std::string& subject : stream->config().subjects)
    stream->owner().subjects().Remove(subject, stream->uid());
  Reserve(stream, -1);
}

void StreamDirectory::Reserve(Stream* stream, int64_t sign) {
  MR_CHECK(sign == 1 || sign == -1);
  const StreamConfig& config = stream->config();
  int64_t& reserved = config.storage == Storage::kMemory ? reserved_memory_ : reserved_storage_;
  const int64_t bytes = sign * std::max<int64_t>(config.max_bytes, 0);
  reserved += bytes;
  MR_CHECK_OP(reserved, >=, 0);
  stream->owner().Reserve(config.storage, bytes);
}

bool StreamDirectory::AreTaken(const JetStreamAccount& owner, const std::vector<std::string>& subjects,
                               uint64_t but_uid) {
  return std::any_of(subjects.begin(), subjects.end(),
                     [&](const std::string& subject) { return owner.subjects().Collides(subject, but_uid); });
}

StreamCheckContext StreamDirectory::CheckContext(JetStreamAccount& owner) {
  StreamCheckContext context;
  context.server = host_.options().limits;
  context.account_limits = [&owner](int64_t replicas) { return owner.LimitsFor(replicas); };
  context.account_has_tiers = owner.has_tiers();
  context.find_stream = [this, &owner](std::string_view name) -> const StreamConfig* {
    const Stream* stream = Find(owner.id(), name);
    return stream == nullptr ? nullptr : &stream->config();
  };
  context.are_taken = [&owner](const std::vector<std::string>& subjects) {
    return AreTaken(owner, subjects, StreamWork::kNoStream);
  };
  return context;
}

int64_t StreamDirectory::CountWithout(const JetStreamAccount& owner, const Stream* but,
                                      const StreamConfig& checked) const {
  if (!owner.CountsWithOthers(checked.num_replicas)) return 0;
  return static_cast<int64_t>(streams_.size(owner.id())) - (but != nullptr ? 1 : 0);
}

Reservations StreamDirectory::ReservationsWithout(const JetStreamAccount& owner, const Stream* but,
                                                  const StreamConfig& checked) const {
  const Storage storage = checked.storage;
  Reservations reservations;
  reservations.server_memory_max = host_.options().memory_max;
  reservations.server_storage_max = host_.options().storage_max;
  reservations.server_memory = reserved_memory_;
  reservations.server_storage = reserved_storage_;
  if (!owner.CountsWithOthers(checked.num_replicas)) return reservations;
  reservations.account = owner.reserved(storage);
  if (but != nullptr && but->config().storage == storage)
    reservations.account -= std::max<int64_t>(but->config().max_bytes, 0);
  return reservations;
}

void StreamDirectory::Describe(const JetStreamAccount& owner, AccountInfo* info) const {
  AccountTier& total = info->total;
  total.memory = owner.use().used(Storage::kMemory);
  total.storage = owner.use().used(Storage::kFile);
  total.consumers = static_cast<int64_t>(streams_.Consumers(owner.id()));
  total.reserved_memory = static_cast<uint64_t>(owner.reserved(Storage::kMemory));
  total.reserved_storage = static_cast<uint64_t>(owner.reserved(Storage::kFile));
  total.streams = static_cast<int64_t>(streams_.size(owner.id()));
  if (!owner.has_tiers()) {
    total.limits = *owner.LimitsFor(1);
    return;
  }
  for (const auto& [name, limits] : owner.jetstream().tiers) info->tiers[name].limits = limits;
  constexpr const char* kOnlyTier = "R1";
  if (total.streams > 0 || info->tiers.contains(kOnlyTier)) {
    AccountTier& tier = info->tiers[kOnlyTier];
    const JetStreamAccountLimits limits = tier.limits;
    tier = total;
    tier.limits = limits;
  }
  total.limits = {0, 0, 0, 0, 0, 0, 0, false};
}

// ---- streams -------------------------------------------------------------------------------------------------------

StreamLogOptions StreamDirectory::LogOptionsOf(const StreamConfig& config) const {
  StreamLogOptions log;
  log.memory = config.storage == Storage::kMemory;
  log.compress = config.compression == Compression::kS2;
  log.async = config.persist_mode == PersistMode::kAsync || host_.options().async;
  log.block_bytes = host_.options().block_bytes;
  return log;
}

std::string_view StreamDirectory::StoredName(const JetStreamAccount& owner) const {
  return owner.id() == host_.options().unnamed_account ? std::string_view() : std::string_view(owner.name());
}

StreamDirectory::Made StreamDirectory::MakeStream(JetStreamAccount& owner, StreamConfig config, bool pedantic,
                                                  Begin begin) {
  Made made;
  const StreamCheckContext context = CheckContext(owner);
  Stream* existing = Find(owner.id(), config.name);
  made.error = CheckStreamLimits(config, context, CountWithout(owner, existing, config),
                                 ReservationsWithout(owner, existing, config));
  if (!made.error) made.error = CheckStreamConfig(&config, context, pedantic);
  if (!made.error) made.error = CheckReplicas(config, context);
  if (made.error) return made;
  if (existing != nullptr) {
    if (IsSameStream(config, existing->config())) {
      made.stream = existing;
    } else {
      made.error = MakeError(ApiErrorId::kStreamNameExist);
    }
    return made;
  }
  made.error = CheckStreamCreate(config, context, CountWithout(owner, nullptr, config),
                                 ReservationsWithout(owner, nullptr, config));
  if (made.error) return made;
  if (config.storage == Storage::kFile && !host_.store().accepting()) {
    made.error = MakeError(ApiErrorId::kInsufficientResources);
    return made;
  }
  const int64_t created_ns = host_.port().WallNs();
  Lsn lsn = 0;
  StreamLog* log =
      host_.store().CreateStream(WriteStored(created_ns, config, StoredName(owner)), LogOptionsOf(config), &lsn);
  made.stream = streams_.Add(std::make_unique<Stream>(host_, owner, std::move(config), created_ns, log));
  made.created = true;
  List(made.stream);
  if (begin == Begin::kLater) return made;
  made.stream->Start();
  host_.readers().WakeReadersOf(owner.id(), made.stream->name());
  return made;
}

std::optional<ApiError> StreamDirectory::CheckUpdate(Stream* stream, StreamConfig* config, bool pedantic) {
  const JetStreamAccount& owner = stream->owner();
  const StreamCheckContext context = CheckContext(stream->owner());
  std::optional<ApiError> error = CheckStreamUpdate(stream->config(), config, context, pedantic);
  if (!error)
    error = CheckUpdateReservations(stream->config(), *config, context, ReservationsWithout(owner, stream, *config));
  if (!error) {
    std::vector<NamedConsumer> consumers;
    for (const auto& [name, consumer] : stream->consumers())
      consumers.push_back(NamedConsumer{name, &consumer->config()});
    error = CheckConsumersAgainstLimits(stream->config(), *config, consumers);
  }
  if (!error && AreTaken(owner, config->subjects, stream->uid())) error = MakeError(ApiErrorId::kStreamSubjectOverlap);
  return error;
}

Lsn StreamDirectory::UpdateStream(Stream* stream, StreamConfig config) {
  const bool lets_go = stream->LetsGo(config);
  const Lsn lsn = StoreConfig(*stream, config, lets_go ? Applied::kPartly : Applied::kWhole);
  Unlist(stream);
  stream->Update(std::move(config));
  if (lets_go) StoreConfig(*stream, stream->config(), Applied::kWhole);
  List(stream);
  return lsn;
}

Lsn StreamDirectory::StoreConfig(const Stream& stream, const StreamConfig& config, Applied applied) {
  const std::string stored = WriteStored(stream.created_ns(), config, StoredName(stream.owner()), applied);
  return host_.store().UpdateStream(stream.uid(), stored, LogOptionsOf(config));
}

std::optional<ApiError> StreamDirectory::CheckRestore(JetStreamAccount& owner, StreamConfig* config) {
  const StreamCheckContext context = CheckContext(owner);
  if (auto error = CheckStreamConfig(config, context, /*pedantic=*/false)) return error;
  return CheckStreamLimits(*config, context, CountWithout(owner, nullptr, *config),
                           ReservationsWithout(owner, nullptr, *config));
}

std::optional<ApiError> StreamDirectory::CheckRestoredBytes(JetStreamAccount& owner, StreamConfig config,
                                                            uint64_t bytes) {
  const auto wanted = static_cast<int64_t>(std::min<uint64_t>(bytes, std::numeric_limits<int64_t>::max()));
  config.max_bytes = std::max(config.max_bytes, wanted);
  Stream* existing = Find(owner.id(), config.name);  // of the older form it is there once its first file has come
  Reservations reservations = ReservationsWithout(owner, existing, config);
  if (existing != nullptr) {
    (config.storage == Storage::kMemory ? reservations.server_memory : reservations.server_storage) -=
        std::max<int64_t>(existing->config().max_bytes, 0);
  }
  return CheckStreamLimits(config, CheckContext(owner), CountWithout(owner, existing, config), reservations);
}

void StreamDirectory::DropStream(Stream* stream) {
  MR_CHECK(!stream->MustWait() && streams_.FindAwake(stream->uid()) == stream);
  stream->Stop(StopReason::kDeleted);
  for (const auto& [name, consumer] : stream->consumers()) {
    if (const ConsumerIdentity& identity = consumer->identity(); identity.persistent)
      host_.records().Remove(identity.uid);
    if (!consumer->hidden()) {
      host_.replies().Advise(stream->account(), ConsumerActionAdvisory{stream->name(), name, AdvisoryAction::kDelete,
                                                                       host_.options().domain});
    }
  }
  Unlist(stream);
  std::unique_ptr<Stream> owned = streams_.Remove(stream);
  const uint64_t uid = stream->uid();
  owned->DropConsumers();
  host_.readers().WakeReadersOf(owned->account(), owned->name());  // they say what has become of it
  owned.reset();
  host_.store().DeleteStream(uid);
}

// ---- consumers -----------------------------------------------------------------------------------------------------

Consumer* StreamDirectory::FindConsumer(AccountId account, std::string_view stream_name, std::string_view name) const {
  const Stream* stream = streams_.FindAwake(account, stream_name);
  return stream == nullptr ? nullptr : stream->FindConsumer(name);
}

Consumer* StreamDirectory::AddConsumer(Stream* stream, ConsumerConfig config, Lsn* lsn) {
  ConsumerIdentity identity{config.name, host_.port().WallNs()};
  identity.persistent = IsStored(config);
  if (identity.persistent)
    identity.uid = host_.store().CreateConsumer(stream->uid(), WriteStored(identity.created_ns, config), lsn);
  Consumer* consumer = stream->AddConsumer(std::move(config), std::move(identity));
  if (consumer->identity().persistent) host_.records().Add(consumer->identity().uid, consumer);
  return consumer;
}

void StreamDirectory::RestoreConsumer(Stream* stream, const ConsumerSnapshot& snapshot) {
  Lsn lsn = 0;
  AddConsumer(stream, snapshot.config, &lsn)->Import(snapshot);
}

Lsn StreamDirectory::UpdateConsumer(Consumer* consumer, ConsumerConfig config) {
  const ConsumerIdentity& identity = consumer->identity();
  Lsn lsn = 0;
  if (identity.persistent)
    lsn = host_.store().UpdateConsumer(identity.uid, WriteStored(identity.created_ns, config));
  consumer->UpdateConfig(std::move(config));
  return lsn;
}

void StreamDirectory::DeleteConsumer(Consumer* consumer) {
  Stream* stream = streams_.FindAwake(consumer->stream_uid());
  MR_CHECK(stream != nullptr && !stream->MustWait() && stream->FindConsumer(consumer->name()) == consumer);
  const std::string name = consumer->name();
  const bool hidden = consumer->hidden();
  if (const ConsumerIdentity& identity = consumer->identity(); identity.persistent) {
    host_.records().Remove(identity.uid);
    host_.store().DeleteConsumer(identity.uid);
  }
  stream->RemoveConsumer(name, StopReason::kDeleted);
  if (hidden) return;
  host_.replies().Advise(stream->account(), ConsumerActionAdvisory{stream->name(), name, AdvisoryAction::kDelete,
                                                                   host_.options().domain});
}

void StreamDirectory::Invariant() const {
  streams_.Invariant();
  BatchUse use;
  streams_.ForEachAwake([&](const Stream& stream) {
    stream.Invariant();
    MR_CHECK(stream.held() == host_.work().Holds(stream.uid()));
    stream.AddBatchUse(&use);
    for (const auto& [name, consumer] : stream.consumers()) {
      const ConsumerIdentity& identity = consumer->identity();
      MR_CHECK(!identity.persistent || host_.records().Has(identity.uid, consumer.get()));
    }
  });
  const BatchUse& all = host_.batch_use();
  MR_CHECK(use.atomic == all.atomic && use.fast == all.fast && use.bytes == all.bytes);
  // An update that is in the middle of its work has taken back what it had reserved.
  if (host_.work().AnyHeld()) return;
  MR_CHECK_OP(streams_.Reserved(Storage::kMemory), ==, reserved_memory_);
  MR_CHECK_OP(streams_.Reserved(Storage::kFile), ==, reserved_storage_);
  int64_t memory = 0;
  int64_t storage = 0;
  host_.accounts().ForEach([&](const JetStreamAccount& account) {
    memory += account.reserved(Storage::kMemory);
    storage += account.reserved(Storage::kFile);
  });
  MR_CHECK_OP(memory, ==, reserved_memory_);
  MR_CHECK_OP(storage, ==, reserved_storage_);
}

}  // namespace millrace
