// SPDX-License-Identifier: Apache-2.0
// Two ways through: ScanPubLine reads a PUB or HPUB line of ordinary shape from a bit mask of its blanks; whatever it
// does not like, and every other verb, goes through NextSlow, which alone decides what is an error and where.
#include "proto/parser.h"

#include <emmintrin.h>

#include <bit>
#include <cstring>

#include "proto/base/check.h"
#include "proto/hash.h"

namespace millrace {
namespace {

constexpr size_t kWindowBytes = 32;
constexpr size_t kScanBytesMax = 256;  // lines longer than this are rare enough for the slow way
constexpr int kArgsMax = 4;

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

char LowerCase(char c) { return (c >= 'A' && c <= 'Z') ? static_cast<char>(c | 0x20) : c; }

// Bit i is set when byte i of the 16 bytes at p is at most 0x20: all separators, and controls that no one sends.
uint32_t BlankMask16(const char* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i limit = _mm_set1_epi8(0x20);
  return static_cast<uint32_t>(
      _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, limit), bytes)));
}

// Walks the bytes <= 0x20 of a text in order, one window at a time, reading no byte outside of the text.
class BlankWalker {
 public:
  BlankWalker(const char* text, size_t size, size_t at) : text_(text), size_(size), window_(at) {
    MR_DCHECK(at < size);
    Load();
  }

  // Index of the next such byte, or size_t max if there is none within kScanBytesMax bytes or the text.
  size_t Next() {
    while (mask_ == 0) {
      window_ += kWindowBytes;
      if (window_ >= size_ || window_ > kScanBytesMax) return SIZE_MAX;
      Load();
    }
    const size_t index = window_ + static_cast<size_t>(std::countr_zero(mask_));
    mask_ &= mask_ - 1;
    return index;
  }

 private:
  void Load() {
    const char* from = text_ + window_;
    alignas(16) char padded[kWindowBytes];
    if (size_ - window_ < kWindowBytes) [[unlikely]] {
      std::memset(padded, 'x', sizeof padded);
      std::memcpy(padded, from, size_ - window_);
      from = padded;
    }
    mask_ = BlankMask16(from) | BlankMask16(from + 16) << 16;
  }

  const char* text_;
  size_t size_;
  size_t window_;
  uint32_t mask_ = 0;
};

