# SPDX-License-Identifier: Apache-2.0
"""Seeded random client traffic for differential.py.

An op is a pair (bytes, pongs): what one connection writes and how many PONGs a server owes for it. Every op leaves
the parser between two commands, or makes the server close the connection; so the count of PONGs ends a batch.

Rules that make two correct servers answer alike:
- payloads carry a serial number, so deliveries of one publish to several subscriptions can be told from the next;
- a queue subscription's sid is Q<group>-<member>: the comparison forgets the member, since the pick is random;
- a queue subscription is never given a maximum, as the pick would decide when it ends;
- no \\r inside a control line: there nats-server's answer depends on where the reads fall.
"""
import random

TOKENS = ["a", "b", "c", "a", "b", "foo", "bar", "x*", "*x", "a>", ">>", "**", "\u00fc", "\u65e5\u672c", "A", "$x", "_INBOX"]
GROUPS = ["g1", "g2", "g3"]
SIDS = [str(n) for n in range(1, 11)] + ["01", "abc", "s.1", "\u00e9", "9999999999999999999999"]
RESERVED = ["_GR_.x.y", "$GR.x", "_GR_", "$NRG.x", "$NRG.", "_GR_.a"]
RESERVED_REPLIES = ["_R_.abc", "_R_.", "_R_", "$JS.ACK.x", "$JS.ACK.", "_GR_.a.b", "$GR.x.y"]
INVALID = ["a..b", ".a", "a.", ".", "..", "a.b..", "..a"]
WILD = ["a.*", "*", ">", "a.>", "*.b", "*.*", "a.*.c", "foo.>", "*.>", "a.b.>"]
BAD_SUBS = INVALID + ["a.>.b", ">.a", ">.>", "*.>.a"]
VERBS_BAD = [b"FOO", b"PUBB a 1", b"SUBS a 1", b"PI", b"UNSU 1", b"R", b"LS+ a", b"RS+ $G a", b"A+ $G", b"CONNECTED", b"HELLO",
             b"pubx a 1", b"+NO", b"-ER", b"GET / HTTP/1.1", b"\x00", b"\xff\xfe", b" PING", b"\tPING", b"{}", b"P ING"]

PERMISSIONS_CONFIG = """
authorization {
  timeout: 10
  users = [
    {user: u0, password: p, permissions: {publish: ["a.>", "foo", "x*", "\u00fc", "*.b"], subscribe: {allow: ["a.*", "foo", ">>", "b", "b.>"], deny: ["a.b"]}}}
    {user: u1, password: p, permissions: {publish: {deny: ["a.*", "c"]}, subscribe: {deny: ["b.*", "a.b.c"]}}}
    {user: u2, password: p, permissions: {publish: {allow: [">"], deny: ["foo.>", "*.a"]}, subscribe: ["> g1", "a.>", "b.* g*"]}}
    {user: u3, password: p, permissions: {publish: "a.a", subscribe: ">", allow_responses: {max: 2, expires: "10m"}}}
    {user: u4, password: p}
  ]
}
"""
LIMITS_CONFIG = """
max_payload: 600
max_control_line: 200
max_subscriptions: 6
max_sub_tokens: 3
"""
PROFILES = {"plain": None, "permissions": PERMISSIONS_CONFIG, "limits": LIMITS_CONFIG}


class State:
    """What the generator believes about one connection."""

    def __init__(self, index):
        self.index = index
        self.headers = False
        self.connected = False


