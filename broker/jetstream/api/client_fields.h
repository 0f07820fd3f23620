// SPDX-License-Identifier: Apache-2.0
// Client fields: the table of fields.h for who asks, in advisories and in the header Nats-Request-Info.
// Owner:  caller (pure).  Internal to this folder.
#pragma once

#include "broker/jetstream/api/advisories.h"
#include "broker/jetstream/api/fields.h"

namespace millrace {

MR_GO_STRUCT(AdvisoryClient, "ClientInfo") {
  v.OptTime("start", c.start_ns);
  v.String("host", c.host, Omit::kEmpty);
  v.Uint64("id", c.id, Omit::kEmpty);
  v.String("acc", c.account, Omit::kEmpty);
  v.String("svc", c.service, Omit::kEmpty);
  v.String("user", c.user, Omit::kEmpty);
  v.String("name", c.name, Omit::kEmpty);
  v.String("lang", c.lang, Omit::kEmpty);
  v.String("ver", c.version, Omit::kEmpty);
  v.Duration("rtt", c.rtt_ns, Omit::kEmpty);
  v.String("server", c.server, Omit::kEmpty);
  v.String("cluster", c.cluster, Omit::kEmpty);
  v.Strings("alts", c.alternates, Omit::kEmpty);
  v.OptTime("stop", c.stop_ns);
  v.String("jwt", c.jwt, Omit::kEmpty);
  v.String("issuer_key", c.issuer_key, Omit::kEmpty);
  v.String("name_tag", c.name_tag, Omit::kEmpty);
  v.Strings("tags", c.tags, Omit::kEmpty);
  v.String("kind", c.kind, Omit::kEmpty);
  v.String("client_type", c.client_type, Omit::kEmpty);
  v.String("client_id", c.mqtt_client_id, Omit::kEmpty);
  v.String("nonce", c.nonce, Omit::kEmpty);
  v.String("reply", c.reply, Omit::kEmpty);
}

}  // namespace millrace
