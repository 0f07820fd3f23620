// SPDX-License-Identifier: Apache-2.0
// Goal: what lies between a socket and a speaker changes bytes on the way and nothing else: the same answers, in
//       order, whatever the cuts; nothing is said before a layer is ready; the last words come last.
// Method: layers of the test (a greeting, then records of a length and scrambled bytes), one to three deep, a real
//         session behind a FakeIo, and the other end of the same layers; the stream cut at each place.
#include "broker/net/byte_layer.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "broker/net/connection.h"
#include "proto/base/bytes.h"
#include "tests/net/connection_world.h"

namespace millrace {
namespace {

constexpr size_t kRecordBytesMax = 100;  // of plain bytes, so that a flush needs several
constexpr std::string_view kHello = "hello;";
constexpr std::string_view kBye = "bye";

std::string Scrambled(std::string_view text, char key) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(c ^ key);
  return out;
}

std::string Record(std::string_view plain, char key) {
  const auto length = static_cast<uint16_t>(plain.size());
  std::string record(sizeof length, '\0');
  Store(record.data(), length);
  return record + Scrambled(plain, key);
}

// Both ends: each says kHello, and is ready when it has heard it. An empty record ends it.
class TestLayer final : public ByteLayer {
 public:
  explicit TestLayer(char key) : key_(key) {}

  void Start(Outbox* wire) override { wire->Append(kHello); }
  std::optional<ClosedReason> Open(std::string_view in, std::string* out, Outbox*) override {
    input_ += in;
    if (!ready_) {
      if (input_.size() < kHello.size() && kHello.starts_with(input_)) return std::nullopt;
      if (!input_.starts_with(kHello)) return ClosedReason::kTlsHandshakeError;
      input_.erase(0, kHello.size());
      ready_ = true;
    }
    while (input_.size() >= 2) {
      const auto length = Load<uint16_t>(input_.data());
      if (length == 0) return ClosedReason::kClientClosed;
      if (input_.size() < 2u + length) break;
      *out += Scrambled(std::string_view(input_).substr(2, length), key_);
      input_.erase(0, 2u + length);
    }
    return std::nullopt;
  }
  bool ready() const override { return ready_; }
  ClosedReason late_reason() const override { return ClosedReason::kTlsHandshakeError; }
  void Seal(Outbox* plain, uint64_t bytes_max, Outbox* wire) override {
    ASSERT_TRUE(ready_);
    while (bytes_max > 0 && !plain->empty()) {
      iovec parts[1];
      ASSERT_EQ(plain->Gather(parts, 1, std::min<uint64_t>(bytes_max, kRecordBytesMax)), 1u);
      wire->Append(Record({static_cast<const char*>(parts[0].iov_base), parts[0].iov_len}, key_));
      plain->Sent(parts[0].iov_len);
      bytes_max -= parts[0].iov_len;
    }
  }
  void End(ClosedReason, Outbox* wire) override { wire->Append(Record(kBye, key_)); }

 private:
  const char key_;
  std::string input_;
  bool ready_ = false;
};

std::unique_ptr<ByteLayers> Make(ChunkPool& chunks, int depth) {
  std::vector<std::unique_ptr<ByteLayer>> layers;
  for (int i = 0; i < depth; ++i) layers.push_back(std::make_unique<TestLayer>(static_cast<char>(0x11 * (i + 1))));
  return std::make_unique<ByteLayers>(chunks, std::move(layers), std::chrono::seconds(2));
}

// A session behind `depth` layers, and a client with the other end of them.
struct World : ConnectionWorld {
  explicit World(int depth, uint64_t send_bytes_max = 1 << 20) : client(Make(client_chunks, depth)) {
    shared.send_bytes_max = send_bytes_max;
    connection.Start(
        std::make_unique<Session>(sessions.shared(0), connection, connection.receiver(), "127.0.0.1", uint16_t{5000}),
        false, Make(sessions.shards()[0].chunks, depth));
    client->Start();
  }
  ~World() {
    EndConnection();
  }

  // What the client has to send by now.
  std::string ClientWire() {
    client->Seal(&client_plain, UINT64_MAX);
    return TakeBytes(&client->wire());
  }
  void FromClient(std::string_view bytes) {
    if (!bytes.empty() && io.recv->busy() && connection.open()) io.Receive(bytes);
  }
  // Sends until nothing is left, and lets the client hear it.
  void Pump() {
    for (int i = 0; i < 10000; ++i) {
      connection.receiver().dirty = false;
      sessions.shards()[0].router.outlet().dirty().clear();
      connection.Flush();
      if (io.send == nullptr || !io.send->busy()) break;
      io.EndSend(io.send_bytes);
    }
    std::string plain;
    client->Open(std::exchange(io.sent, {}), &plain);
    heard += plain;
  }
  // Until neither has anything to say.
  void Talk() {
    for (int i = 0; i < 8; ++i) {
      FromClient(ClientWire());
      Pump();
    }
  }

