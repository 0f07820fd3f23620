// SPDX-License-Identifier: Apache-2.0
// RunCodec: see run_codec.h.
#include "store/index/run_codec.h"

#include "proto/base/check.h"

namespace millrace {

namespace {

constexpr uint64_t kSubjectUnits = 2;  // of a pace
constexpr size_t kStride = 256;        // subjects between two pauses

}  // namespace

std::string EncodeRun(const RunHead& head, const SealedRun& form, const SubjectTable& table, Pace* pace) {
  MR_CHECK(form.single() || form.starts.size() == form.numbers.size() + 1);
  const auto alive = [&](uint32_t number) { return number < table.end() && table.At(number).messages > 0; };
  uint32_t subjects = 0;
  for (size_t i = 0; i < form.numbers.size(); ++i) {
    subjects += alive(form.numbers[i]) ? 1 : 0;
    if (i % kStride == 0) Tick(pace, kStride);
  }
  std::string out;
  out.reserve(64 + form.positions.size() * 2 + form.numbers.size() * 40);
  AppendVarint(&out, head.uid);
  AppendVarint(&out, head.key);
  AppendVarint(&out, head.named);
  AppendVarint(&out, head.through);
  AppendVarint(&out, subjects);
  AppendVarint(&out, form.single() && subjects == 1 ? 1 : 0);
  for (size_t i = 0; i < form.numbers.size(); ++i) {
    if (i % kStride == 0) Tick(pace, kStride * kSubjectUnits);
    if (!alive(form.numbers[i])) continue;
    AppendBytes(&out, table.At(form.numbers[i]).subject());
    if (form.single()) {
      AppendVarint(&out, 0);
      continue;
    }
    AppendVarint(&out, form.starts[i + 1] - form.starts[i]);
    uint32_t before = 0;
    for (uint32_t p = form.starts[i]; p < form.starts[i + 1]; ++p) {
      AppendVarint(&out, form.positions[p] - before);
      before = form.positions[p];
    }
  }
  // A run that does not decode is made anew from blocks whenever it is wanted, and answers as it should.
  MR_DCHECK(DecodeRun(
      out,
      [&](const RunHead& read) {
        return read.uid == head.uid && read.key == head.key && read.named == head.named &&
               read.through == head.through && read.subjects == subjects;
      },
      [](std::string_view, const std::vector<uint16_t>&) {}));
  return out;
}

}  // namespace millrace
