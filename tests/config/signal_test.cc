// SPDX-License-Identifier: Apache-2.0
// Goal: --signal reaches the process that is meant and no other.
// Method: made-up process lists; nothing is signalled.
#include "broker/config/signal_command.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cerrno>
#include <string>
#include <utility>

#include "broker/config/language/text.h"
#include "tests/config/support.h"

namespace millrace::config {
namespace {

std::vector<int> g_running;                    // what find() returns
std::vector<std::pair<int, int>> g_signalled;  // what kill() got

std::string Send(std::string_view argument, std::vector<int> running) {
  g_running = std::move(running);
  g_signalled.clear();
  const SignalTargets targets = {.find = [] { return g_running; },
                                 .kill =
                                     [](int pid, int signal) {
                                       g_signalled.emplace_back(pid, signal);
                                       return pid == 666 ? ESRCH : 0;
                                     }};
  return Message(SendSignal(argument, targets));
}

using Signalled = std::vector<std::pair<int, int>>;

TEST(SignalCommand, EveryCommandHasItsSignal) {
  const std::pair<std::string_view, int> kRows[] = {{"stop", SIGKILL},  {"quit", SIGINT},
                                                    {"term", SIGTERM},  {"reopen", SIGUSR1},
                                                    {"reload", SIGHUP}, {"ldm", SIGUSR2}};
  for (const auto& [command, signal] : kRows) {
    EXPECT_EQ(Send(command, {12}), "");
    EXPECT_EQ(g_signalled, (Signalled{{12, signal}}));
  }
}

TEST(SignalCommand, ProcessesAreChosenByIdGlobOrFile) {
  EXPECT_EQ(Send("reload=77", {1, 2}), "");
  EXPECT_EQ(g_signalled, (Signalled{{77, SIGHUP}}));
  EXPECT_EQ(Send("reload=1*", {12, 13, 25}), "");
  EXPECT_EQ(g_signalled, (Signalled{{12, SIGHUP}, {13, SIGHUP}}));
  EXPECT_EQ(Send("reload=*", {12, 25}), "");
  EXPECT_EQ(g_signalled, (Signalled{{12, SIGHUP}, {25, SIGHUP}}));
  const Scratch scratch;
  EXPECT_EQ(Send("quit=" + scratch.Write("pid", "4711"), {}), "");
  EXPECT_EQ(g_signalled, (Signalled{{4711, SIGINT}}));
  EXPECT_EQ(Send("quit=" + scratch.Write("pid", "4712\n"), {}), "");
  EXPECT_EQ(g_signalled, (Signalled{{4712, SIGINT}}));
}

TEST(SignalCommand, AnythingDoubtfulIsAnError) {
  EXPECT_EQ(Send("reload", {}), "no nats-server processes running");
  EXPECT_EQ(Send("reload", {7, 9}), "multiple nats-server processes running:\n7\n9");
  EXPECT_EQ(Send("foo", {7}), "unknown signal \"foo\"");
  EXPECT_EQ(Send("foo=7", {7}), "unknown signal \"foo\"");
  EXPECT_EQ(Send("stop=abc", {7}), "invalid pid: abc");
  EXPECT_EQ(Send("stop=-1", {7}), "invalid pid: -1");
  EXPECT_EQ(Send("stop=0", {7}), "invalid pid: 0");
  EXPECT_EQ(Send("stop=1=2=3", {7}), "invalid signal parameters: [2 3]");
  EXPECT_TRUE(g_signalled.empty());
  EXPECT_EQ(Send("stop=666", {}), "\nsignal \"stop\" 666: no such process");
}

}  // namespace
}  // namespace millrace::config
