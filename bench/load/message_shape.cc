// SPDX-License-Identifier: Apache-2.0
#include "bench/load/message_shape.h"

#include <array>
#include <utility>

namespace millrace::bench {
namespace {

constexpr std::string_view kHeaderBlock = "NATS/1.0\r\nBench-Trace: 0123456789abcdef\r\n\r\n";

constexpr std::array<char, 3000> ThreeDigits() {
  std::array<char, 3000> digits{};
  for (size_t i = 0; i < 1000; ++i) {
    digits[i * 3] = static_cast<char>('0' + i / 100);
    digits[i * 3 + 1] = static_cast<char>('0' + i / 10 % 10);
    digits[i * 3 + 2] = static_cast<char>('0' + i % 10);
  }
  return digits;
}
constexpr std::array<char, 3000> kThreeDigits = ThreeDigits();

}  // namespace

void StampDigits(char* at, uint64_t value) {
  std::memcpy(at, &kThreeDigits[value / 1000 * 3], 3);
  std::memcpy(at + 3, &kThreeDigits[value % 1000 * 3], 3);
}

MessageShape::MessageShape(Options options) : options_(std::move(options)) {}

std::string MessageShape::SubjectAt(uint64_t index) const {
  if (options_.subjects <= 1) return options_.subject;
  std::string subject = options_.subject + ".000000";
  StampDigits(subject.data() + subject.size() - kSubjectDigits, index);
  return subject;
}

LineTemplate MessageShape::PublishLine() const {
  return Build(options_.headers ? "HPUB" : "PUB", {});
}

LineTemplate MessageShape::DeliveredFrame(std::string_view sid) const {
  return Build(options_.headers ? "HMSG" : "MSG", sid);
}

LineTemplate MessageShape::Build(std::string_view verb, std::string_view sid) const {
  LineTemplate line;
  std::string& text = line.bytes;
  text.append(verb).append(" ").append(SubjectAt(0));
  if (options_.subjects > 1) {
    line.subject_digits = text.size() - kSubjectDigits;
    line.varying_from = line.subject_digits;
    line.varying_bytes = kSubjectDigits;
  }
  if (!sid.empty()) text.append(" ").append(sid);
  if (!options_.reply.empty()) text.append(" ").append(options_.reply);
  size_t header_bytes = 0;
  if (options_.headers) {
    header_bytes = kHeaderBlock.size();
    text.append(" ").append(std::to_string(header_bytes));
  }
  text.append(" ").append(std::to_string(header_bytes + options_.payload_bytes)).append("\r\n");
  line.line_bytes = text.size();
  if (options_.headers) text.append(kHeaderBlock);
  line.tag_offset = text.size();
  text.append(MessageTag::kBytes, '\0');
  for (size_t i = MessageTag::kBytes; i < options_.payload_bytes; ++i) {
    text.push_back(static_cast<char>('a' + i % 26));
  }
  text.append("\r\n");
  return line;
}

}  // namespace millrace::bench
