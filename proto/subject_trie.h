// SPDX-License-Identifier: Apache-2.0
// SubjectTrie: filters to values, and for a published subject the values of all filters that take it.
// Owner:  shard.  A Value stays where it is until its filter is erased.  No allocation while matching.
// Cost:   with Value of 16 bytes: 64 per node, 10 to 21 per literal node for the index, tokens over 24 bytes apart.
// Bounds: 2^31 nodes; any number of tokens. Matching recurses once per 256 branches that wait, never per token.
// Proof:  subject_trie_test.cc against a list of filters; bench/micro/match_bench.cc.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/base/check.h"
#include "proto/child_index.h"
#include "proto/hash.h"
#include "proto/subject.h"

namespace millrace {

template <typename Value>
class SubjectTrie {
 public:
  // seed makes the hashing of tokens unpredictable to clients; give each process a random one.
  explicit SubjectTrie(uint64_t seed = 0) : seed_(seed) { AllocateRoot(); }
  SubjectTrie(const SubjectTrie&) = delete;
  SubjectTrie& operator=(const SubjectTrie&) = delete;
  ~SubjectTrie() { Destroy(); }

  // The value of this filter, made with Value() if there was none (*created says so). nullptr when the filter has an
  // empty token or goes on behind `>`; blanks are not looked for (IsValidSubject does).
  Value* Insert(std::string_view filter, bool* created = nullptr);

  // The value of exactly this filter, or nullptr.
  Value* Find(std::string_view filter) const;

  // Destroys the filter's value and every node that only it needed. False if there was none.
  bool Erase(std::string_view filter);

  // Calls on_value(Value&) once for each filter that takes this published subject, in no order that means anything.
  // A subject with an empty token matches nothing. on_value must not insert or erase.
  struct Walk {
    uint32_t steps = 0;  // what it cost: 1 for each node, kLiteralSteps more for each search of a literal child
    // As far as the subject's bytes were looked at, which is to the end of a token: another subject with the same
    // beginning, as many tokens behind it, and none empty, matches the same. kWhole: only this very subject does.
    uint32_t decisive_bytes = 0;
  };
  template <typename F>
  Walk Match(std::string_view subject, F&& on_value) const;
  static constexpr uint32_t kLiteralSteps = 3;
  static constexpr uint32_t kWhole = UINT32_MAX;

  // Calls on_filter(std::string_view filter, Value&) for all, in no order. Cold: builds every filter's text.
  template <typename F>
  void ForEach(F&& on_filter) const;

  void Clear() {
    Destroy();
    AllocateRoot();
  }

  size_t filter_count() const { return filter_count_; }
  size_t node_count() const { return node_count_; }  // the root included
  // Bytes taken from the allocator, except for what Values own.
  size_t memory_bytes() const { return chunk_bytes_ + long_token_bytes_ + index_.memory_bytes(); }

 private:
  static constexpr size_t kInlineTokenBytes = 24;
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kFirstChunkNodes = 4;
  static constexpr int kChunkCountMax = 29;
  static constexpr size_t kWaitingMax = 256;
  static constexpr uint32_t kKeepNodes = 4096;  // what an emptied trie keeps

  struct Node {
    uint32_t parent;         // in a free node: the next free one
    uint32_t star;           // child `*`, 0 if none
    uint32_t tail;           // child `>`, 0 if none
    uint32_t literal_count;  // children in index_
    uint32_t tag;            // hash of parent and token; unused in wildcard nodes
    uint16_t token_bytes_low;
    uint8_t token_bytes_high;
    uint8_t flags;
    union {
      char token[kInlineTokenBytes];
      char* long_token;
    };
    alignas(Value) unsigned char room[sizeof(Value)];

    uint32_t token_bytes() const { return token_bytes_low | uint32_t{token_bytes_high} << 16; }
    std::string_view token_view() const {
      const uint32_t n = token_bytes();
      return {n <= kInlineTokenBytes ? token : long_token, n};
    }
    bool has_value() const { return (flags & kHasValue) != 0; }
    bool in_use() const { return (flags & kInUse) != 0; }
    Value& value() { return *std::launder(reinterpret_cast<Value*>(room)); }
  };
  static constexpr uint8_t kInUse = 1;
  static constexpr uint8_t kHasValue = 2;

