// SPDX-License-Identifier: Apache-2.0
// instructions CASE: one hot operation in two amounts, each between a start and a stop of callgrind; the difference of
// the two counts, by the difference of the amounts, is what one operation costs. `check` beside this file runs it.
// Fixed subjects, fixed seeds, no clock: the same binary gives the same count on every machine.
// Without valgrind the client requests are a few idle instructions, and the case only checks itself.
#include <gnu/libc-version.h>
#include <sys/uio.h>
#include <valgrind/callgrind.h>

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/base/check.h"
#include "proto/encoder.h"
#include "proto/parser.h"
#include "tests/proto/seeded.h"
#include "tests/route/shards.h"

#ifndef MR_BUILD_OPTIONS
#define MR_BUILD_OPTIONS "unknown"
#endif

namespace millrace {
namespace {

constexpr uint64_t kWarmup = 2'000;  // caches, chunk pools and vectors reach the size they keep
constexpr uint64_t kFew = 1'000;
constexpr uint64_t kMany = 11'000;
constexpr std::string_view kSubject = "orders.eu.abc123";

// The optimizer has to believe that `value` is looked at.
template <typename T>
void Keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

// A case is set up by its constructor; Run() does `count` operations.
class Case {
 public:
  virtual ~Case() = default;
  virtual void Run(uint64_t count) = 0;
};

// ---- parse ---------------------------------------------------------------------------------------------------------

// 64 KiB of the same command, as a busy connection's receive buffer holds them.
class ParseCase : public Case {
 public:
  explicit ParseCase(const std::string& command) {
    while (stream_.size() + command.size() <= 65536) stream_ += command;
  }
  void Run(uint64_t count) override {
    Command command;
    std::string_view rest;
    for (uint64_t i = 0; i < count; ++i) {
      if (rest.empty()) rest = stream_;
      MR_CHECK(parser_.Next(rest, &command) == Parser::Status::kCommand);
      Keep(command.payload.data());
      rest.remove_prefix(parser_.consumed());
    }
  }

 private:
  std::string stream_;
  Parser parser_;
};

// The same, as a session reads a client that goes on publishing to one subject.
class ParseRepeatedCase : public Case {
 public:
  explicit ParseRepeatedCase(const std::string& command) : beginning_(command.substr(0, command.rfind(' ', 40) + 1)) {
    while (stream_.size() + command.size() <= 65536) stream_ += command;
  }
  void Run(uint64_t count) override {
    std::string_view rest = std::string_view(stream_).substr(0, stream_.size() - 64);
    const std::string_view all = rest;
    Parser::RepeatedSize size;
    for (uint64_t i = 0; i < count; ++i) {
      size_t bytes = parser_.NextRepeated(rest, beginning_, &size);
      if (bytes == 0) bytes = parser_.NextRepeated(rest = all, beginning_, &size);
      MR_CHECK(bytes != 0);
      Keep(rest.data());
      rest.remove_prefix(bytes);
    }
  }

 private:
  const std::string beginning_;
  std::string stream_;
  Parser parser_;
};

// ---- match ---------------------------------------------------------------------------------------------------------

// A connection as the router sees it.
class Client : public SubscriptionOwner {
 public:
  Client(Shards& shards, uint64_t cid) : shard_(shards[0]), receiver_(shards[0].chunks) {
    receiver_.id = ConnectionId{0, 0, cid};
    receiver_.owner = this;
    receiver_.headers = true;
  }
  ~Client() override {
    for (Subscription* sub : subs_) shard_.interest.Remove(sub);
    shard_.interest.FreeRemoved();
  }
  void Subscribe(std::string_view filter) {
    const std::string sid = std::to_string(subs_.size() + 1);
    subs_.push_back(Subscription::Create(kGlobalAccount, &receiver_, nullptr, filter, {}, sid));
    shard_.interest.Insert(subs_.back());
  }
  // Everything that waits leaves, as a send does it. Returns how many bytes.
  uint64_t Drain() {
    uint64_t sum = 0;
    while (!receiver_.outbox.empty()) {
      iovec parts[16];
      const uint32_t count = receiver_.outbox.Gather(parts, 16, 1 << 20);
      uint64_t bytes = 0;
      for (uint32_t i = 0; i < count; ++i) bytes += parts[i].iov_len;
      receiver_.outbox.Sent(bytes);
      sum += bytes;
    }
    return sum;
  }
  Receiver& receiver() { return receiver_; }
  void OnAutoUnsubscribed(Subscription*) override {}
  std::string_view client_name() const override { return "case"; }
  AccountId account() const override { return kGlobalAccount; }
  Nanos rtt() const override { return Nanos{0}; }
  std::string RequestorJson(const RequestorDetail&) const override { return "{}"; }

