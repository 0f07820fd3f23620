// SPDX-License-Identifier: Apache-2.0
// Interop checks with the official C client. Usage: check <url>. Prints "PASS <name>" or "FAIL <name>: <why>" per check.
#include <nats/nats.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *url;
static int failures;

static natsConnection *connect_(void) {
  natsConnection *nc = NULL;
  natsStatus s = natsConnection_ConnectTo(&nc, url);
  if (s != NATS_OK) {
    printf("FAIL connect: %s\n", natsStatus_GetText(s));
    exit(1);
  }
  return nc;
}

static void verdict(const char *name, bool ok, const char *format, ...) {
  if (ok) {
    printf("PASS %s\n", name);
  } else {
    va_list args;
    va_start(args, format);
    printf("FAIL %s: ", name);
    vprintf(format, args);
    printf(" (%s)\n", nats_GetLastError(NULL) ? nats_GetLastError(NULL) : "");
    va_end(args);
    failures++;
  }
}

static bool received(natsSubscription *sub, const char *wanted) {
  natsMsg *m = NULL;
  bool ok = natsSubscription_NextMsg(&m, sub, 5000) == NATS_OK && (size_t)natsMsg_GetDataLength(m) == strlen(wanted) &&
            memcmp(natsMsg_GetData(m), wanted, strlen(wanted)) == 0;
  natsMsg_Destroy(m);
  return ok;
}

