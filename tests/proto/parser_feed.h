// SPDX-License-Identifier: Apache-2.0
// What a stream comes to: fed to the parser in pieces as a connection would, or to its naive twin byte by byte; and
// streams made of random commands with random faults. Used by parser_test.cc and tests/fuzz.
// Owner:  caller (pure).
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/parser.h"
#include "tests/proto/naive_parser.h"
#include "tests/proto/seeded.h"

namespace millrace {

struct FeedResult {
  std::vector<NaiveCommand> commands;
  ProtocolError error = ProtocolError::kNone;
  size_t error_at = 0;
  size_t bytes_given = 0;  // how much of the stream had been seen when the error came
  std::string breach;      // an API promise that was broken; empty when all held
};

inline NaiveCommand CopyOf(const Command& c) {
  NaiveCommand out;
  out.verb = c.verb;
  switch (c.verb) {
    case Verb::kPub:
    case Verb::kHpub:
      out.subject = c.subject;
      out.reply = c.reply;
      out.payload = c.payload;
      out.header_bytes = c.header_bytes;
      break;
    case Verb::kSub:
      out.subject = c.subject;
      out.queue = c.queue;
      out.sid = c.sid;
      break;
    case Verb::kUnsub:
      out.sid = c.sid;
      out.max = c.max;
      break;
    default:
      out.payload = c.args;
  }
  return out;
}

// What Command::tail has to be, built from the other fields.
inline std::string NaiveTail(const Command& c) {
  std::string out;
  if (!c.reply.empty()) out.append(c.reply).append(" ");
  if (c.verb == Verb::kHpub) out.append(std::to_string(c.header_bytes)).append(" ");
  return out.append(std::to_string(c.payload.size())).append("\r\n").append(c.payload).append("\r\n");
}

// piece(i) is the size of the i-th piece. Each call of Next sees the bytes at a new address, without a byte to spare.
template <typename F>
FeedResult FeedParser(std::string_view stream, const ParserLimits& limits, F&& piece) {
  FeedResult result;
  Parser parser(limits);
  Command command;
  size_t done = 0;   // bytes of whole commands
  size_t given = 0;  // bytes received
  size_t promised = 0;
  std::string beginning;  // of a PUB that may be repeated
  Parser::RepeatedSize repeated_size;
  for (size_t i = 0; given < stream.size(); ++i) {
    given = std::min(stream.size(), given + std::max<size_t>(1, piece(i)));
    bool more = true;
    while (more && done < given) {
      const size_t n = given - done;
      std::unique_ptr<char[]> copy(new char[n]);
      std::memcpy(copy.get(), stream.data() + done, n);
      if (!beginning.empty()) {
        if (const size_t taken = parser.NextRepeated({copy.get(), n}, beginning, &repeated_size); taken > 0) {
          if (taken > n || (promised != 0 && taken != promised)) result.breach = "a repeated PUB of the wrong length";
          if (repeated_size.payload_bytes + 2 > taken) result.breach = "a repeated PUB of the wrong size";
          promised = 0;
          NaiveCommand again;
          again.verb = Verb::kPub;
          again.subject = beginning.substr(4, beginning.size() - 5);
          const size_t bytes = repeated_size.payload_bytes;
          again.payload = std::string(copy.get() + taken - 2 - bytes, bytes);
          result.commands.push_back(again);
          done += taken;
          continue;
        }
      }
      switch (parser.Next({copy.get(), n}, &command)) {
        case Parser::Status::kCommand:
          if (parser.consumed() == 0 || parser.consumed() > n) result.breach = "consumed out of range";
          if (promised != 0 && parser.consumed() != promised) result.breach = "bytes_needed was wrong";
          promised = 0;
          result.commands.push_back(CopyOf(command));
          if (command.verb == Verb::kPub || command.verb == Verb::kHpub) {
            if (!command.tail.empty() && command.tail != NaiveTail(command)) result.breach = "a wrong tail";
            if (command.verb == Verb::kHpub && command.header_bytes == 0 && !command.tail.empty())
              result.breach = "a tail for an HPUB without header";
            if (command.verb == Verb::kPub && command.reply.empty() && !command.tail.empty()) {
              beginning.assign(static_cast<const char*>(copy.get()), command.tail.data());
              repeated_size = {};
            }
          }
          done += parser.consumed();
          break;
        case Parser::Status::kNeedMore:
          more = false;
          if (parser.bytes_needed() != 0 && parser.bytes_needed() <= n) {
            result.breach = "bytes_needed already there";
          }
          promised = parser.bytes_needed();
          if (promised == 0 && n > limits.line_bytes_max()) result.breach = "line_bytes_max exceeded";
          break;
        case Parser::Status::kError:
          result.error = parser.error();
          result.error_at = done + parser.consumed();
          result.bytes_given = given;
          if (parser.consumed() >= n) result.breach = "error behind the input";
          return result;
      }
    }
  }
  return result;
}

inline FeedResult FeedNaive(std::string_view stream, const ParserLimits& limits) {
  FeedResult result;
  NaiveParser parser(limits);
  for (const char c : stream) {
    if (parser.Eat(c)) result.commands.push_back(parser.command);
    if (parser.error != ProtocolError::kNone) {
      result.error = parser.error;
      result.error_at = parser.position - 1;
      result.bytes_given = parser.position;
      break;
    }
  }
  return result;
}

// Why two results differ, or empty. Where a long line is refused depends on how much of it came at once, so only that
// one error's place is left out.
inline std::string Difference(const FeedResult& a, const FeedResult& b) {
  if (!a.breach.empty()) return a.breach;
  if (!b.breach.empty()) return b.breach;
  if (a.error != b.error) {
    return "errors " + std::to_string(int(a.error)) + " and " + std::to_string(int(b.error));
  }
  if (a.error != ProtocolError::kControlLineTooLong && a.error_at != b.error_at) {
    return "error at " + std::to_string(a.error_at) + " and " + std::to_string(b.error_at);
  }
  if (a.commands.size() != b.commands.size()) return "number of commands";
  for (size_t i = 0; i < a.commands.size(); ++i) {
    if (a.commands[i] != b.commands[i]) return "command " + std::to_string(i);
  }
  return {};
}

// One command as some client might send it: any case, any blanks, sizes right most of the time, now and then a fault.
inline std::string RandomCommand(SeededRandom* random) {
  static constexpr std::string_view kTokens[] = {"foo", "a.b.c", "orders.eu.1234", "_INBOX.abcdefghijklmnopqrstuv.7",
                                                 "*", ">", "x", "\x80\xff", "a..b", "$JS.ACK.S.C.1.2.3.4.5"};
  static constexpr std::string_view kBreaks[] = {"\r\n", "\r\n", "\r\n", "\n", "\r\r\n", " \r\n", "\r", ""};
  const auto token = [&]() -> std::string {
    if (random->OneIn(12)) return std::string(random->Below(150), 'q');
    return std::string(kTokens[random->Below(std::size(kTokens))]);
  };
  const auto blank = [&]() -> std::string {
    if (random->OneIn(8)) return std::string(random->Below(4), random->OneIn(2) ? ' ' : '\t');
    return " ";
  };
  const auto line_end = [&] { return std::string(kBreaks[random->Below(random->OneIn(6) ? 8 : 3)]); };
  const auto verb = [&](std::string_view name) {
    std::string out(name);
    for (char& c : out) {
      if (random->OneIn(9) && c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    }
    return out;
  };
  const auto payload = [&](size_t n) {
    std::string out;
    for (size_t i = 0; i < n; ++i) out.push_back(static_cast<char>(random->Below(256)));
    return out + std::string(random->OneIn(20) ? "\n" : "\r\n");
  };
  const size_t size = random->OneIn(10) ? random->Below(300) : random->Below(20);
  const std::string digits =
      (random->OneIn(15) ? "000" : "") + std::to_string(random->OneIn(40) ? size * 100 : size);
  switch (random->Below(12)) {
    case 0:
      return verb("PING") + line_end();
    case 1:
      return verb("PONG") + (random->OneIn(5) ? "zz" : "") + line_end();
    case 2:
      return verb("CONNECT") + blank() + "{\"verbose\":false}" + line_end();
    case 3:
      return verb(random->OneIn(2) ? "INFO" : "-ERR") + blank() + "'some text'" + line_end();
    case 4:
      return verb("+OK") + line_end();
    case 5:
    case 6:
      return verb("SUB") + blank() + token() + blank() + (random->OneIn(2) ? token() + blank() : "") +
             std::to_string(random->Below(100)) + line_end();
    case 7:
      return verb("UNSUB") + blank() + std::to_string(random->Below(100)) +
             (random->OneIn(2) ? " " + digits : "") + line_end();
    case 8:
    case 9:
      return verb("HPUB") + blank() + token() + blank() + (random->OneIn(2) ? token() + blank() : "") +
             std::to_string(random->Below(size + 1 + random->OneIn(30))) + blank() + digits + line_end() +
             payload(size);
    case 10: {  // the same publish again and again
      std::string out;
      const std::string beginning = "PUB " + token() + " ";
      for (uint64_t i = 2 + random->Below(6); i > 0; --i) {
        const size_t bytes = random->OneIn(4) ? size : random->Below(random->OneIn(20) ? 12'000 : 120);
        out += beginning + (random->OneIn(40) ? "0" : "") + std::to_string(bytes) + (random->OneIn(40) ? " " : "") +
               (random->OneIn(40) ? "\n" : "\r\n") + payload(bytes);
      }
      return out;
    }
    default:
      return verb("PUB") + blank() + token() + blank() + (random->OneIn(3) ? token() + blank() : "") +
             digits + line_end() + payload(size);
  }
}

inline void Mutate(std::string* bytes, SeededRandom* random) {
  static constexpr std::string_view kBytes = " \t\r\n\0PpUuBbSHCI+-019.*>x\x80";
  const size_t at = bytes->empty() ? 0 : random->Below(bytes->size());
  const char c = kBytes[random->Below(kBytes.size())];
  switch (random->Below(4)) {
    case 0:
      bytes->insert(at, 1, c);
      break;
    case 1:
      if (!bytes->empty()) bytes->erase(at, 1);
      break;
    case 2:
      if (!bytes->empty()) (*bytes)[at] = c;
      break;
    default:
      bytes->insert(at, bytes->substr(at, random->Below(40)));
  }
}

}  // namespace millrace
