// SPDX-License-Identifier: Apache-2.0
// Mail: the closed set of records that shards (and the control thread) send each other.
// Owner:  two shards: written by the producer, read by the consumer inside Drain; a view into it ends with the handler.
// Format: MailHeader, then the body that `kind` names, then its variable part; everything is aligned to kMailAlignment.
#pragma once

#include <cstdint>
#include <string_view>

namespace millrace {

inline constexpr uint32_t kMailAlignment = 16;

enum class MailKind : uint8_t {
  kPad,           // fills the end of the ring
  kMessage,       // MessageMail: a publish for this shard's subscribers
  kMessageRun,    // MessageRunMail: publishes in a row, for plain subscriptions
  kPayloadHome,  // SharedPayload*: it goes home, to whom it belongs
  kInterest,      // InterestMail: another shard's interest in a filter changed
  kConnection,    // ConnectionMail: a socket accepted elsewhere is yours now
  kUndelivered,   // UndeliveredMail: the one shard a request was sent to delivered it to nobody
  kStall,         // StallMail: this connection feeds a subscriber that is falling behind
  kTraceReport,   // TraceReport* (route/trace.h): where a traced message went on the shard that sends this
  kParcel,        // ParcelMail: an owned object (administration: queries, answers, log lines, new options)
};

struct MailHeader {
  uint32_t bytes;  // whole record, header included; a multiple of kMailAlignment
  MailKind kind;
  uint8_t reserved[11];
};
static_assert(sizeof(MailHeader) == 16);

// What lives on a shard besides connections, and takes mail (broker/part.h).
enum class PartId : uint32_t { kNone, kJetStream };
inline constexpr uint32_t kPartIds = 2;

// Names one connection of one shard, or a part of it, as the origin of a message; a lookup may fail because it has
// closed, and that is normal.
struct ConnectionId {
  uint32_t shard = 0;
  uint32_t slot = 0;
  uint64_t cid = 0;  // process-wide and never reused: the generation check

  static constexpr ConnectionId OfPart(uint32_t shard, PartId part) {
    return {shard, UINT32_MAX - static_cast<uint32_t>(part), 1};  // of connections the first has 5
  }
  // kNone: it is a connection's.
  constexpr PartId part() const {
    const uint32_t id = UINT32_MAX - slot;
    return id < kPartIds ? static_cast<PartId>(id) : PartId::kNone;
  }

  friend bool operator==(const ConnectionId&, const ConnectionId&) = default;
};

// A publish. Followed by: with kDeliverTo {u32 length, subject whose subscribers get it}; with kByReference a
// SharedPayload pointer; subject, reply; without kByReference the payload; then `group_count` queue group names as {u32
// length, bytes}.
struct MessageMail {
  ConnectionId origin;  // for echo suppression, stalls and no-responders
  uint32_t account;
  uint32_t header_bytes;   // of the payload's NATS/1.0 block; 0 when there is none
  uint32_t payload_bytes;  // header block and body
  uint32_t subject_bytes;
  uint32_t reply_bytes;
  uint16_t group_count;
  uint8_t flags;         // MessageFlag
  uint8_t hops;          // a queue pick that found nobody was passed on
  uint8_t header_zeros;  // Message::header_zeros, size_zeros
  uint8_t size_zeros;
  uint8_t reserved[2];
  uint32_t trace_id;  // with kTraced
};
static_assert(sizeof(MessageMail) == 48);

// Publishes in a row of one connection, none with a reply or by reference. Followed by `count` MessageRunPart, then for
// each of them the subject, unless it is that of the one before, and the tail (Command::tail).
struct MessageRunMail {
  ConnectionId origin;
  uint32_t account;
  uint32_t count;
  uint64_t reserved;
};
static_assert(sizeof(MessageRunMail) == 32);

struct MessageRunPart {
  uint32_t subject_bytes;  // 0: as before
  uint32_t tail_bytes;
  uint32_t payload_bytes;
  uint32_t header_bytes;
};

enum MessageFlag : uint8_t {
  kToPlain = 1,            // deliver to the plain subscriptions
  kByReference = 2,        // the payload is a SharedPayload pointer
  kTraced = 8,             // answer kTraceReport
  kTraceOnly = 16,         // and deliver to nobody
  kDeliverTo = 32,         // matched by another subject than the one it says
  kByService = 64,         // through a service import
  kReportUndelivered = 4,  // answer kUndelivered if nobody got it
};

struct InterestMail {
  uint32_t account;
  int32_t plain_delta;    // +1 the first plain subscription appeared, -1 the last one went
  uint32_t queue_weight;  // members of `queue` on the sending shard, when queue_bytes > 0
  uint32_t filter_bytes;
  uint32_t queue_bytes;
};

struct ConnectionMail {
  uint64_t cid;
  int32_t fd;
  uint16_t kind;     // SpeakerKind
  uint16_t refused;  // 1: say that there are too many connections, and close
};

struct UndeliveredMail {
  ConnectionId origin;
  uint32_t account;
  uint32_t subject_bytes;
  uint32_t reply_bytes;
};

struct StallMail {
  ConnectionId origin;
};

// An object whose ownership travels with the record. The receiver tells the concrete type by `type`.
class Parcel {
 public:
  enum class Type : uint8_t;
  explicit Parcel(Type type) : type(type) {}
  virtual ~Parcel() = default;
  const Type type;
};

}  // namespace millrace
