// SPDX-License-Identifier: Apache-2.0
// NaiveParser: the parser's twin, written from proto/README.md as a state machine that eats one byte at a time and owns
// copies of everything. Slow and plain on purpose; shares no code with proto/parser.cc.
// Owner:  caller (pure).
#pragma once

#include <cctype>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proto/command.h"
#include "proto/errors.h"
#include "proto/limits.h"

namespace millrace {

struct NaiveCommand {
  Verb verb = Verb::kPing;
  std::string subject, reply, queue, sid, payload;
  int64_t max = -1;
  uint32_t header_bytes = 0;
  friend bool operator==(const NaiveCommand&, const NaiveCommand&) = default;
};

class NaiveParser {
 public:
  explicit NaiveParser(const ParserLimits& limits) : limits_(limits) {}

  // True when this byte completed a command, which is then in command. Once error is set no byte may follow.
  bool Eat(char c) {
    ++position;
    switch (state_) {
      case State::kVerb:
        return EatVerb(c);
      case State::kBlanks:
        if (c == ' ' || c == '\t') {
          if (++blanks_ > limits_.control_line_bytes_max) Fail(ProtocolError::kControlLineTooLong);
          return false;
        }
        if (c == '\n' && IsPublish()) return Fail(ProtocolError::kParse);
        state_ = State::kArgs;
        args_.push_back(c);
        return CheckOpenLine();
      case State::kArgs:
        if (c == '\n') return EndOfLine();
        args_.push_back(c);
        return CheckOpenLine();
      case State::kPayload:
        command.payload.push_back(c);
        if (command.payload.size() == payload_bytes_) state_ = State::kCr;
        return false;
      case State::kCr:
        if (c != '\r') return Fail(ProtocolError::kUnknownOperation);
        state_ = State::kLf;
        return false;
      case State::kLf:
        if (c != '\n') return Fail(ProtocolError::kUnknownOperation);
        state_ = State::kVerb;
        return true;
    }
    return false;
  }

  NaiveCommand command;
  ProtocolError error = ProtocolError::kNone;
  size_t position = 0;  // bytes eaten so far; the last one is the culprit after an error

 private:
  enum class State { kVerb, kBlanks, kArgs, kPayload, kCr, kLf };

  bool Fail(ProtocolError e) {
    error = e;
    return false;
  }

  bool IsPublish() const { return word_ == "PUB" || word_ == "HPUB"; }
  bool TakesNoArgs() const { return word_ == "PING" || word_ == "PONG" || word_ == "+OK"; }

  bool EatVerb(char c) {
    static const std::vector<std::string> kWords = {"PUB",  "HPUB", "SUB",     "UNSUB", "PING",
                                                    "PONG", "+OK",  "CONNECT", "INFO",  "-ERR"};
    if (word_.empty() || complete_) {
      if (complete_) {  // the byte behind a complete verb
        complete_ = false;
        if (TakesNoArgs()) {
          state_ = State::kArgs;
          if (c == '\n') return EndOfLine();
          args_.push_back(c);
          return CheckOpenLine();
        }
        state_ = State::kBlanks;
        if (c != ' ' && c != '\t' && word_ != "CONNECT" && word_ != "INFO") {
          return Fail(ProtocolError::kUnknownOperation);
        }
        --position;
        return Eat(c);
      }
      if (limits_.connect_first && c != 'C' && c != 'c') {
        return Fail(ProtocolError::kAuthorizationViolation);
      }
    }
    word_.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
    bool known = false;
    for (const std::string& word : kWords) {
      if (word.compare(0, word_.size(), word_) == 0) known = true;
      if (word == word_) complete_ = true;
    }
    if (!known) return Fail(ProtocolError::kUnknownOperation);
    return false;
  }

