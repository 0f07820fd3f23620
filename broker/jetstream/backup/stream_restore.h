// SPDX-License-Identifier: Apache-2.0
// StreamRestore: one stream on its way back from a client: chunks of an archive, new form or old, become a stream.
// Owner:  shard; part of Backups.  Source: spec J-38, J-77.
// Flow:   each chunk is answered when it is stored, and the client keeps so many on their way as it likes; while the
//         disk cannot keep up nothing is answered. Chunks that wait are bounded.
// Ends:   with the empty chunk, an error, or five seconds of silence. The stream takes messages when all of it is
//         there; of one that did not come whole nothing stays (README, Decisions).
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/io/timer_wheel.h"
#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/api/api_error.h"
#include "broker/jetstream/api/stream_config.h"
#include "broker/jetstream/archive/archive.h"
#include "broker/jetstream/archive/consumer_snapshot.h"
#include "broker/jetstream/archive/s2.h"
#include "broker/jetstream/archive/tar.h"
#include "broker/jetstream/backup/stream_snapshot.h"

namespace millrace {

class StreamRestore final : public Sink {
 public:
  // The config is checked.
  StreamRestore(StreamHost& host, StreamDirectory& directory, JetStreamAccount& owner, StreamConfig config,
                std::optional<AdvisoryClient> client);
  ~StreamRestore() override;
  StreamRestore(const StreamRestore&) = delete;
  StreamRestore& operator=(const StreamRestore&) = delete;

  const std::string& subject() const { return subject_; }
  AccountId account() const { return owner_.id(); }
  const std::string& stream_name() const { return config_.name; }
  BackupStep Run();
  bool Deliver(const Subscription& subscription, const Message& message) override;

 private:
  struct Chunk {
    std::string reply;
    std::string bytes;
  };
  // Errors are texts for clients; empty: none.
  std::string Take(const Chunk& chunk);
  std::string MakeStream();
  // Of messages that are to come: counts against the server's limits as if it were stored.
  void Hold(uint64_t bytes);
  void Release(uint64_t bytes);
  std::string Refuse(ApiError error);
  std::string RefuseForRoom();
  std::string TakeEntries();
  std::string TakeEntry(const ArchiveEntry& entry);
  std::string TakeState(const ArchiveEntry& entry);
  std::string TakeConsumer(const ArchiveEntry& entry);
  std::string TakeMessage(const ArchiveEntry& entry);
  // Archives of the older form (stream_restore_legacy.cc).
  std::string TakeFiles();
  std::string TakeFile(const TarFile& file);
  std::string TakeBlock(std::string_view block);
  BackupStep StartCompletion(std::string reply);
  std::string Complete();
  BackupStep Fail(const std::string& reply, const std::string& error);
  BackupStep Succeed(const std::string& reply);
  void AdviseComplete();
  Stream* stream() const;
  void OnTimer() {}

  StreamHost& host_;
  StreamDirectory& directory_;
  JetStreamAccount& owner_;
  const StreamConfig config_;
  const std::optional<AdvisoryClient> client_;
  const int64_t start_ns_;
  std::string subject_;
  Subscription* subscription_ = nullptr;
  std::deque<Chunk> chunks_;
  size_t waiting_bytes_ = 0;
  bool overrun_ = false;
  uint64_t received_bytes_ = 0;
  S2Reader s2_;
  enum class Form : uint8_t { kUnknown, kArchive, kTar } form_ = Form::kUnknown;
  std::string preamble_;  // while the form is unknown
  ArchiveReader archive_;
  TarReader tar_;
  std::map<std::string, ConsumerSnapshot> old_consumers_;
  std::optional<StreamState> state_;
  int64_t consumers_left_ = 0;
  std::vector<ConsumerSnapshot> consumers_;
  uint64_t stream_uid_ = 0;  // 0: not made yet
  uint64_t held_bytes_ = 0;
  uint64_t file_bytes_ = 0;  // of an archive of the older form
  std::optional<ApiError> refusal_;  // the error, where it has a code of its own
  bool ended_ = false;       // the archive is complete
  std::optional<BackupStep> completion_;  // kMore: a task is at it, which counts what consumers have pending
  bool done_ = false;
  Nanos active_at_{};
  TimerNode timer_;
};

}  // namespace millrace
