// SPDX-License-Identifier: Apache-2.0
#include "broker/net/monitor_connection.h"

#include <cerrno>

namespace millrace {

MonitorConnection::MonitorConnection(Io& io, MonitorHost& host, int fd, uint64_t id)
    : io_(io), host_(host), fd_(fd), id_(id) {
  recv_.Bind<&MonitorConnection::OnRecv>(this);
  send_.Bind<&MonitorConnection::OnSent>(this);
}

MonitorConnection::~MonitorConnection() { MR_CHECK(ended_ && !recv_.busy() && !send_.busy()); }

void MonitorConnection::Start() {
  head_since_ = io_.Now();
  io_.Recv(fd_, RecvSize::kSmall, &recv_);
}

void MonitorConnection::CheckHead(Nanos now) {
  if (head_since_ == Nanos::max() || now - head_since_ < kHeadTimeout) return;
  head_since_ = Nanos::max();
  if (!parser_.mid_request()) return End();
  waiting_ = true;
  Respond(HttpErrorBytes(400, ""), false);
}

void MonitorConnection::OnRecv(const IoResult& result) {
  if (ending_) return EndIfIdle();
  if (result.value > 0) {
    parser_.Append(result.bytes);
    if (!waiting_) NextRequest();
    if (!result.more && !ending_) io_.Recv(fd_, RecvSize::kSmall, &recv_);
    return ending_ ? EndIfIdle() : void();
  }
  if (result.more) return;
  if (result.error() == ENOBUFS) return io_.Recv(fd_, RecvSize::kSmall, &recv_);
  // The client may have half-closed after its request: an answer under way still goes out.
  if (result.ok() && waiting_) {
    keep_alive_ = false;
    return;
  }
  End();
}

void MonitorConnection::NextRequest() {
  MR_DCHECK(!waiting_ && !ending_);  // requests on a connection are answered one after the other
  HttpRequest request;
  switch (parser_.Next(&request)) {
    case HttpParser::Status::kNeedMore:
      if (head_since_ == Nanos::max() && parser_.mid_request()) head_since_ = io_.Now();
      return;
    case HttpParser::Status::kError:
      waiting_ = true;
      head_since_ = Nanos::max();
      return Respond(HttpErrorBytes(parser_.error_status(), parser_.error_detail()), false);
    case HttpParser::Status::kRequest:
      waiting_ = true;
      head_since_ = Nanos::max();
      return host_.OnRequest(this, request);
  }
}

void MonitorConnection::Respond(std::string bytes, bool keep_alive) {
  if (ending_) return;
  MR_CHECK(waiting_ && !send_.busy());  // one answer for each request
  keep_alive_ = keep_alive_ && keep_alive;
  out_ = std::move(bytes);
  sent_ = 0;
  SendMore();
}

void MonitorConnection::SendMore() {
  MR_CHECK_OP(sent_, <, out_.size());
  const iovec part{out_.data() + sent_, out_.size() - sent_};
  io_.Send(fd_, &part, 1, &send_);
}

void MonitorConnection::OnSent(const IoResult& result) {
  if (ending_) return EndIfIdle();
  if (!result.ok()) return End();
  sent_ += static_cast<size_t>(result.value);
  MR_CHECK_OP(sent_, <=, out_.size());
  if (sent_ < out_.size()) return SendMore();
  out_.clear();
  waiting_ = false;
  if (!keep_alive_) return End();
  NextRequest();
}

void MonitorConnection::End() {
  if (ending_) return;
  ending_ = true;
  io_.Shutdown(fd_);
  EndIfIdle();
}

void MonitorConnection::EndIfIdle() {
  if (ended_ || recv_.busy() || send_.busy()) return;
  MR_CHECK(ending_);
  ended_ = true;
  io_.Close(fd_);
  host_.OnEnded(this);
}

}  // namespace millrace