  // The line is not over yet and already too long, one CR not counted.
  bool CheckOpenLine() {
    size_t n = args_.size();
    if (n > 1 && args_.find('\r', 1) != std::string::npos) --n;
    if (n > limits_.control_line_bytes_max) Fail(ProtocolError::kControlLineTooLong);
    return false;
  }

  static int64_t Number(const std::string& text) {
    if (text.empty() || text.size() > 9) return -1;
    for (const char c : text) {
      if (c < '0' || c > '9') return -1;
    }
    return std::stoll(text);
  }

  bool EndOfLine() {
    std::string args;
    args.swap(args_);
    if (!TakesNoArgs() && args.size() > 1 && args.find('\r', 1) != std::string::npos) args.pop_back();
    if (args.size() > limits_.control_line_bytes_max) {
      return Fail(ProtocolError::kControlLineTooLong);
    }
    std::vector<std::string> list;
    std::string one;
    for (const char c : args + " ") {
      if (c == ' ' || c == '\t' || (!IsPublish() && (c == '\r' || c == '\n'))) {
        if (!one.empty()) list.push_back(one);
        one.clear();
      } else {
        one.push_back(c);
      }
    }
    const std::string word = word_;
    word_.clear();
    blanks_ = 0;
    command = NaiveCommand();
    state_ = State::kVerb;
    const size_t n = list.size();
    if (word == "PUB" || word == "HPUB") {
      const bool has_header = word == "HPUB";
      if (has_header && !limits_.headers) return Fail(ProtocolError::kHeadersNotSupported);
      const size_t least = has_header ? 3 : 2;
      if (n != least && n != least + 1) return Fail(ProtocolError::kParse);
      if (args.find('\r') != std::string::npos) return Fail(ProtocolError::kParse);
      command.verb = has_header ? Verb::kHpub : Verb::kPub;
      command.subject = list[0];
      if (n > least) command.reply = list[1];
      const int64_t total = Number(list[n - 1]);
      int64_t header = 0;
      if (has_header) {
        header = Number(list[n - 2]);
        if (header < 0) return Fail(ProtocolError::kBadHeaderSize);
      }
      if (total < 0) return Fail(ProtocolError::kParse);
      if (header > total) return Fail(ProtocolError::kBadHeaderSize);
      command.header_bytes = static_cast<uint32_t>(header);
      if (limits_.payload_bytes_max >= 0 && total > limits_.payload_bytes_max) {
        return Fail(ProtocolError::kPayloadTooLarge);
      }
      payload_bytes_ = static_cast<size_t>(total);
      state_ = total == 0 ? State::kCr : State::kPayload;
      return false;
    }
    if (word == "SUB") {
      if (n != 2 && n != 3) return Fail(ProtocolError::kParse);
      command.verb = Verb::kSub;
      command.subject = list[0];
      if (n == 3) command.queue = list[1];
      command.sid = list[n - 1];
    } else if (word == "UNSUB") {
      if (n != 1 && n != 2) return Fail(ProtocolError::kParse);
      command.verb = Verb::kUnsub;
      command.sid = list[0];
      if (n == 2) command.max = Number(list[1]);
    } else {
      command.verb = word == "PING"      ? Verb::kPing
                     : word == "PONG"    ? Verb::kPong
                     : word == "+OK"     ? Verb::kOk
                     : word == "CONNECT" ? Verb::kConnect
                     : word == "INFO"    ? Verb::kInfo
                                         : Verb::kErr;
      while (!args.empty() && (args.front() == ' ' || args.front() == '\t')) args.erase(0, 1);
      while (!args.empty() && (args.back() == ' ' || args.back() == '\t' || args.back() == '\r')) {
        args.pop_back();
      }
      command.payload = args;  // stands in for Command::args
    }
    return true;
  }

  ParserLimits limits_;
  State state_ = State::kVerb;
  std::string word_;
  bool complete_ = false;
  size_t blanks_ = 0;
  std::string args_;
  size_t payload_bytes_ = 0;
};

}  // namespace millrace
