#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What two servers say of requests to measured exports (A-33), compared but for ids, times and durations.

    service_latency.py build/release/millrace /root/go/bin/nats-server     # or one of them: prints its answers

Every end that a request can have, headers that ask for a measurement, who shares who it is, chains of accounts. Times are
only looked at for what they have to be: of this minute, in their order, none below nothing. --flags goes to the first.
"""
import json
import re
import sys
import time

from talk import Server, Talker, ask_and_compare

CONFIG = """
server_name: here
accounts {
  A { users: [{user: a, password: x}], imports: [
    {service: {account: B, subject: q}, to: ask},
    {service: {account: B, subject: told}, share: true},
    {service: {account: B, subject: quick}},
    {service: {account: B, subject: head}},
    {service: {account: B, subject: some}},
    {service: {account: B, subject: "w.*"}},
    {service: {account: B, subject: chain}},
  ]}
  B { users: [{user: b, password: x}], exports: [
    {service: q, latency: lat.q},
    {service: told, latency: {sampling: "100%", subject: lat.told}},
    {service: quick, threshold: "300ms", latency: {subject: lat.quick}},
    {service: head, latency: {sampling: Headers, subject: lat.head}},
    {service: some, latency: {sampling: 1, subject: lat.some}},
    {service: "w.>", latency: lat.w},
    {service: chain, latency: lat.chain},
  ], imports: [{service: {account: C, subject: end}, to: chain}]}
  C { users: [{user: c, password: x}], exports: [{service: end, latency: lat.end}]}
}
"""

HEADERS = [
    ["Uber-Trace-Id: 1:2:3:1", "uberctx-a: x", "Other: y"], ["Uber-Trace-Id: 1:2:3:0", "B3: 1"], ["uber-trace-id: 1:2:3:0f"],
    ["Uber-Trace-Id: 1:2:3:x1"], ["Uber-Trace-Id: 1:2:3:z"], ["Uber-Trace-Id: 1:2"],
    ["X-B3-Sampled: 1", "X-B3-TraceId: a", "x-b3-spanid: b", "X-B3-ParentSpanId: c"], ["X-B3-Sampled: 0", "X-B3-TraceId: a"],
    ["X-B3-Sampled: d"], ["X-B3-TraceId: a"], ["X-B3-Sampled: d", "B3: 1"],
    ["B3: a-b-1-c"], ["b3: a-b-0-c"], ["B3: 0"], ["B3: a-b"], ["B3: 1", "B3: <2>"],
    ["traceparent: 00-a-b-01", "tracestate:  s\t"], ["traceparent: 00-a-b-00"], ["traceparent: 00-a-b-81"], ["traceparent: 00-a-b-1"],
    ["Traceparent: 00-a-b-+1"], ["traceparent: 00-a-b-01", "no colon"], ["traceparent: 00-a-b-03"],
    ["Other: y"], [],
]


def plausible(metric, wall):
    """Masks what differs, after a look at it."""
    for key in ("timestamp", "start"):
        if not re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", metric[key]):
            return "bad " + key
        at = time.mktime(time.strptime(metric[key][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        if abs(at - wall) > 60:
            return "%s is not of now" % key
    service, system, total = (metric[key] for key in ("service", "system", "total"))
    ok = metric["status"] == 200
    if ok and not (0 <= service <= total and 0 <= system <= total and 0 < total < 5e9):
        return "implausible: %d %d %d" % (service, system, total)
    if not ok and (service, system, total) != (0, 0, 0):
        return "durations of what has not been answered"
    if not re.fullmatch(r"[0-9A-Za-z]{22}", metric["id"]):
        return "bad id"
    return ""


def masked(message, wall):
    subject, _, reply, headers, body = message
    problem = plausible(json.loads(body), wall)
    body = re.sub(r'"(timestamp|start|id|ver)":"[^"]*"', r'"\1":"M"', body)
    body = re.sub(r'"(service|system|total|rtt|id)":\d+', r'"\1":0', body)
    return [subject, reply, headers, body] + ([problem] if problem else [])


class Scene:
    def __init__(self, server):
        self.a, self.b, self.c = (Talker(server.port, user, "n" + user) for user in "abc")
        self.listeners = [Talker(server.port, "b"), Talker(server.port, "c")]
        for listener in self.listeners:
            listener.subscribe("lat.>")
        self.a.subscribe("in.>")
        self.b.subscribe("q", "told", "quick", "head", "some", "w.>")
        self.c.subscribe("end")
        self.said = []

    def note(self, what, *answers):
        self.said.append((what, list(answers)))

    def heard(self, who=0, wait=True):
        """The next metric; without `wait`: what has come so far."""
        wall = time.time()
        if wait:
            message = self.listeners[who].next()
            return masked(message, wall) if message else "nothing"
        return [masked(message, wall) for message in self.listeners[who].settle()]

    def request(self, subject, body="hi", headers=None, reply="in.1", by=None, responder=None):
        """Asks, and has it answered. The request as it came, and the answer."""
        (by or self.a).publish(subject, body, reply, headers)
        message = (responder or self.b).next()
        if message is None:
            return "nobody"
        (responder or self.b).publish(message[2], "yes")
        answer = (by or self.a).next()
        return [message[0], message[4], answer[0], answer[4]]


def ends(scene):
    scene.note("a reply", scene.request("ask"), scene.heard())
    scene.note("shared", scene.request("told"), scene.heard())
    scene.note("wildcard", scene.request("w.x"), scene.heard())
    scene.a.publish("ask", "x")
    scene.note("no reply wanted", scene.b.next()[0], scene.heard())
    scene.a.publish("told", "x")
    scene.note("no reply wanted, shared", scene.b.next()[0], scene.heard())
    scene.a.publish("quick", "x", "in.2")
    scene.note("too late", scene.b.next()[0], scene.heard())
    scene.b.send("UNSUB 1\r\nUNSUB 2\r\n")
    scene.b.settle()
    scene.a.publish("ask", "x", "in.3")
    scene.note("nobody there", scene.a.next()[:3], scene.heard())
    scene.a.publish("told", "x", "in.3", ["B3: 1"])
    scene.note("nobody there, shared", scene.a.next()[:3], scene.heard())


def given_up(scene):
    gone = scene.a
    gone.publish("ask", "x", "in.4")
    late = scene.b.next()[2]
    gone.send("UNSUB 1\r\n")
    gone.settle()
    scene.note("nobody waits", scene.heard())
    scene.b.publish(late, "late")
    scene.b.settle()
    scene.note("late", scene.heard(wait=False))
    gone.send("SUB in.5 2\r\nUNSUB 2 1\r\n")
    gone.settle()
    scene.note("last message of a subscription", scene.request("ask", reply="in.5"), scene.heard())
    gone.send("SUB in.> 3\r\n")
    gone.settle()
    gone.publish("told", "x", "in.6")
    scene.b.next()
    gone.close()
    scene.note("the requestor has gone", scene.heard())


def headers(scene):
    for lines in HEADERS:
        answer = scene.request("head", headers=lines)
        scene.note("headers %s" % lines, answer)
        # What is measured of this comes before what is measured of that.
        scene.note("measured %s" % lines, *measured_before_marker(scene))
    scene.note("a share of the requests, and who traces", scene.request("some", headers=["B3: 1"]), scene.heard()[0])


def measured_before_marker(scene):
    scene.request("ask")
    while True:
        metric = scene.heard()
        yield metric
        if metric == "nothing" or metric[0] == "lat.q":
            return


def chain(scene):
    scene.note("through two accounts", scene.request("chain", responder=scene.c), scene.heard(0), scene.heard(1))
    scene.note("by the account itself", scene.request("chain", by=scene.b_requestor(), responder=scene.c), scene.heard(1))


def ask(path, flags):
    said = []
    for story in (ends, given_up, headers, chain):
        with Server(path, flags=flags, config=CONFIG) as server:
            scene = Scene(server)

            def another_of_b():
                talker = Talker(server.port, "b", "nb2")
                talker.subscribe("in.>")
                return talker
            scene.b_requestor = another_of_b
            story(scene)
            said += [("%s: %s" % (story.__name__, what), answers) for what, answers in scene.said]
            if not server.alive():
                said.append((story.__name__, "the server has died: " + server.log_tail()))
    return said


if __name__ == "__main__":
    sys.exit(ask_and_compare(__doc__, ask))
