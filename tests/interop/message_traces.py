#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What two servers say of traced messages (C-42) on their ways through accounts, compared but for times and ids.

    message_traces.py build/release/millrace /root/go/bin/nats-server     # or one of them: prints its answers

Streams and services of other accounts that let traces through or do not, mappings, JetStream, what is only traced, wrong
and forbidden destinations, and accounts with a destination of their own. Compared is also what is delivered. The order of
the events behind the first is not: it is that of the servers' lists. --flags goes to the first.
"""
import json
import re
import sys

from talk import Server, Talker, ask_and_compare

CONFIG = """
server_name: here
jetstream { store_dir: '{dir}/js' }
accounts {
  A { jetstream: enabled, users: [{user: a, password: x},
      {user: few, password: x, permissions: {publish: [in.allowed, "ok.>", "x.>"], subscribe: ">"}}],
    mappings: { mapped: to.here, "m.*": "to.$1", askmapped: ask.open, away: gone },
    exports: [{stream: "x.>"}],
    imports: [{service: {account: C, subject: open}, to: ask.open}, {service: {account: C, subject: shut}, to: ask.shut},
              {service: {account: C, subject: turned}}, {service: {account: C, subject: chain}},
              {service: {account: C, subject: both}}]}
  B { users: [{user: b, password: x}],
    imports: [{stream: {account: A, subject: "x.open.>"}, allow_trace: true}, {stream: {account: A, subject: "x.shut.>"}},
              {stream: {account: A, subject: "x.to.*"}, to: "other.*", allow_trace: true}]}
  C { users: [{user: c, password: x}], mappings: { turned: turned.round },
    exports: [{service: open, allow_trace: true}, {service: shut}, {service: turned, allow_trace: true},
              {service: chain, allow_trace: true}, {service: both, allow_trace: true}],
    imports: [{service: {account: D, subject: end}, to: chain}]}
  D { users: [{user: d, password: x}], exports: [{service: end, allow_trace: true}]}
  E { users: [{user: e, password: x}], msg_trace: in.traces}
  F { users: [{user: f, password: x}], trace_dest: {dest: in.traces, sampling: "100%"}}
}
"""

MASKS = ((r"_R_\.[0-9A-Za-z.]+", "_R_"), (r'"rtt":\d+', '"rtt":0'), (r'"ts":"[^"]*"', '"ts":"T"'),
         (r'"cid":\d+', '"cid":0'))


def masked(text):
    for pattern, to in MASKS:
        text = re.sub(pattern, to, text)
    return text


def trace_of(body):
    """All but the server's part; whole events, sorted but for the first."""
    event = json.loads(body)
    server = event.pop("server")
    for key in ("name", "host", "id", "ver", "seq", "time", "jetstream"):
        if key not in server:
            return "no %s in server" % key
    steps = [masked(json.dumps(step, separators=(",", ":"))) for step in event["events"]]
    event["events"] = steps[:1] + sorted(steps[1:])
    event["request"] = masked(json.dumps(event["request"], separators=(",", ":")))
    return event


class Scene:
    def __init__(self, server):
        self.server = server
        self.clients = {}
        self.said = []
        self.a = self.of("a")
        self.a.subscribe("in.>")

    def of(self, user, name=""):
        client = Talker(self.server.port, user, name or "n" + user)
        self.clients[name or user] = client
        return client

    def publish(self, what, subject, headers=("Nats-Trace-Dest: in.t",), reply="", who=None, traces=1):
        """Publishes, and notes the events and all that anybody hears."""
        publisher = who or self.a
        publisher.publish(subject, "body", reply, headers)
        events, heard = [], {}
        for _ in range(traces):
            while True:
                message = publisher.next()
                if not isinstance(message, tuple):
                    events.append("nothing")
                    break
                if '"events"' in message[4]:
                    events.append([message[0], trace_of(message[4])])
                    break
                heard.setdefault("publisher", []).append(masked(str(message)))
        for name, client in self.clients.items():
            got = [masked(str(message)) for message in client.settle() if '"events"' not in message[-1]]
            if got:
                heard.setdefault("publisher" if client is publisher else name, []).extend(sorted(got))
        self.said.append((what, [events, heard]))

    def both(self, what, subject, reply="", traces=1, who=None):
        self.publish(what, subject, reply=reply, traces=traces, who=who)
        self.publish(what + ", only traced", subject, ["Nats-Trace-Dest: in.t", "Nats-Trace-Only: true"], reply, who,
                     traces)


def streams(scene):
    b, other = scene.of("b"), scene.of("b", "b2")
    b.subscribe("x.open.>", "x.shut.>", "other.*")
    other.subscribe("x.open.1 q", "x.shut.1 q", "other.1 q")
    own = scene.of("a", "a2")
    own.subscribe("x.> own", "x.open.*")
    for subject in ("x.open.1", "x.shut.1", "x.to.1", "x.none", "x.open.1.2"):
        scene.both("stream " + subject, subject)


