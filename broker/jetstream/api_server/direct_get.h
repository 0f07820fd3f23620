// SPDX-License-Identifier: Apache-2.0
// DirectGet: messages of a stream as messages, with what it knows of them in headers (spec J-27, J-28, ADR-31).
// Owner:  shard.
#pragma once

#include <string_view>

#include "broker/jetstream/api/requests.h"
#include "broker/jetstream/stream/stream.h"

namespace millrace {

// Answers a DIRECT.GET; kPending: nothing has left, ask again after StreamHost::OnLoaded.
LoadStatus DirectGet(StreamHost& host, Stream& stream, const MessageGetRequest& request, std::string_view reply);

}  // namespace millrace
