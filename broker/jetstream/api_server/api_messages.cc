// SPDX-License-Identifier: Apache-2.0
// Requests about messages of streams (spec 5d, J-24 to J-30).
#include <algorithm>

#include "broker/jetstream/api/message_headers.h"
#include "broker/jetstream/api/versioning.h"
#include "broker/jetstream/api_server/api_server.h"
#include "broker/jetstream/api_server/direct_get.h"
#include "proto/headers.h"
#include "proto/subject.h"

namespace millrace {

bool ApiServer::OnMessageDelete(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamMsgDelete;
  if (IsEmptyRequest(request.body)) {
    Refuse(request, kKind, MakeError(ApiErrorId::kBadRequest));
    return true;
  }
  MessageDeleteRequest remove;
  if (!Parse(request, kKind, &remove)) return true;
  Stream* stream = StreamOf(request, kKind, 5);
  if (stream == nullptr) return true;
  Lsn lsn = 0;
  if (stream->config().sealed) {
    Refuse(request, kKind, MakeError(ApiErrorId::kStreamSealed));
  } else if (stream->config().deny_delete) {
    Refuse(request, kKind, MakeErrorText(ApiErrorId::kStreamMsgDeleteFailedF, "message delete not permitted"));
  } else if (!stream->Delete(remove.seq, !remove.no_erase, &lsn)) {
    // The peer's two stores say it in two ways, and neither counts it as an error of the API.
    const StreamLogState& state = stream->log().state();
    ApiError error = MakeError(ApiErrorId::kSequenceNotFound, {{"seq", std::to_string(remove.seq)}});
    if (stream->config().storage == Storage::kFile && remove.seq > state.last_seq) {
      error = MakeErrorText(ApiErrorId::kStreamMsgDeleteFailedF, "stream store EOF");
    } else if (stream->config().storage == Storage::kFile && remove.seq < std::max<uint64_t>(state.first_seq, 1)) {
      error = MakeErrorText(ApiErrorId::kStreamMsgDeleteFailedF, "no message found");
    }
    Respond(request, ErrorAnswer(kKind, error));
  } else if (!remove.no_erase && stream->config().storage == Storage::kFile) {
    RespondOnceErased(request, SuccessAnswer(kKind), stream->uid());
  } else {
    Respond(request, SuccessAnswer(kKind), lsn);
  }
  return true;
}

bool ApiServer::OnMessageGet(const ApiRequest& request) {
  constexpr ResponseKind kKind = ResponseKind::kStreamMsgGet;
  if (IsEmptyRequest(request.body)) {
    Refuse(request, kKind, MakeError(ApiErrorId::kBadRequest));
    return true;
  }
  MessageGetRequest get;
  if (!Parse(request, kKind, &get)) return true;
  const bool by_last = !get.last_by_subj.empty();
  const bool by_next = !get.next_by_subj.empty();
  const bool by_time = get.start_time_ns.has_value();
  if (get.batch > 0 || get.max_bytes > 0 || (get.seq > 0 && by_last) ||
      (get.seq == 0 && !by_last && !by_next && !by_time) || (get.seq > 0 && by_time) || (by_time && by_last) ||
      (by_last && by_next)) {
    Refuse(request, kKind, MakeError(ApiErrorId::kBadRequest));
    return true;
  }
  Stream* stream = StreamOf(request, kKind, 5);
  if (stream == nullptr) return true;
  StreamLog& log = stream->log();
  uint64_t seq = by_time ? log.FirstAtOrAfter(*get.start_time_ns) : get.seq;
  if (by_next) {
    seq = log.Next({get.next_by_subj}, seq);
  } else if (by_last) {
    seq = log.Previous({get.last_by_subj}, log.state().last_seq);
  }
  StoredMessage message;
  const LoadStatus status = seq == 0 ? LoadStatus::kAbsent : log.Load(seq, &message);
  if (status == LoadStatus::kPending) return false;
  if (status != LoadStatus::kFound) {
    Refuse(request, kKind, MakeError(ApiErrorId::kNoMessageFound));
    return true;
  }
  ApiMessage answer;
  answer.subject = message.subject;
  answer.seq = message.seq;
  if (!get.no_hdr) answer.hdrs = message.header();
  answer.data = message.body();
  answer.time_ns = message.time_ns;
  // The peer neither counts nor audits this one.
  if (!request.reply.empty()) host_.replies().SendNow(request.account, request.reply, MessageGetAnswer(answer), 0);
  return true;
}

// The stream itself if it may answer: it knows most; else a mirror of it.
Stream* ApiServer::FindDirect(AccountId account, std::string_view name) {
  Stream* stream = directory_.Find(account, name);
  if (stream != nullptr && stream->config().allow_direct) return stream;
  return host_.readers().DirectMirrorOf(account, name);
}

bool ApiServer::OnDirectGet(const ApiRequest& request) {
  if (request.reply.empty()) return true;
  const auto status = [&](std::string_view line) {
    host_.replies().SendNow(request.account, request.reply, line, static_cast<uint32_t>(line.size()));
    return true;
  };
  Stream* stream = FindDirect(request.account, TokenAt(request.subject, 4));
  if (stream == nullptr) return true;
  const std::optional<std::string_view> level = FindHeader(request.header, kRequiredApiLevelHeader);
  if (level && RefusesRequiredLevel(*level)) return status("NATS/1.0 412 Required Api Level\r\n\r\n");
  MessageGetRequest get;
  const bool by_subject = CountTokens(request.subject) > 5;
  if (!by_subject && request.body.empty()) return status("NATS/1.0 408 Empty Request\r\n\r\n");
  if (!request.body.empty() && !ParseJson(request.body, &get).empty())
    return status("NATS/1.0 408 Malformed Request\r\n\r\n");
  if (by_subject) {
    if (!get.last_by_subj.empty() || !get.next_by_subj.empty() || !get.multi_last.empty() || get.seq != 0 ||
        get.batch != 0 || get.start_time_ns || get.up_to_seq != 0 || get.up_to_time_ns) {
      return status("NATS/1.0 408 Bad Request\r\n\r\n");
    }
    const std::string_view stream_token = TokenAt(request.subject, 4);
    get.last_by_subj = request.subject.substr(static_cast<size_t>(stream_token.data() - request.subject.data()) +
                                              stream_token.size() + 1);
  } else {
    const bool by_last = !get.last_by_subj.empty();
    const bool by_next = !get.next_by_subj.empty();
    const bool multi = !get.multi_last.empty();
    const bool by_time = get.start_time_ns.has_value();
    if (get.seq == 0 && !by_last && !by_next && !multi && !by_time)
      return status("NATS/1.0 408 Empty Request\r\n\r\n");
    if ((get.seq > 0 && by_last) || (get.seq > 0 && by_time) || (by_time && by_last) || (by_last && by_next) ||
        (by_last && get.batch > 0) || (by_last && multi) || (by_next && multi) ||
        (get.up_to_seq > 0 && get.up_to_time_ns)) {
      return status("NATS/1.0 408 Bad Request\r\n\r\n");
    }
  }
  return DirectGet(host_, *stream, get, request.reply) != LoadStatus::kPending;
}

}  // namespace millrace
