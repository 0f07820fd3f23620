// SPDX-License-Identifier: Apache-2.0
// ByteLayer: one encoding between the bytes on a socket and those that a speaker takes and gives: encryption,
//            frames, compression, what a proxy puts in front. ByteLayers: those of one connection.
// Owner:  shard; a connection has none, or ByteLayers. They know no socket, router or speaker.
// Above:  what the speaker sees and the router counts (max_pending, runs) is plain. Sealing happens once a turn, on
//         what has piled up.
// Bounds: what is sealed and not sent is at most what Seal was asked for, and what layers add to it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/closed_reason.h"
#include "broker/route/outbox.h"
#include "proto/base/nanos.h"

namespace millrace {

class ByteLayer {
 public:
  virtual ~ByteLayer() = default;
  // The connection begins. One that speaks first appends to *wire.
  virtual void Start(Outbox* wire) = 0;
  // Takes all of `in`, which came from below: appends to *out what it means above, and to *wire what has to go back by
  // itself (a handshake, an answer to a heartbeat). Keeps what is the beginning of something. A reason: it is over, and
  // *wire holds the last word.
  virtual std::optional<ClosedReason> Open(std::string_view in, std::string* out, Outbox* wire) = 0;
  // Whoever is above may say something. Stays true.
  virtual bool ready() const = 0;
  // For one that is not ready in time.
  virtual ClosedReason late_reason() const = 0;
  // Takes `bytes_max` at most from the front of *plain, and appends what the peer gets for it to *wire. Once ready.
  virtual void Seal(Outbox* plain, uint64_t bytes_max, Outbox* wire) = 0;
  // The end of all that comes from above; once, when it is ready.
  virtual void End(ClosedReason reason, Outbox* wire) = 0;
};

class ByteLayers {
 public:
  // `layers` begins at the socket. `open_timeout`: for all of them to be ready.
  ByteLayers(ChunkPool& chunks, std::vector<std::unique_ptr<ByteLayer>> layers, Nanos open_timeout);

  void Start();
  // As ByteLayer::Open, through all layers.
  std::optional<ClosedReason> Open(std::string_view in, std::string* out);
  bool ready() const;
  Nanos open_timeout() const { return open_timeout_; }
  ClosedReason late_reason() const;
  // Seals as much of *plain as makes the wire hold about `bytes_max`.
  void Seal(Outbox* plain, uint64_t bytes_max);
  // All of *plain has been sealed: the last words of those layers that can say something.
  void End(ClosedReason reason);

  // What is to be sent.
  Outbox& wire() { return levels_.front()->below; }
  const Outbox& wire() const { return levels_.front()->below; }

 private:
  struct Level {
    Level(std::unique_ptr<ByteLayer> of, ChunkPool& chunks) : layer(std::move(of)), below(chunks) {}
    std::unique_ptr<ByteLayer> layer;
    Outbox below;  // what it gives; above the lowest one empty but within a call
  };

  // What the level has given so far goes down to the wire.
  void SinkFrom(size_t level);

  std::vector<std::unique_ptr<Level>> levels_;
  const Nanos open_timeout_;
  bool ended_ = false;
};

}  // namespace millrace
