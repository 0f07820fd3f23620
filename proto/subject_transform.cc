// SPDX-License-Identifier: Apache-2.0
#include "proto/subject_transform.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "absl/strings/str_format.h"
#include "proto/base/check.h"
#include "proto/place_holders.h"
#include "proto/subject.h"

namespace millrace {
namespace {

constexpr std::string_view kNotEnoughArgs = "not enough arguments passed to the function";
constexpr std::string_view kTooManyArgs = "too many arguments passed to the function";
constexpr std::string_view kInvalidArg = "function argument is invalid or in the wrong format";
constexpr std::string_view kOutOfRange = "wildcard index out of range";
constexpr std::string_view kUnknownFunction = "unknown function";
constexpr std::string_view kInvalidTransform = "invalid transform";
constexpr std::string_view kWildcardOnly = "the only mapping function allowed for import transforms is {{Wildcard()}}";
constexpr std::string_view kNotAllWildcards = "not using all of the token wildcard(s)";

absl::Status Refuse(std::string_view what, std::string_view token) {
  if (token.empty()) return absl::InvalidArgumentError(absl::StrFormat("invalid mapping destination: %s", what));
  return absl::InvalidArgumentError(absl::StrFormat("invalid mapping destination: %s in %s", what, token));
}

absl::Status InvalidSubject() { return absl::InvalidArgumentError("invalid subject"); }

std::vector<std::string_view> Split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  for (size_t at = text.find(separator); at != std::string_view::npos; at = text.find(separator)) {
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + separator.size());
  }
  parts.push_back(text);
  return parts;
}

// As strings.Split with an empty separator: one part a byte (of ASCII text).
std::vector<std::string_view> SplitAny(std::string_view text, std::string_view separator) {
  if (!separator.empty()) return Split(text, separator);
  std::vector<std::string_view> parts;
  for (size_t i = 0; i < text.size(); ++i) parts.push_back(text.substr(i, 1));
  return parts;
}

// As strconv.Atoi of the text without the spaces around it.
std::optional<int64_t> ToInteger(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Arguments between commas; blanks after a comma do not count.
std::vector<std::string_view> SplitArguments(std::string_view text) {
  std::vector<std::string_view> arguments = Split(text, ",");
  for (size_t i = 1; i < arguments.size(); ++i) arguments[i].remove_prefix(SkipBlanks(arguments[i], 0));
  return arguments;
}

bool LooksLikeFunction(std::string_view token) {
  return token.size() > 4 && token.substr(0, 2) == "{{" && token.substr(token.size() - 2) == "}}";
}

constexpr std::string_view kFunctionNames[] = {"Wildcard",       "Partition", "SplitFromLeft", "SplitFromRight",
                                               "SliceFromLeft",  "SliceFromRight", "Right",    "Left",
                                               "Split",          "Random"};

// Tokens that are not empty, `>` only last. Counts the wildcards.
bool ReadTokens(std::string_view subject, std::vector<std::string_view>* tokens, size_t* wildcards, bool* tail) {
  *tail = false;
  for (TokenCursor t(subject); !t.done(); t.Advance()) {
    const std::string_view token = t.token();
    if (token.empty() || *tail) return false;
    if (token == ">") *tail = true;
    if (token == "*") ++*wildcards;
    tokens->push_back(token);
  }
  return true;
}

uint32_t Fnv1a32(std::string_view text, uint32_t hash = 2'166'136'261) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 16'777'619;
  return hash;
}

void AppendWithDot(std::string_view first, std::string_view second, std::string* out) {
  *out += first;
  *out += '.';
  *out += second;
}

void AppendSlicesFromLeft(std::string_view token, size_t size, std::string* out) {
  MR_CHECK(size > 0);
  for (size_t at = 0; at < token.size(); at += size) {
    if (at > 0) *out += '.';
    *out += token.substr(at, size);
  }
}

void AppendSlicesFromRight(std::string_view token, size_t size, std::string* out) {
  MR_CHECK(size > 0);
  const size_t remainder = token.size() % size;
  if (remainder > 0) {
    *out += token.substr(0, remainder);
    *out += '.';
  }
  AppendSlicesFromLeft(token.substr(remainder), size, out);
}

void AppendSplit(std::string_view token, std::string_view delimiter, std::string* out) {
  const std::vector<std::string_view> parts = SplitAny(token, delimiter);
  for (size_t i = 0; i < parts.size(); ++i) {
    *out += parts[i];
    const bool next_is_empty = i + 1 >= parts.size() || parts[i + 1].empty();
    if (!next_is_empty && !(i == 0 && parts[i].empty())) *out += '.';
  }
}

}  // namespace

