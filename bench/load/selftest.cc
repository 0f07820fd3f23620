// SPDX-License-Identifier: Apache-2.0
// The generator's own test: a checker that cannot fail proves nothing, so here it is shown streams that are cut
// anywhere, and streams with a message missing, doubled, late or damaged.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "bench/load/frame_reader.h"
#include "bench/load/histogram.h"
#include "bench/load/ledger.h"
#include "bench/load/publish_block.h"

namespace millrace::bench {
namespace {

#define CHECK_EQ(a, b)                                                                          \
  do {                                                                                          \
    const auto left = static_cast<unsigned long long>(a);                                       \
    const auto right = static_cast<unsigned long long>(b);                                      \
    if (left != right) {                                                                        \
      std::fprintf(stderr, "%s:%d: %s is %llu, not %llu\n", __FILE__, __LINE__, #a, left, right); \
      std::exit(1);                                                                             \
    }                                                                                           \
  } while (false)

struct Sink {
  explicit Sink(size_t publishers) : ledger(publishers) {}
  void OnTag(uint64_t tag) { ledger.OnTag(tag); }
  void OnControl(std::string_view line) { control.emplace_back(line); }
  void OnBadFrame(std::string_view) { ++bad; }
  SequenceLedger ledger;
  std::vector<std::string> control;
  int bad = 0;
};

MessageShape ShapeOf(size_t payload, uint64_t subjects, bool headers) {
  MessageShape::Options options;
  options.payload_bytes = payload;
  options.subjects = subjects;
  options.headers = headers;
  return MessageShape(options);
}

// What a server delivers of messages first … first + count - 1.
std::string Delivered(const MessageShape& shape, uint16_t publisher, uint64_t first, uint64_t count) {
  const LineTemplate frame = shape.DeliveredFrame("1");
  std::string stream;
  for (uint64_t i = first; i < first + count; ++i) {
    std::string bytes = frame.bytes;
    StoreTag(bytes.data() + frame.tag_offset, MessageTag{publisher, i}.Pack());
    if (frame.subject_digits != LineTemplate::kNone) {
      StampDigits(bytes.data() + frame.subject_digits, i % shape.options().subjects);
    }
    stream += bytes;
  }
  return stream;
}

void AnySplitGivesTheSameMessages() {
  std::mt19937_64 random(1);
  for (const size_t payload : {size_t{8}, size_t{16}, size_t{128}, size_t{1000}, size_t{70'000}}) {
    for (const bool headers : {false, true}) {
      const MessageShape shape = ShapeOf(payload, 1000, headers);
      const uint64_t count = payload > 1000 ? 20 : 700;
      const std::string stream = "INFO {}\r\n" + Delivered(shape, 0, 0, count / 2) + "PING\r\n" +
                                 Delivered(shape, 0, count / 2, count - count / 2) + "PONG\r\n";
      for (int round = 0; round < 18; ++round) {
        Sink sink(1);
        FrameReader<Sink> reader(&sink, shape.DeliveredFrame("1"));
        const uint64_t piece_max = uint64_t{1} << round;
        for (size_t at = 0; at < stream.size();) {
          const size_t piece = std::min<size_t>(1 + random() % piece_max, stream.size() - at);
          // A copy of its own, so that a sanitizer sees a read beyond the piece.
          const std::vector<char> copy(stream.begin() + static_cast<long>(at),
                                       stream.begin() + static_cast<long>(at + piece));
          reader.OnBytes(copy.data(), copy.size());
          at += piece;
        }
        CHECK_EQ(sink.bad, 0);
        CHECK_EQ(sink.control.size(), 3);
        CHECK_EQ(sink.control[1] == "PING" && sink.control[2] == "PONG", true);
        CHECK_EQ(sink.ledger.received(), count);
        CHECK_EQ(sink.ledger.Close({count}).clean(), true);
      }
    }
  }
}

DeliveryCounts CountsOf(const std::string& stream, const MessageShape& shape, uint64_t sent, int* bad) {
  Sink sink(1);
  FrameReader<Sink> reader(&sink, shape.DeliveredFrame("1"));
  reader.OnBytes(stream.data(), stream.size());
  *bad = sink.bad;
  return sink.ledger.Close({sent});
}

void MissingDoubledAndLateMessagesAreSeen() {
  const MessageShape shape = ShapeOf(16, 1, false);
  const auto part = [&](uint64_t first, uint64_t count) { return Delivered(shape, 0, first, count); };
  int bad = 0;
  CHECK_EQ(CountsOf(part(0, 10) + part(11, 9), shape, 20, &bad).lost, 1);      // in the middle
  CHECK_EQ(CountsOf(part(0, 17), shape, 20, &bad).lost, 3);                    // at the end
  CHECK_EQ(CountsOf(part(0, 10) + part(9, 11), shape, 20, &bad).duplicated, 1);
  const DeliveryCounts late = CountsOf(part(0, 5) + part(6, 1) + part(5, 1) + part(7, 13), shape, 20, &bad);
  CHECK_EQ(late.clean(), false);
  CHECK_EQ(CountsOf(Delivered(shape, 3, 0, 2), shape, 0, &bad).foreign, 2);    // nobody published it
}

void DamagedFramesAreSeen() {
  const MessageShape shape = ShapeOf(128, 1, false);
  const size_t step = shape.DeliveredFrame("1").bytes.size();
  int bad = 0;
  std::string stream = Delivered(shape, 0, 0, 3);
  stream[step - 10] = '#';  // in the first frame's payload, which is compared in full
  CountsOf(stream, shape, 3, &bad);
  CHECK_EQ(bad, 1);
  stream = Delivered(shape, 0, 0, 2) + "MSG other 1 4\r\nabcd\r\n" + Delivered(shape, 0, 2, 1);
  CHECK_EQ(CountsOf(stream, shape, 3, &bad).clean(), true);  // walked over, but reported
  CHECK_EQ(bad, 1);
}

void GroupsSeeEveryMessageOnce() {
  GroupLedger group(1, 100);
  GroupLedger::Member one(&group, 1);
  GroupLedger::Member two(&group, 1);
  const auto tag = [](uint64_t sequence) { return MessageTag{0, sequence}.Pack(); };
  for (uint64_t i = 0; i < 100; i += 2) one.OnTag(tag(i));
  for (uint64_t i = 1; i < 99; i += 2) two.OnTag(tag(i));
  CHECK_EQ(group.Close({100}).lost, 1);
  two.OnTag(tag(99));
  CHECK_EQ(group.Close({100}).clean(), true);
  two.OnTag(tag(40));
  CHECK_EQ(group.Close({100}).duplicated, 1);
  CHECK_EQ(group.Close({100}).disordered, 1);
}

void PublishedBlocksCarryTheirNumbers() {
  const MessageShape shape = ShapeOf(16, 1000, true);
  PublishBlock block(shape, 7, 64 * 1024);
  const std::string_view bytes = block.Fill(998, 4);
  const LineTemplate line = shape.PublishLine();
  CHECK_EQ(bytes.size(), 4 * line.bytes.size());
  const char* last = bytes.data() + 3 * line.bytes.size();
  CHECK_EQ(std::string_view(last, 17) == "HPUB bench.000001", true);
  const MessageTag tag = MessageTag::Unpack(LoadTag(last + line.tag_offset));
  CHECK_EQ(tag.publisher, 7);
  CHECK_EQ(tag.sequence, 1001);
}

void PercentilesAreWithinOneHundredth() {
  std::mt19937_64 random(2);
  Histogram histogram;
  std::vector<uint64_t> values;
  for (int i = 0; i < 200'000; ++i) {
    const uint64_t value = (random() >> (24 + random() % 39)) & ((uint64_t{1} << 40) - 1);
    values.push_back(value);
    histogram.Record(value);
  }
  std::sort(values.begin(), values.end());
  for (const double fraction : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<size_t>(fraction * 200'000);
    const auto exact = static_cast<double>(values[rank - 1]);
    const auto found = static_cast<double>(histogram.Percentile(fraction));
    CHECK_EQ(found >= exact && found <= exact * 1.01 + 1, true);
  }
  CHECK_EQ(histogram.max(), values.back());
}

}  // namespace
}  // namespace millrace::bench

int main() {
  using namespace millrace::bench;
  AnySplitGivesTheSameMessages();
  MissingDoubledAndLateMessagesAreSeen();
  DamagedFramesAreSeen();
  GroupsSeeEveryMessageOnce();
  PublishedBlocksCarryTheirNumbers();
  PercentilesAreWithinOneHundredth();
  std::puts("ok");
  return 0;
}