def services(scene):
    c, d = scene.of("c"), scene.of("d")
    c.subscribe("open", "shut", "turned", "turned.round", "chain", "both q")
    d.subscribe("end")
    scene.of("a", "a2").subscribe("both")
    for subject in ("ask.open", "ask.shut", "turned", "chain", "both", "askmapped"):
        scene.both("service " + subject, subject, "in.r")
        scene.both("service without a reply " + subject, subject)
    c.send("UNSUB 1\r\nUNSUB 2\r\n")
    c.settle()
    for subject in ("ask.open", "ask.shut"):
        scene.both("nobody there " + subject, subject, "in.r")


def replies(scene):
    c = scene.of("c")
    c.subscribe("open")
    for headers in ([], ["Nats-Trace-Only: 1"]):
        scene.a.publish("ask.open", "question", "in.r")
        reply = c.next()[2]
        c.send("SUB in.> 9\r\n")
        scene.publish("a traced reply %s" % headers, reply, ["Nats-Trace-Dest: in.t"] + headers, who=c)
        c.send("UNSUB 9\r\n")
        c.settle()


def mappings(scene):
    scene.of("a", "a2").subscribe("to.>", "gone")
    for subject in ("mapped", "m.1", "m.2", "away", "unmapped"):
        scene.both("mapping " + subject, subject)


def jetstream(scene):
    def create(name, **settings):
        scene.a.publish("$JS.API.STREAM.CREATE." + name, json.dumps(dict(name=name, storage="memory", **settings)), "in.c")
        scene.a.next()
    create("ONE", subjects=["one.>"])
    create("NEED", subjects=["need"], retention="interest")
    create("TURN", subjects=["turn.>"], subject_transform={"src": "turn.*", "dest": "turned.$1"})
    create("SMALL", subjects=["small"], max_msg_size=10)
    create("FULL", subjects=["full"], max_msgs=0, discard="new", max_bytes=1)
    for subject in ("one.1", "need", "turn.1", "small"):
        scene.both("stream " + subject, subject)
    scene.publish("a stream's answer", "one.2", reply="in.r")
    twice = ["Nats-Trace-Dest: in.t", "Nats-Msg-Id: a"]
    scene.publish("a message", "one.3", twice)
    scene.publish("the same again", "one.3", twice)
    scene.a.publish("$JS.API.STREAM.MSG.GET.ONE", '{"seq":1}', "in.g")
    scene.said.append(("what is stored", re.sub(r'"time":"[^"]*"', "", scene.a.next()[4])))
    scene.both("an API request", "$JS.API.STREAM.NAMES", "in.n")


def wrong(scene):
    for headers in (["Nats-Trace-Dest: in.*"], ["Nats-Trace-Dest: a..b", "Nats-Trace-Only: 1"], ["Nats-Trace-Dest: "],
                    ["Nats-Trace-Dest: ", "Nats-Trace-Only: 1"], ["Nats-Trace-Dest: trace disabled", "Nats-Trace-Only: 1"],
                    ["Nats-Trace-Dest: in.t", "Nats-Trace-Origin-Account: A"],
                    ["Nats-Trace-Dest: in.t", "Nats-Trace-Origin-Account: A", "Nats-Trace-Only: 1"],
                    ["Nats-Trace-Only: 1"], ["traceparent: 0-1-2-01"], ["nats-trace-dest: in.t"],
                    ["Nats-Trace-Dest: $NRG.x"], ["Nats-Trace-Dest: _GR_.x"]):
        scene.publish("%s" % headers, "in.heard", headers, traces=0)
    few = scene.of("few")
    few.subscribe(">")
    scene.publish("forbidden destination", "ok.1", ["Nats-Trace-Dest: in.t"], who=few, traces=0)
    scene.publish("forbidden both", "no.1", ["Nats-Trace-Dest: in.t"], who=few, traces=0)
    scene.publish("forbidden subject", "no.1", ["Nats-Trace-Dest: in.allowed"], who=few)
    scene.publish("forbidden subject, only traced", "no.1", ["Nats-Trace-Dest: in.allowed", "Nats-Trace-Only: on"], who=few)
    scene.publish("forbidden reply", "ok.1", ["Nats-Trace-Dest: in.allowed"], reply="_R_.x.y", who=few)


def accounts(scene):
    for user in "ef":
        client = scene.of(user)
        client.subscribe("in.>", "t.>")
        for headers in (["traceparent: 00-a-b-01"], ["TraceParent: 00-a-b-01", "Nats-Trace-Only: 1"],
                        ["traceparent: 00-a-b-01", "Nats-Trace-Dest: in.mine", "Nats-Trace-Only: 1"]):
            scene.publish("%s %s" % (user, headers), "t.1", headers, who=client)
        for headers in (["traceparent: 00-a-b-00"], ["Other: x"], None, ["traceparent: 00-a-b-01", "Nats-Trace-Origin-Account: E"]):
            scene.publish("%s %s" % (user, headers), "t.1", headers, who=client, traces=0)


def ask(path, flags):
    said = []
    for story in (streams, services, replies, mappings, jetstream, wrong, accounts):
        with Server(path, flags=flags, config=CONFIG) as server:
            scene = Scene(server)
            story(scene)
            said += [("%s: %s" % (story.__name__, what), answer) for what, answer in scene.said]
            if not server.alive():
                said.append((story.__name__, "the server has died: " + server.log_tail()))
    return said


if __name__ == "__main__":
    sys.exit(ask_and_compare(__doc__, ask))