absl::StatusOr<SubjectTransform::ReadToken> SubjectTransform::ReadFunction(std::string_view token) {
  constexpr Function kFunctions[] = {Function::kWildcard,      Function::kPartition,     Function::kSplitFromLeft,
                                     Function::kSplitFromRight, Function::kSliceFromLeft, Function::kSliceFromRight,
                                     Function::kRight,         Function::kLeft,          Function::kSplit,
                                     Function::kRandom};
  std::optional<std::string_view> call;
  ReadToken read;
  Piece& piece = read.piece;
  for (size_t i = 0; i < std::size(kFunctions) && !call; ++i) {
    call = FindCall(token, kFunctionNames[i]);
    piece.function = kFunctions[i];
  }
  if (!call) return Refuse(kUnknownFunction, token);
  const std::vector<std::string_view> arguments = SplitArguments(*call);
  const auto read_number = [&](std::string_view text, int64_t min) {
    const std::optional<int64_t> number = ToInteger(text);
    if (!number || *number > std::numeric_limits<int32_t>::max() || *number < min) return false;
    piece.number = static_cast<int32_t>(*number);
    return true;
  };
  const auto read_wildcard = [&](std::string_view text) {
    const std::optional<int64_t> index = ToInteger(text);
    if (index) read.wildcards.push_back(*index);
    return index.has_value();
  };
  constexpr int64_t kAnyNumber = std::numeric_limits<int64_t>::min();
  switch (piece.function) {
    case Function::kWildcard:
      if (arguments.size() == 1 && arguments[0].empty()) return Refuse(kNotEnoughArgs, token);
      if (arguments.size() > 1) return Refuse(kTooManyArgs, token);
      if (!read_wildcard(arguments[0])) return Refuse(kInvalidArg, token);
      return read;
    case Function::kPartition:
      if (!read_number(arguments[0], kAnyNumber)) return Refuse(kInvalidArg, token);
      for (size_t i = 1; i < arguments.size(); ++i) {
        if (!read_wildcard(arguments[i])) return Refuse(kInvalidArg, token);
      }
      return read;
    case Function::kRandom:
      if (arguments.size() != 1) return Refuse(kNotEnoughArgs, token);
      if (!read_number(arguments[0], kAnyNumber)) return Refuse(kInvalidArg, token);
      return read;
    default:
      break;
  }
  // A wildcard and a second argument.
  if (arguments.size() < 2) return Refuse(kNotEnoughArgs, token);
  if (arguments.size() > 2) return Refuse(kTooManyArgs, token);
  if (!read_wildcard(arguments[0])) return Refuse(kInvalidArg, token);
  if (piece.function == Function::kSplit) {
    if (arguments[1].find_first_of(" .") != std::string_view::npos) return Refuse(kInvalidArg, token);
    piece.text = arguments[1];
  } else if (!read_number(arguments[1], std::numeric_limits<int32_t>::min())) {
    return Refuse(kInvalidArg, token);
  }
  return read;
}

absl::StatusOr<SubjectTransform::ReadToken> SubjectTransform::ReadPiece(std::string_view token) {
  ReadToken read;
  if (token.size() > 1 && token[0] == '$') {
    // Other things begin with $ too: what is no number stays as it is. Spaces do not make a number here.
    const std::string_view digits = token.substr(1);
    const std::optional<int64_t> index = digits.find(' ') == std::string_view::npos ? ToInteger(digits) : std::nullopt;
    if (index) {
      read.piece.function = Function::kWildcard;
      read.wildcards.push_back(*index);
    } else {
      read.piece.text = token;
    }
    return read;
  }
  if (LooksLikeFunction(token)) return ReadFunction(token);
  if (token == ">") {
    read.piece.function = Function::kTail;
  } else {
    read.piece.text = token;
  }
  return read;
}

