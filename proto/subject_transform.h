// SPDX-License-Identifier: Apache-2.0
// SubjectTransform: maps subjects that a source filter takes to a destination with place holders: $1, {{wildcard(1)}},
// {{partition(n,1,2)}}, {{split(1,-)}}, {{splitFromLeft(1,n)}}, {{splitFromRight(1,n)}}, {{sliceFromLeft(1,n)}},
// {{sliceFromRight(1,n)}}, {{left(1,n)}}, {{right(1,n)}}, {{random(n)}}.
// Owner:  caller (pure).  Compiled once, immutable then. Errors are the peer's texts. Source: spec A-61, J-32, ADR-36.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace millrace {

enum class TransformKind : uint8_t {
  kAny,         // every function
  kReversible,  // for imports: {{wildcard}} only, and every wildcard of the source is used
};

class SubjectTransform {
 public:
  // An empty source is ">". An empty destination makes a transform that changes nothing.
  static absl::StatusOr<SubjectTransform> Compile(std::string_view source, std::string_view destination,
                                                  TransformKind kind = TransformKind::kAny);

  // The destination for a subject that the source is known to take. random: bits for {{random(n)}}.
  std::string Apply(std::string_view subject, uint32_t random = 0) const;

  // The destination, when the subject is a valid literal that the source takes.
  std::optional<std::string> Match(std::string_view subject, uint32_t random = 0) const;

  // The transform back, for one of kReversible.
  absl::StatusOr<SubjectTransform> Reverse() const;

  const std::string& source() const { return source_; }
  const std::string& destination() const { return destination_; }

 private:
  enum class Function : uint8_t {
    kLiteral,
    kTail,  // `>`: what the source's takes
    kPartition,
    kWildcard,
    kSplitFromLeft,
    kSplitFromRight,
    kSliceFromLeft,
    kSliceFromRight,
    kSplit,
    kLeft,
    kRight,
    kRandom,
  };
  // One token of the destination, or all the literal ones that stand together.
  struct Piece {
    Function function = Function::kLiteral;
    int32_t number = -1;
    std::string text;                     // kLiteral: the tokens; kSplit: the delimiter
    std::vector<uint32_t> source_tokens;  // that it takes, where they stand in a subject
  };
  struct ReadToken {
    Piece piece;
    std::vector<int64_t> wildcards;  // of the source that it names, as written, from 1
  };

  static absl::StatusOr<ReadToken> ReadPiece(std::string_view token);
  static absl::StatusOr<ReadToken> ReadFunction(std::string_view token);
  absl::Status Resolve(const std::vector<std::string_view>& source_tokens,
                       const std::vector<std::string_view>& destination_tokens, TransformKind kind);
  void AddPiece(Piece piece);
  void ApplyPiece(const Piece& piece, const std::vector<std::string_view>& tokens, uint32_t random,
                  std::string* out) const;

  std::string source_;
  std::string destination_;
  std::vector<Piece> pieces_;
  size_t source_token_count_ = 0;
};

// The destination is well formed and Compile(source, destination) works.
absl::Status ValidateMapping(std::string_view source, std::string_view destination);

}  // namespace millrace