  ChunkPool client_chunks{16384};
  Outbox client_plain{client_chunks};
  std::unique_ptr<ByteLayers> client;
  std::string heard;
};

// What a session without layers says.
constexpr std::string_view kInput =
    "CONNECT {\"verbose\":false}\r\nSUB a.* 1\r\nPUB a.b 5\r\nhello\r\nPUB a.c 0\r\n\r\nPING\r\nPING\r\n";
constexpr std::string_view kOutput = "MSG a.b 1 5\r\nhello\r\nMSG a.c 1 0\r\n\r\nPONG\r\nPONG\r\n";

TEST(ByteLayers, TheSpeakerHearsAndSaysWhatItWouldWithoutThem) {
  for (const int depth : {1, 2, 3}) {
    World probe(depth);
    probe.Talk();
    ASSERT_TRUE(probe.heard.starts_with("INFO {")) << depth;
    probe.heard.clear();
    probe.client_plain.Append(kInput);
    const std::string wire = probe.ClientWire();
    for (size_t cut = 0; cut <= wire.size(); ++cut) {
      World world(depth, cut % 3 == 0 ? 64 : 1 << 20);
      world.Talk();
      world.heard.clear();
      world.FromClient(std::string_view(wire).substr(0, cut));
      if (cut % 2 == 0) world.Pump();
      world.FromClient(std::string_view(wire).substr(cut));
      world.Pump();
      ASSERT_EQ(world.heard, kOutput) << depth << " " << cut;
      ASSERT_TRUE(world.connection.receiver().outbox.empty());
    }
  }
}

TEST(ByteLayers, NothingIsSaidBeforeTheyAreReady) {
  World world(2);
  world.Pump();
  EXPECT_EQ(world.heard, "");
  // Byte by byte: the greeting of each layer, then INFO, at once when the last of it has come.
  int rounds = 0;
  while (world.heard.empty() && ++rounds < 100) {
    const std::string wire = world.ClientWire();
    for (const char byte : wire) {
      EXPECT_EQ(world.heard, "");
      world.FromClient({&byte, 1});
      world.Pump();
    }
    world.Pump();
  }
  EXPECT_TRUE(world.heard.starts_with("INFO {"));
}

TEST(ByteLayers, ALateOneEndsTheConnection) {
  World world(2);
  world.FromClient("hel");
  world.Pump();
  world.sessions.Advance(std::chrono::milliseconds(1900));
  world.timers.Expire(world.sessions.shared(0).now);
  EXPECT_TRUE(world.connection.open());
  world.sessions.Advance(std::chrono::milliseconds(200));
  world.timers.Expire(world.sessions.shared(0).now);
  EXPECT_FALSE(world.connection.open());
  EXPECT_EQ(world.connection.closed_reason(), ClosedReason::kTlsHandshakeError);
  EXPECT_EQ(world.io.shutdowns, 1);
}

TEST(ByteLayers, AReadyOneHasNoDeadlineAnyMore) {
  World world(1);
  world.Talk();
  world.sessions.Advance(std::chrono::seconds(30));
  world.timers.Expire(world.sessions.shared(0).now);
  EXPECT_TRUE(world.connection.open());
}

TEST(ByteLayers, NonsenseEndsTheConnectionWithItsReason) {
  for (const int depth : {1, 2}) {
    World world(depth);
    world.FromClient("GET / HTTP/1.1\r\n\r\n");
    EXPECT_FALSE(world.connection.open());
    EXPECT_EQ(world.connection.closed_reason(), ClosedReason::kTlsHandshakeError);
    world.Pump();
    world.io.EndRecv(ECANCELED);
    EXPECT_EQ(world.host.ended, 1);
  }
}

TEST(ByteLayers, TheLastWordsOfEachComeBehindWhatTheSpeakerSaid) {
  for (const int depth : {1, 2}) {
    World world(depth, 64);
    world.Talk();
    world.heard.clear();
    std::string expected;
    world.client_plain.Append("CONNECT {\"verbose\":false}\r\n");
    for (int i = 0; i < 50; ++i) {
      world.client_plain.Append("SUB a 1\r\nPUB a 3\r\nabc\r\nPING\r\n");
      expected += "MSG a 1 3\r\nabc\r\nPONG\r\n";
    }
    world.FromClient(world.ClientWire());
    world.connection.EndAfterFlush(ClosedReason::kServerShutdown);
    world.io.EndRecv(ECANCELED);
    EXPECT_EQ(world.host.ended, 0);
    world.Pump();
    // The last words of the lower layer are the beginning of something for the upper one.
    EXPECT_EQ(world.heard, expected + std::string(kBye));
    EXPECT_EQ(world.host.ended, 1);
  }
}

TEST(ByteLayers, SealedBytesThatWaitAreBounded) {
  World world(1, 4096);
  world.Talk();
  world.heard.clear();
  Outbox& plain = world.connection.receiver().outbox;
  const std::string much(1 << 20, 'x');
  plain.Append(much);
  world.connection.Flush();
  EXPECT_GE(plain.pending_bytes(), much.size() - 4096);
  EXPECT_LE(static_cast<size_t>(world.io.send_bytes), 4096 + 4096 / kRecordBytesMax * 2 + 8);
  world.io.EndSend(world.io.send_bytes);
  world.Pump();
  EXPECT_EQ(world.heard, much);
  EXPECT_TRUE(plain.empty());
}

}  // namespace
}  // namespace millrace