 private:
  Shards::Shard& shard_;
  Receiver receiver_;
  std::vector<Subscription*> subs_;
};

std::string Numbered(std::string_view head, uint64_t number, std::string_view tail = {}) {
  char digits[24];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(SeededRandom(number).Next()));
  return std::string(head).append(digits).append(tail);
}

// Interest as a busy shard has it: inboxes, device filters with a star, some wide ones. Fixed, whatever is looked up.
class MatchCase : public Case {
 public:
  // kHit: 256 subjects in turn, all of them cached. kMiss: every subject is seen once, so the trie is walked.
  enum class Kind { kHit, kMiss };

  explicit MatchCase(Kind kind)
      : shards_(1, {}, kind == Kind::kHit ? 65536 : 64), client_(shards_, 1), want_(kind == Kind::kHit ? 1 : 3) {
    for (uint64_t i = 0; i < 1000; ++i) client_.Subscribe(Numbered("_INBOX.", i));
    for (uint64_t i = 0; i < 1000; ++i) client_.Subscribe(Numbered("fleet.eu.", i, ".*.state"));
    for (const std::string_view wide : {"fleet.>", "fleet.*.*.*.state", "audit.*.>"}) client_.Subscribe(wide);
    const uint64_t subjects = kind == Kind::kHit ? 256 : kWarmup + kFew + kMany;
    for (uint64_t i = 0; i < subjects; ++i) {
      subjects_.push_back(kind == Kind::kHit ? Numbered("_INBOX.", i)
                                             : Numbered("fleet.eu.", i % 1000, ".s" + std::to_string(i) + ".state"));
    }
  }
  void Run(uint64_t count) override {
    for (uint64_t i = 0; i < count; ++i) {
      const MatchResult* match = shards_[0].interest.Match(kGlobalAccount, subjects_[next_]).result;
      MR_CHECK(match->plain.size() == want_);
      next_ = next_ + 1 == subjects_.size() ? 0 : next_ + 1;
    }
  }

 private:
  Shards shards_;
  Client client_;
  const size_t want_;
  std::vector<std::string> subjects_;
  size_t next_ = 0;
};

// ---- encode --------------------------------------------------------------------------------------------------------

class EncodeCase : public Case {
 public:
  explicit EncodeCase(bool headers) : headers_(headers) {}
  void Run(uint64_t count) override {
    std::string_view subject = kSubject;
    size_t bytes = 128;
    size_t header_bytes = 29;
    char out[256];
    for (uint64_t i = 0; i < count; ++i) {
      asm volatile("" : "+r"(bytes), "+r"(header_bytes), "+m"(subject) : : "memory");  // none of it is a constant
      Keep(headers_ ? AppendHmsgHeader(out, subject, "12", {}, header_bytes, header_bytes + bytes)
                    : AppendMsgHeader(out, subject, "12", {}, bytes));
    }
  }

 private:
  const bool headers_;
};

// ---- route ---------------------------------------------------------------------------------------------------------

// One publisher, some subscribers, all on one shard. The outboxes are drained every 64 messages, as a turn ends.
class RouteCase : public Case {
 public:
  explicit RouteCase(uint64_t subscribers) : shards_(1), publisher_(shards_, 1), payload_(128, 'x') {
    for (uint64_t i = 0; i < subscribers; ++i) {
      subscribers_.push_back(std::make_unique<Client>(shards_, 2 + i));
      subscribers_.back()->Subscribe(kSubject);
    }
  }
  void Run(uint64_t count) override {
    Shards::Shard& shard = shards_[0];
    // A session remembers the match of the subject it published to last; looking it up is a case of its own.
    const MatchResult* match = shard.interest.Match(kGlobalAccount, kSubject).result;
    Message message{.account = kGlobalAccount};
    message.subject = kSubject;
    message.payload = payload_;
    message.origin = &publisher_.receiver();
    message.origin_id = publisher_.receiver().id;
    for (uint64_t i = 1; i <= count; ++i) {
      MR_CHECK(shard.router.Publish(message, *match).delivered);
      if (i % 64 == 0 || i == count) EndTurn();
    }
  }

 private:
  void EndTurn() {
    uint64_t bytes = 0;
    for (const auto& subscriber : subscribers_) bytes += subscriber->Drain();
    MR_CHECK(bytes != 0);
    shards_.Finish(0);
  }

