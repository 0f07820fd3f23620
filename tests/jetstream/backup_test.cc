// SPDX-License-Identifier: Apache-2.0
// Goal:   backups are read as nats-server writes them, what we write is read back, and nothing that is cut or damaged
//         is taken for whole.
// Method: golden/backup.arc.s2 is a backup that `nats stream backup` took from nats-server 2.15.2 (40 messages, four of
//         them deleted, a durable with pending ones); it is cut and damaged in many places. golden/backup.tar.s2 is the
//         older form, made of files of that server, which restored it. The engine runs with a store without a disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <optional>

#include "broker/jetstream/archive/archive.h"
#include "broker/jetstream/archive/block_file.h"
#include "broker/jetstream/archive/consumer_snapshot.h"
#include "broker/jetstream/archive/s2.h"
#include "tests/jetstream/engine_harness.h"

namespace millrace {
namespace {

using ::testing::HasSubstr;

std::string ReadFile(const std::string& name) {
  std::ifstream file(std::string(MR_TEST_SOURCE_DIR) + "/golden/" + name, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  EXPECT_FALSE(bytes.empty());
  return bytes;
}

std::string PeerBackup() { return ReadFile("backup.arc.s2"); }

struct Whole {
  std::vector<std::string> names;
  std::map<uint64_t, std::string> bodies;
  std::map<uint64_t, std::string> headers;
  std::string consumer;
  bool ended = false;
};

// What is in a backup that comes in pieces of `piece` bytes; nullopt: it is refused.
std::optional<Whole> ReadBackup(std::string_view bytes, size_t piece) {
  Whole whole;
  S2Reader s2;
  ArchiveReader archive;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    std::string plain;
    if (!s2.Read(bytes.substr(at, piece), &plain).ok()) return std::nullopt;
    archive.Add(plain);
    ArchiveEntry entry;
    ArchiveReader::Next next;
    while ((next = archive.Read(&entry)) == ArchiveReader::Next::kEntry) {
      whole.names.emplace_back(entry.name);
      whole.ended = entry.is_end();
      if (entry.name.starts_with("consumers/")) whole.consumer = entry.body;
      if (entry.seq == 0) continue;
      whole.bodies[entry.seq] = entry.body;
      whole.headers[entry.seq] = entry.header;
    }
    if (next == ArchiveReader::Next::kInvalid) return std::nullopt;
  }
  return whole;
}

TEST(S2, ReadsWhatThePeerWrites) {
  const std::string backup = PeerBackup();
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{1000}, backup.size()}) {
    const std::optional<Whole> whole = ReadBackup(backup, piece);
    ASSERT_TRUE(whole);
    EXPECT_TRUE(whole->ended);
    ASSERT_EQ(whole->bodies.size(), 36u);
    EXPECT_EQ(whole->names[0], "state.json");
    EXPECT_EQ(whole->names[1], "consumers/dur");
    for (const auto& [seq, body] : whole->bodies) {
      std::string expected;
      for (uint64_t i = 0; i < (seq % 2 == 1 ? seq * 30 : 3); ++i) expected += "message " + std::to_string(seq) + " ";
      EXPECT_EQ(body, expected) << seq;
      const std::string header = "NATS/1.0\r\nNum: " + std::to_string(seq) + "\r\n\r\n";
      EXPECT_EQ(whole->headers.at(seq), seq % 3 == 0 ? header : "") << seq;
    }
  }
}

TEST(S2, WhatIsCutIsNotWhole) {
  const std::string backup = PeerBackup();
  for (size_t cut = 0; cut < backup.size(); cut += 7) {
    const std::optional<Whole> whole = ReadBackup(std::string_view(backup).substr(0, cut), backup.size());
    ASSERT_TRUE(!whole || !whole->ended) << cut;
  }
}

TEST(S2, WhatIsDamagedIsRefused) {
  const std::string backup = PeerBackup();
  for (size_t at = 0; at < backup.size(); at += 23) {
    std::string damaged = backup;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x41);
    const std::optional<Whole> whole = ReadBackup(damaged, backup.size());
    ASSERT_TRUE(!whole || !whole->ended) << at;
  }
}