void SubjectTransform::AddPiece(Piece piece) {
  const bool literal = piece.function == Function::kLiteral;
  if (literal && !pieces_.empty() && pieces_.back().function == Function::kLiteral) {
    pieces_.back().text += "." + piece.text;
  } else {
    pieces_.push_back(std::move(piece));
  }
}

// Reads the pieces of the destination and finds the source tokens they name.
absl::Status SubjectTransform::Resolve(const std::vector<std::string_view>& source_tokens,
                                       const std::vector<std::string_view>& destination_tokens, TransformKind kind) {
  std::vector<uint32_t> wildcard_tokens;  // where each wildcard of the source stands
  bool any_wildcard = false;
  for (uint32_t i = 0; i < source_tokens.size(); ++i) {
    if (source_tokens[i] == "*") wildcard_tokens.push_back(i);
    any_wildcard |= source_tokens[i] == "*" || source_tokens[i] == ">";
  }
  size_t used = 0;
  for (const std::string_view token : destination_tokens) {
    absl::StatusOr<ReadToken> read = ReadPiece(token);
    if (!read.ok()) return read.status();
    const Function function = read->piece.function;
    const bool fixed = function == Function::kLiteral || function == Function::kTail;
    if (!any_wildcard) {
      if (!fixed && function != Function::kRandom && function != Function::kPartition)
        return Refuse(kOutOfRange, token);
      AddPiece(std::move(read->piece));
      continue;
    }
    if (kind == TransformKind::kReversible && !fixed && function != Function::kWildcard)
      return Refuse(kWildcardOnly, token);
    used += read->wildcards.size();
    for (const int64_t wildcard : read->wildcards) {
      const auto count = static_cast<int64_t>(wildcard_tokens.size());
      if (wildcard > count) return Refuse(kOutOfRange, absl::StrFormat("%s: [%d]", token, wildcard));
      // The peer takes the first token for indexes below one.
      MR_CHECK(!source_tokens.empty());
      read->piece.source_tokens.push_back(wildcard < 1 ? 0 : wildcard_tokens[static_cast<size_t>(wildcard) - 1]);
    }
    AddPiece(std::move(read->piece));
  }
  if (any_wildcard && kind == TransformKind::kReversible && used < wildcard_tokens.size())
    return Refuse(kNotAllWildcards, destination_);
  pieces_.shrink_to_fit();
  return absl::OkStatus();
}

absl::StatusOr<SubjectTransform> SubjectTransform::Compile(std::string_view source, std::string_view destination,
                                                           TransformKind kind) {
  SubjectTransform transform;
  transform.source_ = source.empty() ? ">" : source;
  transform.destination_ = destination;
  if (destination.empty()) return transform;
  std::vector<std::string_view> source_tokens, destination_tokens;
  size_t source_wildcards = 0, destination_wildcards = 0;
  bool source_tail = false, destination_tail = false;
  if (!ReadTokens(transform.source_, &source_tokens, &source_wildcards, &source_tail) ||
      !ReadTokens(destination, &destination_tokens, &destination_wildcards, &destination_tail) ||
      destination_wildcards > 0 || source_tail != destination_tail) {
    return InvalidSubject();
  }
  transform.source_token_count_ = source_tokens.size();
  if (absl::Status status = transform.Resolve(source_tokens, destination_tokens, kind); !status.ok()) return status;
  return transform;
}