  // Chunk k holds kFirstChunkNodes << k nodes, so nodes never move and a small trie is small.
  Node& At(uint32_t node) const {
    const uint32_t j = node + kFirstChunkNodes;
    const int chunk = std::bit_width(j) - std::bit_width(kFirstChunkNodes);
    return chunks_[chunk][j - (kFirstChunkNodes << chunk)];
  }

  uint32_t TagOf(uint32_t parent, std::string_view token) const {
    return static_cast<uint32_t>(
        HashBytes(token, seed_ + parent * uint64_t{0xd6e8feb86659fd93}));
  }

  uint32_t FindLiteral(uint32_t parent, std::string_view token, uint32_t tag) const {
    return index_.Find(tag, [&](uint32_t node) {
      const Node& n = At(node);
      return n.parent == parent && n.token_view() == token;
    });
  }

  uint32_t FindChild(uint32_t parent, std::string_view token) const {
    const Node& n = At(parent);
    if (token.size() == 1) {
      if (token[0] == kTokenWildcard) return n.star;
      if (token[0] == kTailWildcard) return n.tail;
    }
    if (n.literal_count == 0) return 0;
    return FindLiteral(parent, token, TagOf(parent, token));
  }

  uint32_t FindNode(std::string_view filter) const;
  uint32_t AddChild(uint32_t parent, std::string_view token);
  void Prune(uint32_t node);
  uint32_t AllocateNode();
  void AllocateRoot();
  void ReleaseSpareChunks();
  void Destroy();
  template <typename F>
  void MatchFrom(uint32_t node, size_t offset, std::string_view subject, F& on_value, Walk* walk) const;