TEST(S2, BlocksRepeatTheLastOffset) {
  std::string out;
  // 17 bytes: "abcd", a copy of 4 at offset 4, repeats of 4 and 5.
  const std::string block("\x11" "\x0c" "abcd" "\x01\x04" "\x01\x00" "\x05\x00", 12);
  ASSERT_TRUE(DecodeS2Block(block, 100, &out));
  EXPECT_EQ(out, "abcdabcdabcdabcda");
  for (size_t cut = 0; cut < block.size(); ++cut) {
    out.clear();
    EXPECT_FALSE(DecodeS2Block(std::string_view(block).substr(0, cut), 100, &out)) << cut;
  }
  EXPECT_FALSE(DecodeS2Block(block, 16, &out));
  // A repeat of 2 + 4 + 4, its length in a byte of its own; a repeat without anything before it.
  out.clear();
  ASSERT_TRUE(DecodeS2Block(std::string_view("\x12" "\x0c" "abcd" "\x01\x04" "\x15\x00\x02", 11), 100, &out));
  EXPECT_EQ(out, "abcdabcdabcdabcdab");
  EXPECT_FALSE(DecodeS2Block(std::string_view("\x04\x01\x00", 3), 100, &out));
}

TEST(S2, WhatWeWriteIsReadBack) {
  uint64_t random = 7;
  std::string plain;
  while (plain.size() < 300'000) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    if (random >> 63) {
      plain.append(random >> 50 & 1023, static_cast<char>(random >> 20));
    } else {
      plain.append(reinterpret_cast<const char*>(&random), sizeof random);
    }
  }
  S2Writer writer;
  std::string stream;
  for (size_t at = 0; at < plain.size(); at += 7777) writer.Write(std::string_view(plain).substr(at, 7777), &stream);
  writer.Flush(&stream);
  S2Reader reader;
  std::string back;
  for (size_t at = 0; at < stream.size(); at += 999)
    ASSERT_TRUE(reader.Read(std::string_view(stream).substr(at, 999), &back).ok());
  EXPECT_EQ(back, plain);
  EXPECT_TRUE(reader.at_chunk_end());
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
}

