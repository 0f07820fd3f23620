// SPDX-License-Identifier: Apache-2.0
#include "broker/system/services/system_services.h"

#include <utility>

#include "proto/base/check.h"

namespace millrace {

SystemServices::SystemServices(PartHost host, SystemPort& port, const Options& options)
    : mesh_(host.router.mesh()), port_(port) {
  const std::string server = "$SYS.REQ.SERVER.";
  const std::string account = "$SYS.REQ.ACCOUNT.";
  Listen(options.account, server + "PING");
  for (const std::string_view name : options.server_names) {
    Listen(options.account, server + "PING." + std::string(name));
    Listen(options.account, server + options.server_id + "." + std::string(name));
  }
  for (const std::string_view name : options.own_names) {
    Listen(options.account, server + options.server_id + "." + std::string(name));
  }
  for (const std::string_view name : options.account_names) Listen(options.account, account + "*." + std::string(name));
  for (const std::string_view subject : {"$SYS.REQ.ACCOUNT.NSUBS", "$SYS.REQ.USER.*.INFO", "$SYS.DEBUG.SUBSCRIBERS"}) {
    Listen(options.account, subject);
  }
}

SystemServices::~SystemServices() { MR_CHECK(subscriptions_.empty()); }

void SystemServices::Listen(AccountId account, std::string_view subject) {
  subscriptions_.push_back(port_.route().Subscribe(account, subject, this));
}

void SystemServices::StartStop() {
  for (Subscription* subscription : std::exchange(subscriptions_, {})) port_.route().Unsubscribe(subscription);
}

bool SystemServices::Deliver(const Subscription&, const Message& message) {
  auto request = std::make_unique<SystemRequest>();
  request->subject = message.deliver_to.empty() ? message.subject : message.deliver_to;
  request->reply = message.reply;
  request->header = message.payload.substr(0, message.header_bytes);
  request->payload = message.payload.substr(message.header_bytes);
  request->cid = message.origin_id.part() == PartId::kNone ? message.origin_id.cid : 0;
  mesh_.SendParcel(mesh_.control(), std::move(request));
  return true;
}

void SystemServices::OnMail(std::unique_ptr<PartMail> mail) {
  auto* reply = dynamic_cast<SystemReply*>(mail.get());
  MR_CHECK(reply != nullptr);
  port_.Post(std::move(reply->notice));
}

}  // namespace millrace