  uint64_t seed_;
  ChildIndex index_;
  Node* chunks_[kChunkCountMax] = {};
  uint32_t unused_ = 0;     // nodes from here on were never used
  uint32_t free_ = 0;       // list of nodes given back, 0 ends it
  uint32_t chunk_count_ = 0;
  size_t chunk_bytes_ = 0;
  size_t long_token_bytes_ = 0;
  size_t filter_count_ = 0;
  size_t node_count_ = 0;
};

template <typename Value>
Value* SubjectTrie<Value>::Insert(std::string_view filter, bool* created) {
  for (TokenCursor t(filter); !t.done(); t.Advance()) {
    const std::string_view token = t.token();
    if (token.empty() || token.size() >> 24 != 0) return nullptr;
    if (token.size() == 1 && token[0] == kTailWildcard && !t.last()) return nullptr;
  }
  uint32_t node = kRoot;
  for (TokenCursor t(filter); !t.done(); t.Advance()) {
    const uint32_t child = FindChild(node, t.token());
    node = child != 0 ? child : AddChild(node, t.token());
  }
  Node& n = At(node);
  const bool fresh = !n.has_value();
  if (fresh) {
    ::new (static_cast<void*>(n.room)) Value();
    n.flags |= kHasValue;
    ++filter_count_;
  }
  if (created != nullptr) *created = fresh;
  return &n.value();
}

template <typename Value>
uint32_t SubjectTrie<Value>::FindNode(std::string_view filter) const {
  uint32_t node = kRoot;
  for (TokenCursor t(filter); !t.done(); t.Advance()) {
    if (t.token().empty()) return 0;
    node = FindChild(node, t.token());
    if (node == 0) return 0;
  }
  return node;
}

template <typename Value>
Value* SubjectTrie<Value>::Find(std::string_view filter) const {
  const uint32_t node = FindNode(filter);
  if (node == 0 || !At(node).has_value()) return nullptr;
  return &At(node).value();
}

template <typename Value>
bool SubjectTrie<Value>::Erase(std::string_view filter) {
  const uint32_t node = FindNode(filter);
  if (node == 0) return false;
  Node& n = At(node);
  if (!n.has_value()) return false;
  n.value().~Value();
  n.flags = static_cast<uint8_t>(n.flags & ~kHasValue);
  --filter_count_;
  Prune(node);
  if (filter_count_ == 0 && unused_ > kKeepNodes) ReleaseSpareChunks();
  return true;
}

// Gives back node and its ancestors as far as nothing needs them.
template <typename Value>
void SubjectTrie<Value>::Prune(uint32_t node) {
  while (node != kRoot) {
    Node& n = At(node);
    if (n.has_value() || n.star != 0 || n.tail != 0 || n.literal_count != 0) return;
    const uint32_t parent = n.parent;
    Node& p = At(parent);
    if (p.star == node) {
      p.star = 0;
    } else if (p.tail == node) {
      p.tail = 0;
    } else {
      index_.Erase(n.tag, node);
      --p.literal_count;
    }
    if (const uint32_t bytes = n.token_bytes(); bytes > kInlineTokenBytes) {
      long_token_bytes_ -= bytes;
      ::operator delete(n.long_token);
    }
    n.flags = 0;
    n.parent = free_;
    free_ = node;
    --node_count_;
    node = parent;
  }
}

template <typename Value>
uint32_t SubjectTrie<Value>::AddChild(uint32_t parent, std::string_view token) {
  const uint32_t node = AllocateNode();
  Node& n = At(node);
  n.parent = parent;
  n.star = 0;
  n.tail = 0;
  n.literal_count = 0;
  n.tag = 0;
  n.token_bytes_low = static_cast<uint16_t>(token.size());
  n.token_bytes_high = static_cast<uint8_t>(token.size() >> 16);
  n.flags = kInUse;
  if (token.size() > kInlineTokenBytes) {
    n.long_token = static_cast<char*>(::operator new(token.size()));
    long_token_bytes_ += token.size();
    std::memcpy(n.long_token, token.data(), token.size());
  } else {
    std::memcpy(n.token, token.data(), token.size());
  }
  Node& p = At(parent);
  if (token.size() == 1 && token[0] == kTokenWildcard) {
    p.star = node;
  } else if (token.size() == 1 && token[0] == kTailWildcard) {
    p.tail = node;
  } else {
    n.tag = TagOf(parent, token);
    index_.Insert(n.tag, node);
    ++p.literal_count;
  }
  ++node_count_;
  return node;
}

template <typename Value>
uint32_t SubjectTrie<Value>::AllocateNode() {
  if (free_ != 0) {
    const uint32_t node = free_;
    free_ = At(node).parent;
    return node;
  }
  const uint32_t j = unused_ + kFirstChunkNodes;
  const uint32_t chunk =
      static_cast<uint32_t>(std::bit_width(j) - std::bit_width(kFirstChunkNodes));
  MR_CHECK_OP(chunk, <, uint32_t{kChunkCountMax});
  if (chunk == chunk_count_) {
    const size_t bytes = (size_t{kFirstChunkNodes} << chunk) * sizeof(Node);
    chunks_[chunk] = static_cast<Node*>(::operator new(bytes, std::align_val_t{64}));
    chunk_bytes_ += bytes;
    ++chunk_count_;
  }
  return unused_++;
}

template <typename Value>
void SubjectTrie<Value>::AllocateRoot() {
  const uint32_t root = AllocateNode();
  MR_CHECK_OP(root, ==, kRoot);
  Node& n = At(root);
  n.parent = n.star = n.tail = n.literal_count = n.tag = 0;
  n.token_bytes_low = 0;
  n.token_bytes_high = 0;
  n.flags = kInUse;
  node_count_ = 1;
}

// Nothing but the root is in use: after a wave of subscriptions the memory goes back.
template <typename Value>
void SubjectTrie<Value>::ReleaseSpareChunks() {
  MR_CHECK_OP(node_count_, ==, size_t{1});
  while (chunk_count_ > 1) {
    --chunk_count_;
    chunk_bytes_ -= (size_t{kFirstChunkNodes} << chunk_count_) * sizeof(Node);
    ::operator delete(chunks_[chunk_count_], std::align_val_t{64});
    chunks_[chunk_count_] = nullptr;
  }
  unused_ = kRoot + 1;
  free_ = 0;
  index_.Clear();
}

template <typename Value>
void SubjectTrie<Value>::Destroy() {
  for (uint32_t node = 0; node < unused_; ++node) {
    Node& n = At(node);
    if (!n.in_use()) continue;
    if (n.has_value()) n.value().~Value();
    if (n.token_bytes() > kInlineTokenBytes) ::operator delete(n.long_token);
  }
  for (uint32_t chunk = 0; chunk < chunk_count_; ++chunk) {
    ::operator delete(chunks_[chunk], std::align_val_t{64});
    chunks_[chunk] = nullptr;
  }
  index_.Clear();
  unused_ = free_ = chunk_count_ = 0;
  chunk_bytes_ = long_token_bytes_ = filter_count_ = node_count_ = 0;
}

template <typename Value>
template <typename F>
typename SubjectTrie<Value>::Walk SubjectTrie<Value>::Match(std::string_view subject, F&& on_value) const {
  Walk walk;
  if (!HasOnlyNamedTokens(subject)) {
    walk.decisive_bytes = kWhole;
  } else if (filter_count_ > 0) {
    MatchFrom(kRoot, 0, subject, on_value, &walk);
  }
  return walk;
}

// Follows literal children and keeps the `*` children aside; of each node on the way at most one waits.
template <typename Value>
template <typename F>
void SubjectTrie<Value>::MatchFrom(uint32_t node, size_t offset, std::string_view subject, F& on_value,
                                   Walk* walk) const {
  struct Waiting {
    uint32_t node;
    uint32_t offset;
  };
  Waiting waiting[kWaitingMax];
  size_t waiting_count = 0;
  uint32_t steps = 0;
  size_t decisive_bytes = walk->decisive_bytes;
  while (true) {
    Node& n = At(node);
    ++steps;
    uint32_t next_node = 0;
    if (offset > subject.size()) {
      if (n.has_value()) on_value(n.value());
    } else {
      if (n.tail != 0) on_value(At(n.tail).value());
      if ((n.star | n.literal_count) != 0) {
        const size_t end = FindTokenEnd(subject, offset);
        const size_t next_offset = end + 1;
        if (n.star != 0) __builtin_prefetch(&At(n.star));
        if (n.literal_count != 0) {
          steps += kLiteralSteps;
          decisive_bytes = std::max(decisive_bytes, end);
          const std::string_view token = subject.substr(offset, end - offset);
          next_node = FindLiteral(node, token, TagOf(node, token));
        }
        if (n.star != 0) {
          if (next_node == 0) {
            next_node = n.star;
          } else if (waiting_count < kWaitingMax) {
            waiting[waiting_count++] = {n.star, static_cast<uint32_t>(next_offset)};
          } else {
            MatchFrom(n.star, next_offset, subject, on_value, walk);
          }
        }
        offset = next_offset;
      }
    }
    if (next_node != 0) {
      node = next_node;
    } else if (waiting_count > 0) {
      --waiting_count;
      node = waiting[waiting_count].node;
      offset = waiting[waiting_count].offset;
    } else {
      walk->steps += steps;
      walk->decisive_bytes = std::max(walk->decisive_bytes, static_cast<uint32_t>(decisive_bytes));
      return;
    }
  }
}

template <typename Value>
template <typename F>
void SubjectTrie<Value>::ForEach(F&& on_filter) const {
  std::vector<uint32_t> path;
  std::string filter;
  for (uint32_t node = kRoot + 1; node < unused_; ++node) {
    Node& n = At(node);
    if (!n.in_use() || !n.has_value()) continue;
    path.clear();
    for (uint32_t at = node; at != kRoot; at = At(at).parent) path.push_back(at);
    filter.clear();
    for (size_t i = path.size(); i-- > 0;) {
      filter.append(At(path[i]).token_view());
      if (i > 0) filter.push_back(kTokenSeparator);
    }
    on_filter(std::string_view(filter), n.value());
  }
}

}  // namespace millrace