void SubjectTransform::ApplyPiece(const Piece& piece, const std::vector<std::string_view>& tokens, uint32_t random,
                                  std::string* out) const {
  std::string_view token;
  if (!piece.source_tokens.empty() && piece.source_tokens[0] < tokens.size()) token = tokens[piece.source_tokens[0]];
  // A position or size inside of the token; else the token stays whole.
  const size_t number = piece.number > 0 ? static_cast<size_t>(piece.number) : 0;
  const bool inside = number > 0 && number < token.size();
  switch (piece.function) {
    case Function::kLiteral:
      *out += piece.text;
      return;
    case Function::kPartition: {
      const auto buckets = static_cast<uint32_t>(piece.number);
      uint32_t hash = Fnv1a32("");
      if (!piece.source_tokens.empty()) {
        for (const uint32_t at : piece.source_tokens) hash = Fnv1a32(at < tokens.size() ? tokens[at] : "", hash);
      } else {
        for (size_t i = 0; i < tokens.size(); ++i) hash = Fnv1a32(tokens[i], i == 0 ? hash : Fnv1a32(".", hash));
      }
      *out += std::to_string(buckets == 0 ? 0 : hash % buckets);
      return;
    }
    case Function::kRandom: {
      const auto ceiling = static_cast<int64_t>(piece.number);
      *out += std::to_string(ceiling == 0 ? 0 : static_cast<int64_t>(random >> 1) % ceiling);
      return;
    }
    case Function::kSplit:
      AppendSplit(token, piece.text, out);
      return;
    case Function::kWildcard:
      *out += token;
      return;
    default:
      break;
  }
  if (!inside) {
    *out += token;
    return;
  }
  switch (piece.function) {
    case Function::kSplitFromLeft:
      AppendWithDot(token.substr(0, number), token.substr(number), out);
      break;
    case Function::kSplitFromRight:
      AppendWithDot(token.substr(0, token.size() - number), token.substr(token.size() - number), out);
      break;
    case Function::kSliceFromLeft:
      AppendSlicesFromLeft(token, number, out);
      break;
    case Function::kSliceFromRight:
      AppendSlicesFromRight(token, number, out);
      break;
    case Function::kLeft:
      *out += token.substr(0, number);
      break;
    case Function::kRight:
      *out += token.substr(token.size() - number);
      break;
    default:
      break;
  }
}

std::string SubjectTransform::Apply(std::string_view subject, uint32_t random) const {
  if (destination_.empty()) return std::string(subject);
  std::vector<std::string_view> tokens;
  tokens.reserve(CountTokens(subject) + 1);  // an empty subject has one token as well
  for (TokenCursor t(subject); !t.done(); t.Advance()) tokens.push_back(t.token());
  std::string out;
  out.reserve(subject.size() + destination_.size());  // functions but {{wildcard}} may need more
  for (size_t i = 0; i < pieces_.size(); ++i) {
    if (i > 0) out += '.';
    if (pieces_[i].function != Function::kTail) {
      ApplyPiece(pieces_[i], tokens, random, &out);
      continue;
    }
    for (size_t at = source_token_count_ - 1; at < tokens.size(); ++at) {
      if (at >= source_token_count_) out += '.';
      out += tokens[at];
    }
  }
  return out;
}

std::optional<std::string> SubjectTransform::Match(std::string_view subject, uint32_t random) const {
  if (source_ == ">" && (destination_ == ">" || destination_.empty())) return std::string(subject);
  if (!IsValidLiteral(subject)) return std::nullopt;
  if (source_ != ">" && !SubjectMatches(subject, source_)) return std::nullopt;
  return Apply(subject, random);
}

absl::StatusOr<SubjectTransform> SubjectTransform::Reverse() const {
  if (destination_.empty()) return Compile({}, {}, TransformKind::kReversible);
  std::vector<std::string_view> holders;
  const std::string source = PlaceHoldersToWildcards(destination_, &holders);
  std::string destination;
  size_t next = 0;
  for (TokenCursor t(source_); !t.done(); t.Advance()) {
    if (!destination.empty()) destination += '.';
    if (t.token() != "*") {
      destination += t.token();
    } else if (next < holders.size()) {
      destination += holders[next++];
    } else {
      return InvalidSubject();
    }
  }
  return Compile(source, destination, TransformKind::kReversible);
}

absl::Status ValidateMapping(std::string_view source, std::string_view destination) {
  if (destination.empty()) return absl::OkStatus();
  bool tail = false;
  for (TokenCursor t(destination); !t.done(); t.Advance()) {
    const std::string_view token = t.token();
    if (token.empty() || tail) return Refuse(kInvalidTransform, token);
    if (LooksLikeFunction(token)) {
      const bool known = std::any_of(std::begin(kFunctionNames), std::end(kFunctionNames),
                                     [&](std::string_view name) { return FindCall(token, name).has_value(); });
      if (!known) return Refuse(kUnknownFunction, token);
      continue;
    }
    if (token == ">") {
      tail = true;
    } else if (token.find_first_of(" \t\n\f\r") != std::string_view::npos) {
      return Refuse(kInvalidTransform, "");
    }
  }
  return SubjectTransform::Compile(source, destination).status();
}

}  // namespace millrace
