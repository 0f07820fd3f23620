// SPDX-License-Identifier: Apache-2.0
// Goal: UringIo keeps the promises of io.h on the kernel at hand: bytes in order through running out of buffers, whole
// sends, ends and cancellations that arrive, and a doorbell that wakes.
// Method: real socket pairs and loopback sockets, driven to a condition; the deadline only turns a hang into a failure.
#include "broker/io/uring.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <functional>
#include <thread>

#include "tests/proto/seeded.h"

namespace millrace {
namespace {

constexpr Nanos kPatience = std::chrono::seconds(30);

// An operation, and what was reported of it.
struct Operation {
  Completion completion;
  std::vector<int32_t> values;
  bool more = false;
  std::function<void(const IoResult&)> also;

  Operation() { completion.Bind<&Operation::OnResult>(this); }
  void OnResult(const IoResult& result) {
    values.push_back(result.value);
    more = result.more;
    if (also) also(result);
  }
  bool ended() const { return !values.empty() && !completion.busy(); }
};

class Listener {
 public:
  Listener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof address_;
    MR_CHECK(bind(fd_, reinterpret_cast<sockaddr*>(&address_), sizeof address_) == 0);
    MR_CHECK(listen(fd_, 128) == 0);
    MR_CHECK(getsockname(fd_, reinterpret_cast<sockaddr*>(&address_), &bytes) == 0);
  }
  int fd() const { return fd_; }
  int Connect() const {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MR_CHECK(connect(fd, reinterpret_cast<const sockaddr*>(&address_), sizeof address_) == 0);
    return fd;
  }

 private:
  const int fd_;
  sockaddr_in address_{};
};

// Two ends of a TCP connection. (Not of a Unix socket: kernels up to 6.18 lose its end to a multishot receive when it
// comes together with data.)
struct SocketPair {
  int ours = -1;
  int theirs = -1;

  explicit SocketPair(int buffer_bytes = 0) {
    Listener listener;
    theirs = listener.Connect();
    ours = accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC);
    MR_CHECK(ours >= 0 && fcntl(theirs, F_SETFL, O_NONBLOCK) == 0);
    close(listener.fd());
    for (const int fd : {ours, theirs}) {
      if (buffer_bytes == 0) continue;
      MR_CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes) == 0);
      MR_CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes) == 0);
    }
  }
  ~SocketPair() {
    close(ours);
    CloseTheirs();
  }
  SocketPair(const SocketPair&) = delete;
  SocketPair& operator=(const SocketPair&) = delete;
  void CloseTheirs() {
    if (theirs >= 0) close(theirs);
    theirs = -1;
  }
  void Write(std::string_view text) {
    MR_CHECK(write(theirs, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  std::string ReadSome() {
    std::string text(65536, '\0');
    const ssize_t n = read(theirs, text.data(), text.size());
    text.resize(static_cast<size_t>(std::max<ssize_t>(n, 0)));
    return text;
  }
};

// Position `at` of the stream with this seed.
char PatternAt(uint64_t seed, uint64_t at) { return static_cast<char>((at * 2654435761u + seed * 40503u) >> 13); }

std::string Pattern(uint64_t seed, uint64_t from, size_t bytes) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) text[i] = PatternAt(seed, from + i);
  return text;
}

class Uring : public testing::Test {
 protected:
  void SetUp() override { Open({}); }

  void Open(const UringOptions& options) {
    io_.reset();
    absl::StatusOr<std::unique_ptr<UringIo>> io = UringIo::Create(options);
    if (!io.ok()) GTEST_SKIP() << io.status();
    io_ = std::move(*io);
    io_->Enable({});
  }

