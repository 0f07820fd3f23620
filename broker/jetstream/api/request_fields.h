// SPDX-License-Identifier: Apache-2.0
// Request fields: the tables of fields.h for the bodies of requests.
// Owner:  caller (pure).  Internal to this folder.
#pragma once

#include "broker/jetstream/api/fields.h"

namespace millrace {

// The peer embeds the offset of paged requests, which shows in the path of its errors.
template <typename Request>
struct PagedPart {
  Request& request;
};
template <typename Request>
struct GoStruct<PagedPart<Request>> {
  static constexpr std::string_view kName = "ApiPagedRequest";
  template <typename V, typename C>
  static void Fields(V& v, C& c) {
    v.Int("offset", c.request.offset);
  }
};

MR_GO_STRUCT(StreamConfigRequest, "StreamConfigRequest") {
  v.Embed("StreamConfig", c.config);
  v.Bool("pedantic", c.pedantic, Omit::kEmpty);
}

MR_GO_STRUCT(StreamNamesRequest, "JSApiStreamNamesRequest") {
  PagedPart<C> paged{c};
  v.Embed("ApiPagedRequest", paged);
  v.String("subject", c.subject, Omit::kEmpty);
}

MR_GO_STRUCT(StreamListRequest, "JSApiStreamListRequest") {
  PagedPart<C> paged{c};
  v.Embed("ApiPagedRequest", paged);
  v.String("subject", c.subject, Omit::kEmpty);
}

MR_GO_STRUCT(StreamInfoRequest, "JSApiStreamInfoRequest") {
  PagedPart<C> paged{c};
  v.Embed("ApiPagedRequest", paged);
  v.Bool("deleted_details", c.deleted_details, Omit::kEmpty);
  v.String("subjects_filter", c.subjects_filter, Omit::kEmpty);
}

MR_GO_STRUCT(StreamPurgeRequest, "JSApiStreamPurgeRequest") {
  v.Uint64("seq", c.seq, Omit::kEmpty);
  v.String("filter", c.filter, Omit::kEmpty);
  v.Uint64("keep", c.keep, Omit::kEmpty);
}

MR_GO_STRUCT(MessageGetRequest, "JSApiMsgGetRequest") {
  v.Uint64("seq", c.seq, Omit::kEmpty);
  v.String("last_by_subj", c.last_by_subj, Omit::kEmpty);
  v.String("next_by_subj", c.next_by_subj, Omit::kEmpty);
  v.Int("batch", c.batch, Omit::kEmpty);
  v.Int("max_bytes", c.max_bytes, Omit::kEmpty);
  v.OptTime("start_time", c.start_time_ns);
  v.Strings("multi_last", c.multi_last, Omit::kEmpty);
  v.Uint64("up_to_seq", c.up_to_seq, Omit::kEmpty);
  v.OptTime("up_to_time", c.up_to_time_ns);
  v.Bool("no_hdr", c.no_hdr, Omit::kEmpty);
}

MR_GO_STRUCT(MessageDeleteRequest, "JSApiMsgDeleteRequest") {
  v.Uint64("seq", c.seq);
  v.Bool("no_erase", c.no_erase, Omit::kEmpty);
}

MR_GO_STRUCT(StreamSnapshotRequest, "JSApiStreamSnapshotRequest") {
  v.String("deliver_subject", c.deliver_subject);
  v.Bool("no_consumers", c.no_consumers, Omit::kEmpty);
  v.Int("chunk_size", c.chunk_size, Omit::kEmpty);
  v.Int("window_size", c.window_size, Omit::kEmpty);
  v.Bool("jsck", c.check_messages, Omit::kEmpty);
}

MR_GO_STRUCT(StreamRestoreRequest, "JSApiStreamRestoreRequest") {
  v.Struct("config", c.config);
  v.Struct("state", c.state);
}

MR_GO_STRUCT(ConsumerCreateRequest, "CreateConsumerRequest") {
  v.String("stream_name", c.stream_name);
  v.Struct("config", c.config);
  v.Enum("action", c.action);
  v.Bool("pedantic", c.pedantic, Omit::kEmpty);
}

MR_GO_STRUCT(ConsumerListRequest, "JSApiConsumersRequest") {
  PagedPart<C> paged{c};
  v.Embed("ApiPagedRequest", paged);
}

MR_GO_STRUCT(PriorityGroupRequest, "PriorityGroup") {
  v.String("group", c.group, Omit::kEmpty);
  v.Int64("min_pending", c.min_pending, Omit::kEmpty);
  v.Int64("min_ack_pending", c.min_ack_pending, Omit::kEmpty);
  v.String("id", c.id, Omit::kEmpty);
  v.Int("priority", c.priority, Omit::kEmpty);
}

MR_GO_STRUCT(ConsumerNextRequest, "JSApiConsumerGetNextRequest") {
  v.Duration("expires", c.expires_ns, Omit::kEmpty);
  v.Int("batch", c.batch, Omit::kEmpty);
  v.Int("max_bytes", c.max_bytes, Omit::kEmpty);
  v.Bool("no_wait", c.no_wait, Omit::kEmpty);
  v.Duration("idle_heartbeat", c.idle_heartbeat_ns, Omit::kEmpty);
  v.Embed("PriorityGroup", c.priority_group);
}

MR_GO_STRUCT(ConsumerPauseRequest, "JSApiConsumerPauseRequest") { v.Time("pause_until", c.pause_until_ns); }

MR_GO_STRUCT(ConsumerUnpinRequest, "JSApiConsumerUnpinRequest") { v.String("group", c.group); }

MR_GO_STRUCT(ConsumerResetRequest, "JSApiConsumerResetRequest") { v.Uint64("seq", c.seq, Omit::kEmpty); }

MR_GO_STRUCT(LeaderStepdownRequest, "JSApiLeaderStepdownRequest") { v.OptStruct("placement", c.placement); }

MR_GO_STRUCT(PeerRequest, "JSApiStreamRemovePeerRequest") { v.String("peer", c.peer); }

MR_GO_STRUCT(MetaServerRequest, "JSApiMetaServerRemoveRequest") {
  v.String("peer", c.server);
  v.String("peer_id", c.peer_id, Omit::kEmpty);
}

MR_GO_STRUCT(MetaRescueRequest, "JSApiMetaRescueRequest") { v.Int("quorum_needed", c.quorum_needed); }

MR_GO_STRUCT(StreamMoveRequest, "JSApiMetaServerStreamMoveRequest") {
  v.String("server", c.server, Omit::kEmpty);
  v.String("cluster", c.cluster, Omit::kEmpty);
  v.String("domain", c.domain, Omit::kEmpty);
  v.Strings("tags", c.tags, Omit::kEmpty);
}

MR_GO_STRUCT(NakOptions, "ConsumerNakOptions") { v.Duration("delay", c.delay_ns); }

}  // namespace millrace