static void on_request(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *closure) {
  (void)sub;
  (void)closure;
  natsConnection_Publish(nc, natsMsg_GetReply(m), natsMsg_GetData(m), natsMsg_GetDataLength(m));
  natsMsg_Destroy(m);
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc != 2) return 2;
  url = argv[1];
  natsConnection *a = connect_(), *b = connect_();
  natsSubscription *sub = NULL, *other = NULL;
  natsMsg *m = NULL;
  natsStatus s;

  bool ok = natsConnection_SubscribeSync(&sub, a, "c.*") == NATS_OK && natsConnection_Flush(a) == NATS_OK;
  char text[32];
  for (int i = 0; i < 1000; i++) {
    snprintf(text, sizeof text, "message %d", i);
    ok = ok && natsConnection_PublishString(b, "c.x", text) == NATS_OK;
  }
  natsConnection_Flush(b);
  for (int i = 0; i < 1000 && ok; i++) {
    snprintf(text, sizeof text, "message %d", i);
    ok = received(sub, text);
  }
  verdict("pub/sub", ok, "1000 messages in order");

  ok = natsSubscription_AutoUnsubscribe(sub, 1003) == NATS_OK && natsConnection_Flush(a) == NATS_OK;
  for (int i = 0; i < 5; i++) natsConnection_PublishString(b, "c.y", "late");
  natsConnection_Flush(b);
  for (int i = 0; i < 3; i++) ok = ok && received(sub, "late");
  s = natsSubscription_NextMsg(&m, sub, 1000);
  verdict("auto-unsubscribe", ok && s == NATS_MAX_DELIVERED_MSGS, "after the last message: %s", natsStatus_GetText(s));
  natsSubscription_Destroy(sub);

  natsConnection_Subscribe(&sub, a, "c.service", on_request, NULL);
  natsConnection_Flush(a);
  s = natsConnection_RequestString(&m, b, "c.service", "question", 5000);
  verdict("request", s == NATS_OK && strcmp(natsMsg_GetData(m), "question") == 0, "%s", natsStatus_GetText(s));
  natsMsg_Destroy(m);
  m = NULL;
  natsSubscription_Destroy(sub);
  natsConnection_Flush(a);

  s = natsConnection_RequestString(&m, b, "c.nobody", "anyone?", 5000);
  verdict("no responders", s == NATS_NO_RESPONDERS, "%s", natsStatus_GetText(s));

  natsConnection_QueueSubscribeSync(&sub, a, "c.queue", "workers");
  natsConnection_QueueSubscribeSync(&other, b, "c.queue", "workers");
  natsConnection_Flush(a);
  natsConnection_Flush(b);
  for (int i = 0; i < 400; i++) natsConnection_PublishString(a, "c.queue", "job");
  natsConnection_Flush(a);
  natsConnection_Flush(b);
  int counts[2] = {0, 0};
  for (int n = 0, idle = 0; n < 400 && idle < 100; idle++) {
    for (int i = 0; i < 2; i++) {
      while (natsSubscription_NextMsg(&m, i ? other : sub, 20) == NATS_OK) {
        natsMsg_Destroy(m);
        counts[i]++;
        n++;
        idle = 0;
      }
    }
  }
  verdict("queue group", counts[0] + counts[1] == 400 && counts[0] > 80 && counts[1] > 80, "%d + %d of 400", counts[0], counts[1]);
  natsSubscription_Destroy(sub);
  natsSubscription_Destroy(other);

  natsConnection_SubscribeSync(&sub, a, "c.headers");
  natsConnection_Flush(a);
  natsMsg_Create(&m, "c.headers", NULL, "body", 4);
  natsMsgHeader_Set(m, "Key", "one");
  natsMsgHeader_Add(m, "Key", "two");
  natsMsgHeader_Set(m, "key", "lower");
  natsConnection_PublishMsg(b, m);
  natsMsg_Destroy(m);
  m = NULL;
  const char **values = NULL, *lower = NULL;
  int count = 0;
  s = natsSubscription_NextMsg(&m, sub, 5000);
  ok = s == NATS_OK && natsMsgHeader_Values(m, "Key", &values, &count) == NATS_OK && count == 2 && strcmp(values[0], "one") == 0 &&
       strcmp(values[1], "two") == 0 && natsMsgHeader_Get(m, "key", &lower) == NATS_OK && strcmp(lower, "lower") == 0 &&
       natsMsg_GetDataLength(m) == 4;
  verdict("headers", ok, "%s, %d values", natsStatus_GetText(s), count);
  free((void *)values);
  natsMsg_Destroy(m);
  m = NULL;

  int size = (int)natsConnection_GetMaxPayload(b);
  char *large = malloc((size_t)size + 1);
  for (int i = 0; i <= size; i++) large[i] = (char)(i * 7);
  natsConnection_Publish(b, "c.headers", large, size);
  s = natsSubscription_NextMsg(&m, sub, 10000);
  verdict("large message", s == NATS_OK && natsMsg_GetDataLength(m) == size && memcmp(natsMsg_GetData(m), large, (size_t)size) == 0, "%s", natsStatus_GetText(s));
  natsMsg_Destroy(m);
  m = NULL;
  s = natsConnection_Publish(b, "c.headers", large, size + 1);
  verdict("too large a message", s == NATS_MAX_PAYLOAD, "%s", natsStatus_GetText(s));
  free(large);

  for (int i = 0; i < 500; i++) natsConnection_PublishString(b, "c.headers", "pending");
  natsConnection_Flush(b);
  natsConnection_Flush(a);
  natsSubscription_Drain(sub);
  int drained = 0;
  while (natsSubscription_NextMsg(&m, sub, 2000) == NATS_OK) {
    natsMsg_Destroy(m);
    drained++;
  }
  s = natsSubscription_WaitForDrainCompletion(sub, 5000);
  verdict("drain a subscription", s == NATS_OK && drained == 500, "%s, %d of 500", natsStatus_GetText(s), drained);
  natsSubscription_Destroy(sub);

  s = natsConnection_DrainTimeout(a, 5000);
  for (int i = 0; i < 500 && !natsConnection_IsClosed(a); i++) nats_Sleep(10);
  verdict("drain a connection", s == NATS_OK && natsConnection_IsClosed(a), "%s", natsStatus_GetText(s));
  int64_t rtt = 0;
  s = natsConnection_GetRTT(b, &rtt);
  verdict("rtt", s == NATS_OK && rtt > 0, "%s", natsStatus_GetText(s));
  natsConnection_Destroy(a);
  natsConnection_Destroy(b);
  nats_Close();
  return failures ? 1 : 0;
}