  Shards shards_;
  Client publisher_;
  const std::string payload_;
  std::vector<std::unique_ptr<Client>> subscribers_;
};

// The same as one run after the other of 64 messages, to one subject or to as many under one wildcard.
class RunCase : public Case {
 public:
  RunCase(uint64_t subscribers, bool mixed) : shards_(1), publisher_(shards_, 1), mixed_(mixed) {
    const std::string subject(kSubject);
    for (uint64_t i = 0; i < kRun; ++i) {
      lines_.push_back((mixed ? subject + "." + std::to_string(10 + i) : subject) + " 128\r\n" + std::string(128, 'x') +
                       "\r\n");
    }
    for (uint64_t i = 0; i < subscribers; ++i) {
      subscribers_.push_back(std::make_unique<Client>(shards_, 2 + i));
      subscribers_.back()->Subscribe(mixed ? subject + ".*" : subject);
    }
  }
  void Run(uint64_t count) override {
    Shards::Shard& shard = shards_[0];
    const size_t subject_bytes = lines_[0].find(' ');
    Message common{.account = kGlobalAccount};
    common.subject = SubjectOf(lines_[0], subject_bytes);
    common.origin = &publisher_.receiver();
    common.origin_id = publisher_.receiver().id;
    const MatchResult* match = shard.interest.Match(kGlobalAccount, common.subject, true).result;
    for (uint64_t i = 1; i <= count; ++i) {
      const std::string_view line = lines_[(i - 1) % kRun];
      const std::string_view subject = SubjectOf(line, subject_bytes);
      if (i % kRun == 1) {
        MR_CHECK(shard.router.OpenRun(common, *match));
      } else if (mixed_) {
        MR_CHECK(shard.router.ContinueRun(*match, subject));
      }
      shard.router.AddToRun(subject, line.substr(subject_bytes + 1), 128, 0);
      if (i % kRun != 0 && i != count) continue;
      shard.router.FlushRun();
      uint64_t bytes = 0;
      for (const auto& subscriber : subscribers_) bytes += subscriber->Drain();
      MR_CHECK(bytes != 0);
      shards_.Finish(0);
    }
  }

 private:
  static constexpr uint64_t kRun = 64;
  static std::string_view SubjectOf(std::string_view line, size_t bytes) { return line.substr(0, bytes); }

  Shards shards_;
  Client publisher_;
  const bool mixed_;
  std::vector<std::string> lines_;
  std::vector<std::unique_ptr<Client>> subscribers_;
};

std::string Pub16() { return "PUB " + std::string(kSubject) + " 16\r\n" + std::string(16, 'x') + "\r\n"; }
std::string Hpub128() {
  return "HPUB " + std::string(kSubject) + " 29 157\r\nNATS/1.0\r\nKey: some-value\r\n\r\n" + std::string(128, 'x') +
         "\r\n";
}

struct CaseEntry {
  std::string_view name;
  std::unique_ptr<Case> (*make)();
};

const CaseEntry kCases[] = {
    {"parse-pub-16", [] { return std::unique_ptr<Case>(new ParseCase(Pub16())); }},
    {"parse-hpub-128", [] { return std::unique_ptr<Case>(new ParseCase(Hpub128())); }},
    {"parse-repeated-16", [] { return std::unique_ptr<Case>(new ParseRepeatedCase(Pub16())); }},
    {"match-hit", [] { return std::unique_ptr<Case>(new MatchCase(MatchCase::Kind::kHit)); }},
    {"match-miss", [] { return std::unique_ptr<Case>(new MatchCase(MatchCase::Kind::kMiss)); }},
    {"encode-msg", [] { return std::unique_ptr<Case>(new EncodeCase(false)); }},
    {"encode-hmsg", [] { return std::unique_ptr<Case>(new EncodeCase(true)); }},
    {"route-1x1-128", [] { return std::unique_ptr<Case>(new RouteCase(1)); }},
    {"route-1x8-128", [] { return std::unique_ptr<Case>(new RouteCase(8)); }},
    {"route-run-1x1-128", [] { return std::unique_ptr<Case>(new RunCase(1, false)); }},
    {"route-run-1x8-128", [] { return std::unique_ptr<Case>(new RunCase(8, false)); }},
    {"route-mixed-run-1x1-128", [] { return std::unique_ptr<Case>(new RunCase(1, true)); }},
};

// One function in all of the program between start and stop, so that both amounts see the same code around them.
[[gnu::noinline]] void Count(Case* measured, uint64_t count) {
  CALLGRIND_ZERO_STATS;
  CALLGRIND_START_INSTRUMENTATION;
  measured->Run(count);
  CALLGRIND_STOP_INSTRUMENTATION;
  CALLGRIND_DUMP_STATS;
}

int Main(int argc, char** argv) {
  const std::string_view wanted = argc == 2 ? argv[1] : "--list";
  if (wanted == "--toolchain") {
    // What the counts depend on besides the source: the compiler, its options, and memcpy of the C library.
    std::printf("gcc %s, %s, glibc %s\n", __VERSION__, MR_BUILD_OPTIONS, gnu_get_libc_version());
    return 0;
  }
  if (wanted == "--amounts") {
    std::printf("%llu %llu\n", static_cast<unsigned long long>(kFew), static_cast<unsigned long long>(kMany));
    return 0;
  }
  for (const CaseEntry& entry : kCases) {
    if (wanted == "--list") {
      std::printf("%.*s\n", static_cast<int>(entry.name.size()), entry.name.data());
    } else if (wanted == entry.name) {
      const std::unique_ptr<Case> measured = entry.make();
      measured->Run(kWarmup);
      Count(measured.get(), kFew);
      Count(measured.get(), kMany);
      return 0;
    }
  }
  if (wanted == "--list") return 0;
  std::fprintf(stderr, "instructions: no case %s (--list)\n", argv[1]);
  return 64;
}

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) { return millrace::Main(argc, argv); }