class Traffic:
    def __init__(self, seed, profile="plain", connections=5, quirks=False):
        self.rng = random.Random(seed)
        self.profile = profile
        self.quirks = quirks
        self.serial = 0
        self.states = [State(i) for i in range(connections)]
        self.payload_max = 600 if profile == "limits" else 1048576
        self.line_max = 200 if profile == "limits" else 4096
        # 'P' is left out so that no payload can look like the PONG that ends a batch.
        self.blob = self.rng.randbytes(1 << 20).replace(b"P", b"p")
        self.text = bytes(b for b in range(33, 127) if b != ord("P")) * 12000
        self.refresh_subjects()
        self.kinds, weights = zip(
            (self.publish, 38), (self.request, 9), (self.header_publish, 13), (self.subscribe, 17), (self.queue_subscribe, 4),
            (self.unsubscribe, 7), (self.unsubscribe_max, 6), (self.unsubscribe_queue, 2), (self.ping, 3), (self.connect, 1.2),
            (self.noise, 1.2), (self.reserved, 0.8), (self.large, 0.03), (self.publish_run, 4))
        self.weights = []
        total = 0.0
        for w in weights:
            total += w
            self.weights.append(total)
        self.closers = [self.bad_verb, self.bad_publish, self.bad_subscribe, self.bad_payload, self.long_line, self.too_large,
                        self.bad_connect, self.bad_headers, self.client_error, self.splice]

    # -- pieces

    def pick(self, items):
        return items[int(self.rng.random() * len(items))]

    def chance(self, p):
        return self.rng.random() < p

    def refresh_subjects(self):
        rng = self.rng

        def literal():
            return ".".join(self.pick(TOKENS) for _ in range(rng.choice((1, 1, 2, 2, 2, 3, 3, 4))))
        literals = [literal() for _ in range(60)]
        pubs = literals * 12 + WILD * 3 + INVALID * 2
        subs = literals * 3 + WILD * 6 + BAD_SUBS
        for _ in range(60):
            tokens = literal().split(".")
            tokens[int(rng.random() * len(tokens))] = "*"
            if self.chance(0.3):
                tokens[-1] = ">"
            subs.append(".".join(tokens))
        deep = ".".join(["a"] * 40)
        pubs.append(deep)
        subs += [deep, deep[:-1] + "*", "a.a.a.a.>"]
        self.pubs = [s.encode() for s in pubs] + [b"\xff\xfe.a", b"a\x01b", b"\x7f"]
        self.subs = [s.encode() for s in subs] + [b"\xff\xfe.*", b"a\x01b"]
        self.replies = [s.encode() for s in literals[:20] + ["_INBOX.a.b", "_INBOX.c", "a.*", "a..b", "r", "_INBOX.aVeryLongInboxName.0001"]]

    def verb(self, name):
        if self.chance(0.04):
            return bytes(b | 0x20 if self.chance(0.5) else b for b in name)
        return name

    def gap(self):
        return self.pick((b"\t", b"  ", b" \t ")) if self.chance(0.03) else b" "

    def end(self):
        r = self.rng.random()
        return b"\r\n" if r < 0.94 else b"\n" if r < 0.97 else b" \r\n" if r < 0.99 else b"\t\n"

    def size_text(self, n):
        return b"%05d" % n if self.chance(0.02) else b"%d" % n

    def payload(self):
        self.serial += 1
        r = self.rng.random()
        if r < 0.03:
            return b""
        n = int(r * 40) if r < 0.75 else int(self.rng.random() * 300) if r < 0.97 else int(self.rng.random() * 4000)
        source = self.blob if r < 0.3 else self.text
        start = int(self.rng.random() * 900000)
        return (b"%d:" % self.serial + source[start:start + n])[:self.payload_max]

    def line(self, verb, *words):
        return self.verb(verb) + self.gap() + self.gap().join(words) + self.end()

    # -- ops that keep the connection

    def publish(self, state):
        body = self.payload()
        return self.line(b"PUB", self.pick(self.pubs), self.size_text(len(body))) + body + b"\r\n", 0

    def publish_run(self, state):
        """One subject again and again, as most clients publish; now and then something in between."""
        beginning = self.verb(b"PUB") + self.gap() + self.pick(self.pubs) + self.gap()
        out = b""
        for _ in range(2 + int(self.rng.random() * (200 if self.chance(0.02) else 12))):
            body = self.payload()
            out += beginning + self.size_text(len(body)) + self.end() + body + b"\r\n"
            if self.chance(0.05):
                out += self.pick((self.publish, self.header_publish, self.request, self.unsubscribe_max))(state)[0]
        return out, 0

    def request(self, state):
        body = self.payload()
        return self.line(b"PUB", self.pick(self.pubs), self.pick(self.replies), self.size_text(len(body))) + body + b"\r\n", 0

    def reserved(self, state):
        body = self.payload()
        if self.chance(0.5):
            words = (self.pick(RESERVED).encode(),)
        else:
            words = (self.pick(self.pubs), self.pick(RESERVED_REPLIES).encode())
        return self.line(b"PUB", *words, b"%d" % len(body)) + body + b"\r\n", 0

    def header_publish(self, state):
        if not state.headers:
            return self.publish(state)
        r = self.rng.random()
        if r < 0.75:
            head = b"NATS/1.0\r\nKey: %d\r\nkey:x\r\n\r\n" % self.serial
        elif r < 0.8:
            head = b"NATS/1.0\r\n\r\n"
        elif r < 0.85:
            head = b"NATS/1.0 408 Some Words\r\nA: b\r\nA: c\r\n\r\n"
        elif r < 0.9:
            head = b""
        else:
            head = self.payload()[:50]
        body = self.payload()[:self.payload_max - len(head)]
        words = [self.pick(self.pubs)]
        if self.chance(0.25):
            words.append(self.pick(self.replies))
        return self.line(b"HPUB", *words, self.size_text(len(head)), self.size_text(len(head) + len(body))) + head + body + b"\r\n", 0

    def subscribe(self, state):
        return self.line(b"SUB", self.pick(self.subs), self.pick(SIDS).encode()), 0

    def queue_subscribe(self, state):
        if self.profile == "permissions":
            # A random pick could decide who may answer, so there a group stays on one connection.
            group = "g1" if state.index == 0 else f"g1x{state.index}"
        else:
            group = self.pick(GROUPS)
        if self.chance(0.02):
            return self.line(b"SUB", self.pick(self.subs), b"_sys_", b"77"), 0
        sid = f"Q{group}-{state.index}{int(self.rng.random() * 3)}"
        return self.line(b"SUB", self.pick(self.subs), group.encode(), sid.encode()), 0

    def unsubscribe(self, state):
        words = [self.pick(SIDS).encode()]
        if self.chance(0.1):
            words.append(self.pick((b"0", b"-1", b"x", b"1234567890")))
        return self.line(b"UNSUB", *words), 0

    def unsubscribe_max(self, state):
        return self.line(b"UNSUB", self.pick(SIDS).encode(), b"%d" % (1 + int(self.rng.random() * 12))), 0

    def unsubscribe_queue(self, state):
        group = self.pick(GROUPS)
        return self.line(b"UNSUB", f"Q{group}-{state.index}{int(self.rng.random() * 3)}".encode()), 0

    def ping(self, state):
        r = self.rng.random()
        if r < 0.8:
            return self.verb(b"PING") + self.pick((b"\r\n", b"\r\n", b"\n", b" \r\n")), 1
        return self.verb(b"PONG") + b"\r\n", 0

    def noise(self, state):
        choices = [(b"+OK\r\n", 0), (b"+ok whatever\n", 0), (b"PONG and more\r\n", 0), (b"PING and more\r\n", 1), (b"INFO {}\r\n", 0)]
        if self.quirks:
            choices += [(b"PINGUIN\n", 1), (b'INFO {"server_id":"x"}\r\n', 0), (b"INFO{}\r\n", 0), (b"PING" + b"x" * 5000 + b"\r\n", 1),
                        (b"+OK" + b"y" * 5000 + b"\n", 0)]
        return self.pick(choices)

    def large(self, state):
        n = self.pick((5000, 33000, 66000, 66000, self.payload_max, 300000))
        n = min(n, self.payload_max)
        body = (b"%d:" % self.serial + self.blob)[:n]
        body += b"." * (n - len(body))
        self.serial += 1
        return b"PUB %s %d\r\n" % (self.pick(self.pubs[:60]), n) + body + b"\r\n", 0

    def json_text(self, fields):
        parts = []
        for key, value in fields:
            if self.quirks and self.chance(0.04):
                key = key.upper() if self.chance(0.5) else key.title()
            gap = " " if self.chance(0.1) else ""
            parts.append(f'"{key}":{gap}{value}')
        comma = ", " if self.chance(0.2) else ","
        return ("{" + comma.join(parts) + "}").encode()

    def connect(self, state):
        fields = []
        rng = self.rng
        for key, p_true, p_present in (("verbose", 0.3, 0.8), ("pedantic", 0.25, 0.8), ("echo", 0.75, 0.5), ("headers", 0.9, 0.8)):
            if self.chance(p_present):
                value = self.chance(p_true)
                fields.append((key, "true" if value else "false"))
                if key == "headers":
                    state.headers = value
        if state.headers and self.chance(0.6):
            fields.append(("no_responders", "true" if self.chance(0.85) else "false"))
        elif not state.headers:
            fields.append(("no_responders", "false"))
        if self.chance(0.5):
            fields.append(("protocol", self.pick(("0", "1", "1"))))
        for key, values in (("name", ('"n"', '"\u00fcber \\u65e5"', '""', "null")), ("lang", ('"py"',)), ("version", ('"1.2.3"',)),
                            ("tls_required", ("false", "true")), ("unknown", ("1", "[1,{}]", '"x"', "null", "1.5e3")), ("jwt", ('"x"',)),
                            ("sig", ('"x"',)), ("nkey", ('"x"',)), ("auth_token", ('"x"',))):
            if self.profile == "permissions" and key in ("nkey", "auth_token", "sig"):
                continue
            if self.chance(0.1):
                fields.append((key, self.pick(values)))
        if self.profile == "permissions":
            fields += [("user", f'"u{self.rng.randrange(5)}"'), ("pass", '"p"')]
        elif self.chance(0.1):
            fields += [("user", '"someone"'), ("pass", '"x"')]
        rng.shuffle(fields)
        state.connected = True
        return self.verb(b"CONNECT") + self.gap() + self.json_text(fields) + self.end(), 0

    # -- ops that close the connection (or usually do)

    def bad_verb(self, state):
        return self.pick(VERBS_BAD) + self.pick((b"\r\n", b"\n")), 0

    def bad_publish(self, state):
        words = self.pick((b"a", b"", b"a b c 2", b"a -1", b"a 1234567890", b"a 1x", b"a +1", b"a 0x1", b"a b", b"a 1.0", b"a b c d e f g"))
        return b"PUB " + words + self.pick((b"\r\nhi\r\n", b"\nhi\r\n")), 0

    def bad_subscribe(self, state):
        return self.pick((b"SUB a", b"SUB ", b"SUB a b c d", b"UNSUB ", b"UNSUB 1 2 3", b"SUB a b c d e f g h i j k l m n")) + b"\r\n", 0

    def bad_payload(self, state):
        return self.pick((b"PUB a 2\r\nhi\n", b"PUB a 2\r\nhello\r\n", b"PUB a 5\r\nhi\r\nxxxxxxxxxxxxxxx\r\n", b"PUB a 0\r\nhi\r\n",
                          b"PUB a 2\r\nhi\r\r\n", b"PUB a 3\r\n\r\n\r\n\r\nxx\r\n", b"PUB a 2 hi\r\nhi\r\n", b"PUB a 1\r\nhi\r\n")), 0

    def long_line(self, state):
        # A line of exactly line_max is accepted, one byte more is not.
        room = self.line_max + self.pick((-1, 0, 1, 2, 1000, 5000))
        sid = self.pick(SIDS).encode()
        if self.chance(0.5):
            return b"SUB " + b"a" * (room - 1 - len(sid)) + b" " + sid + b"\r\n", 0
        return b"PUB " + b"a" * (room - 2) + b" 2\r\nhi\r\n", 0

    def too_large(self, state):
        return b"PUB a %d\r\n" % self.pick((self.payload_max + 1, 2 * self.payload_max, 999999999)) + b"x" * self.pick((0, 10, 1000)) + b"\r\n", 0

    def bad_connect(self, state):
        return b"CONNECT " + self.pick((
            b"{x", b"", b"{}}", b"[]", b'"x"', b"1", b'{"verbose":1}', b'{"verbose":"true"}', b'{"protocol":2}', b'{"protocol":-1}',
            b'{"protocol":"1"}', b'{"protocol":1.5}', b'{"name":5}', b'{"no_responders":true,"headers":false}', b'{"account":"x"}',
            b'{"new_account":true}', b"{'verbose':true}", b'{"verbose":true', b'{"verbose":true,}', b'{"a":01}', b'{"a":"\x01"}')) + b"\r\n", 0

    def bad_headers(self, state):
        if not state.headers or self.chance(0.1):
            return b"HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", 0
        return self.pick((b"HPUB a 15 14\r\nNATS/1.0\r\n\r\nhi\r\n", b"HPUB a 14\r\nNATS/1.0\r\n\r\nhi\r\n", b"HPUB a -1 14\r\nNATS/1.0\r\n\r\nhi\r\n",
                          b"HPUB a 12 x\r\nNATS/1.0\r\n\r\nhi\r\n", b"HPUB a b c 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
                          b"HPUB a 12 13\r\nNATS/1.0\r\n\r\nhi\r\n", b"HPUB a 12 999999999\r\nNATS/1.0\r\n\r\nhi\r\n")), 0

    def client_error(self, state):
        return self.pick((b"-ERR 'x'\r\n", b"-err x\n", b"-ERR\r\n", b"INFO x\r\n", b"INFO \r\n")), 0

    def splice(self, state):
        """Two commands with no line end between them."""
        first = self.pick((b"SUB a 1", b"PUB a 2", b"UNSUB 1", b"SUB a q 1", b"CONNECT {}"))
        return first + self.pick((b"SUB b 2", b"PUB b 1", b"UNSUB 2", b" CONNECT {}")) + b"\r\n", 0

    # -- batches

    def prologue(self, index):
        """What a fresh connection says first."""
        state = self.states[index] = State(index)
        if self.profile == "permissions":
            return [self.connect(state)]
        return [self.connect(state)] if self.chance(0.9) else []

    def cuts(self, length):
        """Where the batch is split into separate writes."""
        r = self.rng.random()
        if r < 0.5 or length < 2:
            return []
        if r < 0.56 and length < 400:
            return list(range(1, length))
        return sorted({1 + int(self.rng.random() * (length - 1)) for _ in range(int(1 + r * 3))})

    def batch(self):
        """Returns (connection index, ops, cuts)."""
        index = int(self.rng.random() * len(self.states))
        state = self.states[index]
        r = self.rng.random()
        count = 1 + int(r * 5) if r < 0.1 else 1 + int(r * 90)
        ops = []
        for kind in self.rng.choices(self.kinds, cum_weights=self.weights, k=count):
            ops.append(kind(state))
        if self.chance(0.12):
            closer = self.pick(self.closers)
            ops.append(closer(state))
            # After a client's own -ERR nats-server goes on with what it has read already: nothing may follow there.
            if closer != self.client_error:
                ops += [self.publish(state) for _ in range(int(self.rng.random() * 4))]
        return index, ops, self.cuts(sum(len(op[0]) for op in ops))
