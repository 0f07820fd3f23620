// SPDX-License-Identifier: Apache-2.0
// Goal:   the reply of a fast batch's message says what the peer reads in it, and nothing else passes.
// Method: tables.
#include "broker/jetstream/stream/fast_batch_reply.h"

#include <gtest/gtest.h>

namespace millrace {
namespace {

TEST(FastBatchReply, SaysWhatTheMessageIs) {
  const auto start = ParseFastBatchReply("_INBOX.a.b.uuid.100.ok.1.0.$FI");
  ASSERT_TRUE(start);
  EXPECT_EQ(start->id, "uuid");
  EXPECT_EQ(start->flow, 100);
  EXPECT_EQ(start->seq, 1u);
  EXPECT_TRUE(start->gap_ok);
  EXPECT_FALSE(start->commit || start->ping);
  const auto commit = ParseFastBatchReply("i.u.0.fail.7.2.$FI");
  ASSERT_TRUE(commit);
  EXPECT_TRUE(commit->commit && !commit->commit_without && !commit->gap_ok);
  EXPECT_EQ(commit->flow, 10);
  EXPECT_TRUE(ParseFastBatchReply("i.u.1.fail.7.3.$FI")->commit_without);
  EXPECT_TRUE(ParseFastBatchReply("i.u.1.fail.7.4.$FI")->ping);
  EXPECT_EQ(ParseFastBatchReply("i.u.70000.fail.7.1.$FI")->flow, 65535);
  EXPECT_EQ(ParseFastBatchReply("i.u.x.fail.7.1.$FI")->flow, 10);
  EXPECT_TRUE(ParseFastBatchReply("i.u.1.fail.1.2.$FI"));  // one message is a batch
}

TEST(FastBatchReply, RefusesWhatIsNotOne) {
  for (const char* reply : {
           "", ".$FI", "x.$FI", "1.$FI", "i.u.1.ok.1.5.$FI", "i.u.1.ok.1.-1.$FI", "i.u.1.ok.0.1.$FI",
           "i.u.1.ok.x.1.$FI",
           "i.u.1.ok.18446744073709551615.1.$FI", "i.u.1.ok.18446744073709551616.1.$FI", "i.u.1.maybe.2.1.$FI",
           "i.u.1.ok.2.0.$FI", "i.u.1.ok.1.1.$FI", "i.u.1.ok.1.3.$FI", "u.1.ok.2.1.$FI", "1.ok.2.1.$FI",
           "i.u.1.ok.2.1.FI",
       }) {
    EXPECT_FALSE(ParseFastBatchReply(reply)) << reply;
  }
}

}  // namespace
}  // namespace millrace
