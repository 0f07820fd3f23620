// SPDX-License-Identifier: Apache-2.0
// Member: a field of a block's struct as a constant that knows nothing of the struct, so that rows of every block look
// the same to what reads, prints, checks and reloads them. So are Inside, a struct within a struct, and Hook, a
// function on a block. Each bears the tag of the type that it is for; tests compare it with that of the table it
// stands in.
// Owner:  immutable.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace millrace::config {

using TypeTag = const void*;
template <typename Type>
inline constexpr char kTypeTag = 0;

enum class Kind : uint8_t {
  kBool,
  kInt,
  kInt64,
  kText,
  kDuration,
  kSeconds,   // a double
  kWord,      // an enum class of one byte, in the order of the row's words
  kTexts,     // a list
  kTextMap,
  kSwitches,  // a map of bools
  kOther,     // read by a function of its block
};

template <typename Type>
consteval Kind KindOf() {
  if constexpr (std::is_same_v<Type, bool>) return Kind::kBool;
  if constexpr (std::is_same_v<Type, int>) return Kind::kInt;
  if constexpr (std::is_same_v<Type, int64_t>) return Kind::kInt64;
  if constexpr (std::is_same_v<Type, std::string>) return Kind::kText;
  if constexpr (std::is_same_v<Type, std::chrono::nanoseconds>) return Kind::kDuration;
  if constexpr (std::is_same_v<Type, double>) return Kind::kSeconds;
  if constexpr (std::is_enum_v<Type> && sizeof(Type) == 1) return Kind::kWord;
  if constexpr (std::is_same_v<Type, std::vector<std::string>>) return Kind::kTexts;
  if constexpr (std::is_same_v<Type, std::map<std::string, std::string>>) return Kind::kTextMap;
  if constexpr (std::is_same_v<Type, std::map<std::string, bool>>) return Kind::kSwitches;
  return Kind::kOther;
}

// A constant's address says which field it is: two rows with the same member set the same field.
struct Member {
  Kind kind = Kind::kOther;
  TypeTag owner = nullptr;                                  // null: a flag's value that is checked, and not kept
  const void* (*in)(const void* block) = nullptr;           // the field
  bool (*equal)(const void* a, const void* b) = nullptr;    // the fields of two blocks
  void (*copy)(const void* from, void* to) = nullptr;       // from one block to another

  bool IsKept() const { return in != nullptr; }
  template <typename Type>
  const Type& Of(const void* block) const {
    return *static_cast<const Type*>(in(block));
  }
  template <typename Type>
  Type& In(void* block) const {
    return *const_cast<Type*>(static_cast<const Type*>(in(block)));
  }
};

// Where the struct of a block is within the struct around it.
struct Inside {
  TypeTag outer = nullptr;
  TypeTag inner = nullptr;
  const void* (*look)(const void* outer) = nullptr;  // null: there may be none, or many
  void* (*open)(void* outer) = nullptr;              // makes room for one that is read
  void (*clear)(void* outer) = nullptr;              // of a list, before the first is added; else null
};

template <typename Signature>
struct Hook {
  Signature run = nullptr;
  TypeTag type = nullptr;
  explicit operator bool() const { return run != nullptr; }
};

namespace member_details {

template <typename Owner, typename Type>
Owner OwnerOf(Type Owner::*);
template <typename Owner, typename Type>
Type TypeOf(Type Owner::*);

template <auto member>
struct Of {
  using Owner = decltype(OwnerOf(member));
  using Type = decltype(TypeOf(member));

  static const void* In(const void* block) { return &(static_cast<const Owner*>(block)->*member); }
  static bool Equal(const void* a, const void* b) {
    return static_cast<const Owner*>(a)->*member == static_cast<const Owner*>(b)->*member;
  }
  static void Copy(const void* from, void* to) {
    static_cast<Owner*>(to)->*member = static_cast<const Owner*>(from)->*member;
  }
  static void* Open(void* outer) { return &(static_cast<Owner*>(outer)->*member); }
  static void* OpenNew(void* outer) { return &(static_cast<Owner*>(outer)->*member = {}); }
  static void* OpenOptional(void* outer) { return &(static_cast<Owner*>(outer)->*member).emplace(); }
  static void* OpenNext(void* outer) { return &(static_cast<Owner*>(outer)->*member).emplace_back(); }
  static void Clear(void* outer) { (static_cast<Owner*>(outer)->*member).clear(); }
};

template <auto function, typename Result, typename Block, typename... More>
constexpr auto HookOf(Result (*)(Block&, More...)) {
  using Erased = std::conditional_t<std::is_const_v<Block>, const void*, void*>;
  return Hook<Result (*)(Erased, More...)>{
      [](Erased block, More... more) -> Result { return function(*static_cast<Block*>(block), more...); },
      &kTypeTag<std::remove_const_t<Block>>};
}

template <auto function, typename Result, typename Block, typename... More>
constexpr auto PairHookOf(Result (*)(const Block&, const Block&, More...)) {
  return Hook<Result (*)(const void*, const void*, More...)>{
      [](const void* old, const void* now, More... more) -> Result {
        return function(*static_cast<const Block*>(old), *static_cast<const Block*>(now), more...);
      },
      &kTypeTag<Block>};
}

}  // namespace member_details

// kMember<&LimitsOptions::max_payload>
template <auto member>
inline constexpr Member kMember = {KindOf<typename member_details::Of<member>::Type>(),
                                   &kTypeTag<typename member_details::Of<member>::Owner>,
                                   member_details::Of<member>::In, member_details::Of<member>::Equal,
                                   member_details::Of<member>::Copy};
// A flag's value that nobody keeps.
template <typename Type>
inline constexpr Member kUnkept = {KindOf<Type>(), nullptr, nullptr, nullptr, nullptr};

// The struct itself: keys that stand one block deeper in the file than in the struct.
template <typename Type>
inline constexpr Inside kSameStruct = {&kTypeTag<Type>, &kTypeTag<Type>, [](const void* outer) { return outer; },
                                       [](void* outer) { return outer; }, nullptr};
template <auto member>
inline constexpr Inside kWithin = {
    &kTypeTag<typename member_details::Of<member>::Owner>, &kTypeTag<typename member_details::Of<member>::Type>,
    member_details::Of<member>::In, member_details::Of<member>::Open, nullptr};
// The same; what an earlier block of that name said is gone.
template <auto member>
inline constexpr Inside kWithinNew = {
    &kTypeTag<typename member_details::Of<member>::Owner>, &kTypeTag<typename member_details::Of<member>::Type>,
    member_details::Of<member>::In, member_details::Of<member>::OpenNew, nullptr};
// A std::optional, which is there once its block is read.
template <auto member>
inline constexpr Inside kWithinOptional = {
    &kTypeTag<typename member_details::Of<member>::Owner>,
    &kTypeTag<typename member_details::Of<member>::Type::value_type>, nullptr,
    member_details::Of<member>::OpenOptional, nullptr};
// A std::vector: the value in the file is a list of blocks.
template <auto member>
inline constexpr Inside kEach = {
    &kTypeTag<typename member_details::Of<member>::Owner>,
    &kTypeTag<typename member_details::Of<member>::Type::value_type>, nullptr,
    member_details::Of<member>::OpenNext, member_details::Of<member>::Clear};

// kHook<ReadListen>, of a function whose first argument is its block.
template <auto function>
inline constexpr auto kHook = member_details::HookOf<function>(function);
// Of a function on the old and the new block.
template <auto function>
inline constexpr auto kPairHook = member_details::PairHookOf<function>(function);

}  // namespace millrace::config
