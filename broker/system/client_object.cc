// SPDX-License-Identifier: Apache-2.0
#include "broker/system/client_object.h"

namespace millrace {

void ClientObject::Write(JsonWriter* out) const {
  out->BeginObject();
  out->OptTime("start", start_ns);
  out->Opt("host", host);
  out->OptUint("id", id);
  out->Opt("acc", account);
  out->Opt("svc", service);
  out->Opt("user", user);
  out->Opt("name", name);
  out->Opt("lang", lang);
  out->Opt("ver", version);
  out->OptInt("rtt", rtt_ns);
  out->Opt("server", server);
  out->OptTime("stop", stop_ns);
  out->Opt("name_tag", name_tag);
  if (with_kind) {
    out->Put("kind", "Client");
    out->Put("client_type", "nats");
  }
  out->EndObject();
}

}  // namespace millrace
