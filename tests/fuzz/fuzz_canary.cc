// SPDX-License-Identifier: Apache-2.0
// Holds a false claim on purpose: that no PUB with a reply brings 40 bytes or more. To break it a mutation has to make
// the announced size and the payload agree. The test of this target passes only if the driver gets there.
#include "proto/parser.h"
#include "tests/fuzz/fuzz_driver.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace millrace;
  Parser parser;
  Command command;
  const std::string_view input(reinterpret_cast<const char*>(bytes), size);
  if (parser.Next(input, &command) != Parser::Status::kCommand) return 0;
  FUZZ_REQUIRE(command.verb != Verb::kPub || command.reply.empty() || command.payload.size() < 40);
  return 0;
}

std::vector<std::string> FuzzSeeds() { return {"PUB a 10\r\n0123456789\r\n", "PUB a r 9\r\n012345678\r\n"}; }
