// SPDX-License-Identifier: Apache-2.0
// The answers of the JetStream API: {"type":"io.nats.jetstream.api.v1.<kind>_response", ...} (spec 5d).
// Owner:  caller (pure).  An answer is its values, or an error; the peer prints some values beside an error, so do we.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/jetstream/api/api_error.h"
#include "broker/jetstream/api/stream_info.h"

namespace millrace {

// X(name, text): every kind of answer. The type is "io.nats.jetstream.api.v1." + text + "_response".
#define MR_RESPONSE_KINDS(X)                                \
  X(kSystem, "system")                                      \
  X(kAccountInfo, "account_info")                           \
  X(kStreamCreate, "stream_create")                         \
  X(kStreamUpdate, "stream_update")                         \
  X(kStreamNames, "stream_names")                           \
  X(kStreamList, "stream_list")                             \
  X(kStreamInfo, "stream_info")                             \
  X(kStreamDelete, "stream_delete")                         \
  X(kStreamPurge, "stream_purge")                           \
  X(kStreamSnapshot, "stream_snapshot")                     \
  X(kStreamRestore, "stream_restore")                       \
  X(kStreamMsgDelete, "stream_msg_delete")                  \
  X(kStreamMsgGet, "stream_msg_get")                        \
  X(kStreamRemovePeer, "stream_remove_peer")                \
  X(kStreamEvacuatePeer, "stream_evacuate_peer")            \
  X(kStreamCancelMove, "stream_cancel_move")                \
  X(kStreamLeaderStepdown, "stream_leader_stepdown")        \
  X(kConsumerCreate, "consumer_create")                     \
  X(kConsumerNames, "consumer_names")                       \
  X(kConsumerList, "consumer_list")                         \
  X(kConsumerInfo, "consumer_info")                         \
  X(kConsumerDelete, "consumer_delete")                     \
  X(kConsumerPause, "consumer_pause")                       \
  X(kConsumerUnpin, "consumer_unpin")                       \
  X(kConsumerReset, "consumer_reset")                       \
  X(kConsumerLeaderStepdown, "consumer_leader_stepdown")    \
  X(kConsumerRemovePeer, "consumer_remove_peer")            \
  X(kConsumerEvacuatePeer, "consumer_evacuate_peer")        \
  X(kMetaLeaderStepdown, "meta_leader_stepdown")            \
  X(kMetaRescue, "meta_rescue")                             \
  X(kMetaServerRemove, "meta_server_remove")                \
  X(kMetaServerEvacuate, "meta_server_evacuate")            \
  X(kAccountPurge, "account_purge")

enum class ResponseKind : uint8_t {
#define X(name, text) name,
  MR_RESPONSE_KINDS(X)
#undef X
};

std::string_view ResponseType(ResponseKind kind);  // the whole "io.nats…_response"

// The answer of this kind that holds an error, with the empty values the peer prints beside it.
std::string ErrorAnswer(ResponseKind kind, const ApiError& error);

// {"type":…,"success":true}: delete, msg delete, stepdowns, peer removals. kConsumerUnpin and kSystem: the type alone.
std::string SuccessAnswer(ResponseKind kind);

struct Paging {
  int64_t total = 0;
  int64_t offset = 0;
  int64_t limit = 0;
};

std::string AccountInfoAnswer(const AccountInfo& info);
std::string AccountPurgeAnswer();
std::string StreamCreateAnswer(const StreamInfo& info, bool did_create);
std::string StreamUpdateAnswer(const StreamInfo& info);
std::string StreamInfoAnswer(const StreamInfo& info, const Paging& paging);
std::string StreamNamesAnswer(const Paging& paging, const std::vector<std::string>& names);
std::string StreamListAnswer(const Paging& paging, const std::vector<StreamInfo>& streams,
                             const std::vector<std::string>& missing = {},
                             const std::map<std::string, std::string>& offline = {});
std::string StreamPurgeAnswer(uint64_t purged);
std::string StreamSnapshotAnswer(const StreamConfig& config, const StreamState& state);
std::string StreamRestoreAnswer(std::string_view deliver_subject);
std::string MessageGetAnswer(const ApiMessage& message);
std::string ConsumerCreateAnswer(const ConsumerInfo& info);
std::string ConsumerInfoAnswer(const ConsumerInfo& info);
std::string ConsumerNamesAnswer(const Paging& paging, const std::vector<std::string>& names);
std::string ConsumerListAnswer(const Paging& paging, const std::vector<ConsumerInfo>& consumers,
                               const std::vector<std::string>& missing = {},
                               const std::map<std::string, std::string>& offline = {});
std::string ConsumerPauseAnswer(bool paused, int64_t pause_until_ns, int64_t pause_remaining_ns);
std::string ConsumerResetAnswer(const ConsumerInfo& info, uint64_t reset_seq);

// Not of the API: the answer to a publish, and the messages of fast batches (spec 5h).
// A publish is answered for each message, so this one takes views.
struct PubAckView {
  std::string_view stream;
  std::string_view domain = {};
  uint64_t seq = 0;
  bool duplicate = false;
  std::string_view batch = {};
  uint64_t count = 0;             // of the batch
  std::string_view counter = {};  // its value; not with a batch
};
std::string PubAckAnswer(const PubAckView& ack);  // with the peer's order of keys and its blank: "duplicate": true
std::string PubAckErrorAnswer(const ApiError& error, std::string_view stream, uint64_t seq);
std::string BatchFlowAck(uint64_t seq, uint16_t msgs);
std::string BatchFlowGap(uint64_t last_seq, uint64_t seq);
std::string BatchFlowError(uint64_t seq, const ApiError& error);

}  // namespace millrace
