// SPDX-License-Identifier: Apache-2.0
// StreamSnapshot: one backup of a stream on its way to a client: an archive in chunks, of which so many may be under
//                 way as the client's window holds; each acknowledged chunk lets another one go.
// Owner:  shard; part of Backups.  Source: spec J-38, J-77.
// Bounds: what is made ahead is one chunk and one S2 block. Messages that go while it runs are missing, as at the peer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/io/timer_wheel.h"
#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/api/requests.h"
#include "broker/jetstream/archive/s2.h"
#include "broker/jetstream/directory/stream_directory.h"
#include "broker/route/subscription.h"
#include "proto/base/nanos.h"

namespace millrace {

enum class BackupStep : uint8_t {
  kWaits,  // for an ack, a chunk, the disk, a timer: all of them cause a turn
  kMore,
  kDone,
};

class StreamSnapshot final : public Sink {
 public:
  StreamSnapshot(StreamHost& host, StreamDirectory& directory, Stream& stream, StreamSnapshotRequest request,
                 StreamState state, std::optional<AdvisoryClient> client);
  ~StreamSnapshot() override;
  StreamSnapshot(const StreamSnapshot&) = delete;
  StreamSnapshot& operator=(const StreamSnapshot&) = delete;

  BackupStep Run();
  // An ack: the subject says nothing that is needed.
  bool Deliver(const Subscription& subscription, const Message& message) override;

 private:
  enum class Fill : uint8_t { kReady, kLoading, kMore };

  void WriteStart(const Stream& stream);
  Fill FillChunk(Stream* stream);
  bool SendChunk();
  void Send(std::string_view payload, uint32_t header_bytes, std::string_view reply);
  BackupStep Finish(std::string_view error, std::string_view status);
  void OnTimer() {}  // its turn is what was wanted

  StreamHost& host_;
  StreamDirectory& directory_;
  const JetStreamAccount& owner_;
  const std::string stream_name_;
  const uint64_t stream_uid_;
  const StreamSnapshotRequest request_;
  const StreamState state_;
  const std::optional<AdvisoryClient> client_;
  const int64_t start_ns_;
  size_t chunk_bytes_ = 0;
  uint64_t slots_ = 0;
  std::string ack_subject_;
  Subscription* acks_ = nullptr;
  S2Writer writer_;
  std::string out_;      // compressed, and not sent
  bool started_ = false;
  bool finished_ = false;  // everything is in out_
  uint64_t next_seq_ = 0;
  uint64_t chunks_ = 0;
  bool had_interest_ = false;
  Nanos started_at_{};
  Nanos sent_at_{};
  ConnectionId congested_by_;
  bool congested_ = false;
  TimerNode timer_;
};

}  // namespace millrace