TEST(ConsumerSnapshot, IsThePeersJson) {
  const std::optional<Whole> whole = ReadBackup(PeerBackup(), 100'000);
  ConsumerSnapshot snapshot;
  ASSERT_EQ(ParseConsumerSnapshot(whole->consumer, &snapshot), "");
  EXPECT_EQ(snapshot.config.durable_name, "dur");
  EXPECT_EQ(snapshot.delivered_consumer, 5u);
  EXPECT_EQ(snapshot.delivered_stream, 21u);
  EXPECT_EQ(snapshot.floor_consumer, 1u);
  EXPECT_EQ(snapshot.pending.size(), 3u);
  ConsumerSnapshot again;
  ASSERT_EQ(ParseConsumerSnapshot(PrintConsumerSnapshot(snapshot), &again), "");
  EXPECT_EQ(again, snapshot);
  for (size_t cut = 0; cut < whole->consumer.size(); ++cut)
    EXPECT_NE(ParseConsumerSnapshot(std::string_view(whole->consumer).substr(0, cut), &again), "") << cut;
}

TEST(ConsumerSnapshot, SaysHowOftenMessagesWereSent) {
  ConsumerSnapshot snapshot;
  snapshot.delivered_consumer = 9;
  snapshot.delivered_stream = 8;
  snapshot.pending[5] = {4, 77};
  snapshot.redelivered = {{3, 2}, {5, 1}};
  const std::string text = PrintConsumerSnapshot(snapshot);
  EXPECT_THAT(text, HasSubstr(R"("redelivered":{"3":2,"5":1}}})"));
  ConsumerSnapshot again;
  ASSERT_EQ(ParseConsumerSnapshot(text, &again), "");
  EXPECT_EQ(again, snapshot);
  EXPECT_EQ(again.redelivered, snapshot.redelivered);
}

// Behind magic and version: floor, delivered, one pending (base of times, sequences, time), redelivered.
TEST(ConsumerSnapshot, OfTheOlderFormSaysSoToo) {
  const std::string file("\x16\x02" "\x02\x03" "\x09\x0a" "\x01\xc8\x01\x02\x03\x02" "\x02\x02\x04\x05\x01", 17);
  ConsumerSnapshot snapshot;
  ASSERT_TRUE(ReadConsumerFile(file, &snapshot));
  EXPECT_EQ(snapshot.floor_consumer, 2u);
  EXPECT_EQ(snapshot.floor_stream, 3u);
  EXPECT_EQ(snapshot.delivered_consumer, 9u);
  EXPECT_EQ(snapshot.delivered_stream, 10u);
  ASSERT_EQ(snapshot.pending.size(), 1u);
  EXPECT_EQ(snapshot.pending[5].consumer_seq, 5u);
  EXPECT_EQ(snapshot.pending[5].time_ns, 99'000'000'000);
  EXPECT_EQ(snapshot.redelivered, (std::map<uint64_t, uint64_t>{{5, 4}, {8, 1}}));
  for (size_t cut = 0; cut < file.size(); ++cut) {
    ConsumerSnapshot none;
    EXPECT_FALSE(ReadConsumerFile(file.substr(0, cut), &none)) << cut;
  }
}

constexpr std::string_view kPeerConfig =
    R"({"config":{"name":"BK","subjects":["bk.>"],"storage":"memory","max_msgs":-1},"state":{}})";

// The answer to the last chunk.
std::string RestoreFrom(EngineHarness& js, std::string_view config, std::string_view backup, size_t piece) {
  const std::string answer = js.Request("$JS.API.STREAM.RESTORE.BK", config);
  constexpr std::string_view kKey = "\"deliver_subject\":\"";
  const size_t at = answer.find(kKey);
  if (at == std::string::npos) return answer;
  const std::string to = answer.substr(at + kKey.size(), answer.find('"', at + kKey.size()) - at - kKey.size());
  for (size_t from = 0; from < backup.size(); from += piece) {
    const std::string error = js.Request(to, backup.substr(from, piece));
    if (!error.empty()) return error;
  }
  return js.Request(to, "");
}

TEST(Restore, MakesTheStreamOfAPeersBackup) {
  EngineHarness js;
  const std::string answer = RestoreFrom(js, kPeerConfig, PeerBackup(), 1000);
  EXPECT_THAT(answer, HasSubstr("stream_create_response"));
  EXPECT_THAT(answer, HasSubstr(R"("messages":36,)"));
  EXPECT_THAT(answer, HasSubstr(R"("first_seq":2,)"));
  EXPECT_THAT(answer, HasSubstr(R"("last_seq":40,)"));
  EXPECT_EQ(js.Request("bk.1", "x"), R"({"stream":"BK","seq":41})");
  const std::string info = js.Request("$JS.API.CONSUMER.INFO.BK.dur", "");
  EXPECT_THAT(info, HasSubstr(R"("delivered":{"consumer_seq":5,"stream_seq":21)"));
  EXPECT_THAT(info, HasSubstr(R"("num_ack_pending":3,)"));
  EXPECT_THAT(info, HasSubstr(R"("num_pending":5,)"));
  EXPECT_THAT(js.Request("$JS.API.STREAM.RESTORE.BK", kPeerConfig), HasSubstr("10130"));
}

// All that it holds is taken at once, and given back whatever comes of it.
TEST(Restore, NeedsTheRoomThatTheBackupSaysItNeeds) {
  for (const int64_t room : {118'118, 118'119}) {  // it was a file stream, whose messages count more
    JetStreamEngineOptions options;
    options.memory_max = room;
    EngineHarness js(options);
    const std::string answer = RestoreFrom(js, kPeerConfig, PeerBackup(), 1000);
    const bool fits = room == 118'119;
    EXPECT_THAT(answer, HasSubstr(fits ? R"("messages":36,)" : R"("err_code":10028,)")) << room;
    const StreamTable& streams = js.engine().streams();
    EXPECT_EQ(js.engine().storage().used(Storage::kMemory), fits ? 117'567u : 0u);
    EXPECT_EQ(streams.totals().memory.bytes, js.engine().storage().used(Storage::kMemory));
  }
}

// The client's window is wide enough for all of it.
std::string BackupOf(EngineHarness& js, const std::string& stream) {
  EngineHarness::Client client(js, 50);
  client.Subscribe("snap");
  js.Request("$JS.API.STREAM.SNAPSHOT." + stream, R"({"deliver_subject":"snap"})");
  std::string backup;
  for (const EngineHarness::Received& chunk : client.Take()) backup += chunk.body;
  return backup;
}

TEST(Restore, AnEmptyStreamBeginsAtOne) {
  EngineHarness js;
  for (const bool purged : {false, true}) {
    js.Request("$JS.API.STREAM.CREATE.BK", R"({"name":"BK","subjects":["bk.>"]})");
    if (purged) {
      js.Request("bk.1", "x");
      js.Request("$JS.API.STREAM.PURGE.BK", "");
    }
    const std::string backup = BackupOf(js, "BK");
    js.Request("$JS.API.STREAM.DELETE.BK", "");
    const std::string first = purged ? R"("first_seq":2,)" : R"("first_seq":1,)";
    EXPECT_THAT(RestoreFrom(js, kPeerConfig, backup, 1000), HasSubstr(first));
    EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.BK", ""), HasSubstr(first));
    EXPECT_EQ(js.Request("bk.1", "x"), purged ? R"({"stream":"BK","seq":2})" : R"({"stream":"BK","seq":1})");
    js.Request("$JS.API.STREAM.DELETE.BK", "");
  }
}

TEST(Restore, ItsConsumersDeliverWhenItIsAnswered) {
  EngineHarness js;
  js.Request("$JS.API.STREAM.CREATE.BK", R"({"name":"BK","subjects":["bk.>"]})");
  js.Request("bk.1", "x");
  js.Request("$JS.API.CONSUMER.CREATE.BK.P",
             R"({"stream_name":"BK","config":{"name":"P","durable_name":"P","deliver_subject":"to"}})");
  const std::string backup = BackupOf(js, "BK");
  js.Request("$JS.API.STREAM.DELETE.BK", "");
  EngineHarness::Client client(js, 51);
  client.Subscribe("to");
  client.Subscribe("_INBOX.test");
  RestoreFrom(js, kPeerConfig, backup, 100'000);
  const std::vector<EngineHarness::Received> got = client.Take();
  ASSERT_GE(got.size(), 2u);
  EXPECT_EQ(got.back().subject, "bk.1");
  EXPECT_THAT(got[got.size() - 2].body, HasSubstr("stream_create_response"));
}

std::string Compressed(const std::string& plain) {
  S2Writer writer;
  std::string bytes;
  writer.Write(plain, &bytes);
  writer.Flush(&bytes);
  return bytes;
}

// An archive with these entries and none else.
std::string ArchiveOf(std::initializer_list<std::pair<std::string_view, std::string_view>> entries) {
  std::string plain(kArchiveMagic);
  for (const auto& [name, body] : entries) AppendArchiveEntry({name, 1, 0, {}, body}, &plain);
  AppendArchiveEntry({}, &plain);
  return Compressed(plain);
}

TEST(Restore, AConsumerIsNotThereTwice) {
  EngineHarness js;
  constexpr std::string_view kConsumer = R"({"config":{"durable_name":"c","ack_policy":"explicit"},"state":{}})";
  const std::string twice = ArchiveOf({{"state.json", R"({"consumer_count":2})"},
                                       {"consumers/c", kConsumer}, {"consumers/c", kConsumer}});
  EXPECT_THAT(RestoreFrom(js, kPeerConfig, twice, 1000), HasSubstr("consumer \\\"c\\\" is there twice"));
  EXPECT_EQ(js.FindStream("BK"), nullptr);
  const std::string once = ArchiveOf({{"state.json", R"({"consumer_count":1})"}, {"consumers/c", kConsumer}});
  EXPECT_THAT(RestoreFrom(js, kPeerConfig, once, 1000), HasSubstr(R"("consumer_count":1)"));
}

TEST(Restore, OfACutBackupNothingStays) {
  EngineHarness js;
  const std::string backup = PeerBackup();
  const std::string cut = backup.substr(0, backup.size() - 5);
  EXPECT_THAT(RestoreFrom(js, kPeerConfig, cut, 1000), HasSubstr("backup was truncated"));
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.BK", ""), HasSubstr("10059"));
  std::string damaged = backup;
  damaged[5000] ^= 1;
  EXPECT_THAT(RestoreFrom(js, kPeerConfig, damaged, 1000), HasSubstr("restore failed: s2: c"));
  EXPECT_THAT(js.Request("$JS.API.STREAM.INFO.BK", ""), HasSubstr("10059"));
  // A client that falls silent.
  js.Request("$JS.API.STREAM.RESTORE.BK", kPeerConfig);
  js.Advance(std::chrono::seconds(6));
  EXPECT_THAT(RestoreFrom(js, kPeerConfig, backup, 100'000), HasSubstr(R"("messages":36,)"));
}

constexpr std::string_view kOldConfig =
    R"({"config":{"name":"BK","subjects":["old.>"],"storage":"memory"},"state":{}})";

// The files say that the stream is called OLD.
std::string OldBackup() {
  S2Reader reader;
  std::string plain;
  EXPECT_TRUE(reader.Read(ReadFile("backup.tar.s2"), &plain).ok());
  const std::string_view name = "\"name\":\"OLD\"";
  const size_t at = plain.find(name);
  EXPECT_NE(at, std::string::npos);
  plain.replace(at, name.size(), "\"name\":\"BK\" ");
  return Compressed(plain);
}

TEST(Restore, TakesTheOlderFormToo) {
  for (const size_t piece : {size_t{400}, size_t{100'000}}) {
    EngineHarness js;
    const std::string answer = RestoreFrom(js, kOldConfig, OldBackup(), piece);
    EXPECT_THAT(answer, HasSubstr(R"("messages":12,)"));
    EXPECT_THAT(answer, HasSubstr(R"("last_seq":15,)"));
    EXPECT_THAT(answer, HasSubstr(R"("num_deleted":3,)"));
    StreamLog& log = js.FindStream("BK")->log();
    StoredMessage message;
    for (uint64_t seq = 1; seq <= 15; ++seq) {
      const bool deleted = seq == 4 || seq == 9 || seq == 15;
      ASSERT_EQ(log.Load(seq, &message), deleted ? LoadStatus::kAbsent : LoadStatus::kFound) << seq;
      if (deleted) continue;
      EXPECT_EQ(message.body(), "old " + std::to_string(seq));
      EXPECT_EQ(message.header().empty(), seq % 3 != 0);
    }
    const std::string info = js.Request("$JS.API.CONSUMER.INFO.BK.d", "");
    EXPECT_THAT(info, HasSubstr(R"("delivered":{"consumer_seq":6,"stream_seq":6})"));
    EXPECT_THAT(info, HasSubstr(R"("ack_floor":{"consumer_seq":1,"stream_seq":1})"));
    EXPECT_THAT(info, HasSubstr(R"("num_ack_pending":3,)"));
    EXPECT_EQ(js.Request("old.1", "x"), R"({"stream":"BK","seq":16})");
  }
}

TEST(Restore, OfACutOlderBackupNothingStays) {
  const std::string backup = OldBackup();
  for (size_t cut = backup.size() - 1; cut > 20; cut -= std::min<size_t>(cut, 97)) {
    EngineHarness js;
    EXPECT_THAT(RestoreFrom(js, kOldConfig, backup.substr(0, cut), 1000), HasSubstr("restore failed")) << cut;
    EXPECT_EQ(js.FindStream("BK"), nullptr) << cut;
  }
}

TEST(Snapshot, GoesInChunksAsTheyAreAcknowledgedAndComesBack) {
  EngineHarness js;
  RestoreFrom(js, kPeerConfig, PeerBackup(), 100'000);
  EngineHarness::Client client(js, 50);
  client.Subscribe("snap");
  const std::string answer = js.Request("$JS.API.STREAM.SNAPSHOT.BK",
                                        R"({"deliver_subject":"snap","chunk_size":1024,"window_size":2048})");
  EXPECT_THAT(answer, HasSubstr("stream_snapshot_response"));
  EXPECT_THAT(answer, HasSubstr(R"("messages":36,)"));
  std::string backup;
  bool ended = false;
  size_t whole_chunks = 0;
  for (int round = 0; round < 100 && !ended; ++round) {
    const std::vector<EngineHarness::Received> chunks = client.Take();
    ASSERT_LE(chunks.size(), 4u);  // two chunks of the window, the rest and the end
    for (const EngineHarness::Received& chunk : chunks) {
      if (!chunk.header.empty()) {
        EXPECT_EQ(chunk.header, "NATS/1.0 204\r\n\r\n");
        ended = true;
        continue;
      }
      backup += chunk.body;
      if (chunk.reply.empty()) continue;
      EXPECT_EQ(chunk.body.size(), 1024u);
      EXPECT_THAT(chunk.reply, HasSubstr(".1024." + std::to_string(++whole_chunks)));
      js.Publish(chunk.reply, "");
    }
    js.Settle();
  }
  ASSERT_TRUE(ended);
  const std::optional<Whole> ours = ReadBackup(backup, backup.size());
  const std::optional<Whole> peers = ReadBackup(PeerBackup(), 100'000);
  ASSERT_TRUE(ours);
  EXPECT_EQ(ours->names, peers->names);
  EXPECT_EQ(ours->bodies, peers->bodies);
  EXPECT_EQ(ours->headers, peers->headers);
  ConsumerSnapshot a, b;
  ASSERT_EQ(ParseConsumerSnapshot(ours->consumer, &a), "");
  ASSERT_EQ(ParseConsumerSnapshot(peers->consumer, &b), "");
  EXPECT_EQ(a.pending, b.pending);
  EXPECT_EQ(a.floor_stream, b.floor_stream);
  js.Request("$JS.API.STREAM.DELETE.BK", "");
  EXPECT_THAT(RestoreFrom(js, kPeerConfig, backup, 3000), HasSubstr(R"("messages":36,)"));
}

// Clients that listen to all of their inbox subscribe to the chunks' subject when they have the answer.
TEST(Snapshot, WaitsForASubscriptionToItsOwnSubject) {
  EngineHarness js;
  RestoreFrom(js, kPeerConfig, PeerBackup(), 100'000);
  EngineHarness::Client client(js, 50);
  client.Subscribe("_INBOX.client.*", "all");
  js.Request("$JS.API.STREAM.SNAPSHOT.BK", R"({"deliver_subject":"_INBOX.client.chunks"})");
  EXPECT_TRUE(client.Take().empty());
  client.Subscribe("_INBOX.client.chunks", "chunks");
  js.Settle();
  const std::vector<EngineHarness::Received> chunks = client.Take();
  ASSERT_FALSE(chunks.empty());
  EXPECT_EQ(std::count_if(chunks.begin(), chunks.end(), [](const auto& chunk) { return chunk.sid == "chunks"; }),
            static_cast<ptrdiff_t>(chunks.size() / 2));
  // One that has no other than the wildcard gets them after a while, as from the peer.
  js.Request("$JS.API.STREAM.SNAPSHOT.BK", R"({"deliver_subject":"_INBOX.client.others"})");
  EXPECT_TRUE(client.Take().empty());
  js.Advance(std::chrono::milliseconds(1900));
  EXPECT_TRUE(client.Take().empty());
  js.Advance(std::chrono::milliseconds(200));
  EXPECT_FALSE(client.Take().empty());
}

TEST(Snapshot, EndsWhenNobodyAnswers) {
  EngineHarness js;
  RestoreFrom(js, kPeerConfig, PeerBackup(), 100'000);
  EngineHarness::Client client(js, 50);
  client.Subscribe("snap");
  js.Request("$JS.API.STREAM.SNAPSHOT.BK", R"({"deliver_subject":"snap","chunk_size":1024,"window_size":1024})");
  EXPECT_EQ(client.Take().size(), 1u);
  js.Advance(std::chrono::seconds(6));
  const std::vector<EngineHarness::Received> rest = client.Take();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].header, "NATS/1.0 408 No Flow Response\r\n\r\n");
  EXPECT_THAT(js.Request("$JS.API.STREAM.SNAPSHOT.BK", R"({"deliver_subject":"a.*"})"), HasSubstr("10015"));
  EXPECT_THAT(js.Request("$JS.API.STREAM.SNAPSHOT.BK", ""), HasSubstr("10003"));
  EXPECT_THAT(js.Request("$JS.API.STREAM.SNAPSHOT.NONE", R"({"deliver_subject":"a"})"), HasSubstr("10059"));
}

}  // namespace
}  // namespace millrace
