// SPDX-License-Identifier: Apache-2.0
// ServerView: what monitoring reads of the server, and the pages' values made of it.
// Owner:  control thread; a view is good until the control thread goes on.
#pragma once

#include <cstdint>

#include "broker/account/account_table.h"
#include "broker/account/account_views.h"
#include "broker/config/options.h"
#include "broker/jetstream/engine/settings.h"
#include "broker/mesh/mesh.h"
#include "broker/monitor/process.h"
#include "broker/monitor/snapshot.h"
#include "broker/session/info.h"

namespace millrace {

struct ServerView {
  const Options& options;
  const ServerInfo& info;
  const AccountTable& accounts;
  const AccountViews& views;
  int64_t now_ns = 0;
  int64_t start_ns = 0;
  int64_t config_load_ns = 0;
  bool serving = false;                           // neither starting nor on its way down
  const JetStreamSettings* jetstream = nullptr;  // nullptr: it is off, or has stopped
};

// Over all shards.
uint64_t SumOf(Mesh& mesh, Counter ShardCounters::*counter);
// What does not come from the shards' answers.
void FillVarz(const ServerView& view, Mesh& mesh, const ProcessUsage::Sample& usage, VarzSnapshot* varz);
// The engine tells what it counts; the limit of its disk, when it knows better than the settings.
void AddSettings(const JetStreamSettings& settings, JetStreamVarz* jetstream);
// As the peer words it when its listener is not open: before it is ready, in lame duck mode, at the end.
HealthSnapshot NotServing();

}  // namespace millrace
