// SPDX-License-Identifier: Apache-2.0
// Mirror: keeps a stream the copy of another one: the same messages under the same sequences and times, gaps included.
// Owner:  shard; part of the stream that is the mirror.  Source: spec J-33, J-29; ADR-59, ADR-31.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/io/timer_wheel.h"
#include "broker/jetstream/stream/upstream.h"
#include "broker/jetstream/upstream/origin_reader.h"

namespace millrace {

class Mirror final : public Upstream {
 public:
  Mirror(OriginSearches& origins, Stream& stream);

  std::vector<std::string> Origins() const override { return {reader_.source().name}; }
  bool MayPull() override { return stream_.Prepare() && origins_.AreFree(stream_.account(), Origins()); }
  PullStatus Pull() override;
  bool Needs(const Stream& origin, uint64_t seq, std::string_view subject) const override {
    return reader_.Needs(origin, seq, subject);
  }
  void Describe(StreamInfo* info) const override { info->mirror = reader_.Info(); }
  Stream* DirectMirror() const override {
    return stream_.config().mirror_direct && caught_up_ ? &stream_ : nullptr;
  }
  void Stop() override;

 private:
  void Begin();
  bool Store();
  void Retry();

  OriginSearches& origins_;
  Stream& stream_;
  OriginReader reader_;
  OriginMessage message_;
  bool caught_up_ = false;  // has been near the origin's end once
  TimerNode retry_;
};

}  // namespace millrace
