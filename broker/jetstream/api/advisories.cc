// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/advisories.h"

#include "absl/strings/str_format.h"
#include "broker/jetstream/api/client_fields.h"
#include "broker/jetstream/api/printer.h"

namespace millrace {

namespace {

std::string_view ActionName(AdvisoryAction action) {
  constexpr std::string_view kNames[] = {"create", "delete", "modify"};
  return kNames[static_cast<size_t>(action)];
}

// A client that is not known is null.
void PutClient(const std::optional<AdvisoryClient>& client, JsonWriter* json) {
  json->Key("client");
  if (!client) return json->Null();
  Printer(json).Object(*client);
}

void PutConsumer(std::string_view stream, std::string_view consumer, JsonWriter* json) {
  json->Put("stream", stream);
  json->Put("consumer", consumer);
}

void PutGoTime(std::string_view key, int64_t time_ns, JsonWriter* json) { json->Put(key, FormatGoTime(time_ns)); }

std::string_view TypeOf(const ApiAuditAdvisory&) { return "advisory.v1.api_audit"; }
std::string_view TypeOf(const StreamActionAdvisory&) { return "advisory.v1.stream_action"; }
std::string_view TypeOf(const ConsumerActionAdvisory&) { return "advisory.v1.consumer_action"; }
std::string_view TypeOf(const ConsumerPauseAdvisory&) { return "advisory.v1.consumer_pause"; }
std::string_view TypeOf(const ConsumerAckMetric&) { return "metric.v1.consumer_ack"; }
std::string_view TypeOf(const MaxDeliverAdvisory&) { return "advisory.v1.max_deliver"; }
std::string_view TypeOf(const NakAdvisory&) { return "advisory.v1.nak"; }
std::string_view TypeOf(const TerminatedAdvisory&) { return "advisory.v1.terminated"; }
std::string_view TypeOf(const SnapshotCreateAdvisory&) { return "advisory.v1.snapshot_create"; }
std::string_view TypeOf(const SnapshotCompleteAdvisory&) { return "advisory.v1.snapshot_complete"; }
std::string_view TypeOf(const RestoreCreateAdvisory&) { return "advisory.v1.restore_create"; }
std::string_view TypeOf(const RestoreCompleteAdvisory&) { return "advisory.v1.restore_complete"; }
std::string_view TypeOf(const BatchAbandonedAdvisory&) { return "advisory.v1.stream_batch_abandoned"; }
std::string_view TypeOf(const GroupPinnedAdvisory&) { return "advisory.v1.consumer_group_pinned"; }
std::string_view TypeOf(const GroupUnpinnedAdvisory&) { return "advisory.v1.consumer_group_unpinned"; }
std::string_view TypeOf(const OutOfStorageAdvisory&) { return "advisory.v1.server_out_of_space"; }
std::string_view TypeOf(const ApiLimitReachedAdvisory&) { return "advisory.v1.api_limit_reached"; }

void Write(const ApiAuditAdvisory& a, JsonWriter* json) {
  json->Put("server", a.server);
  PutClient(a.client, json);
  json->Put("subject", a.subject);
  json->Opt("request", a.request);
  json->Put("response", a.response);
  json->Opt("domain", a.domain);
}
void Write(const StreamActionAdvisory& a, JsonWriter* json) {
  json->Put("stream", a.stream);
  json->Put("action", ActionName(a.action));
  json->Opt("domain", a.domain);
}
void Write(const ConsumerActionAdvisory& a, JsonWriter* json) {
  PutConsumer(a.stream, a.consumer, json);
  json->Put("action", ActionName(a.action));
  json->Opt("domain", a.domain);
}
void Write(const ConsumerPauseAdvisory& a, JsonWriter* json) {
  PutConsumer(a.stream, a.consumer, json);
  json->PutBool("paused", a.paused);
  PutGoTime("pause_until", a.pause_until_ns, json);
  json->Opt("domain", a.domain);
}
void Write(const ConsumerAckMetric& a, JsonWriter* json) {
  PutConsumer(a.stream, a.consumer, json);
  json->PutUint("consumer_seq", a.consumer_seq);
  json->PutUint("stream_seq", a.stream_seq);
  json->PutInt("ack_time", a.ack_time_ns);
  json->PutUint("deliveries", a.deliveries);
  json->Opt("domain", a.domain);
}
void Write(const MaxDeliverAdvisory& a, JsonWriter* json) {
  PutConsumer(a.stream, a.consumer, json);
  json->PutUint("stream_seq", a.stream_seq);
  json->PutUint("deliveries", a.deliveries);
  json->Opt("domain", a.domain);
}
void Write(const NakAdvisory& a, JsonWriter* json) {
  PutConsumer(a.stream, a.consumer, json);
  json->PutUint("consumer_seq", a.consumer_seq);
  json->PutUint("stream_seq", a.stream_seq);
  json->PutUint("deliveries", a.deliveries);
  json->Opt("domain", a.domain);
}
void Write(const TerminatedAdvisory& a, JsonWriter* json) {
  PutConsumer(a.stream, a.consumer, json);
  json->PutUint("consumer_seq", a.consumer_seq);
  json->PutUint("stream_seq", a.stream_seq);
  json->PutUint("deliveries", a.deliveries);
  json->Opt("reason", a.reason);
  json->Opt("domain", a.domain);
}
void Write(const SnapshotCreateAdvisory& a, JsonWriter* json) {
  json->Put("stream", a.stream);
  Printer(json).Struct("state", a.state);
  PutClient(a.client, json);
  json->Opt("domain", a.domain);
}
void Write(const SnapshotCompleteAdvisory& a, JsonWriter* json) {
  json->Put("stream", a.stream);
  PutGoTime("start", a.start_ns, json);
  PutGoTime("end", a.end_ns, json);
  PutClient(a.client, json);
  json->Opt("domain", a.domain);
  json->Opt("error", a.error);
}
void Write(const RestoreCreateAdvisory& a, JsonWriter* json) {
  json->Put("stream", a.stream);
  PutClient(a.client, json);
  json->Opt("domain", a.domain);
}
void Write(const RestoreCompleteAdvisory& a, JsonWriter* json) {
  json->Put("stream", a.stream);
  PutGoTime("start", a.start_ns, json);
  PutGoTime("end", a.end_ns, json);
  json->PutInt("bytes", a.bytes);
  PutClient(a.client, json);
  json->Opt("domain", a.domain);
}
void Write(const BatchAbandonedAdvisory& a, JsonWriter* json) {
  json->Opt("account", a.account);
  json->Put("stream", a.stream);
  json->Opt("domain", a.domain);
  json->Put("batch", a.batch);
  json->Put("reason", a.reason);
}
void Write(const GroupPinnedAdvisory& a, JsonWriter* json) {
  json->Opt("account", a.account);
  PutConsumer(a.stream, a.consumer, json);
  json->Opt("domain", a.domain);
  json->Put("group", a.group);
  json->Put("pinned_id", a.pinned_id);
}
void Write(const GroupUnpinnedAdvisory& a, JsonWriter* json) {
  json->Opt("account", a.account);
  PutConsumer(a.stream, a.consumer, json);
  json->Opt("domain", a.domain);
  json->Put("group", a.group);
  json->Put("reason", a.reason);
}
void Write(const OutOfStorageAdvisory& a, JsonWriter* json) {
  json->Put("server", a.server);
  json->Put("server_id", a.server_id);
  json->Opt("stream", a.stream);
  json->Put("cluster", a.cluster);
  json->Opt("domain", a.domain);
}
void Write(const ApiLimitReachedAdvisory& a, JsonWriter* json) {
  json->Put("server", a.server);
  json->Opt("domain", a.domain);
  json->PutInt("dropped", a.dropped);
}

// What stands behind "$JS.EVENT.".
std::string Tail(const ApiAuditAdvisory&) { return "ADVISORY.API"; }
std::string Tail(const StreamActionAdvisory& a) {
  constexpr std::string_view kVerbs[] = {"CREATED", "DELETED", "UPDATED"};
  return absl::StrFormat("ADVISORY.STREAM.%s.%s", kVerbs[static_cast<size_t>(a.action)], a.stream);
}
std::string OfConsumer(std::string_view what, std::string_view stream, std::string_view consumer) {
  return absl::StrFormat("ADVISORY.CONSUMER.%s.%s.%s", what, stream, consumer);
}
std::string OfStream(std::string_view what, std::string_view stream) {
  return absl::StrFormat("ADVISORY.STREAM.%s.%s", what, stream);
}
std::string Tail(const ConsumerActionAdvisory& a) {
  return OfConsumer(a.action == AdvisoryAction::kDelete ? "DELETED" : "CREATED", a.stream, a.consumer);
}
std::string Tail(const ConsumerPauseAdvisory& a) { return OfConsumer("PAUSE", a.stream, a.consumer); }
std::string Tail(const ConsumerAckMetric& a) {
  return absl::StrFormat("METRIC.CONSUMER.ACK.%s.%s", a.stream, a.consumer);
}
std::string Tail(const MaxDeliverAdvisory& a) { return OfConsumer("MAX_DELIVERIES", a.stream, a.consumer); }
std::string Tail(const NakAdvisory& a) { return OfConsumer("MSG_NAKED", a.stream, a.consumer); }
std::string Tail(const TerminatedAdvisory& a) { return OfConsumer("MSG_TERMINATED", a.stream, a.consumer); }
std::string Tail(const SnapshotCreateAdvisory& a) { return OfStream("SNAPSHOT_CREATE", a.stream); }
std::string Tail(const SnapshotCompleteAdvisory& a) { return OfStream("SNAPSHOT_COMPLETE", a.stream); }
std::string Tail(const RestoreCreateAdvisory& a) { return OfStream("RESTORE_CREATE", a.stream); }
std::string Tail(const RestoreCompleteAdvisory& a) { return OfStream("RESTORE_COMPLETE", a.stream); }
std::string Tail(const BatchAbandonedAdvisory& a) { return OfStream("BATCH_ABANDONED", a.stream); }
std::string Tail(const GroupPinnedAdvisory& a) { return OfConsumer("PINNED", a.stream, a.consumer); }
std::string Tail(const GroupUnpinnedAdvisory& a) { return OfConsumer("UNPINNED", a.stream, a.consumer); }
std::string Tail(const OutOfStorageAdvisory&) { return "ADVISORY.SERVER.OUT_OF_STORAGE"; }
std::string Tail(const ApiLimitReachedAdvisory&) { return "ADVISORY.API.LIMIT_REACHED"; }

}  // namespace

template <typename Advisory>
std::string AdvisoryJson(const AdvisoryHead& head, const Advisory& advisory) {
  JsonWriter json(JsonLayout::kCompact);
  json.BeginObject();
  json.Put("type", absl::StrFormat("io.nats.jetstream.%s", TypeOf(advisory)));
  json.Put("id", head.id);
  PutGoTime("timestamp", head.time_ns, &json);
  Write(advisory, &json);
  json.EndObject();
  return std::move(json).Take();
}

template <typename Advisory>
std::string AdvisorySubject(const Advisory& advisory) {
  return "$JS.EVENT." + Tail(advisory);
}

#define MR_ADVISORY(type)                                                 \
  template std::string AdvisoryJson(const AdvisoryHead&, const type&); \
  template std::string AdvisorySubject(const type&);
MR_ADVISORY(ApiAuditAdvisory)
MR_ADVISORY(StreamActionAdvisory)
MR_ADVISORY(ConsumerActionAdvisory)
MR_ADVISORY(ConsumerPauseAdvisory)
MR_ADVISORY(ConsumerAckMetric)
MR_ADVISORY(MaxDeliverAdvisory)
MR_ADVISORY(NakAdvisory)
MR_ADVISORY(TerminatedAdvisory)
MR_ADVISORY(SnapshotCreateAdvisory)
MR_ADVISORY(SnapshotCompleteAdvisory)
MR_ADVISORY(RestoreCreateAdvisory)
MR_ADVISORY(RestoreCompleteAdvisory)
MR_ADVISORY(BatchAbandonedAdvisory)
MR_ADVISORY(GroupPinnedAdvisory)
MR_ADVISORY(GroupUnpinnedAdvisory)
MR_ADVISORY(OutOfStorageAdvisory)
MR_ADVISORY(ApiLimitReachedAdvisory)
#undef MR_ADVISORY

}  // namespace millrace