// A size field as the peer reads it: 1 to 9 digits and nothing else; -1 otherwise.
int64_t ParseSize(std::string_view digits) {
  if (digits.empty() || digits.size() > size_t{kSizeDigitsMax}) return -1;
  int64_t value = 0;
  for (const char c : digits) {
    const unsigned digit = static_cast<unsigned>(static_cast<unsigned char>(c)) - '0';
    if (digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

// Zeros in front of the first digit that counts: of "007" two, of "0" none.
uint8_t LeadingZeros(std::string_view digits) {
  size_t zeros = 0;
  while (zeros + 1 < digits.size() && digits[zeros] == '0') ++zeros;
  return static_cast<uint8_t>(zeros);
}

// The same for the digits in text[begin, end), without a loop whose length would have to be guessed. Bytes in front of
// begin are read too, so end has to be at least 8.
int64_t ParseSizeFast(const char* text, size_t begin, size_t end) {
  MR_DCHECK(begin < end && end >= 8);
  const size_t digits = end - begin;
  if (digits <= 4) [[likely]] {
    uint32_t word;
    std::memcpy(&word, text + end - 4, 4);
    const unsigned other_bits = static_cast<unsigned>(32 - 8 * digits);
    word = (word ^ 0x30303030) >> other_bits << other_bits;  // a digit becomes its value
    if ((((word + 0x76767676) | word) & 0x80808080) != 0) return -1;
    word = word * 10 + (word >> 8);  // bytes 0 and 2: two digits each
    return (word & 0xff) * 100 + ((word >> 16) & 0xff);
  }
  return ParseSize({text + begin, digits});
}

struct Args {
  std::string_view token[kArgsMax];
  int count = 0;  // may exceed kArgsMax; only the first kArgsMax are kept
};

// breaks: which bytes separate besides blanks. The peer splits SUB and UNSUB at stray CR and LF too.
Args SplitArgs(std::string_view args, bool breaks) {
  Args out;
  size_t at = 0;
  const auto separates = [breaks](char c) {
    return IsBlank(c) || (breaks && (c == '\r' || c == '\n'));
  };
  while (true) {
    while (at < args.size() && separates(args[at])) ++at;
    if (at == args.size()) return out;
    const size_t begin = at;
    while (at < args.size() && !separates(args[at])) ++at;
    if (out.count < kArgsMax) out.token[out.count] = args.substr(begin, at - begin);
    ++out.count;
  }
}

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && (IsBlank(text.back()) || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

constexpr uint16_t kCrLfWord = 0x0a0d;

// Eight characters at once, the first in the lowest byte: a digit becomes its value,
uint64_t DigitValues(uint64_t word) { return word ^ 0x3030303030303030; }
// the lowest bit set is in the first byte that is none (bytes behind it may be wrong),
uint64_t OtherThanDigits(uint64_t values) {
  return ((values + 0x7676767676767676) | values) & 0x8080808080808080;
}
// and the first 1 to 8 of them make a number.
uint64_t NumberOfDigits(uint64_t values, unsigned digits) {
  MR_DCHECK(digits >= 1 && digits <= 8);
  uint64_t value = values << (64 - 8 * digits);
  value = (value & 0x0f0f0f0f0f0f0f0f) * 2561 >> 8;
  value = (value & 0x00ff00ff00ff00ff) * 6553601 >> 16;
  return (value & 0x0000ffff0000ffff) * 42949672960001 >> 32;
}

constexpr size_t kShortPubBytes = 4 + 32 + 8;
constexpr uint32_t kPubHead = 0x20627570;   // "pub " as a little-endian number
constexpr uint32_t kHpubHead = 0x62757068;  // "hpub"

enum class AfterVerb : uint8_t { kBlank, kAnything, kNoArgs };

struct VerbRow {
  std::string_view name;  // lower case
  Verb verb;
  AfterVerb after;
};

constexpr VerbRow kVerbs[] = {
    {"pub", Verb::kPub, AfterVerb::kBlank},       {"ping", Verb::kPing, AfterVerb::kNoArgs},
    {"pong", Verb::kPong, AfterVerb::kNoArgs},    {"hpub", Verb::kHpub, AfterVerb::kBlank},
    {"sub", Verb::kSub, AfterVerb::kBlank},       {"unsub", Verb::kUnsub, AfterVerb::kBlank},
    {"connect", Verb::kConnect, AfterVerb::kAnything}, {"info", Verb::kInfo, AfterVerb::kAnything},
    {"+ok", Verb::kOk, AfterVerb::kNoArgs},       {"-err", Verb::kErr, AfterVerb::kBlank},
};

// The row whose name input begins with, or nullptr; then *matched is how many bytes still agree with some verb.
const VerbRow* FindVerb(std::string_view input, size_t* matched) {
  size_t longest = 0;
  const char first = LowerCase(input[0]);
  for (const VerbRow& row : kVerbs) {
    if (row.name[0] != first) continue;
    size_t n = 1;
    while (n < row.name.size() && n < input.size() && LowerCase(input[n]) == row.name[n]) ++n;
    if (n == row.name.size()) return &row;
    if (n > longest) longest = n;
  }
  *matched = longest;
  return nullptr;
}

}  // namespace

Parser::Status Parser::NeedMore(size_t scanned, size_t bytes_needed) {
  scanned_ = scanned;
  bytes_needed_ = bytes_needed;
  consumed_ = 0;
  return Status::kNeedMore;
}

Parser::Status Parser::Fail(ProtocolError error, size_t at) {
  MR_DCHECK(error != ProtocolError::kNone);
  scanned_ = 0;
  bytes_needed_ = 0;
  consumed_ = at;
  error_ = error;
  return Status::kError;
}

Parser::Status Parser::Done(size_t bytes) {
  MR_DCHECK(bytes > 0);  // or its caller would read the same command for ever
  scanned_ = 0;
  bytes_needed_ = 0;
  consumed_ = bytes;
  return Status::kCommand;
}

Parser::Status Parser::Next(std::string_view input, Command* command) {
  if (input.size() > 5 && scanned_ == 0 && !limits_.connect_first) [[likely]] {
    // Setting bit 5 makes letters lower case; no other byte becomes one of these letters by it.
    const uint32_t head = static_cast<uint32_t>(LoadBytes4(input.data()));
    PubLine line;
    if ((head | 0x00202020) == kPubHead) {
      if (input.size() > kShortPubBytes && ScanShortPub(input, command)) [[likely]] return Status::kCommand;
      if (ScanPubLine<false>(input, &line)) return FinishPub(false, line, input, command);
    } else if ((head | 0x20202020) == kHpubHead && input[4] == ' ' && limits_.headers) {
      if (ScanPubLine<true>(input, &line)) return FinishPub(true, line, input, command);
    }
  }
  return NextSlow(input, command);
}

// PUB subject size CRLF, one space each, the line within 32 bytes behind the verb, and all of the payload there. False
// decides nothing.
inline bool Parser::ScanShortPub(std::string_view input, Command* command) {
  constexpr size_t kArgsAt = 4;
  MR_DCHECK(input.size() > kShortPubBytes);
  const char* const args = input.data() + kArgsAt;
  const uint32_t blanks = BlankMask16(args) | BlankMask16(args + 16) << 16;
  const uint32_t behind = blanks & (blanks - 1);
  if (behind == 0) return false;
  const auto subject_bytes = static_cast<unsigned>(std::countr_zero(blanks));
  const auto args_bytes = static_cast<unsigned>(std::countr_zero(behind));
  const unsigned digits = args_bytes - subject_bytes - 1;
  uint16_t line_end;
  std::memcpy(&line_end, args + args_bytes, 2);
  if (subject_bytes == 0 || args[subject_bytes] != ' ' || line_end != kCrLfWord || digits - 1 > 5) return false;
  if (args_bytes > limits_.control_line_bytes_max) return false;
  const uint64_t values = DigitValues(LoadBytes8(args + subject_bytes + 1));
  const auto plain_digits = static_cast<unsigned>(std::countr_zero(OtherThanDigits(values))) / 8;
  if (plain_digits != digits || (digits > 1 && (values & 0xff) == 0)) return false;
  const uint64_t payload_bytes = NumberOfDigits(values, digits);
  if (limits_.payload_bytes_max >= 0 && static_cast<int64_t>(payload_bytes) > limits_.payload_bytes_max) return false;
  const size_t line_bytes = kArgsAt + args_bytes + 2;
  const size_t payload_end = line_bytes + payload_bytes;
  if (input.size() < payload_end + 2 || input[payload_end] != '\r' || input[payload_end + 1] != '\n') return false;
  command->verb = Verb::kPub;
  command->args = {args, args_bytes};
  command->subject = {args, subject_bytes};
  command->reply = {args + subject_bytes + 1, 0};
  command->header_bytes = 0;
  command->header_zeros = 0;
  command->size_zeros = 0;
  command->payload = {input.data() + line_bytes, payload_bytes};
  command->tail = {args + subject_bytes + 1, payload_end + 2 - kArgsAt - subject_bytes - 1};
  Done(payload_end + 2);
  return true;
}

// One blank between arguments, plain numbers, an optional CR, LF. False means: not of that shape, nothing decided.
template <bool kHasHeader>
bool Parser::ScanPubLine(std::string_view input, PubLine* line) const {
  constexpr size_t kArgsAt = kHasHeader ? 5 : 4;
  const char* const text = input.data();
  BlankWalker blanks(text, input.size(), kArgsAt);

  // Ends of the subject, of the argument behind it, and so on to the end of the line.
  const size_t subject_end = blanks.Next();
  if (subject_end == SIZE_MAX || subject_end == kArgsAt || !IsBlank(text[subject_end])) return false;
  size_t begin = subject_end + 1;
  size_t end = blanks.Next();
  if (end == SIZE_MAX || end == begin) return false;
  size_t header_begin = begin;
  size_t header_end = end;
  if constexpr (kHasHeader) {
    if (!IsBlank(text[end])) return false;
    begin = end + 1;
    end = blanks.Next();
    if (end == SIZE_MAX || end == begin) return false;
  }
  size_t reply_end = subject_end + 1;  // no reply: an empty view behind the subject
  if (IsBlank(text[end])) {
    reply_end = kHasHeader ? header_end : end;
    header_begin = begin;
    header_end = end;
    begin = end + 1;
    end = blanks.Next();
    if (end == SIZE_MAX || end == begin) return false;
  }
  size_t line_bytes = end + 1;
  if (text[end] == '\r') [[likely]] {
    if (line_bytes == input.size() || text[line_bytes] != '\n') return false;
    ++line_bytes;
  } else if (text[end] != '\n') {
    return false;
  }
  // The shortest line, PUB a 1, leaves one digit without 8 bytes up to its end.
  if (end < 8 || end - kArgsAt > limits_.control_line_bytes_max) return false;

  const int64_t payload_bytes = ParseSizeFast(text, begin, end);
  if (payload_bytes < 0 || (text[begin] == '0' && end - begin > 1)) return false;
  int64_t header_bytes = 0;
  if constexpr (kHasHeader) {
    if (header_end < 8) return false;
    header_bytes = ParseSizeFast(text, header_begin, header_end);
    if (header_bytes < 0 || header_bytes > payload_bytes) return false;
    if (text[header_begin] == '0' && header_end - header_begin > 1) return false;
  }
  line->args = {text + kArgsAt, end - kArgsAt};
  line->subject = {text + kArgsAt, subject_end - kArgsAt};
  line->reply = {text + subject_end + 1, reply_end - subject_end - 1};
  line->header_bytes = static_cast<uint32_t>(header_bytes);
  line->payload_bytes = static_cast<uint32_t>(payload_bytes);
  line->header_zeros = line->size_zeros = 0;
  line->line_bytes = line_bytes;
  const bool plain = text[end] == '\r' && (reply_end == subject_end + 1 || text[reply_end] == ' ') &&
                     (!kHasHeader || (text[header_end] == ' ' && header_bytes > 0));
  line->tail_at = plain ? subject_end + 1 : 0;
  return true;
}

bool Parser::ReadRepeatedSize(uint64_t word, size_t beginning_bytes, RepeatedSize* size) const {
  MR_DCHECK(beginning_bytes > 4);
  const uint64_t values = DigitValues(word);
  const auto digits = static_cast<unsigned>(std::countr_zero(OtherThanDigits(values))) / 8;
  // CR and LF have to be among the eight bytes too.
  if (digits == 0 || digits > 6 || (digits > 1 && (values & 0xff) == 0)) return false;
  if ((word >> (8 * digits) & 0xffff) != kCrLfWord) return false;
  const uint64_t value = NumberOfDigits(values, digits);
  if (limits_.payload_bytes_max >= 0 && static_cast<int64_t>(value) > limits_.payload_bytes_max) return false;
  if (beginning_bytes - 4 + digits > limits_.control_line_bytes_max) return false;
  size->mask = digits == 6 ? ~uint64_t{0} : (uint64_t{1} << (8 * (digits + 2))) - 1;
  size->text = word & size->mask;
  size->text_bytes = digits + 2;
  size->payload_bytes = value;
  return true;
}

// The control line is good; what is left are the payload's size and its end.
Parser::Status Parser::FinishPub(bool has_header, const PubLine& line, std::string_view input,
                                 Command* command) {
  MR_DCHECK(line.line_bytes <= input.size());
  MR_DCHECK(line.header_bytes <= line.payload_bytes);
  if (limits_.payload_bytes_max >= 0 && line.payload_bytes > limits_.payload_bytes_max)
      [[unlikely]] {
    return Fail(ProtocolError::kPayloadTooLarge, line.line_bytes - 1);
  }
  const size_t payload_end = line.line_bytes + line.payload_bytes;
  if (input.size() < payload_end + 2) [[unlikely]] {
    if (input.size() > payload_end && input[payload_end] != '\r') {
      return Fail(ProtocolError::kUnknownOperation, payload_end);
    }
    return NeedMore(0, payload_end + 2);
  }
  if (input[payload_end] != '\r') [[unlikely]] {
    return Fail(ProtocolError::kUnknownOperation, payload_end);
  }
  if (input[payload_end + 1] != '\n') [[unlikely]] {
    return Fail(ProtocolError::kUnknownOperation, payload_end + 1);
  }
  command->verb = has_header ? Verb::kHpub : Verb::kPub;
  command->args = line.args;
  command->subject = line.subject;
  command->reply = line.reply;
  command->header_bytes = line.header_bytes;
  command->header_zeros = line.header_zeros;
  command->size_zeros = line.size_zeros;
  command->payload = input.substr(line.line_bytes, line.payload_bytes);
  command->tail = line.tail_at == 0 ? std::string_view() : input.substr(line.tail_at, payload_end + 2 - line.tail_at);
  return Done(payload_end + 2);
}

// The whole truth, one step per thing that can be wrong, in the order in which the peer notices it.
Parser::Status Parser::NextSlow(std::string_view input, Command* command) {
  if (input.empty()) return NeedMore(0, 0);
  if (limits_.connect_first && LowerCase(input[0]) != 'c') {
    return Fail(ProtocolError::kAuthorizationViolation, 0);
  }
  size_t matched = 0;
  const VerbRow* row = FindVerb(input, &matched);
  if (row == nullptr) {
    if (matched < input.size()) return Fail(ProtocolError::kUnknownOperation, matched);
    return NeedMore(0, 0);
  }
  const size_t limit = limits_.control_line_bytes_max;
  const size_t verb_bytes = row->name.size();
  size_t args_at = verb_bytes;
  size_t search_at = verb_bytes;
  if (row->after != AfterVerb::kNoArgs) {
    if (args_at == input.size()) return NeedMore(0, 0);
    if (row->after == AfterVerb::kBlank && !IsBlank(input[args_at])) {
      return Fail(ProtocolError::kUnknownOperation, args_at);
    }
    while (args_at < input.size() && IsBlank(input[args_at])) ++args_at;
    // The peer swallows blanks and what follows PING without end; whoever has to keep the cut line cannot.
    if (args_at - verb_bytes > limit) {
      return Fail(ProtocolError::kControlLineTooLong, args_at - 1);
    }
    if (args_at == input.size()) return NeedMore(0, 0);
    // The first byte of the arguments is one whatever it is: the peer looks for LF behind it only. A subject that
    // began with LF would tear the MSG line that carries it, so PUB gives up here.
    if (input[args_at] == '\n' && (row->verb == Verb::kPub || row->verb == Verb::kHpub)) {
      return Fail(ProtocolError::kParse, args_at);
    }
    search_at = args_at + 1;
  }
  if (scanned_ > input.size()) scanned_ = 0;
  if (search_at < scanned_) search_at = scanned_;
  const void* found = search_at < input.size()
                          ? std::memchr(input.data() + search_at, '\n', input.size() - search_at)
                          : nullptr;
  if (found == nullptr) {
    const std::string_view args = input.substr(args_at);
    const bool over = args.size() > limit + 1 ||
                      (args.size() == limit + 1 && args.find('\r', 1) == std::string_view::npos);
    if (over) return Fail(ProtocolError::kControlLineTooLong, input.size() - 1);
    return NeedMore(input.size(), 0);
  }
  const size_t line_end = static_cast<size_t>(static_cast<const char*>(found) - input.data());
  std::string_view args = input.substr(args_at, line_end - args_at);
  if (row->after != AfterVerb::kNoArgs && args.find('\r', 1) != std::string_view::npos) {
    args.remove_suffix(1);  // the peer drops the last byte of a line that holds a CR anywhere
  }
  if (args.size() > limit) return Fail(ProtocolError::kControlLineTooLong, line_end);
  return OnLine(row->verb, args, line_end + 1, input, command);
}

Parser::Status Parser::OnLine(Verb verb, std::string_view args, size_t line_bytes,
                              std::string_view input, Command* command) {
  switch (verb) {
    case Verb::kPub:
    case Verb::kHpub:
      return OnPubLine(verb == Verb::kHpub, args, line_bytes, input, command);
    case Verb::kSub: {
      const Args split = SplitArgs(args, true);
      if (split.count != 2 && split.count != 3) return Fail(ProtocolError::kParse, line_bytes - 1);
      command->subject = split.token[0];
      command->queue = split.count == 3 ? split.token[1] : std::string_view();
      command->sid = split.token[split.count - 1];
      break;
    }
    case Verb::kUnsub: {
      const Args split = SplitArgs(args, true);
      if (split.count != 1 && split.count != 2) return Fail(ProtocolError::kParse, line_bytes - 1);
      command->sid = split.token[0];
      command->max = split.count == 2 ? ParseSize(split.token[1]) : -1;
      break;
    }
    case Verb::kConnect:
    case Verb::kInfo:
    case Verb::kErr:
    case Verb::kPing:
    case Verb::kPong:
    case Verb::kOk:
      break;
  }
  command->verb = verb;
  command->args = TrimBlanks(args);
  return Done(line_bytes);
}

Parser::Status Parser::OnPubLine(bool has_header, std::string_view args, size_t line_bytes,
                                 std::string_view input, Command* command) {
  const size_t line_end = line_bytes - 1;
  if (has_header && !limits_.headers) return Fail(ProtocolError::kHeadersNotSupported, line_end);
  const Args split = SplitArgs(args, false);
  const int count_min = has_header ? 3 : 2;
  if (split.count != count_min && split.count != count_min + 1) {
    return Fail(ProtocolError::kParse, line_end);
  }
  // A CR anywhere but at the end of the line. The peer lets some of these pass and sends a MSG line with a CR in it;
  // no subject or reply that goes on from here holds CR or LF.
  if (args.find('\r') != std::string_view::npos) return Fail(ProtocolError::kParse, line_end);
  int64_t header_bytes = 0;
  if (has_header) {
    header_bytes = ParseSize(split.token[split.count - 2]);
    if (header_bytes < 0) return Fail(ProtocolError::kBadHeaderSize, line_end);
  }
  const int64_t payload_bytes = ParseSize(split.token[split.count - 1]);
  if (payload_bytes < 0) return Fail(ProtocolError::kParse, line_end);
  if (header_bytes > payload_bytes) return Fail(ProtocolError::kBadHeaderSize, line_end);
  const PubLine line = {
      .args = TrimBlanks(args),
      .subject = split.token[0],
      .reply = split.count > count_min ? split.token[1] : std::string_view(),
      .header_bytes = static_cast<uint32_t>(header_bytes),
      .payload_bytes = static_cast<uint32_t>(payload_bytes),
      .header_zeros = has_header ? LeadingZeros(split.token[split.count - 2]) : uint8_t{0},
      .size_zeros = LeadingZeros(split.token[split.count - 1]),
      .line_bytes = line_bytes,
      .tail_at = 0,
  };
  return FinishPub(has_header, line, input, command);
}

}  // namespace millrace
