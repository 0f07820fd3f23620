// SPDX-License-Identifier: Apache-2.0
#include "broker/route/trace.h"

#include "proto/base/check.h"
#include "proto/headers.h"

namespace millrace {

std::string WithTraceDest(std::string_view payload, std::string_view dest, uint32_t* header_bytes) {
  MR_CHECK_OP(*header_bytes, <=, payload.size());
  std::string text(payload.substr(0, *header_bytes));
  RemoveHeader(&text, kTraceDestHeader);
  AddHeader(&text, kTraceDestHeader, dest);
  const size_t block_bytes = text.size();
  text += payload.substr(*header_bytes);
  *header_bytes = static_cast<uint32_t>(block_bytes);
  return text;
}

}  // namespace millrace
