// SPDX-License-Identifier: Apache-2.0
#include "broker/jetstream/api/print.h"

#include "broker/jetstream/api/printer.h"
#include "broker/jetstream/api/request_fields.h"

namespace millrace {

template <typename T>
void WriteJson(const T& value, JsonWriter* json) {
  Printer(json).Object(value);
}

template <typename T>
std::string PrintJson(const T& value) {
  JsonWriter json(JsonLayout::kCompact);
  WriteJson(value, &json);
  return std::move(json).Take();
}

#define MR_PRINT(type)                                 \
  template void WriteJson(const type&, JsonWriter*); \
  template std::string PrintJson(const type&);
MR_PRINT(ApiError)
MR_PRINT(Placement)
MR_PRINT(StreamSource)
MR_PRINT(StreamConfig)
MR_PRINT(ConsumerConfig)
MR_PRINT(StreamState)
MR_PRINT(ClusterInfo)
MR_PRINT(StreamSourceInfo)
MR_PRINT(StreamInfo)
MR_PRINT(SequenceInfo)
MR_PRINT(ConsumerInfo)
MR_PRINT(AccountInfo)
MR_PRINT(JetStreamAccountLimits)
MR_PRINT(PubAck)
MR_PRINT(ApiMessage)
MR_PRINT(StreamConfigRequest)
MR_PRINT(StreamNamesRequest)
MR_PRINT(StreamListRequest)
MR_PRINT(StreamInfoRequest)
MR_PRINT(StreamPurgeRequest)
MR_PRINT(MessageGetRequest)
MR_PRINT(MessageDeleteRequest)
MR_PRINT(StreamSnapshotRequest)
MR_PRINT(StreamRestoreRequest)
MR_PRINT(ConsumerCreateRequest)
MR_PRINT(ConsumerListRequest)
MR_PRINT(PriorityGroupRequest)
MR_PRINT(ConsumerNextRequest)
MR_PRINT(ConsumerPauseRequest)
MR_PRINT(ConsumerUnpinRequest)
MR_PRINT(ConsumerResetRequest)
MR_PRINT(LeaderStepdownRequest)
MR_PRINT(PeerRequest)
MR_PRINT(MetaServerRequest)
MR_PRINT(MetaRescueRequest)
MR_PRINT(StreamMoveRequest)
MR_PRINT(NakOptions)
#undef MR_PRINT

}  // namespace millrace