  // Turns until the condition holds. `each` runs once a turn, for what the test does at the other end.
  bool RunUntil(const std::function<bool()>& done, const std::function<void()>& each = nullptr, bool block = true) {
    return TurnUntil(done, [&] {
      if (each) each();
      io_->SubmitAndWait(io_->Now() + (each ? std::chrono::milliseconds(1) : kPatience), block);
    });
  }
  bool GatherUntil(const std::function<bool()>& done, Nanos at_least) {
    return TurnUntil(done, [&] { io_->SubmitAndGather(io_->Now() + kPatience, at_least); });
  }
  bool TurnUntil(const std::function<bool()>& done, const std::function<void()>& wait) {
    const Nanos give_up = io_->Now() + kPatience;
    while (!done()) {
      if (io_->Now() > give_up) return false;
      wait();
      io_->RunCompletions(UINT64_MAX);
    }
    return true;
  }

  std::unique_ptr<UringIo> io_;
};

// ---- accept --------------------------------------------------------------------------------------------------------

TEST_F(Uring, AcceptReportsEveryConnectionUntilItIsCancelled) {
  Listener listener;
  Operation accept;
  io_->Accept(listener.fd(), &accept.completion);
  std::vector<int> clients;
  for (const size_t target : {1u, 4u, 100u}) {
    while (clients.size() < target) clients.push_back(listener.Connect());
    ASSERT_TRUE(RunUntil([&] { return accept.values.size() == target; }));
    EXPECT_TRUE(accept.more);
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    ASSERT_EQ(write(clients[i], &i, sizeof i), static_cast<ssize_t>(sizeof i));
    size_t got = clients.size();
    ASSERT_EQ(read(accept.values[i], &got, sizeof got), static_cast<ssize_t>(sizeof got));
    EXPECT_EQ(got, i);
    close(clients[i]);
    close(accept.values[i]);
  }
  io_->Cancel(&accept.completion);
  ASSERT_TRUE(RunUntil([&] { return accept.ended(); }));
  EXPECT_EQ(accept.values.back(), -ECANCELED);

  accept.values.clear();
  io_->Accept(listener.fd(), &accept.completion);
  const int late = listener.Connect();
  ASSERT_TRUE(RunUntil([&] { return accept.values.size() == 1; }));
  close(late);
  close(accept.values[0]);
  io_->Cancel(&accept.completion);
  ASSERT_TRUE(RunUntil([&] { return accept.ended(); }));
  io_->Close(listener.fd());
}

// ---- receive -------------------------------------------------------------------------------------------------------

// A connection as the broker has it: receives into small buffers, and after a while into large ones.
struct Reader {
  UringIo& io;
  SocketPair pair;
  uint64_t seed;
  uint64_t grow_after;
  Operation recv;
  uint64_t received = 0;
  uint64_t written = 0;
  uint64_t starved = 0;
  size_t widest = 0;
  bool rearm = true;
  bool in_order = true;
  bool ended = false;

  Reader(UringIo& the_io, uint64_t the_seed, uint64_t grow_at) : io(the_io), seed(the_seed), grow_after(grow_at) {
    recv.also = [this](const IoResult& result) { OnRecv(result); };
  }
  RecvSize size() const { return received >= grow_after ? RecvSize::kLarge : RecvSize::kSmall; }

