// SPDX-License-Identifier: Apache-2.0
// SpscRing: a byte ring of mail records from one shard to another.
// Owner:  two shards: producer_* fields belong to the producer, consumer_* to the consumer; they meet in tail_, head_,
//         consumed_ and notify_at_ only.
// Order:  tail_ is stored with release once a turn and loaded with acquire once a drain; head_ likewise the other way.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstring>

#include "broker/mesh/mail.h"
#include "proto/base/check.h"

namespace millrace {

class SpscRing {
 public:
  // `bytes` is a power of two. The memory is reserved now and becomes resident as it is used.
  explicit SpscRing(uint32_t bytes) : bytes_(bytes), mask_(bytes - 1) {
    MR_CHECK((bytes & (bytes - 1)) == 0 && bytes >= 4096);
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MR_CHECK(memory != MAP_FAILED);
    memory_ = static_cast<char*>(memory);
  }
  ~SpscRing() { munmap(memory_, bytes_); }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  // Largest record that is guaranteed to fit into an empty ring, wherever its tail stands.
  static uint32_t RecordBytesMax(uint32_t ring_bytes) { return ring_bytes / 2; }
  uint32_t record_bytes_max() const { return RecordBytesMax(bytes_); }

  // Producer: room for a record of `bytes` (aligned), contiguous; nullptr when the ring is too full. What is written
  // becomes visible with Publish.
  char* Reserve(uint32_t bytes) {
    MR_DCHECK(bytes % kMailAlignment == 0 && bytes >= sizeof(MailHeader) && bytes <= record_bytes_max());
    MR_DCHECK(producer_tail_ - producer_head_ <= bytes_);
    const uint32_t at = static_cast<uint32_t>(producer_tail_ & mask_);
    const uint32_t to_end = bytes_ - at;
    const uint32_t need = bytes <= to_end ? bytes : to_end + bytes;
    if (producer_tail_ + need - producer_head_ > bytes_) {
      producer_head_ = head_.load(std::memory_order_acquire);
      if (producer_tail_ + need - producer_head_ > bytes_) return nullptr;
    }
    char* place = memory_ + at;
    if (bytes > to_end) {
      *reinterpret_cast<MailHeader*>(place) = MailHeader{to_end, MailKind::kPad, {}};
      producer_tail_ += to_end;
      place = memory_;
    }
    producer_tail_ += bytes;
    return place;
  }
  bool Unpublished() const { return producer_tail_ != producer_published_; }
  void Publish() {
    producer_published_ = producer_tail_;
    tail_.store(producer_tail_, std::memory_order_release);
  }
  // Producer: how many records the consumer has finished with, its answers published.
  uint64_t consumed() const { return consumed_.load(std::memory_order_acquire); }
  // Producer: how many records the consumer has taken out, which makes room; never behind consumed().
  uint64_t drained() const { return drained_.load(std::memory_order_acquire); }
  // Producer: asks to be woken when `records` have been drained; 0 takes the wish back.
  void NotifyAt(uint64_t records) { notify_at_.store(records, std::memory_order_relaxed); }

  // Consumer.
  bool HasMail() const { return tail_.load(std::memory_order_acquire) != consumer_head_; }

  // Consumer: runs `handle(const MailHeader&, const char* body)` over what had been published when it was called.
  template <class Handle>
  uint64_t Drain(Handle&& handle) {
    const uint64_t tail = tail_.load(std::memory_order_acquire);
    uint64_t records = 0;
    while (consumer_head_ != tail) {
      const char* place = memory_ + (consumer_head_ & mask_);
      const MailHeader& header = *reinterpret_cast<const MailHeader*>(place);
      MR_DCHECK(header.bytes >= sizeof(MailHeader) && header.bytes % kMailAlignment == 0);
      MR_DCHECK(header.bytes <= tail - consumer_head_);
      if (header.kind != MailKind::kPad) {
        handle(header, place + sizeof(MailHeader));
        ++records;
      }
      consumer_head_ += header.bytes;
    }
    if (records > 0) {
      consumer_records_ += records;
      head_.store(consumer_head_, std::memory_order_release);
      drained_.store(consumer_records_, std::memory_order_release);
    }
    return records;
  }
  uint64_t consumer_records() const { return consumer_records_; }
  // Consumer: tells the producer that the first `records` are dealt with. Comes after the consumer has published what
  // it has to say to them, so that a producer that sees this sees the answers too.
  void Acknowledge(uint64_t records) {
    MR_DCHECK(records <= consumer_records_ && records >= consumed_.load(std::memory_order_relaxed));
    consumed_.store(records, std::memory_order_release);
  }
  // Consumer, after a full fence: does the producer want to be woken for what was drained or acknowledged?
  bool ProducerWaits() const {
    const uint64_t at = notify_at_.load(std::memory_order_relaxed);
    return at != 0 && consumer_records_ >= at;
  }

 private:
  const uint32_t bytes_;
  const uint32_t mask_;
  char* memory_ = nullptr;

  // Written by the producer.
  alignas(128) std::atomic<uint64_t> tail_{0};
  std::atomic<uint64_t> notify_at_{0};
  uint64_t producer_tail_ = 0;
  uint64_t producer_published_ = 0;
  uint64_t producer_head_ = 0;

  // Written by the consumer.
  alignas(128) std::atomic<uint64_t> head_{0};
  std::atomic<uint64_t> drained_{0};
  std::atomic<uint64_t> consumed_{0};
  uint64_t consumer_head_ = 0;
  uint64_t consumer_records_ = 0;
};

}  // namespace millrace
