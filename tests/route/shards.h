// SPDX-License-Identifier: Apache-2.0
// Shards: the routing half of several shards on one thread, with a real mesh between them. A test takes their turns.
// Owner:  caller (the test); everything on its one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/mesh/mesh.h"
#include "broker/route/interest.h"
#include "broker/route/router.h"
#include "broker/route/message_codec.h"

namespace millrace {

class Shards {
 public:
  struct Undelivered {
    ConnectionId origin;
    std::string subject;
    std::string reply;
  };

  struct Shard {
    Shard(MeshPort& port, ShardCounters& shard_counters, const RouterLimits& limits, uint32_t cache_entries,
          uint64_t seed)
        : mesh(port),
          counters(shard_counters),
          interest(cache_entries, counters,
                   [this](const InterestMail& change, std::string_view filter, std::string_view queue) {
                     AnnounceInterest(&mesh, change, filter, queue);
                   }),
          router(mesh, counters, interest, limits, seed) {}

    MeshPort& mesh;
    ShardCounters& counters;
    Interest interest;
    Router router;
    ChunkPool chunks{16384};
    std::vector<Undelivered> undelivered;  // reports that came by mail
    std::vector<ConnectionId> stalls;
  };

  explicit Shards(uint32_t count, const RouterLimits& limits = {}, uint32_t cache_entries = 64,
                  uint32_t ring_bytes = 1 << 16)
      : mesh_(count, ring_bytes) {
    for (uint32_t i = 0; i < count; ++i) {
      shards_.push_back(
          std::make_unique<Shard>(mesh_.port(i), mesh_.counters(i), limits, cache_entries, 1000 + i));
    }
  }

  // Where mail for sessions goes, when there are any.
  std::function<void(const ConnectionId& origin, std::string_view subject, std::string_view reply)> on_undelivered;
  std::function<void(TraceReport&& report)> on_trace_report;

  Shard& operator[](uint32_t i) { return *shards_[i]; }
  uint32_t count() const { return static_cast<uint32_t>(shards_.size()); }
  Mesh& mesh() { return mesh_; }

  // The parts of a turn, so that a test can stop between them.
  uint64_t Drain(uint32_t i) {
    return shards_[i]->mesh.Drain([this, i](uint32_t from, const MailHeader& header, const char* body) {
      OnMail(i, from, header, body);
    });
  }
  void Finish(uint32_t i) {
    Shard& shard = *shards_[i];
    shard.router.FinishTurn();
    shard.mesh.Ship([](uint32_t) {});
    for (Receiver* receiver : shard.router.outlet().dirty()) receiver->dirty = false;
    shard.router.outlet().dirty().clear();
    shard.interest.FreeRemoved();
  }
  // Turns of all until nothing is under way.
  void Settle() {
    bool busy = true;
    while (busy) {
      busy = false;
      for (uint32_t i = 0; i < count(); ++i) {
        busy |= Drain(i) > 0;
        Finish(i);
        busy |= shards_[i]->mesh.AnyOverflowAbove(0);
      }
      for (uint32_t i = 0; i < count(); ++i) {
        busy |= shards_[i]->mesh.HasMail();
      }
    }
  }

 private:
  void OnMail(uint32_t to, uint32_t from, const MailHeader& header, const char* body) {
    Shard& shard = *shards_[to];
    switch (header.kind) {
      case MailKind::kMessage:
        return shard.router.OnMessage(from, body);
      case MailKind::kMessageRun:
        return shard.router.OnMessageRun(body);
      case MailKind::kPayloadHome:
        return shard.router.OnPayloadHome(body);
      case MailKind::kInterest: {
        const InterestRecord record(body);
        return shard.interest.ApplyRemote(from, record.change, record.filter, record.queue);
      }
      case MailKind::kUndelivered: {
        const UndeliveredRecord record(body);
        if (on_undelivered) return on_undelivered(record.origin, record.subject, record.reply);
        shard.undelivered.push_back({record.origin, std::string(record.subject), std::string(record.reply)});
        return;
      }
      case MailKind::kTraceReport: {
        const std::unique_ptr<TraceReport> report = ReadTraceReport(body);
        if (on_trace_report) on_trace_report(std::move(*report));
        return;
      }
      case MailKind::kStall:
        shard.stalls.push_back(ReadStall(body));
        return;
      default:
        MR_CHECK(false);
    }
  }

  Mesh mesh_;
  std::vector<std::unique_ptr<Shard>> shards_;
};

// Takes everything that waits in an outbox.
inline std::string TakeBytes(Outbox* outbox) {
  std::string text;
  while (!outbox->empty()) {
    iovec parts[8];
    const uint32_t count = outbox->Gather(parts, 8, UINT64_MAX);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; ++i) {
      text.append(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
      bytes += parts[i].iov_len;
    }
    outbox->Sent(bytes);
  }
  return text;
}

}  // namespace millrace