  void OnRecv(const IoResult& result) {
    const RecvSize before = size();
    for (const char c : result.bytes) in_order &= c == PatternAt(seed, received++);
    widest = std::max(widest, result.bytes.size());
    starved += result.error() == ENOBUFS;
    ended |= result.value == 0;
    if (!result.more) {
      rearm = !ended;
    } else if (before != size()) {
      io.Cancel(&recv.completion);
    }
    in_order &= result.value >= 0 || result.error() == ENOBUFS || result.error() == ECANCELED;
  }
  void Turn(SeededRandom* random, uint64_t total) {
    while (written < total) {
      const std::string text = Pattern(seed, written, std::min<uint64_t>(1 + random->Below(60'000), total - written));
      const ssize_t n = write(pair.theirs, text.data(), text.size());
      if (n <= 0) break;
      written += static_cast<uint64_t>(n);
    }
    if (std::exchange(rearm, false)) io.Recv(pair.ours, size(), &recv.completion);
  }
};

TEST_F(Uring, BytesArriveInOrderThroughSmallAndLargeBuffersAndWhenBuffersRunOut) {
  UringOptions options;
  options.small_buffers = 4;
  options.large_buffers = 2;
  Open(options);
  constexpr uint64_t kBytes = 6 << 20;
  SeededRandom random(5);
  std::deque<Reader> readers;
  for (uint64_t i = 0; i < 3; ++i) readers.emplace_back(*io_, i, i == 2 ? kBytes : kBytes / 2);
  const auto each = [&] {
    for (Reader& reader : readers) reader.Turn(&random, kBytes);
  };
  ASSERT_TRUE(RunUntil(
      [&] {
        bool done = true;
        for (const Reader& reader : readers) done &= reader.received == kBytes;
        return done;
      },
      each));
  for (Reader& reader : readers) {
    EXPECT_TRUE(reader.in_order);
    EXPECT_GT(reader.starved, 0u) << "buffers never ran out";
    EXPECT_EQ(reader.widest > options.small_buffer_bytes, reader.grow_after < kBytes);
    EXPECT_LE(reader.widest, reader.grow_after < kBytes ? options.large_buffer_bytes : options.small_buffer_bytes);
    reader.pair.CloseTheirs();
  }
  ASSERT_TRUE(RunUntil(
      [&] {
        bool done = true;
        for (const Reader& reader : readers) done &= reader.ended;
        return done;
      },
      each));
  for (const Reader& reader : readers) EXPECT_FALSE(reader.recv.completion.busy());
}

TEST_F(Uring, TheBytesLimitOfATurnStopsEarlyAndLosesNothing) {
  SocketPair pair;
  Operation recv;
  std::string got;
  recv.also = [&](const IoResult& result) { got += result.bytes; };
  io_->Recv(pair.ours, RecvSize::kSmall, &recv.completion);
  const std::string text = Pattern(1, 0, 40'000);
  pair.Write(text);
  bool stopped_early = false;
  while (got.size() < text.size()) {
    io_->SubmitAndWait(io_->Now() + kPatience, true);
    while (!io_->RunCompletions(4096)) {
      stopped_early = true;
      ASSERT_TRUE(io_->HasCompletions());
    }
    ASSERT_FALSE(recv.values.empty());
    if (!recv.completion.busy()) io_->Recv(pair.ours, RecvSize::kSmall, &recv.completion);
  }
  EXPECT_TRUE(stopped_early);
  EXPECT_EQ(got, text);
  pair.CloseTheirs();
  ASSERT_TRUE(RunUntil([&] { return recv.ended(); }));
}

TEST_F(Uring, ThePeersEndIsAResultOfZeroBytes) {
  SocketPair pair;
  Operation recv;
  io_->Recv(pair.ours, RecvSize::kLarge, &recv.completion);
  pair.Write("last words");
  pair.CloseTheirs();
  ASSERT_TRUE(RunUntil([&] { return recv.ended(); }));
  EXPECT_EQ(recv.values, (std::vector<int32_t>{10, 0}));
}

TEST_F(Uring, CancelEndsAReceive) {
  SocketPair pair;
  Operation recv;
  io_->Cancel(&recv.completion);  // nothing to cancel
  io_->Recv(pair.ours, RecvSize::kSmall, &recv.completion);
  pair.Write("x");
  ASSERT_TRUE(RunUntil([&] { return recv.values.size() == 1; }));
  io_->Cancel(&recv.completion);
  ASSERT_TRUE(RunUntil([&] { return recv.ended(); }));
  EXPECT_EQ(recv.values, (std::vector<int32_t>{1, -ECANCELED}));
  // The descriptor is as it was.
  recv.values.clear();
  io_->Recv(pair.ours, RecvSize::kSmall, &recv.completion);
  pair.Write("yz");
  ASSERT_TRUE(RunUntil([&] { return recv.values.size() == 1; }));
  EXPECT_EQ(recv.values[0], 2);
  io_->Cancel(&recv.completion);
  ASSERT_TRUE(RunUntil([&] { return recv.ended(); }));
}

// ---- send ----------------------------------------------------------------------------------------------------------

TEST_F(Uring, ManyPartsLeaveWholeAndInOrderThroughASocketThatIsFull) {
  for (const uint32_t count : {1u, 2u, 64u}) {
    SocketPair pair(16'384);
    std::string expected;
    std::vector<std::string> texts;
    std::vector<iovec> parts;
    for (uint32_t i = 0; i < count; ++i) {
      texts.push_back(Pattern(i, 0, 3'000'000 / count + i));
      expected += texts.back();
    }
    for (std::string& text : texts) parts.push_back({text.data(), text.size()});
    Operation send;
    io_->Send(pair.ours, parts.data(), count, &send.completion);
    parts.assign(count, iovec{nullptr, 0});  // the array is ours again
    std::string got;
    ASSERT_TRUE(
        RunUntil([&] { return send.ended() && got.size() == expected.size(); }, [&] { got += pair.ReadSome(); }));
    EXPECT_EQ(send.values, (std::vector<int32_t>{static_cast<int32_t>(expected.size())})) << count;
    EXPECT_TRUE(got == expected) << count;
  }
}

TEST_F(Uring, AQuietSendThatFitsWakesNobodyAndIsReportedApart) {
  SocketPair pair;
  std::string text = "hello";
  const iovec part{text.data(), text.size()};
  Operation send;
  io_->SendQuietly(pair.ours, &part, 1, &send.completion);
  io_->RunQuietSends();
  EXPECT_TRUE(send.values.empty()) << "it has not been submitted";
  io_->SubmitAndWait(io_->Now() + std::chrono::milliseconds(1), true);
  EXPECT_FALSE(io_->HasCompletions());
  EXPECT_TRUE(io_->RunCompletions(UINT64_MAX));
  EXPECT_TRUE(send.values.empty());
  io_->RunQuietSends();
  EXPECT_EQ(send.values, (std::vector<int32_t>{5}));
  EXPECT_TRUE(send.ended());
  EXPECT_EQ(pair.ReadSome(), "hello");
}

TEST_F(Uring, AQuietSendTellsWhatDidNotFit) {
  SocketPair pair(16'384);
  std::string text = Pattern(7, 0, 3'000'000);
  std::string got;
  size_t sent = 0;
  int short_ones = 0;
  while (sent < text.size()) {
    // Several in flight, of which some fit: a small one to another socket stays quiet.
    SocketPair other;
    char x[] = "x";
    const iovec small{x, 1};
    const iovec part{text.data() + sent, text.size() - sent};
    Operation send;
    Operation fits;
    io_->SendQuietly(pair.ours, &part, 1, &send.completion);
    io_->SendQuietly(other.ours, &small, 1, &fits.completion);
    io_->SubmitAndWait(Nanos::max(), false);
    io_->RunQuietSends();
    EXPECT_EQ(fits.values, (std::vector<int32_t>{1}));
    io_->RunCompletions(UINT64_MAX);
    ASSERT_TRUE(send.ended());
    const int32_t value = send.values[0];
    ASSERT_TRUE(value > 0 || value == -EAGAIN) << value;
    if (value > 0) sent += static_cast<size_t>(value);
    short_ones += sent < text.size();
    got += pair.ReadSome();
  }
  while (got.size() < text.size()) got += pair.ReadSome();
  EXPECT_GT(short_ones, 0);
  EXPECT_TRUE(got == text);
}

TEST_F(Uring, AQuietSendToAPeerThatHasGoneFails) {
  SocketPair pair;
  pair.CloseTheirs();
  char text[] = "nobody there";
  const iovec part{text, sizeof text};
  Operation send;
  do {
    send.values.clear();
    io_->SendQuietly(pair.ours, &part, 1, &send.completion);
    ASSERT_TRUE(RunUntil([&] { return send.ended(); }, [&] { io_->RunQuietSends(); }));
  } while (send.values[0] > 0);
  EXPECT_TRUE(send.values[0] == -EPIPE || send.values[0] == -ECONNRESET) << send.values[0];
}

TEST_F(Uring, MoreOperationsThanTheRingHasEntriesAllEnd) {
  UringOptions options;
  options.submissions = 8;
  options.completions = 16;
  Open(options);
  constexpr size_t kPairs = 60;  // no more than there are receive buffers at first
  std::deque<SocketPair> pairs;
  std::deque<Operation> sends(kPairs);
  std::deque<Operation> recvs(kPairs);
  std::deque<std::string> words;
  for (size_t i = 0; i < kPairs; ++i) pairs.emplace_back();
  for (size_t i = 0; i < kPairs; ++i) {
    const std::string text = std::to_string(i);
    iovec parts[3];
    size_t part = 0;
    for (const std::string& word : {std::string("number "), text, std::string("\n")}) {
      words.push_back(word);  // stays until the send has ended
      parts[part++] = {words.back().data(), word.size()};
    }
    io_->Send(pairs[i].ours, parts, 3, &sends[i].completion);
    io_->Recv(pairs[i].ours, RecvSize::kSmall, &recvs[i].completion);
    pairs[i].Write(text);
  }
  ASSERT_TRUE(RunUntil([&] {
    for (size_t i = 0; i < kPairs; ++i) {
      if (!sends[i].ended() || recvs[i].values.empty()) return false;
    }
    return true;
  }));
  for (size_t i = 0; i < kPairs; ++i) {
    EXPECT_EQ(pairs[i].ReadSome(), "number " + std::to_string(i) + "\n");
    EXPECT_EQ(recvs[i].values, (std::vector<int32_t>{static_cast<int32_t>(std::to_string(i).size())}));
    pairs[i].CloseTheirs();
  }
  ASSERT_TRUE(RunUntil([&] {
    for (const Operation& recv : recvs) {
      if (!recv.ended()) return false;
    }
    return true;
  }));
}

TEST_F(Uring, ASendToAPeerThatHasGoneFailsWithoutASignal) {
  SocketPair pair;
  pair.CloseTheirs();
  char text[] = "nobody there";
  const iovec part{text, sizeof text};
  Operation send;
  do {  // the first may still leave; its answer is a reset
    send.values.clear();
    io_->Send(pair.ours, &part, 1, &send.completion);
    ASSERT_TRUE(RunUntil([&] { return send.ended(); }));
  } while (send.values[0] > 0);
  EXPECT_TRUE(send.values[0] == -EPIPE || send.values[0] == -ECONNRESET) << send.values[0];
}

TEST_F(Uring, ShutdownEndsWhatIsInFlight) {
  SocketPair pair(16'384);
  Operation recv;
  Operation send;
  std::string text(4'000'000, 'x');
  const iovec part{text.data(), text.size()};
  io_->Recv(pair.ours, RecvSize::kSmall, &recv.completion);
  io_->Send(pair.ours, &part, 1, &send.completion);
  io_->SubmitAndWait(Nanos::max(), false);
  io_->RunCompletions(UINT64_MAX);
  EXPECT_TRUE(recv.completion.busy() && send.completion.busy());
  io_->Shutdown(pair.ours);
  ASSERT_TRUE(RunUntil([&] { return recv.ended() && send.ended(); }));
  EXPECT_EQ(recv.values.back(), 0);
  EXPECT_TRUE(send.values.back() == -EPIPE || (send.values.back() > 0 && send.values.back() < 4'000'000))
      << send.values.back();
}

// ---- other ---------------------------------------------------------------------------------------------------------

TEST_F(Uring, ReadTakesWhatADescriptorHas) {
  const int fd = eventfd(0, EFD_CLOEXEC);
  uint64_t value = 0;
  Operation read;
  io_->Read(fd, &value, sizeof value, &read.completion);
  io_->SubmitAndWait(Nanos::max(), false);
  io_->RunCompletions(UINT64_MAX);
  EXPECT_FALSE(read.ended());
  ASSERT_EQ(eventfd_write(fd, 42), 0);
  ASSERT_TRUE(RunUntil([&] { return read.ended(); }));
  EXPECT_EQ(read.values, (std::vector<int32_t>{8}));
  EXPECT_EQ(value, 42u);
  close(fd);
}

TEST_F(Uring, WaitingEndsAtTheDeadlineAndNotBefore) {
  const Nanos deadline = io_->Now() + std::chrono::milliseconds(3);
  io_->SubmitAndWait(deadline, true);
  EXPECT_GE(io_->Now(), deadline);
  EXPECT_TRUE(io_->RunCompletions(UINT64_MAX));
  io_->SubmitAndWait(io_->Now() - std::chrono::seconds(1), true);  // a deadline that has passed
  io_->SubmitAndWait(Nanos::max(), false);                         // does not wait
}

TEST_F(Uring, AWaitForABatchGathersAndEndsAfterItsTime) {
  constexpr Nanos kBatch = std::chrono::milliseconds(2);
  SocketPair pair;
  Operation recv;
  Operation send;
  io_->Recv(pair.ours, RecvSize::kSmall, &recv.completion);
  pair.Write("x");
  // What is there when the wait begins counts as well.
  char text[] = "y";
  const iovec part{text, 1};
  io_->Send(pair.ours, &part, 1, &send.completion);
  ASSERT_TRUE(GatherUntil([&] { return send.ended() && !recv.values.empty(); }, kBatch));
  // One result alone is held back for the whole time, and not for longer.
  const Nanos start = io_->Now();
  pair.Write("x");
  ASSERT_TRUE(GatherUntil([&] { return recv.values.size() == 2; }, kBatch));
  EXPECT_GE(io_->Now() - start, kBatch);
  // Without any the deadline counts.
  const Nanos deadline = io_->Now() + std::chrono::milliseconds(5);
  io_->SubmitAndGather(deadline, kBatch);
  EXPECT_GE(io_->Now(), deadline);
  io_->Cancel(&recv.completion);
  ASSERT_TRUE(RunUntil([&] { return recv.ended(); }));
}

TEST_F(Uring, ResultsThatArriveWhileHandlersRunWaitForTheNextTurn) {
  SocketPair pair;
  Operation first;
  Operation second;
  char text[] = "x";
  const iovec part{text, 1};
  first.also = [&](const IoResult&) {
    io_->Send(pair.ours, &part, 1, &second.completion);
    EXPECT_TRUE(second.values.empty());
  };
  io_->Send(pair.ours, &part, 1, &first.completion);
  ASSERT_TRUE(RunUntil([&] { return first.ended(); }));
  EXPECT_TRUE(second.values.empty()) << "a result may not be delivered by the turn that asked for it";
  ASSERT_TRUE(RunUntil([&] { return second.ended(); }));
}

TEST_F(Uring, AWakeFromAnotherThreadsRingEndsTheWait) {
  absl::StatusOr<std::unique_ptr<UringIo>> other = UringIo::Create({});
  ASSERT_TRUE(other.ok());
  UringIo& sleeper = **other;
  absl::StatusOr<std::unique_ptr<UringIo>> waker_io = UringIo::Create({});
  ASSERT_TRUE(waker_io.ok());
  UringIo& waker = **waker_io;
  waker.Enable({waker.ring_fd(), sleeper.ring_fd()});

  const int answered = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  const size_t rounds = Rounds(20'000);
  bool in_time = true;
  std::thread thread([&] {
    sleeper.Enable({});
    MR_CHECK(eventfd_write(answered, 1) == 0);  // a ring that is not enabled cannot be rung
    for (size_t round = 0; round < rounds && in_time; ++round) {
      const Nanos give_up = sleeper.Now() + kPatience;
      sleeper.SubmitAndWait(give_up, true);
      in_time &= sleeper.Now() < give_up;
      sleeper.RunCompletions(UINT64_MAX);
      MR_CHECK(eventfd_write(answered, 1) == 0);
    }
  });
  for (size_t round = 0; round <= rounds; ++round) {
    pollfd ready{answered, POLLIN, 0};
    if (poll(&ready, 1, 60'000) != 1) break;
    eventfd_t value = 0;
    MR_CHECK(eventfd_read(answered, &value) == 0);
    waker.Wake(1);
    waker.SubmitAndWait(Nanos::max(), false);
    waker.RunCompletions(UINT64_MAX);
  }
  thread.join();
  EXPECT_TRUE(in_time) << "a wake-up was lost";
  close(answered);
}

}  // namespace
}  // namespace millrace
