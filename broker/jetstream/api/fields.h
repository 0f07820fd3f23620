// SPDX-License-Identifier: Apache-2.0
// Fields: one table for each struct of the API: its Go name, and its members in the peer's order with their JSON keys,
// Go types (for error texts) and whether an empty value is left out. parse.cc and print.cc walk it.
// Owner:  caller (pure).  Internal to this folder.
#pragma once

#include <string_view>

#include "broker/jetstream/api/requests.h"
#include "broker/jetstream/api/stream_info.h"

namespace millrace {

enum class Omit : uint8_t { kNever, kEmpty };

// kName is the struct's name in Go. Fields(v, c) calls one method of v for each member; c may be const.
template <typename T>
struct GoStruct;

#define MR_GO_STRUCT(type, name)                     \
  template <>                                        \
  struct GoStruct<type> {                            \
    static constexpr std::string_view kName = name;  \
    template <typename V, typename C>                \
    static void Fields(V& v, C& c);                  \
  };                                                 \
  template <typename V, typename C>                  \
  void GoStruct<type>::Fields(V& v, C& c)

MR_GO_STRUCT(ApiError, "ApiError") {
  v.Int("code", c.code);
  v.Int("err_code", c.err_code, Omit::kEmpty);
  v.String("description", c.description, Omit::kEmpty);
}

MR_GO_STRUCT(Placement, "Placement") {
  v.String("cluster", c.cluster, Omit::kEmpty);
  v.Strings("tags", c.tags, Omit::kEmpty);
  v.String("preferred", c.preferred, Omit::kEmpty);
}

MR_GO_STRUCT(SubjectTransformConfig, "SubjectTransformConfig") {
  v.String("src", c.src);
  v.String("dest", c.dest);
}

MR_GO_STRUCT(Republish, "RePublish") {
  v.String("src", c.src, Omit::kEmpty);
  v.String("dest", c.dest);
  v.Bool("headers_only", c.headers_only, Omit::kEmpty);
}

MR_GO_STRUCT(ExternalStream, "ExternalStream") {
  v.String("api", c.api);
  v.String("deliver", c.deliver);
}

MR_GO_STRUCT(StreamConsumerSource, "StreamConsumerSource") {
  v.String("name", c.name, Omit::kEmpty);
  v.String("deliver_subject", c.deliver_subject, Omit::kEmpty);
}

MR_GO_STRUCT(StreamSource, "StreamSource") {
  v.String("name", c.name);
  v.Uint64("opt_start_seq", c.opt_start_seq, Omit::kEmpty);
  v.OptTime("opt_start_time", c.opt_start_time_ns);
  v.String("filter_subject", c.filter_subject, Omit::kEmpty);
  v.Structs("subject_transforms", c.subject_transforms, Omit::kEmpty);
  v.OptStruct("external", c.external);
  v.OptStruct("consumer", c.consumer);
}

MR_GO_STRUCT(StreamConsumerLimits, "StreamConsumerLimits") {
  v.Duration("inactive_threshold", c.inactive_threshold_ns, Omit::kEmpty);
  v.Int("max_ack_pending", c.max_ack_pending, Omit::kEmpty);
}

MR_GO_STRUCT(StreamConfig, "StreamConfig") {
  v.String("name", c.name);
  v.String("description", c.description, Omit::kEmpty);
  v.Strings("subjects", c.subjects, Omit::kEmpty);
  v.Enum("retention", c.retention);
  v.Int("max_consumers", c.max_consumers);
  v.Int64("max_msgs", c.max_msgs);
  v.Int64("max_bytes", c.max_bytes);
  v.Duration("max_age", c.max_age_ns);
  v.Int64("max_msgs_per_subject", c.max_msgs_per_subject);
  v.Int32("max_msg_size", c.max_msg_size, Omit::kEmpty);
  v.Enum("discard", c.discard);
  v.Enum("storage", c.storage);
  v.Int("num_replicas", c.num_replicas);
  v.Bool("no_ack", c.no_ack, Omit::kEmpty);
  v.Duration("duplicate_window", c.duplicate_window_ns, Omit::kEmpty);
  v.OptStruct("placement", c.placement);
  v.OptStruct("mirror", c.mirror);
  v.PointerStructs("sources", c.sources, Omit::kEmpty);
  v.Enum("compression", c.compression);
  v.Uint64("first_seq", c.first_seq, Omit::kEmpty);
  v.OptStruct("subject_transform", c.subject_transform);
  v.OptStruct("republish", c.republish);
  v.Bool("allow_direct", c.allow_direct);
  v.Bool("mirror_direct", c.mirror_direct);
  v.Bool("discard_new_per_subject", c.discard_new_per_subject, Omit::kEmpty);
  v.Bool("sealed", c.sealed);
  v.Bool("deny_delete", c.deny_delete);
  v.Bool("deny_purge", c.deny_purge);
  v.Bool("allow_rollup_hdrs", c.allow_rollup_hdrs);
  v.Struct("consumer_limits", c.consumer_limits);
  v.Bool("allow_msg_ttl", c.allow_msg_ttl);
  v.Duration("subject_delete_marker_ttl", c.subject_delete_marker_ttl_ns, Omit::kEmpty);
  v.Bool("allow_msg_counter", c.allow_msg_counter, Omit::kEmpty);
  v.Bool("allow_atomic", c.allow_atomic, Omit::kEmpty);
  v.Bool("allow_msg_schedules", c.allow_msg_schedules, Omit::kEmpty);
  v.Enum("persist_mode", c.persist_mode, Omit::kEmpty);
  v.Bool("allow_batched", c.allow_batched, Omit::kEmpty);
  v.StringMap("metadata", c.metadata, Omit::kEmpty);
}

MR_GO_STRUCT(ConsumerConfig, "ConsumerConfig") {
  v.String("durable_name", c.durable_name, Omit::kEmpty);
  v.String("name", c.name, Omit::kEmpty);
  v.String("description", c.description, Omit::kEmpty);
  v.Enum("deliver_policy", c.deliver_policy);
  v.Uint64("opt_start_seq", c.opt_start_seq, Omit::kEmpty);
  v.OptTime("opt_start_time", c.opt_start_time_ns);
  v.Enum("ack_policy", c.ack_policy);
  v.Duration("ack_wait", c.ack_wait_ns, Omit::kEmpty);
  v.Int("max_deliver", c.max_deliver, Omit::kEmpty);
  v.Durations("backoff", c.backoff_ns, Omit::kEmpty);
  v.String("filter_subject", c.filter_subject, Omit::kEmpty);
  v.Strings("filter_subjects", c.filter_subjects, Omit::kEmpty);
  v.Enum("replay_policy", c.replay_policy);
  v.Uint64("rate_limit_bps", c.rate_limit_bps, Omit::kEmpty);
  v.String("sample_freq", c.sample_freq, Omit::kEmpty);
  v.Int("max_waiting", c.max_waiting, Omit::kEmpty);
  v.Int("max_ack_pending", c.max_ack_pending, Omit::kEmpty);
  v.Bool("flow_control", c.flow_control, Omit::kEmpty);
  v.Bool("headers_only", c.headers_only, Omit::kEmpty);
  v.Int("max_batch", c.max_batch, Omit::kEmpty);
  v.Duration("max_expires", c.max_expires_ns, Omit::kEmpty);
  v.Int("max_bytes", c.max_bytes, Omit::kEmpty);
  v.String("deliver_subject", c.deliver_subject, Omit::kEmpty);
  v.String("deliver_group", c.deliver_group, Omit::kEmpty);
  v.Duration("idle_heartbeat", c.idle_heartbeat_ns, Omit::kEmpty);
  v.Duration("inactive_threshold", c.inactive_threshold_ns, Omit::kEmpty);
  v.Int("num_replicas", c.num_replicas);
  v.Bool("mem_storage", c.mem_storage, Omit::kEmpty);
  v.Bool("direct", c.direct, Omit::kEmpty);
  v.Bool("sourcing", c.sourcing, Omit::kEmpty);
  v.StringMap("metadata", c.metadata, Omit::kEmpty);
  v.OptTime("pause_until", c.pause_until_ns);
  v.Strings("priority_groups", c.priority_groups, Omit::kEmpty);
  v.Enum("priority_policy", c.priority_policy, Omit::kEmpty);
  v.Duration("priority_timeout", c.priority_timeout_ns, Omit::kEmpty);
}

MR_GO_STRUCT(LostStreamData, "LostStreamData") {
  v.Uints("msgs", c.msgs);
  v.Uint64("bytes", c.bytes);
}

MR_GO_STRUCT(StreamState, "StreamState") {
  v.Uint64("messages", c.messages);
  v.Uint64("bytes", c.bytes);
  v.Uint64("first_seq", c.first_seq);
  v.ServerTime("first_ts", c.first_ts_ns);
  v.Uint64("last_seq", c.last_seq);
  v.ServerTime("last_ts", c.last_ts_ns);
  v.Int("num_subjects", c.num_subjects, Omit::kEmpty);
  v.CountMap("subjects", c.subjects, Omit::kEmpty);
  v.Json("subjects", c.subjects_json);
  v.Int("num_deleted", c.num_deleted, Omit::kEmpty);
  v.Uints("deleted", c.deleted, Omit::kEmpty);
  v.OptStruct("lost", c.lost);
  v.Int("consumer_count", c.consumer_count);
}

MR_GO_STRUCT(PeerInfo, "PeerInfo") {
  v.String("name", c.name);
  v.Bool("current", c.current);
  v.Bool("offline", c.offline, Omit::kEmpty);
  v.Duration("active", c.active_ns);
  v.Uint64("lag", c.lag, Omit::kEmpty);
  v.String("peer", c.peer);
  v.Bool("pending", c.pending, Omit::kEmpty);
}

MR_GO_STRUCT(ClusterInfo, "ClusterInfo") {
  v.String("name", c.name, Omit::kEmpty);
  v.String("raft_group", c.raft_group, Omit::kEmpty);
  v.String("leader", c.leader, Omit::kEmpty);
  v.OptTime("leader_since", c.leader_since_ns);
  v.Bool("system_account", c.system_account, Omit::kEmpty);
  v.String("traffic_account", c.traffic_account, Omit::kEmpty);
  v.PointerStructs("replicas", c.replicas, Omit::kEmpty);
}

MR_GO_STRUCT(StreamSourceInfo, "StreamSourceInfo") {
  v.String("name", c.name);
  v.OptStruct("external", c.external);
  v.Uint64("lag", c.lag);
  v.Uint64("seq", c.seq, Omit::kEmpty);
  v.Duration("active", c.active_ns);
  v.OptStruct("error", c.error);
  v.String("filter_subject", c.filter_subject, Omit::kEmpty);
  v.Structs("subject_transforms", c.subject_transforms, Omit::kEmpty);
}

MR_GO_STRUCT(StreamAlternate, "StreamAlternate") {
  v.String("name", c.name);
  v.String("domain", c.domain, Omit::kEmpty);
  v.String("cluster", c.cluster);
}

MR_GO_STRUCT(StreamInfo, "StreamInfo") {
  v.Struct("config", c.config);
  v.ServerTime("created", c.created_ns);
  v.Struct("state", c.state);
  v.String("domain", c.domain, Omit::kEmpty);
  v.OptStruct("cluster", c.cluster);
  v.OptStruct("mirror", c.mirror);
  v.PointerStructs("sources", c.sources, Omit::kEmpty);
  v.Structs("alternates", c.alternates, Omit::kEmpty);
  v.ServerTime("ts", c.ts_ns);
}

MR_GO_STRUCT(SequenceInfo, "SequenceInfo") {
  v.Uint64("consumer_seq", c.consumer_seq);
  v.Uint64("stream_seq", c.stream_seq);
  v.OptTime("last_active", c.last_active_ns);
}

MR_GO_STRUCT(PriorityGroupState, "PriorityGroupState") {
  v.String("group", c.group);
  v.String("pinned_client_id", c.pinned_client_id, Omit::kEmpty);
  v.ServerTime("pinned_ts", c.pinned_ts_ns);
}

MR_GO_STRUCT(ConsumerInfo, "ConsumerInfo") {
  v.String("stream_name", c.stream_name);
  v.String("name", c.name);
  v.ServerTime("created", c.created_ns);
  v.OptStruct("config", c.config);
  v.Struct("delivered", c.delivered);
  v.Struct("ack_floor", c.ack_floor);
  v.Int("num_ack_pending", c.num_ack_pending);
  v.Int("num_redelivered", c.num_redelivered);
  v.Int("num_waiting", c.num_waiting);
  v.Uint64("num_pending", c.num_pending);
  v.OptStruct("cluster", c.cluster);
  v.Bool("push_bound", c.push_bound, Omit::kEmpty);
  v.Bool("paused", c.paused, Omit::kEmpty);
  v.Duration("pause_remaining", c.pause_remaining_ns, Omit::kEmpty);
  v.ServerTime("ts", c.ts_ns);
  v.Structs("priority_groups", c.priority_groups, Omit::kEmpty);
}

MR_GO_STRUCT(JetStreamAccountLimits, "JetStreamAccountLimits") {
  v.Int64("max_memory", c.max_memory);
  v.Int64("max_storage", c.max_storage);
  v.Int("max_streams", c.max_streams);
  v.Int("max_consumers", c.max_consumers);
  v.Int("max_ack_pending", c.max_ack_pending);
  v.Int64("memory_max_stream_bytes", c.memory_max_stream_bytes);
  v.Int64("storage_max_stream_bytes", c.storage_max_stream_bytes);
  v.Bool("max_bytes_required", c.max_bytes_required);
}

MR_GO_STRUCT(AccountTier, "JetStreamTier") {
  v.Uint64("memory", c.memory);
  v.Uint64("storage", c.storage);
  v.Uint64("reserved_memory", c.reserved_memory);
  v.Uint64("reserved_storage", c.reserved_storage);
  v.Int("streams", c.streams);
  v.Int("consumers", c.consumers);
  v.Struct("limits", c.limits);
}

MR_GO_STRUCT(ApiStats, "JetStreamAPIStats") {
  v.Int("level", c.level);
  v.Uint64("total", c.total);
  v.Uint64("errors", c.errors);
  v.Uint64("inflight", c.inflight, Omit::kEmpty);
}

MR_GO_STRUCT(AccountInfo, "JetStreamAccountStats") {
  v.Embed("JetStreamTier", c.total);
  v.String("domain", c.domain, Omit::kEmpty);
  v.Struct("api", c.api);
  v.StructMap("tiers", c.tiers, Omit::kEmpty);
}

MR_GO_STRUCT(PubAck, "PubAck") {
  v.String("stream", c.stream);
  v.Uint64("seq", c.seq);
  v.String("domain", c.domain, Omit::kEmpty);
  v.Bool("duplicate", c.duplicate, Omit::kEmpty);
  v.String("val", c.val, Omit::kEmpty);
  v.String("batch", c.batch, Omit::kEmpty);
  v.Uint64("count", c.count, Omit::kEmpty);
}

MR_GO_STRUCT(ApiMessage, "StoredMsg") {
  v.String("subject", c.subject);
  v.Uint64("seq", c.seq);
  v.Bytes("hdrs", c.hdrs, Omit::kEmpty);
  v.Bytes("data", c.data, Omit::kEmpty);
  v.Time("time", c.time_ns);
}

}  // namespace millrace
