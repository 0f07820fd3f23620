#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Byte-level conversations with a server, row by row of the feature list; recorded from nats-server 2.15.2.

    cases.py --server build/release/millrace [--only REGEX] [--list]

A case is (name, server, steps). Its name begins with the rows it checks. A step is one line:
    a> text      connection a (opened at first use; its INFO is read) sends text and CRLF
    a>> text     sends text as it is
    a< text      a receives exactly text and CRLF next
    a<< text     a receives exactly text next
    a<~ regex    a receives a line that matches
    a~           a barrier: PING, and nothing but PONG comes
    a.           the server closes a, with nothing more to read
    a.= reason   the same, and /connz?state=closed gives that reason
    a-           a closes, and the server is seen to close too
When the steps are over, every connection still open must pass a barrier. Text is UTF-8; \\udcXX stands for the byte XX.
A case may be a function instead, given a Context.
"""
import argparse
import base64
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nkeys  # noqa: E402
import wire  # noqa: E402

QUIET = 'CONNECT {"verbose":false,"pedantic":false}'
HEADERS = 'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}'
SEED = bytes(range(32))
BCRYPT = "$2a$04$5rjnpfmN5as8BeiBMKpqDuzrHz8uwMIB/7Ath19X0rURMl3RD6uW6"      # secretpassword123456789


class Failure(Exception):
    pass


def encode(text):
    return text.encode("utf-8", "surrogateescape")


class Context:
    def __init__(self, server):
        self.server = server
        self.connections = {}

    def open(self, name, **options):
        c = self.connections[name] = wire.Connection(self.server.port, **options)
        return c

    def get(self, name):
        return self.connections.get(name) or self.open(name)

    def check(self, condition, text):
        if not condition:
            raise Failure(text)

    def expect(self, name, wanted):
        c = self.get(name)
        got = b""
        try:
            if not c.buffer:
                c.fill()
            if c.buffer.startswith(b"PING\r\n") and not wanted.startswith(b"PING"):
                c.buffer = c.buffer[6:]      # the server's own PING, two seconds after the start
                c.send(b"PONG\r\n")
            while len(got) < len(wanted):
                got += c.read_exactly(1) if not c.buffer else c.read_exactly(min(len(c.buffer), len(wanted) - len(got)))
                if not wanted.startswith(got):
                    break
        except wire.Closed:
            raise Failure(f"{name}: wanted {wanted!r}, the server closed after {got!r}") from None
        except TimeoutError:
            raise Failure(f"{name}: wanted {wanted!r}, got {got!r} and then nothing for {wire.IO_TIMEOUT_S} s") from None
        if got != wanted:
            raise Failure(f"{name}: wanted {wanted!r}, got {got + c.buffer[:300]!r}")

    def barrier(self, name):
        self.get(name).send(b"PING\r\n")
        self.expect(name, b"PONG\r\n")

    def expect_closed(self, name):
        c = self.get(name)
        try:
            rest = c.read_to_close()
        except TimeoutError:
            raise Failure(f"{name}: not closed within {wire.IO_TIMEOUT_S} s; unread: {c.buffer[:300]!r}") from None
        if rest:
            raise Failure(f"{name}: closed as wanted, but first came {rest[:300]!r}")

    def closed_reason(self, name):
        cid = self.connections[name].info["client_id"]
        return self.wait(lambda: next((c["reason"] for c in self.server.http_json("/connz?state=closed&limit=10000")["connections"]
                                       if c["cid"] == cid), None), "the connection among /connz?state=closed")

    def wait(self, condition, what, timeout=10):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.01)        # polls a condition the server gives no event for
        raise Failure(f"waited {timeout} s for {what}")

    def step(self, text):
        m = re.match(r"(\w+)(>>|<<|<~|\.=|[><~.\-])(?: (.*))?\Z", text, re.S)
        if not m:
            raise Failure(f"bad step {text!r}")
        name, op, rest = m[1], m[2], m[3] or ""
        if op == ">":
            self.get(name).send(encode(rest) + b"\r\n")
        elif op == ">>":
            self.get(name).send(encode(rest))
        elif op == "<":
            self.expect(name, encode(rest) + b"\r\n")
        elif op == "<<":
            self.expect(name, encode(rest))
        elif op == "<~":
            try:
                line = self.get(name).read_line()
            except (wire.Closed, TimeoutError) as e:
                raise Failure(f"{name}: wanted a line like {rest!r}: {type(e).__name__}") from None
            self.check(re.search(encode(rest), line), f"{name}: wanted a line like {rest!r}, got {line!r}")
        elif op == "~":
            self.barrier(name)
        elif op == ".":
            self.expect_closed(name)
        elif op == ".=":
            self.expect_closed(name)
            reason = self.closed_reason(name)
            self.check(reason == rest, f"{name}: closed reason is {reason!r}, not {rest!r}")
        else:
            self.connections.pop(name).shut_down()

    def play(self, *steps):
        for text in steps:
            try:
                self.step(text)
            except Failure as e:
                raise Failure(f"step {text[:200]!r}: {e}") from None

    def finish(self):
        for name, c in self.connections.items():
            if not c.closed:
                self.barrier(name)

    def close(self):
        for c in self.connections.values():
            c.shut_down()


# -- servers: name -> (flags, configuration text or None)

USERS = """
authorization {
  timeout: 5
  users = [
    {user: alice, password: wonder, permissions: {
       publish: {allow: ["foo", "req.>", "a.*"], deny: ["a.x"]}
       subscribe: {allow: ["foo", "_INBOX.>", "a.*", "b.>", "q.> grp", "q.> v1.*"], deny: ["a.x", "b.secret.*", "foo bad", "foo v2.>"]}}}
    {user: bob, password: builder}
    {user: wild, password: w, permissions: {subscribe: {deny: ["d.x", "q.* no"]}}}
    {user: service, password: s, permissions: {subscribe: ">", publish: {deny: ">"}, allow_responses: true}}
    {user: service3, password: s, permissions: {subscribe: ">", publish: "only.this", allow_responses: {max: 3, expires: "1m"}}}
    {user: brief, password: s, permissions: {subscribe: ">", publish: "only.this", allow_responses: {max: -1, expires: "1ms"}}}
    {user: wsonly, password: w, allowed_connection_types: ["WEBSOCKET"]}
    {user: std, password: w, allowed_connection_types: ["STANDARD", "MQTT"]}
    {user: crypt, password: "%s"}
    {nkey: %s}
    {user: blank, password: x, permissions: {publish: {allow: []}, subscribe: "foo"}}
  ]
}
""" % (BCRYPT, nkeys.user_key(SEED))

DEFAULT_PERMISSIONS = """
authorization {
  timeout: 5
  default_permissions: {publish: "SANDBOX.*", subscribe: ["PUBLIC.>", "_INBOX.>"]}
  users = [
    {user: plain, password: p}
    {user: own, password: p, permissions: {publish: "x"}}
  ]
}
"""
NO_AUTH_USER = """
no_auth_user: guest
accounts: {
  A: {users: [{user: guest, password: g, permissions: {publish: "pub.>"}}, {user: member, password: m}]}
  B: {users: [{user: other, password: o}]}
  SYS: {users: [{user: admin, password: a}]}
}
system_account: SYS
"""
ACCOUNTS = NO_AUTH_USER.replace("no_auth_user: guest\n", "")

SERVERS = {
    "plain": ((), None),
    "user": (("--user", "derek", "--pass", "s3cret"), None),
    "token": (("--auth", "tok en"), None),
    "bcrypt": ((), f'authorization {{ user: derek, password: "{BCRYPT}", timeout: 5 }}'),
    "bcrypt-token": ((), f'authorization {{ token: "{BCRYPT}", timeout: 5 }}'),
    "users": ((), USERS),
    "default-permissions": ((), DEFAULT_PERMISSIONS),
    "no-auth-user": ((), NO_AUTH_USER),
    "accounts": ((), ACCOUNTS),
    "auth-timeout": ((), 'authorization { user: u, password: p, timeout: 0.4 }'),
    "limits": ((), "max_payload: 100\nmax_control_line: 128\nmax_subscriptions: 2\n"),
    "tokens": ((), "max_sub_tokens: 3\n"),
    "two-connections": ((), "max_connections: 2\n"),
    "no-headers": ((), "no_header_support: true\n"),
    "stale": ((), 'ping_interval: "100ms"\nping_max: 1\n'),
    "small-pending": ((), "max_pending: 1MB\nmax_payload: 256KB\nwrite_deadline: \"20s\"\n"),
    "write-deadline": ((), "max_pending: 256MB\nwrite_deadline: \"300ms\"\n"),
    "no-stall": ((), "max_pending: 1MB\nmax_payload: 64KB\nwrite_deadline: \"30s\"\nno_fast_producer_stall: true\n"),
    "trace": (("-DV",), None),
    "trace-limit": (("-DV", "--max_traced_msg_len", "5"), None),
}

CASES = []


def case(name, server, *steps):
    CASES.append((name, server, steps))


def function_case(name, server):
    def add(f):
        CASES.append((name, server, f))
        return f
    return add


# -- C-01..C-05: listener, INFO, CONNECT

# git_commit is there too when the binary was built with one; a `go install` of nats-server is not.
PLAIN_INFO_KEYS = {"server_id", "server_name", "version", "proto", "go", "host", "port", "headers", "max_payload",
                   "client_id", "client_ip", "xkey", "api_lvl"}


def read_log_line(context, server_log, pattern):
    def found():
        with open(server_log, encoding="utf-8", errors="replace") as f:
            return re.search(pattern, f.read())
    return context.wait(found, f"a log line like {pattern!r}")


def start_raw(context, *flags):
    """Starts the same binary with just these flags; returns (process, log path)."""
    log = os.path.join(context.server.dir, "second.log")
    with open(log, "wb") as f:
        process = subprocess.Popen([context.server.path, *flags, *context.extra_flags], stdin=subprocess.DEVNULL, stdout=f, stderr=f)
    return process, log


@function_case("C-01 port -1 picks a free port and logs it", "plain")
def random_port(context):
    process, log = start_raw(context, "-a", "127.0.0.1", "-p", "-1")
    try:
        m = read_log_line(context, log, r"Listening for client connections on 127\.0\.0\.1:(\d+)\n")
        read_log_line(context, log, r"\[INF\] Server is ready")
        c = wire.Connection(int(m[1]))
        context.check(c.info["port"] == int(m[1]) and c.info["host"] == "127.0.0.1", f"INFO {c.info}")
        c.close()
        process.send_signal(signal.SIGINT)
        context.check(process.wait(10) == 0, f"exit code {process.returncode} after SIGINT")
    finally:
        process.kill()
        process.wait()


@function_case("C-01 the default host takes IPv4 and IPv6", "plain")
def dual_stack(context):
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        return      # no IPv6 on this machine
    process, log = start_raw(context, "-p", "-1")
    try:
        m = read_log_line(context, log, r"Listening for client connections on 0\.0\.0\.0:(\d+)\n")
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, int(m[1])), 5) as s:
                line = s.recv(4096)
                context.check(line.startswith(b"INFO {"), f"{address}: {line!r}")
                context.check(json.loads(line[5:])["client_ip"] == address, f"{address}: {line!r}")
    finally:
        process.kill()
        process.wait()


@function_case("C-02 INFO comes first, one line, ending in space CR LF; these keys and no others", "plain")
def info_line(context):
    c = context.get("a")
    context.check(c.info_line.startswith(b'INFO {"server_id":"N') and c.info_line.endswith(b"} "), repr(c.info_line))
    info = c.info
    extra = set(info) - PLAIN_INFO_KEYS - {"git_commit"}
    context.check(not extra and PLAIN_INFO_KEYS <= set(info), f"keys: missing {PLAIN_INFO_KEYS - set(info)}, extra {extra}")
    context.check(re.fullmatch(r"N[A-Z2-7]{55}", info["server_id"]), info["server_id"])
    context.check(info["server_name"] == info["server_id"], "server_name is the id when unset")
    context.check(re.fullmatch(r"X[A-Z2-7]{55}", info["xkey"]), info["xkey"])
    for key, value in (("proto", 1), ("headers", True), ("max_payload", 1048576), ("host", "127.0.0.1"), ("port", context.server.port),
                       ("client_ip", "127.0.0.1"), ("api_lvl", 5), ("version", "2.15.2")):
        context.check(info[key] == value and type(info[key]) is type(value), f"{key} is {info[key]!r}")
    other = context.get("b").info
    context.check(other["client_id"] > info["client_id"], "client_id grows")


@function_case("C-02 order of the INFO keys", "plain")
def info_order(context):
    keys = list(context.get("a").info)
    wanted = ["server_id", "server_name", "version", "proto", "git_commit", "go", "host", "port", "headers", "max_payload",
              "client_id", "client_ip", "api_lvl", "xkey"]
    context.check([k for k in keys if k in wanted] == [k for k in wanted if k in keys], f"{keys}")


case("C-03 CONNECT {} is verbose by default", "plain", "a> CONNECT {}", "a< +OK")
case("C-03 CONNECT {} is pedantic by default", "plain", "a> CONNECT {}", "a< +OK", "a> PUB a..b 0\r\n", "a< -ERR 'Invalid Publish Subject'", "a< +OK")
case("C-03 CONNECT {} echoes by default", "plain", "a> CONNECT {}", "a< +OK", "a> SUB x 1", "a< +OK", "a> PUB x 1\r\n!", "a< +OK", "a< MSG x 1 1", "a< !")
case("C-03 verbose false is quiet", "plain", f"a> {QUIET}", "a> SUB x 1", "a> UNSUB 1", "a~")
case("C-03 without any CONNECT the same defaults hold", "plain", "a> SUB x 1", "a< +OK", "a> PUB a..b 2\r\nhi", "a< -ERR 'Invalid Publish Subject'",
     "a< +OK", "a~", "a> PUB x 2\r\nhi", "a< +OK", "a< MSG x 1 2", "a< hi")
case("C-03 subscriptions made before CONNECT stay", "plain", "a> SUB x 1", "a< +OK", f"a> {QUIET}", "a> PUB x 1\r\n!", "a< MSG x 1 1", "a< !")
case("C-03 unknown keys and null values are ignored", "plain", 'a> CONNECT {"verbose":null,"foo":{"a":[1]},"name":null}', "a< +OK")
case("C-03 CONNECT null is an empty CONNECT", "plain", "a> CONNECT null", "a< +OK")
case("C-03 a repeated key: the last one wins", "plain", 'a> CONNECT {"verbose":true,"verbose":false}', "a~")
case("C-03 keys match without regard to case", "plain", 'a> CONNECT {"VERBOSE":false,"Pedantic":false}', "a~")
case("C-03 no blank is needed after CONNECT", "plain", "a> CONNECT{}", "a< +OK")
case("C-03 many blanks and tabs after CONNECT", "plain", "a> connect \t  \t {} ", "a< +OK")
case("C-03 account in CONNECT is refused", "plain", 'a> CONNECT {"account":"X"}', "a< -ERR 'Authorization Violation'", "a.")
case("C-03 new_account in CONNECT is refused", "plain", 'a> CONNECT {"new_account":true}', "a< -ERR 'Authorization Violation'", "a.")
case("C-03 credentials are ignored when no auth is set", "plain",
     'a> CONNECT {"user":"x","pass":"y","auth_token":"z","jwt":"j","nkey":"n","sig":"s"}', "a< +OK")
case("C-03 tls_required in CONNECT does not matter", "plain", 'a> CONNECT {"tls_required":true}', "a< +OK")
case("C-03 unknown protocol level 2", "plain", 'a> CONNECT {"verbose":false,"protocol":2}', "a< -ERR 'invalid client protocol'", "a.= Bad Client Protocol Version")
case("C-03 unknown protocol level -1", "plain", 'a> CONNECT {"verbose":true,"protocol":-1}', "a< -ERR 'invalid client protocol'", "a.")

for text in ("{x", "", "{", "[]", '"x"', "1", "true", "{}}", "{} x", '{"verbose":1}', '{"verbose":"true"}', '{"protocol":"1"}', '{"protocol":1.5}',
             '{"protocol":1e0}', '{"name":5}', "{'verbose':true}", '{"verbose":true,}', '{"a":01}', '{"a":"\x01"}', '{"a":"\\x"}', "nul",
             '{"no_responders":"x"}', '{"lang":[]}', '{"protocol":99999999999999999999}'):
    case(f"C-04 CONNECT {text!r} closes without a word", "plain", f"a> CONNECT {text}", "a.")
case("C-04 the reason of broken JSON", "plain", "a> CONNECT {x", "a.= Protocol Violation")
for text in ('{"a":"\\ud800"}', '{"name":"\udcff"}', '{"a":1E400}', ' {"verbose":true} ', '{"protocol":null}', '{"echo":true,"jwt":""}'):
    case(f"C-04 CONNECT {text!r} is fine", "plain", f"a> CONNECT {text}", "a< +OK")

case("C-05 a second CONNECT is answered too", "plain", "a> CONNECT {}", "a< +OK", "a> CONNECT {}", "a< +OK")
case("C-05 keys absent from a second CONNECT keep their value", "plain", 'a> CONNECT {"verbose":false}', "a> CONNECT {}", "a~",
     'a> CONNECT {"pedantic":false}', "a> PUB a..b 0\r\n", "a~", 'a> CONNECT {"verbose":true}', "a< +OK")
case("C-05 a second CONNECT drops all subscriptions", "plain", f"a> {QUIET}", "a> SUB x 1", "a> SUB x q 2", f"a> {QUIET}", "a> PUB x 1\r\n!", "a~",
     "a> SUB x 1", "a> PUB x 1\r\n!", "a< MSG x 1 1", "a< !")
case("C-05 a second CONNECT may turn headers off", "plain", f"a> {HEADERS}", 'a> CONNECT {"headers":false,"no_responders":false}',
     "a> HPUB x 12 12\r\nNATS/1.0\r\n\r\n", "a.")
case("C-05 turning headers off alone clashes with no_responders kept from before", "plain", f"a> {HEADERS}", 'a> CONNECT {"headers":false}',
     "a< -ERR 'no responders requires headers support'", "a.= No Responders Requires Headers")


@function_case("C-05 a second CONNECT moves to another account", "accounts")
def second_account(context):
    context.play('m> CONNECT {"verbose":false,"user":"member","pass":"m"}', "m> SUB x 1", "m~",
                 'o> CONNECT {"verbose":false,"user":"other","pass":"o"}', "o> PUB x 1\r\n1", "o~", "m~",
                 'o> CONNECT {"user":"member","pass":"m"}', "o> PUB x 1\r\n2", "o~", "m< MSG x 1 1", "m< 2",
                 'o> CONNECT {"user":"member","pass":"bad"}', "o< -ERR 'Authorization Violation'", "o.")


# -- C-06: the parser

def byte_by_byte(context):
    c = context.get("a")
    text = (QUIET + "\r\nSUB foo.* 1\r\nPUB foo.bar rep 5\r\nhello\r\nPUB foo.x 0\r\n\r\nUNSUB 1\r\nPUB foo.bar 2\r\nno\r\nPING\r\n").encode()
    for i in range(len(text)):
        c.send(text[i:i + 1])
    context.play("a< MSG foo.bar 1 rep 5", "a< hello", "a< MSG foo.x 1 0", "a< ", "a< PONG")


CASES.append(("C-06 every byte in its own write", "plain", byte_by_byte))


@function_case("C-06 the stream cut in two at every byte", "plain")
def cut_everywhere(context):
    text = (QUIET[:-1] + ',"headers":true}\r\nSUB f 1\r\nPUB f r 3\r\na\r\n\r\nHPUB f 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 1 2\r\nPING\r\n').encode()
    wanted = b"MSG f 1 r 3\r\na\r\n\r\nHMSG f 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPONG\r\n"
    for i in range(1, len(text)):
        c = context.open("a")
        c.send(text[:i])
        c.send(text[i:])
        context.expect("a", wanted)
        c.close()
    context.connections.clear()


case("C-06 verbs in any case", "plain", 'a> cOnNeCt {"verbose":false,"headers":true}', "a> sUb x 1", "a> pUb x 1\r\n!", "a< MSG x 1 1", "a< !",
     "a> hPuB x 12 12\r\nNATS/1.0\r\n\r\n", "a< HMSG x 1 12 12", "a< NATS/1.0", "a< ", "a< ", "a> uNsUb 1", "a> ping", "a< PONG", "a> PoNg")
case("C-06 tabs and runs of blanks separate", "plain", f"a> {QUIET}", "a> SUB\t x \t q  \t1  ", "a>> PUB \t x\t\tr \t 2 \t\r\nhi\r\n", "a< MSG x 1 r 2", "a< hi")
case("C-06 LF alone ends a control line", "plain", f"a>> {QUIET}\nSUB x 1\nPUB x 2\nhi\r\nPING\n", "a< MSG x 1 2", "a< hi", "a< PONG")
case("C-06 LF alone does not end a payload", "plain", f"a> {QUIET}", "a>> PUB x 2\r\nhi\nPING\r\n", "a< -ERR 'Unknown Protocol Operation'", "a.= Protocol Violation")
for text in ("\r\n", "\n", " PING\r\n", "\tPING\r\n", "FOO\r\n", "PX\r\n", "HELLO\r\n", "R\r\n", "RS+ $G x\r\n", "LS+ x\r\n", "A+ x\r\n", "L\r\n", "\0\r\n",
             "{}\r\n", "SUBX x 1\r\n", "SUB\r\n", "SUB\n", "PUB\r\n", "PUBX x 0\r\n", "UNSUB\r\n", "HPUB\r\n", "CONNECTED {}\r\n", "GET / HTTP/1.1\r\n",
             "-OK\r\n", "+ERR\r\n", "P ING\r\n", "\u00fc\r\n", "LMSG x 0\r\n", "RMSG x 0\r\n", "-ERR\r\n", "PIN\r\n", "MSG\r\n"):
    if text.startswith("CONNECTED"):
        case("C-06 CONNECTED {} is CONNECT with bad JSON: closed without a word", "plain", f"a>> {text}", "a.")
        continue
    case(f"C-06 {text!r} is an unknown operation", "plain", f"a> {QUIET}", f"a>> {text}", "a< -ERR 'Unknown Protocol Operation'", "a.")
case("C-06 an unknown operation is noticed at its first wrong byte", "plain", f"a> {QUIET}", "a>> PX", "a< -ERR 'Unknown Protocol Operation'", "a.= Protocol Violation")
case("C-06 what came before an unknown operation still counts", "plain", f"a> {QUIET}", f"b> {QUIET}", "b> SUB x 1", "b~",
     "a>> PUB x 1\r\n1\r\nFOO\r\nPUB x 1\r\n2\r\n", "a< -ERR 'Unknown Protocol Operation'", "a.", "b< MSG x 1 1", "b< 1", "b~")
case("C-06 junk after PING is ignored up to LF, however long", "plain", f"a> {QUIET}", "a> PING and more", "a< PONG", "a> PINGX", "a< PONG",
     "a> PING" + "x" * 10000, "a< PONG")
case("C-06 junk after PONG and +OK is ignored", "plain", f"a> {QUIET}", "a> PONGS " + "x" * 5000, "a> +OK", "a> +ok and more", "a> +OKAY" + "x" * 5000)
case("C-06 INFO from a client is read and ignored", "plain", f"a> {QUIET}", "a> INFO {}", 'a> INFO {"server_id":"x","unknown":1}', "a> INFO{}")
case("C-06 INFO with bad JSON closes without a word", "plain", f"a> {QUIET}", "a> INFO x", "a.= Protocol Violation")
case("C-06 -ERR from a client closes without a word", "plain", f"a> {QUIET}", "a> -ERR 'x'", "a.= Parse Error")

# -- C-07..C-10: publishing

case("C-07 the payload comes back byte for byte", "plain", f"a> {QUIET}", "a> SUB x 1",
     "a>> PUB x 7\r\n\0\r\n\udcffMSG\r\n", "a< MSG x 1 7", "a<< \0\r\n\udcffMSG\r\n")
case("C-07 a payload may look like commands", "plain", f"a> {QUIET}", "a> SUB x 1", "a>> PUB x 17\r\nPING\r\n+OK\r\nFOO\r\n\r\n\r\n".replace("17", "18"),
     "a<< MSG x 1 18\r\nPING\r\n+OK\r\nFOO\r\n\r\n\r\n")
case("C-07 an empty payload", "plain", f"a> {QUIET}", "a> SUB x 1", "a>> PUB x 0\r\n\r\n", "a<< MSG x 1 0\r\n\r\n")
case("C-07 with a reply", "plain", f"a> {QUIET}", "a> SUB x 1", "a>> PUB x _INBOX.1 2\r\nhi\r\n", "a<< MSG x 1 _INBOX.1 2\r\nhi\r\n")
case("C-07 the size is echoed as it was written", "plain", f"a> {QUIET}", "a> SUB x 1", "a>> PUB x 002\r\nhi\r\n", "a<< MSG x 1 002\r\nhi\r\n",
     "a>> PUB x 000000000\r\n\r\n", "a<< MSG x 1 000000000\r\n\r\n")
case("C-07 a reply is not checked", "plain", f"a> {QUIET}", "a> SUB x 1", "a>> PUB x a..b 0\r\n\r\n", "a<< MSG x 1 a..b 0\r\n\r\n",
     "a>> PUB x > 0\r\n\r\n", "a<< MSG x 1 > 0\r\n\r\n")
for text in ("x -1", "x +1", "x 1x", "x 0x1", "x 1.0", "x 0000000000", "x 1234567890", "x 99999999999999999999", "x", "", "a b c 2", "a b"):
    case(f"C-07 PUB {text!r} closes without a word", "plain", f"a> {QUIET}", f"a> PUB {text}", "a.= Protocol Violation")
for text in ("x 2\r\nhello", "x 0\r\nhi", "x 2\r\nhi\r", "x 5\r\nhi\r\nxxxxx", "x 3\r\nhi"):
    case(f"C-07 PUB {text!r}: bytes other than CRLF after the payload", "plain", f"a> {QUIET}", f"a> PUB {text}\r\nPING\r\nPING",
         "a< -ERR 'Unknown Protocol Operation'", "a.")
case("C-08 HPUB arrives as HMSG, header untouched", "plain", f"a> {HEADERS}", "a> SUB x 1", "a>> HPUB x 21 23\r\nNATS/1.0\r\nA: b\r\nA:\r\nhi\r\n".replace("A:\r\n", "a:c\r\n\r\n").replace("21 23", "23 25"),
     "a<< HMSG x 1 23 25\r\nNATS/1.0\r\nA: b\r\na:c\r\n\r\nhi\r\n")
case("C-08 HPUB with a reply", "plain", f"a> {HEADERS}", "a> SUB x 1", "a>> HPUB x r.s 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "a<< HMSG x 1 r.s 12 14\r\nNATS/1.0\r\n\r\nhi\r\n")
case("C-08 sizes are echoed as they were written", "plain", f"a> {HEADERS}", "a> SUB x 1", "a>> HPUB x 0012 014\r\nNATS/1.0\r\n\r\nhi\r\n", "a<< HMSG x 1 0012 014\r\nNATS/1.0\r\n\r\nhi\r\n")
case("C-08 a header of length 0 makes a plain MSG", "plain", f"a> {HEADERS}", "a> SUB x 1", "a>> HPUB x 0 2\r\nhi\r\n", "a<< MSG x 1 2\r\nhi\r\n",
     "a>> HPUB x 0 0\r\n\r\n", "a<< MSG x 1 0\r\n\r\n")
case("C-08 the header block is not checked", "plain", f"a> {HEADERS}", "a> SUB x 1", "a>> HPUB x 3 5\r\nabcde\r\n", "a<< HMSG x 1 3 5\r\nabcde\r\n",
     "a>> HPUB x 2 2\r\n\r\n\r\n", "a<< HMSG x 1 2 2\r\n\r\n\r\n")
for text in ("x 15 14", "x 14", "x -1 14", "x 12 x", "x x 14", "a b c 12 14", "x 12 1234567890", "", "x 1234567890 14"):
    case(f"C-08 HPUB {text!r} closes without a word", "plain", f"a> {HEADERS}", f"a> HPUB {text}\r\nNATS/1.0\r\n\r\nhi", "a.= Protocol Violation")
case("C-08 HPUB total too small", "plain", f"a> {HEADERS}", "a> HPUB x 12 13\r\nNATS/1.0\r\n\r\nhi", "a< -ERR 'Unknown Protocol Operation'", "a.")
case("C-09 no headers announced: the body alone, as MSG", "plain", f"a> {HEADERS}", f"b> {QUIET}", "b> SUB x 7", "b~",
     "a>> HPUB x r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "a>> HPUB x 012 0012\r\nNATS/1.0\r\n\r\n\r\n", "a~", "b<< MSG x 7 r 2\r\nhi\r\nMSG x 7 0\r\n\r\n")
case("C-10 HPUB without headers in CONNECT closes without a word", "plain", f"a> {QUIET}", "a> HPUB x 12 14\r\nNATS/1.0\r\n\r\nhi",
     "a.= Protocol Violation")
case("C-10 HPUB before CONNECT closes without a word", "plain", "a> HPUB x 12 14\r\nNATS/1.0\r\n\r\nhi", "a.")

# -- C-11..C-16: subscriptions, delivery

case("C-11 a second SUB with the same sid is ignored", "plain", f"a> {QUIET}", "a> SUB x 1", "a> SUB x 1", "a> SUB y 1", "a> PUB y 0\r\n", "a>> PUB x 1\r\n!\r\n", "a<< MSG x 1 1\r\n!\r\n")
case("C-11 the same subject under two sids is delivered twice", "plain", f"a> {QUIET}", "a> SUB x 1", "a> SUB x 2", "a>> PUB x 0\r\n\r\n", "a<~ MSG x [12] 0", "a< ", "a<~ MSG x [12] 0", "a< ")
case("C-11 a duplicate sid is not even checked for its subject", "plain", "a> CONNECT {}", "a< +OK", "a> SUB x 1", "a< +OK", "a> SUB a..b 1", "a< +OK")
case("C-11 a sid may be any word", "plain", f"a> {QUIET}", "a> SUB x \u00e9.*-1", "a>> PUB x 0\r\n\r\n", "a<< MSG x \u00e9.*-1 0\r\n\r\n", "a> SUB y 01", "a>> PUB y 0\r\n\r\n", "a<< MSG y 01 0\r\n\r\n", "a> UNSUB 1", "a>> PUB y 0\r\n\r\n", "a<< MSG y 01 0\r\n\r\n")
case("C-11 a queue name may be any word", "plain", f"a> {QUIET}", "a> SUB x >.. 1", "a>> PUB x 0\r\n\r\n", "a<< MSG x 1 0\r\n\r\n")
case("C-11 sids of different connections are apart", "plain", f"a> {QUIET}", f"b> {QUIET}", "a> SUB x 1", "a~", "b> SUB x 1", "b> UNSUB 1", "b~", "a>> PUB x 0\r\n\r\n", "a<< MSG x 1 0\r\n\r\n")
for text in ("SUB x", "SUB ", "SUB a b c d", "UNSUB ", "UNSUB 1 2 3", "SUB a b c d e f g h"):
    case(f"C-11 {text!r} closes without a word", "plain", f"a> {QUIET}", f"a> {text}", "a.= Protocol Violation")
case("C-11 an unsubscribed sid is free again", "plain", f"a> {QUIET}", "a> SUB x 1", "a> UNSUB 1", "a> SUB y 1", "a>> PUB x 0\r\n\r\n", "a>> PUB y 0\r\n\r\n", "a<< MSG y 1 0\r\n\r\n")

PUBX = "a>> PUB x 0\r\n\r\n"
GOTX = "a<< MSG x 1 0\r\n\r\n"
case("C-12 UNSUB stops at once", "plain", f"a> {QUIET}", "a> SUB x 1", "a> UNSUB 1", PUBX, "a~")
case("C-12 UNSUB 1 2: two messages and no more", "plain", f"a> {QUIET}", "a> SUB x 1", "a> UNSUB 1 2", PUBX, PUBX, PUBX, GOTX, GOTX, "a~")
case("C-12 the maximum counts from the start of the subscription", "plain", f"a> {QUIET}", "a> SUB x 1", PUBX, PUBX, GOTX, GOTX, "a> UNSUB 1 3", PUBX, PUBX, GOTX, "a~")
case("C-12 a maximum already reached removes at once", "plain", f"a> {QUIET}", "a> SUB x 1", PUBX, PUBX, GOTX, GOTX, "a> UNSUB 1 2", PUBX, "a~", "a> SUB x 1", PUBX, GOTX)
case("C-12 a maximum may be raised", "plain", f"a> {QUIET}", "a> SUB x 1", "a> UNSUB 1 1", "a> UNSUB 1 2", PUBX, PUBX, PUBX, GOTX, GOTX, "a~")
case("C-12 UNSUB without a maximum cancels one", "plain", f"a> {QUIET}", "a> SUB x 1", "a> UNSUB 1 5", "a> UNSUB 1", PUBX, "a~")
for text in ("0", "-1", "x", "1234567890", "1.5"):
    case(f"C-12 UNSUB 1 {text} is UNSUB 1", "plain", f"a> {QUIET}", "a> SUB x 1", f"a> UNSUB 1 {text}", PUBX, "a~")
case("C-12 UNSUB of an unknown sid is fine", "plain", "a> CONNECT {}", "a< +OK", "a> UNSUB 99", "a< +OK", "a> UNSUB 99 5", "a< +OK", "a> SUB x 99", "a< +OK")
case("C-12 the sid is free after its last message", "plain", f"a> {QUIET}", "a> SUB x 1", "a> UNSUB 1 1", PUBX, GOTX, "a> SUB y 1", "a>> PUB y 0\r\n\r\n", "a<< MSG y 1 0\r\n\r\n")
case("C-12 own messages that echo holds back do not count", "plain", 'a> CONNECT {"verbose":false,"echo":false}', f"b> {QUIET}", "a> SUB x 1", "a> UNSUB 1 1", PUBX, "a~", "b>> PUB x 0\r\n\r\n", "b~", GOTX, "b>> PUB x 0\r\n\r\n", "b~", "a~")


@function_case("C-13 messages of one publisher arrive in order", "plain")
def in_order(context):
    context.play(f"a> {QUIET}", "a> SUB o.> 1", "a~", f"b> {QUIET}")
    count = 20000
    context.get("b").send(b"".join(b"PUB o.%d %d\r\n%d\r\n" % (i % 7, len(b"%d" % i), i) for i in range(count)))
    context.barrier("b")
    context.expect("a", b"".join(b"MSG o.%d 1 %d\r\n%d\r\n" % (i % 7, len(b"%d" % i), i) for i in range(count)))


case("C-14 echo false: own messages are not delivered", "plain", 'a> CONNECT {"verbose":false,"echo":false}', f"b> {QUIET}", "a> SUB x 1", "a~", "b> SUB x 1", "b~", PUBX, "a~", "b<< MSG x 1 0\r\n\r\n", "b>> PUB x 0\r\n\r\n", "b<< MSG x 1 0\r\n\r\n", "b~", GOTX)
case("C-14 echo false in a queue group: another member gets it", "plain", 'a> CONNECT {"verbose":false,"echo":false}', f"b> {QUIET}", "a> SUB x q 1", "a~", "b> SUB x q 1", "b~", PUBX, PUBX, PUBX, "a~", *["b<< MSG x 1 0\r\n\r\n"] * 3)
case("C-15 +OK for every CONNECT, SUB, UNSUB, PUB, HPUB; none for PING and PONG", "plain", 'a> CONNECT {"headers":true}', "a< +OK", "a> SUB x 1", "a< +OK", "a>> PUB y 0\r\n\r\n", "a< +OK",
     "a>> HPUB y 12 12\r\nNATS/1.0\r\n\r\n\r\n", "a< +OK", "a> UNSUB 1 2", "a< +OK", "a> UNSUB 1", "a< +OK", "a> PONG", "a~")
case("C-15 +OK comes before the message it lets through", "plain", "a> CONNECT {}", "a< +OK", "a> SUB x 1", "a< +OK", PUBX, "a< +OK", GOTX)
case("C-15 no +OK with an invalid subject", "plain", "a> CONNECT {}", "a< +OK", "a> SUB a..b 1", "a< -ERR 'Invalid Subject'", "a~")
case("C-16 pedantic: the complaint, then +OK, and the message still goes", "plain", "a> CONNECT {}", "a< +OK", "a> SUB x.* 1", "a< +OK", "a>> PUB x.* 0\r\n\r\n",
     "a< -ERR 'Invalid Publish Subject'", "a< +OK", "a<< MSG x.* 1 0\r\n\r\n")
for subject in ("a..b", ".a", "a.", ".", "*", ">", "a.*", "a.>", "*.a", "a.>.b"):
    case(f"C-16 pedantic: {subject} is no subject to publish to", "plain", 'a> CONNECT {"verbose":false,"pedantic":true}', f"a>> PUB {subject} 0\r\n\r\n", "a< -ERR 'Invalid Publish Subject'")
for subject in ("a*", "*a", ">a", "a.b>", "a.**", ">>", "\u00fc", "a\x01", "\udcff"):
    case(f"C-16 pedantic: {subject!r} is fine", "plain", 'a> CONNECT {"verbose":false,"pedantic":true}', f"a>> PUB {subject} 0\r\n\r\n")
case("C-16 pedantic does not look at the reply", "plain", 'a> CONNECT {"verbose":false,"pedantic":true}', "a>> PUB x a..* 0\r\n\r\n")
case("C-16 pedantic also for HPUB", "plain", 'a> CONNECT {"verbose":false,"pedantic":true,"headers":true}', "a>> HPUB a..b 12 12\r\nNATS/1.0\r\n\r\n\r\n", "a< -ERR 'Invalid Publish Subject'")


@function_case("C-16 the pedantic complaint comes before the payload has", "plain")
def early_complaint(context):
    context.play('a> CONNECT {"verbose":false,"pedantic":true}', "a>> PUB a..b 0\r\n", "a< -ERR 'Invalid Publish Subject'", "a>> \r\nPING\r\n")
    # nats-server reads the line again when the payload comes in another read, and complains twice. Once is fine too.
    line = context.get("a").read_line()
    if line == b"-ERR 'Invalid Publish Subject'":
        line = context.get("a").read_line()
    context.check(line == b"PONG", repr(line))


# -- C-17..C-19: PING, async INFO, keepalive

case("C-17 PING before CONNECT", "plain", "a~", "a~")
case("C-17 each PING gets its PONG", "plain", f"a>> {QUIET}\r\n" + "PING\r\n" * 50, "a<< " + "PONG\r\n" * 50)
case("C-17 a PONG nobody asked for is fine", "plain", "a> PONG", "a~", f"a> {QUIET}", "a> PONG")


@function_case("C-18 protocol 1: INFO with connect_info right after the first PONG, once", "plain")
def connect_info(context):
    c = context.get("a")
    context.play('a> CONNECT {"verbose":false,"protocol":1}', "a> PING", "a< PONG")
    line = c.read_line()
    context.check(line.startswith(b"INFO ") and line.endswith(b"} "), repr(line))
    info = json.loads(line[5:])
    wanted = PLAIN_INFO_KEYS | {"connect_info", "remote_account"}
    context.check(set(info) - {"git_commit"} == wanted, f"keys: missing {wanted - set(info)}, extra {set(info) - wanted}")
    context.check(info["connect_info"] is True and info["remote_account"] == "$G", f"{info}")
    context.check({k: v for k, v in info.items() if k in c.info} == c.info, "the other values are as in the first INFO")
    context.barrier("a")


@function_case("C-18 acc_is_sys for a user of the system account", "accounts")
def system_account_info(context):
    c = context.get("a")
    context.play('a> CONNECT {"verbose":false,"protocol":1,"user":"admin","pass":"a"}', "a> PING", "a< PONG")
    info = json.loads(c.read_line()[5:])
    context.check(info.get("acc_is_sys") is True and info["remote_account"] == "SYS", f"{info}")
    context.play('b> CONNECT {"verbose":false,"protocol":1,"user":"member","pass":"m"}', "b> PING", "b< PONG")
    info = json.loads(context.get("b").read_line()[5:])
    context.check("acc_is_sys" not in info and info["remote_account"] == "A", f"{info}")


case("C-18 protocol 0: no second INFO", "plain", 'a> CONNECT {"verbose":false,"protocol":0}', "a~", "a~")
case("C-18 a PING before CONNECT does not use up the INFO", "plain", "a~", 'a> CONNECT {"verbose":false,"protocol":1}', "a> PING", "a< PONG", 'a<~ INFO .*"connect_info":true')
case("C-18 protocol 1 only in a second CONNECT, after the first PONG: no INFO", "plain", 'a> CONNECT {"verbose":false}', "a~", 'a> CONNECT {"protocol":1}', "a~")


@function_case("C-19 a mute client: PING, then Stale Connection", "stale")
def stale(context):
    started = time.monotonic()
    context.play(f"a> {QUIET}", "a< PING", "a< -ERR 'Stale Connection'", "a.= Stale Connection")
    seconds = time.monotonic() - started
    context.check(0.19 < seconds < 2, f"took {seconds:.2f} s")


case("C-19 a client that answers stays", "stale", f"a> {QUIET}", *["a< PING", "a> PONG"] * 5, "a-")
case("C-19 PINGs come before CONNECT too", "stale", "a< PING", "a> PONG", "a< PING", "a-")


# -- C-20..C-24: limits

LONG = "a" * 4092
case("C-20 a control line of 4096 bytes is accepted", "plain", f"a> {QUIET}", f"a> SUB {LONG}b. 1".replace("b.", "bb"), f"a>> PUB {LONG}bb 0\r\n\r\n", f"a<< MSG {LONG}bb 1 0\r\n\r\n")
case("C-20 a control line of 4097 bytes closes", "plain", f"a> {QUIET}", f"a> SUB {LONG}bbb 1", "a< -ERR 'maximum control line exceeded'", "a.= Maximum Control Line Exceeded")
case("C-20 blanks between verb and arguments do not count, blanks at the end do", "plain", f"a> {QUIET}", "a> SUB " + " " * 5000 + "x 1", PUBX, GOTX, "a> SUB y 2" + " " * 4094, "a< -ERR 'maximum control line exceeded'", "a.")
case("C-20 a 5 KB PUB line closes", "plain", f"a> {QUIET}", "a> PUB " + "x" * 5000 + " 2\r\nhi", "a< -ERR 'maximum control line exceeded'", "a.")
case("C-20 a line too long without its end closes", "plain", f"a> {QUIET}", "a>> SUB " + "x" * 4200, "a< -ERR 'maximum control line exceeded'", "a.")
case("C-20 also for CONNECT", "plain", 'a> CONNECT {"verbose":false,"name":"' + "n" * 4100 + '"}', "a< -ERR 'maximum control line exceeded'", "a.= Maximum Control Line Exceeded")
case("C-20 also for UNSUB, HPUB, INFO, -ERR", "plain", *[s for v, n in zip(("UNSUB", "HPUB", "INFO", "-ERR"), "abcd")
                                                  for s in (f"{n}> {HEADERS}", f"{n}> {v} " + "9" * 5000, f"{n}< -ERR 'maximum control line exceeded'", f"{n}.")])
case("C-20 max_control_line from the configuration", "limits", f"a> {QUIET}", "a> SUB " + "x" * 126 + " 1", "a> SUB " + "x" * 127 + " 1", "a< -ERR 'maximum control line exceeded'", "a.")
case("C-21 a payload of exactly max_payload is accepted", "limits", f"a> {QUIET}", "a> SUB x 1", "a>> PUB x 100\r\n" + "y" * 100 + "\r\n", "a<< MSG x 1 100\r\n" + "y" * 100 + "\r\n")
case("C-21 one byte more closes, before any payload", "limits", f"a> {QUIET}", "a> PUB x 101", "a< -ERR 'Maximum Payload Violation'", "a.= Maximum Message Payload Exceeded")
case("C-21 the default is 1 MiB", "plain", f"a> {QUIET}", "a> PUB x 1048577", "a< -ERR 'Maximum Payload Violation'", "a.")
case("C-21 the largest nine-digit size", "plain", f"a> {QUIET}", "a> PUB x 999999999", "a< -ERR 'Maximum Payload Violation'", "a.")
case("C-21 HPUB counts header and body together", "limits", f"a> {HEADERS}", "a> HPUB x 12 101", "a< -ERR 'Maximum Payload Violation'", "a.")
case("C-21 HPUB with a header longer than the total closes without a word, though too large", "limits", f"a> {HEADERS}", "a> HPUB x 102 101", "a.")
case("C-21 pedantic and too large: only the violation", "limits", "a> PUB a..b 101", "a< -ERR 'Maximum Payload Violation'", "a.")


@function_case("C-21 1 MiB goes through", "plain")
def one_mebibyte(context):
    body = bytes(range(256)) * 4096
    context.play(f"a> {QUIET}", "a> SUB x 1")
    context.get("a").send(b"PUB x 1048576\r\n" + body + b"\r\n")
    context.expect("a", b"MSG x 1 1048576\r\n" + body + b"\r\n")


@function_case("C-21 INFO tells max_payload", "limits")
def info_max_payload(context):
    context.check(context.get("a").info["max_payload"] == 100, f"{context.get('a').info}")


@function_case("C-22 one connection too many: INFO, the error, closed", "two-connections")
def too_many(context):
    def served(name):
        c = context.open(name)
        c.send(b"PING\r\n")
        line = c.read_line()
        if line == b"PONG":
            return True
        c.close()
        return False
    # The probe that waited for the server to come up may still count for a moment.
    context.wait(lambda: served("a"), "a first connection")
    context.wait(lambda: served("b"), "a second connection")
    context.play("c< -ERR 'maximum connections exceeded'", "c.= Maximum Connections Exceeded", "a~", "b~", "a-")
    context.wait(lambda: served("d"), "a place that became free")


case("C-23 one subscription too many: an error, the connection stays", "limits", f"a> {QUIET}", "a> SUB x 1", "a> SUB y 2", "a> SUB z 3", "a< -ERR 'maximum subscriptions exceeded'", "a>> PUB z 0\r\n\r\n", "a~",
     "a> UNSUB 1", "a> SUB z 3", "a>> PUB z 0\r\n\r\n", "a<< MSG z 3 0\r\n\r\n")
case("C-23 verbose: no +OK with the error", "limits", "a> SUB x 1", "a< +OK", "a> SUB y 2", "a< +OK", "a> SUB z 3", "a< -ERR 'maximum subscriptions exceeded'", "a~")
case("C-23 at the limit a duplicate sid is refused too", "limits", f"a> {QUIET}", "a> SUB x 1", "a> SUB y 2", "a> SUB x 1", "a< -ERR 'maximum subscriptions exceeded'")
case("C-23 at the limit an invalid subject reports the limit", "limits", f"a> {QUIET}", "a> SUB x 1", "a> SUB y 2", "a> SUB a..b 3", "a< -ERR 'maximum subscriptions exceeded'")
case("C-23 the limit is per connection", "limits", f"a> {QUIET}", "a> SUB x 1", "a> SUB y 2", "a~", f"b> {QUIET}", "b> SUB x 1", "b> SUB y 2", "b~")
case("C-24 too many tokens", "tokens", f"a> {QUIET}", "a> SUB a.b.c 1", "a> SUB a.b.c.d 2", "a< -ERR 'Permissions Violation for Subscription to \"a.b.c.d\", too many tokens'", "a>> PUB a.b.c.d 0\r\n\r\n", "a~")
case("C-24 tokens are counted before the subject is checked", "tokens", f"a> {QUIET}", "a> SUB a... 1", "a< -ERR 'Permissions Violation for Subscription to \"a...\", too many tokens'")
case("C-24 a queue name is not mentioned", "tokens", f"a> {QUIET}", "a> SUB a.*.c.> q 1", "a< -ERR 'Permissions Violation for Subscription to \"a.*.c.>\", too many tokens'")


# -- C-25..C-27: slow consumers

def flood(context, name, subject, total, size):
    c = context.get(name)
    line = b"PUB %s %d\r\n" % (subject.encode(), size) + b"x" * size + b"\r\n"
    for _ in range(total // size):
        c.send(line)
    context.barrier(name)


@function_case("C-25 a reader that never reads is closed without -ERR, and counted", "small-pending")
def slow_consumer(context):
    before = context.server.http_json("/varz")["slow_consumers"]
    context.open("slow", receive_buffer_bytes=4096)
    context.play(f"slow> {QUIET}", "slow> SUB x 1", "slow~", f"a> {QUIET}")
    # Socket buffers may hold megabytes: publish until the server has had enough.
    for _ in range(100):
        flood(context, "a", "x", 2 << 20, 100000)
        if context.server.http_json("/varz")["slow_consumers"] > before:
            break
    context.check(context.closed_reason("slow") == "Slow Consumer (Pending Bytes)", context.closed_reason("slow"))
    varz = context.server.http_json("/varz")
    context.check(varz["slow_consumers"] == before + 1, f"slow_consumers {before} -> {varz['slow_consumers']}")
    context.check(varz["slow_consumer_stats"]["clients"] >= 1, f"{varz['slow_consumer_stats']}")
    data = context.get("slow").read_to_close()
    context.check(b"-ERR" not in data, f"the slow consumer was told {data[-100:]!r}")
    context.check(data.startswith(b"MSG x 1 100000\r\n"), repr(data[:50]))


@function_case("C-26 a socket that takes nothing is closed after write_deadline", "write-deadline")
def write_deadline(context):
    context.open("slow", receive_buffer_bytes=4096)
    context.play(f"slow> {QUIET}", "slow> SUB x 1", "slow~", f"a> {QUIET}")
    flood(context, "a", "x", 32 << 20, 1 << 20)
    reason = context.closed_reason("slow")
    context.check(reason == "Slow Consumer (Write Deadline)", reason)
    context.check(context.server.http_json("/varz")["slow_consumers"] >= 1, "not counted")
    context.check(b"-ERR" not in context.get("slow").read_to_close(), "the slow consumer was told")


@function_case("C-27 no_fast_producer_stall drops for a reader past three quarters, and keeps it", "no-stall")
def no_stall(context):
    context.open("slow", receive_buffer_bytes=4096)
    context.play(f"slow> {QUIET}", "slow> SUB x 1", "slow~", f"a> {QUIET}")
    flood(context, "a", "x", 64 << 20, 50000)
    slow = context.get("slow")
    slow.send(b"PING\r\n")
    got = b""
    while not got.endswith(b"PONG\r\n"):
        slow.fill()
        got, slow.buffer = got[-64:] + slow.buffer, b""
    context.check(context.server.http_json("/varz")["slow_consumers"] == 0, "closed as a slow consumer")


# -- C-28..C-31: no responders, subjects

NOBODY = "NATS/1.0 503\r\nNats-Subject: "
case("C-28 no responders: the bytes", "plain", f"a> {HEADERS}", "a> SUB _INBOX.1 7", "a>> PUB nobody.home _INBOX.1 2\r\nhi\r\n", f"a<< HMSG _INBOX.1 7 43 43\r\n{NOBODY}nobody.home\r\n\r\n\r\n")
case("C-28 through a wildcard subscription for the reply", "plain", f"a> {HEADERS}", "a> SUB _INBOX.* 7", "a>> PUB n _INBOX.1 0\r\n\r\n", f"a<< HMSG _INBOX.1 7 33 33\r\n{NOBODY}n\r\n\r\n\r\n")
case("C-28 verbose: +OK comes first", "plain", 'a> CONNECT {"headers":true,"no_responders":true}', "a< +OK", "a> SUB r 7", "a< +OK", "a>> PUB n r 0\r\n\r\n", "a< +OK", f"a<< HMSG r 7 33 33\r\n{NOBODY}n\r\n\r\n\r\n")
case("C-28 not without asking for it", "plain", 'a> CONNECT {"verbose":false,"headers":true}', "a> SUB r 7", "a>> PUB n r 0\r\n\r\n")
case("C-28 not without an own subscription for the reply", "plain", f"a> {HEADERS}", "a>> PUB n r 0\r\n\r\n", "a~", "a> SUB r q 1", "a>> PUB n r 0\r\n\r\n", "a~", f"b> {HEADERS}", "b> SUB r 1", "b~", "a>> PUB n r 0\r\n\r\n", "a~", "b~")
case("C-28 not without a reply", "plain", f"a> {HEADERS}", "a> SUB > 7", "a> UNSUB 7", "a> SUB r 7", "a>> PUB n 0\r\n\r\n")
case("C-28 not when somebody listens", "plain", f"a> {HEADERS}", "a> SUB r 7", "a~", f"b> {QUIET}", "b> SUB n 1", "b~", "a>> PUB n r 0\r\n\r\n", "a~", "b<< MSG n 1 r 0\r\n\r\n")
case("C-28 a queue group is somebody", "plain", f"a> {HEADERS}", "a> SUB r 7", "a~", f"b> {QUIET}", "b> SUB n q 1", "b~", "a>> PUB n r 0\r\n\r\n", "a~", "b<< MSG n 1 r 0\r\n\r\n")
case("C-28 oneself is somebody", "plain", f"a> {HEADERS}", "a> SUB r 7", "a> SUB n 8", "a>> PUB n r 0\r\n\r\n", "a<< MSG n 8 r 0\r\n\r\n")
case("C-28 but not with echo false", "plain", f"a> {HEADERS[:-1]},\"echo\":false}}", "a> SUB r 7", "a> SUB n 8", "a>> PUB n r 0\r\n\r\n", f"a<< HMSG r 7 33 33\r\n{NOBODY}n\r\n\r\n\r\n")
case("C-28 the notice does not count toward UNSUB's maximum", "plain", f"a> {HEADERS}", "a> SUB r 7", "a> UNSUB 7 1", *["a>> PUB n r 0\r\n\r\n", f"a<< HMSG r 7 33 33\r\n{NOBODY}n\r\n\r\n\r\n"] * 3,
     "a>> PUB r 0\r\n\r\n", "a<< MSG r 7 0\r\n\r\n", "a>> PUB n r 0\r\n\r\n", "a~")
case("C-28 also for HPUB, without its headers", "plain", f"a> {HEADERS}", "a> SUB r 7", "a>> HPUB n r 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n", f"a<< HMSG r 7 33 33\r\n{NOBODY}n\r\n\r\n\r\n")
case("C-28 also for an invalid subject", "plain", f"a> {HEADERS}", "a> SUB r 7", "a>> PUB a..b r 0\r\n\r\n", f"a<< HMSG r 7 36 36\r\n{NOBODY}a..b\r\n\r\n\r\n")
case("C-28 a listener gone a moment ago is nobody", "plain", f"a> {HEADERS}", "a> SUB r 7", "a~", f"b> {QUIET}", "b> SUB n 1", "b~", "b-", "a>> PUB n r 0\r\n\r\n", f"a<< HMSG r 7 33 33\r\n{NOBODY}n\r\n\r\n\r\n")
case("C-29 no_responders needs headers", "plain", 'a> CONNECT {"no_responders":true}', "a< -ERR 'no responders requires headers support'", "a.= No Responders Requires Headers")

for subject in ("a..b", ".a", "a.", ".", "..", "a.>.b", ">.a", ">.>", "a.b..c"):
    case(f"C-30 SUB {subject}: Invalid Subject, the connection stays", "plain", f"a> {QUIET}", f"a> SUB {subject} 1", "a< -ERR 'Invalid Subject'", "a> SUB x 1", PUBX, GOTX)
for subject, hit, miss in (("a*", "a*", "ab"), ("*a", "*a", "ba"), ("a.b*", "a.b*", "a.bc"), (">a", ">a", "ba"), ("a.>>", "a.>>", "a.b"), ("**", "**", "a"), ("a.*>", "a.*>", "a.b"), ("a>.b", "a>.b", "a.b"),
                           ("a\x01\x0b", "a\x01\x0b", "a"), ("a\x0cb", "a\x0cb", "a"), ("a\0b", "a\0b", "a")):
    case(f"C-30 {subject!r} is a literal", "plain", f"a> {QUIET}", f"a> SUB {subject} 1", f"a>> PUB {miss} 0\r\n\r\n", f"a>> PUB {hit} 0\r\n\r\n", f"a<< MSG {hit} 1 0\r\n\r\n")
for subject in ("gr\u00fcn.x", "\u65e5\u672c.\u8a9e", "\udcff\udcfe.\udc80", "\u00fc"):
    case(f"C-31 {subject!r} passes unchanged", "plain", f"a> {QUIET}", f"a> SUB {subject} 1", f"a>> PUB {subject} 0\r\n\r\n", f"a<< MSG {subject} 1 0\r\n\r\n")
case("C-31 a wildcard over unicode tokens", "plain", f"a> {QUIET}", "a> SUB gr\u00fcn.* 1", "a>> PUB gr\u00fcn.\u00e4 0\r\n\r\n", "a<< MSG gr\u00fcn.\u00e4 1 0\r\n\r\n")

for pattern, subject, match in (("a.*", "a.b", 1), ("a.*", "a", 0), ("a.*", "a.b.c", 0), ("*", "a", 1), ("*", "a.b", 0), ("*.*", "a.b", 1), (">", "a", 1), (">", "a.b.c", 1), ("a.>", "a.b", 1),
                                ("a.>", "a.b.c", 1), ("a.>", "a", 0), ("*.b.>", "a.b.c", 1), ("*.b.>", "a.b", 0), ("a.*.c", "a.b.c", 1), ("a.*.c", "a.b.d", 0), ("*.>", "a.b", 1), ("*.>", "a", 0),
                                (">", "a..b", 0), (">", ".a", 0), ("a.*", "a.", 0), (">", "a.", 0), (">", ">", 1), ("*", "*", 1), ("a.*", "a.*", 1), ("a.b", "a.*", 0), ("a.>", "a.>", 1),
                                (">", "$SYS.x", 1), ("*.x", "$SYS.x", 1), ("A", "a", 0)):
    case(f"C-32 SUB {pattern} {'gets' if match else 'does not get'} {subject}", "plain", f"a> {QUIET}", f"a> SUB {pattern} 1", f"a>> PUB {subject} 0\r\n\r\n",
         *([f"a<< MSG {subject} 1 0\r\n\r\n"] if match else []), "a~", "a> UNSUB 1", f"a>> PUB {subject} 0\r\n\r\n", "a~")
case("C-32 a subject of 300 tokens", "plain", f"a> {QUIET}", "a> SUB " + ".".join(["t"] * 300) + " 1", "a> SUB " + ".".join(["t"] * 299) + ".* 2", "a> SUB t.> 3", "a>> PUB " + ".".join(["t"] * 300) + " 0\r\n\r\n",
     *[s for _ in range(3) for s in ("a<~ MSG t", "a< ")])

# -- C-33, C-35, C-36


@function_case("C-33 three members of a queue group share, one delivery per message", "plain")
def queue_group(context):
    context.play(*[s for n in "abc" for s in (f"{n}> {QUIET}", f"{n}> SUB x q 1", f"{n}~")], f"p> {QUIET}")
    context.get("p").send(b"PUB x 0\r\n\r\n" * 3000)
    context.barrier("p")
    counts = []
    for n in "abc":
        c = context.get(n)
        c.send(b"PING\r\n")
        data = b""
        while not data.endswith(b"PONG\r\n"):
            data += c.read_line() + b"\r\n"
        counts.append(data.count(b"MSG x 1 0\r\n"))
    context.check(sum(counts) == 3000, f"{counts}")
    context.check(all(800 < n < 1200 for n in counts), f"uneven: {counts}")


case("C-33 two members on one connection", "plain", f"a> {QUIET}", "a> SUB x q 1", "a> SUB x q 2", PUBX, "a<~ MSG x [12] 0", "a< ", "a~")
case("C-33 a member of a wildcard and one of a literal are one group", "plain", f"a> {QUIET}", "a> SUB x.* q 1", "a> SUB x.y q 2", "a>> PUB x.y 0\r\n\r\n", "a<~ MSG x.y [12] 0", "a< ", "a~")
case("C-35 plain and queue subscriptions each get a copy, each group one", "plain", f"a> {QUIET}", "a> SUB x 1", f"b> {QUIET}", "b> SUB x q1 1", f"c> {QUIET}", "c> SUB x q2 1", "a~", "b~", "c~", PUBX, GOTX,
     "b<< MSG x 1 0\r\n\r\n", "c<< MSG x 1 0\r\n\r\n")
for subject in ("_GR_.x", "_GR_.x.y.z", "$GR.x", "$NRG.x", "$NRG."):
    case(f"C-36 publishing to {subject} is refused", "plain", 'a> CONNECT {"pedantic":false}', "a< +OK", f"a> SUB {subject.split('.')[0]}.> 1", "a< +OK", f"a>> PUB {subject} 0\r\n\r\n", f"a< -ERR 'Permissions Violation for Publish to \"{subject}\"'", "a~")
case("C-36 publishing to $GR. and _GR_. is not refused; as subjects they match nothing", "plain", f"a> {QUIET}", "a> SUB > 1", "a>> PUB $GR. 0\r\n\r\n", "a>> PUB _GR_. 0\r\n\r\n")
for subject in ("_GR_", "$GR", "$NRG", "_R_.x", "$JS.ACK.x"):
    case(f"C-36 publishing to {subject} is not", "plain", f"a> {QUIET}", f"a> SUB {subject} 1", f"a>> PUB {subject} 0\r\n\r\n", f"a<< MSG {subject} 1 0\r\n\r\n")
for reply in ("_R_.x", "_R_.", "$JS.ACK.x", "_GR_.x", "$GR.x"):
    case(f"C-36 a reply of {reply} is refused", "plain", "a> CONNECT {}", "a< +OK", "a> SUB x 1", "a< +OK", f"a>> PUB x {reply} 0\r\n\r\n", f"a< -ERR 'Permissions Violation for Publish with Reply of \"{reply}\"'", "a~")
for reply in ("_R_", "_R_x", "$JS.ACK", "$JS.ACK.", "_GR_", "_GR_x"):
    case(f"C-36 a reply of {reply} is not", "plain", f"a> {QUIET}", "a> SUB x 1", f"a>> PUB x {reply} 0\r\n\r\n", f"a<< MSG x 1 {reply} 0\r\n\r\n")
case("C-36 the queue name _sys_ is refused", "plain", "a> CONNECT {}", "a< +OK", "a> SUB x _sys_ 1", "a< -ERR 'Permissions Violation for Subscription to \"x\" using queue \"_sys_\"'", "a~")


@function_case("C-39 lame duck: INFO with ldm, no new connections", "plain")
def lame_duck(context):
    config = os.path.join(context.server.dir, "ldm.conf")
    with open(config, "w", encoding="utf-8") as f:
        f.write('lame_duck_duration: "30s"\nlame_duck_grace_period: "1s"\n')
    process, log = start_raw(context, "-a", "127.0.0.1", "-p", "-1", "-c", config)
    try:
        port = int(read_log_line(context, log, r"Listening for client connections on 127\.0\.0\.1:(\d+)\n")[1])
        read_log_line(context, log, "Server is ready")
        c = wire.Connection(port)
        old = wire.Connection(port)
        c.send(b'CONNECT {"verbose":false,"protocol":1}\r\nPING\r\n')
        old.send(b'CONNECT {"verbose":false,"protocol":0}\r\nPING\r\n')
        context.check(c.read_line() == b"PONG" and c.read_line().startswith(b"INFO ") and old.read_line() == b"PONG", "no PONG and INFO")
        process.send_signal(signal.SIGUSR2)
        line = c.read_line()
        context.check(line.startswith(b"INFO ") and json.loads(line[5:]).get("ldm") is True, repr(line))
        read_log_line(context, log, "Entering lame duck mode, stop accepting new clients")
        try:
            wire.Connection(port).close()
            raise Failure("a new connection was served")
        except (OSError, wire.Closed):
            pass
        c.send(b"PING\r\n")
        old.send(b"PING\r\n")
        context.check(c.read_line() == b"PONG" and old.read_line() == b"PONG", "existing clients are served on")
        c.shut_down()
        old.shut_down()
        context.check(process.wait(10) == 0, f"exit code {process.returncode}")
    finally:
        process.kill()
        process.wait()


# -- C-44..C-54

@function_case("C-44 name, lang, version in /connz", "plain")
def metadata(context):
    c = context.get("a")
    context.play('a> CONNECT {"verbose":false,"name":"me \u00fc","lang":"py","version":"1.2.3"}', "a> SUB x 1", "a~")
    entry = context.wait(lambda: next((e for e in context.server.http_json(f"/connz?cid={c.info['client_id']}&subs=1")["connections"]), None), "the connection in /connz")
    for key, value in (("name", "me \u00fc"), ("lang", "py"), ("version", "1.2.3"), ("kind", "Client"), ("type", "nats"), ("subscriptions", 1), ("subscriptions_list", ["x"]), ("ip", "127.0.0.1")):
        context.check(entry.get(key) == value, f"{key} is {entry.get(key)!r}")


@function_case("C-45 a silent connection: Authentication Timeout", "auth-timeout")
def auth_timeout(context):
    started = time.monotonic()
    context.play("a< -ERR 'Authentication Timeout'", "a.= Authentication Timeout")
    seconds = time.monotonic() - started
    context.check(0.3 < seconds < 2, f"took {seconds:.2f} s")


case("C-45 half a CONNECT is not enough", "auth-timeout", "a>> CONNECT {\"user\"", "a< -ERR 'Authentication Timeout'", "a.")
case("C-45 no timeout after a good CONNECT", "auth-timeout", 'a> CONNECT {"verbose":false,"user":"u","pass":"p"}', "b< -ERR 'Authentication Timeout'", "b.", "a~")
for text in ("PING", "PUB x 0\r\n", "SUB x 1", "PONG", "FOO", "", "INFO {}", "+OK"):
    case(f"C-46 with auth, {text!r} before CONNECT is a violation", "user", f"a> {text}", "a< -ERR 'Authorization Violation'", "a.= Authentication Failure")
case("C-46 but anything with the letter C is read as CONNECT first", "user", "a> CX", "a< -ERR 'Unknown Protocol Operation'", "a.= Protocol Violation")
for reason, send in (("Client Closed", None), ("Protocol Violation", "FOO"), ("Maximum Control Line Exceeded", "SUB " + "x" * 5000), ("Maximum Message Payload Exceeded", "PUB x 9999999"), ("Parse Error", "-ERR x")):
    def closed_ring(context, reason=reason, send=send):
        c = context.get("a")
        context.play(f"a> {QUIET}", "a> SUB x 1", "a~")
        if send:
            c.send(encode(send) + b"\r\n")
            c.read_to_close()
        else:
            c.shut_down()
        got = context.closed_reason("a")
        context.check(got == reason, f"reason {got!r}")
        context.connections.clear()
    CASES.append((f"C-48 /connz?state=closed: {reason}", "plain", closed_ring))


@function_case("C-50 no_header_support", "no-headers")
def no_headers(context):
    context.check(context.get("a").info["headers"] is False, "INFO headers")
    context.play('a> CONNECT {"verbose":false,"headers":true}', "a> HPUB x 12 12\r\nNATS/1.0\r\n\r\n", "a.",
                 'b> CONNECT {"headers":true,"no_responders":true}', "b< -ERR 'no responders requires headers support'", "b.")


@function_case("C-53 counters in /varz and /connz", "plain")
def counters(context):
    context.play(f"a> {HEADERS}", "a> SUB n.x 1", "a> SUB n.* 2", "a~", f"b> {HEADERS}", "b~")
    before = context.server.http_json("/varz")
    context.get("b").send(b"PUB n.x 5\r\nhello\r\n" * 10 + b"HPUB n.x r 12 15\r\nNATS/1.0\r\n\r\nxyz\r\nPUB none 4\r\nhell\r\n")
    context.barrier("b")
    after = context.server.http_json("/varz")
    for key, value in (("in_msgs", 12), ("in_bytes", 50 + 15 + 4), ("out_msgs", 22), ("out_bytes", 100 + 30)):
        context.check(after[key] - before[key] == value, f"{key} grew by {after[key] - before[key]}, not {value}")
    entry = context.server.http_json(f"/connz?cid={context.get('b').info['client_id']}")["connections"][0]
    context.check((entry["in_msgs"], entry["in_bytes"], entry["out_msgs"]) == (12, 69, 0), f"{entry}")
    entry = context.server.http_json(f"/connz?cid={context.get('a').info['client_id']}")["connections"][0]
    context.check((entry["in_msgs"], entry["out_msgs"], entry["out_bytes"]) == (0, 22, 130), f"{entry}")
    context.connections.pop("a").shut_down()


@function_case("C-54 -DV traces the protocol, secrets blanked", "trace")
def trace(context):
    context.play('a> CONNECT {"verbose":false,"pass":"geheim","user":"u","auth_token":"tok","name":"me","lang":"py","version":"9"}', "a> SUB x 1", "a> UNSUB 1 5", "a>> PUB x r 2\r\nhi\r\n", "a<< MSG x 1 r 2\r\nhi\r\n", "a~", "a> PUB a..b 0\r\n", "a< -ERR 'Invalid Publish Subject'" , "a~")
    for text in (r'<<- \[CONNECT \{"verbose":false,"pass":"\[REDACTED\]","user":"u","auth_token":"\[REDACTED\]","name":"me","lang":"py","version":"9"\}\]', r"<<- \[SUB x 1\]", r"<<- \[UNSUB 1 5\]", r"<<- \[PUB x r 2\]", r'<<- MSG_PAYLOAD: \["hi"\]',
                 r"->> \[MSG x 1 r 2\]", r'->> MSG_PAYLOAD: \["hi"\]', r"<<- \[PING\]", r"->> \[PONG\]", r"->> \[-ERR Invalid Publish Subject\]"):
        read_log_line(context, context.server.log_path, r'\[TRC\] 127\.0\.0\.1:\d+ - cid:\d+ - ("v9:py:me" - "\$G/user:u" - )?' + text)


@function_case("C-54 --max_traced_msg_len", "trace-limit")
def trace_limit(context):
    context.play(f"a> {QUIET}", "a>> PUB x 12\r\nhello \"world\r\n", "a~")
    read_log_line(context, context.server.log_path, r'<<- MSG_PAYLOAD: \["hello\.\.\."\]')


@function_case("C-55 a thousand subscriptions, one publish, all in a few reads", "plain")
def coalesced(context):
    context.get("a").send(encode(QUIET) + b"\r\n" + b"".join(b"SUB x %d\r\n" % i for i in range(1000)))
    context.barrier("a")
    context.play(f"b> {QUIET}", "b>> PUB x 3\r\nabc\r\n", "b~")
    c = context.get("a")
    c.send(b"PING\r\n")
    lines, reads = [], 0
    while not c.buffer.endswith(b"PONG\r\n"):
        c.fill()
        reads += 1
    lines, c.buffer = c.buffer, b""
    context.check(sorted(re.findall(rb"MSG x (\d+) 3\r\nabc\r\n", lines), key=int) == [b"%d" % i for i in range(1000)], "not every sid once")
    context.check(reads < 100, f"{reads} reads")


# -- A-01..A-09

GOOD = 'CONNECT {"verbose":true,"user":"derek","pass":"s3cret"}'
case("A-01 the right password", "user", f"a> {GOOD}", "a< +OK")
for text in ('{"user":"derek","pass":"wrong"}', '{"user":"derek"}', '{"user":"Derek","pass":"s3cret"}', '{"pass":"s3cret"}', "{}", '{"auth_token":"s3cret"}', '{"user":"","pass":""}'):
    case(f"A-01 {text} is refused", "user", f"a> CONNECT {text}", "a< -ERR 'Authorization Violation'", "a.= Authentication Failure")
case("A-01 nothing after a refused CONNECT is carried out", "user", f"b> {GOOD}", "b< +OK", "b> SUB x 1", "b< +OK", 'a> CONNECT {"user":"x"}\r\nPUB x 0\r\n', "a< -ERR 'Authorization Violation'", "a.", "b~")
case("A-01 a second, bad CONNECT closes", "user", f"a> {GOOD}", "a< +OK", 'a> CONNECT {"pass":"no"}', "a< -ERR 'Authorization Violation'", "a.")
case("A-01 a second CONNECT may leave the credentials out", "user", f"a> {GOOD}", "a< +OK", 'a> CONNECT {"echo":false}', "a< +OK")


@function_case("A-01 INFO says auth_required", "user")
def auth_required(context):
    info = context.get("a").info
    context.check(info.get("auth_required") is True and "nonce" not in info, f"{info}")
    context.connections["a"].shut_down()
    context.connections.clear()


case("A-02 a bcrypt password", "bcrypt", 'a> CONNECT {"user":"derek","pass":"secretpassword123456789"}', "a< +OK")
case("A-02 a wrong password, and the hash itself", "bcrypt", 'a> CONNECT {"user":"derek","pass":"x"}', "a< -ERR 'Authorization Violation'", "a.",
     f'b> CONNECT {{"user":"derek","pass":"{BCRYPT}"}}', "b< -ERR 'Authorization Violation'", "b.")
case("A-02 a bcrypt password among users", "users", 'a> CONNECT {"user":"crypt","pass":"secretpassword123456789"}', "a< +OK")
case("A-03 the token", "token", 'a> CONNECT {"auth_token":"tok en"}', "a< +OK")
case("A-03 a wrong token, the token as user or as password", "token", *[s for n, t in zip("abc", ('{"auth_token":"x"}', '{"user":"tok en"}', '{"pass":"tok en"}'))
                                                                for s in (f"{n}> CONNECT {t}", f"{n}< -ERR 'Authorization Violation'", f"{n}.")])
case("A-03 a bcrypt token", "bcrypt-token", 'a> CONNECT {"auth_token":"secretpassword123456789"}', "a< +OK", 'b> CONNECT {"auth_token":"x"}', "b< -ERR 'Authorization Violation'", "b.")


@function_case("A-03 token and users together do not start", "plain")
def token_and_users(context):
    config = os.path.join(context.server.dir, "bad.conf")
    with open(config, "w", encoding="utf-8") as f:
        f.write("authorization { token: x, users: [{user: a, password: b}] }\n")
    process, log = start_raw(context, "-a", "127.0.0.1", "-p", "-1", "-c", config)
    try:
        context.check(process.wait(10) == 1, f"exit code {process.returncode}")
        read_log_line(context, log, "Can not have a token and a users array")
    finally:
        process.kill()
        process.wait()


def login(user, password, extra=""):
    return f'CONNECT {{"verbose":false,"pedantic":false,"headers":true,"user":"{user}","pass":"{password}"{extra}}}'


ALICE, BOB = login("alice", "wonder"), login("bob", "builder")
case("A-04 two users have different permissions", "users", f"a> {ALICE}", "a>> PUB secret 0\r\n\r\n", "a< -ERR 'Permissions Violation for Publish to \"secret\"'", f"b> {BOB}", "b>> PUB secret 0\r\n\r\n", "b~", "b> SUB secret 1")
case("A-04 default_permissions hold for a user without any", "default-permissions", f"a> {login('plain', 'p')}", "a> SUB x 1", "a< -ERR 'Permissions Violation for Subscription to \"x\"'", "a> SUB PUBLIC.x 2", "a>> PUB SANDBOX.x 0\r\n\r\n", "a~",
     "a>> PUB y 0\r\n\r\n", "a< -ERR 'Permissions Violation for Publish to \"y\"'")
case("A-04 a user with permissions has none of the defaults", "default-permissions", f"a> {login('own', 'p')}", "a> SUB anything 1", "a>> PUB SANDBOX.x 0\r\n\r\n", "a< -ERR 'Permissions Violation for Publish to \"SANDBOX.x\"'", "a>> PUB x 0\r\n\r\n")


def nkey_connect(info, signature=None, key=None):
    raw = nkeys.sign(SEED, info["nonce"].encode()) if signature is None else signature
    text = base64.urlsafe_b64encode(raw).decode().rstrip("=")
    return f'CONNECT {{"verbose":true,"nkey":"{key or nkeys.user_key(SEED)}","sig":"{text}"}}'


@function_case("A-05 nkey: the nonce signed with the seed", "users")
def nkey_auth(context):
    info = context.get("a").info
    context.check(re.fullmatch(r"[A-Za-z0-9_-]{14,}", info.get("nonce", "")), f"nonce {info.get('nonce')!r}")
    context.play(f"a> {nkey_connect(info)}", "a< +OK")
    context.check(context.get("b").info["nonce"] != info["nonce"], "a fresh nonce for each connection")
    context.play(f"b> {nkey_connect(info)}", "b< -ERR 'Authorization Violation'", "b.")
    c = context.get("c").info
    standard = base64.b64encode(nkeys.sign(SEED, c["nonce"].encode())).decode()
    context.play(f'c> CONNECT {{"nkey":"{nkeys.user_key(SEED)}","sig":"{standard}"}}', "c< +OK")
    context.play(f"d> {nkey_connect(context.get('d').info, bytes(64))}", "d< -ERR 'Authorization Violation'", "d.")
    context.play(f'e> CONNECT {{"nkey":"{nkeys.user_key(SEED)}"}}', "e< -ERR 'Authorization Violation'", "e.")
    other = nkeys.user_key(bytes(32))
    context.play(f"f> {nkey_connect(context.get('f').info, nkeys.sign(bytes(32), context.get('f').info['nonce'].encode()), other)}", "f< -ERR 'Authorization Violation'", "f.")


@function_case("A-06 a bad nkey in the configuration does not start", "plain")
def bad_nkey(context):
    good = nkeys.user_key(SEED)
    for bad in (good[:-1] + ("A" if good[-1] != "A" else "B"), good[:-2], "SU" + good[2:], nkeys.encode(0, nkeys.public_key(SEED)), "U" * 56):
        config = os.path.join(context.server.dir, "bad-nkey.conf")
        with open(config, "w", encoding="utf-8") as f:
            f.write(f"authorization {{ users: [{{nkey: {bad}}}] }}\n")
        process, _ = start_raw(context, "-a", "127.0.0.1", "-p", "-1", "-c", config)
        try:
            context.check(process.wait(10) == 1, f"{bad}: exit code {process.returncode}")
        except subprocess.TimeoutExpired:
            raise Failure(f"{bad}: it started") from None
        finally:
            process.kill()
            process.wait()


@function_case("A-07 the same user twice does not start; a plain password is warned of", "plain")
def duplicate_user(context):
    config = os.path.join(context.server.dir, "twice.conf")
    with open(config, "w", encoding="utf-8") as f:
        f.write("authorization { users: [{user: a, password: b}, {user: a, password: c}] }\n")
    process, log = start_raw(context, "-a", "127.0.0.1", "-p", "-1", "-c", config)
    try:
        context.check(process.wait(10) == 1, f"exit code {process.returncode}")
        read_log_line(context, log, 'Duplicate user "a" detected')
    except subprocess.TimeoutExpired:
        raise Failure("it started") from None
    finally:
        process.kill()
        process.wait()
    with open(config, "w", encoding="utf-8") as f:
        f.write("authorization { users: [{user: a, password: b}] }\n")
    process, log = start_raw(context, "-a", "127.0.0.1", "-p", "-1", "-c", config)
    try:
        read_log_line(context, log, r"\[WRN\] Plaintext passwords detected, use nkeys or bcrypt")
    finally:
        process.kill()
        process.wait()


@function_case("A-08 no_auth_user: a bare client lands in its account with its permissions", "no-auth-user")
def no_auth_user(context):
    context.check("auth_required" not in context.get("g").info, f"{context.get('g').info}")
    context.play('m> CONNECT {"verbose":false,"user":"member","pass":"m"}', "m> SUB > 1", "m~", "g> CONNECT {}", "g< +OK", "g>> PUB pub.x 0\r\n\r\n", "g< +OK", "m<< MSG pub.x 1 0\r\n\r\n",
                 "g>> PUB x 0\r\n\r\n", "g< -ERR 'Permissions Violation for Publish to \"x\"'", "g~", "m~")


case("A-08 no_auth_user without any CONNECT", "no-auth-user", 'm> CONNECT {"verbose":false,"user":"member","pass":"m"}', "m> SUB > 1", "m~", "a>> PUB pub.y 0\r\n\r\n", "a< +OK", "a~", "m<< MSG pub.y 1 0\r\n\r\n")
case("A-08 wrong credentials do not fall back", "no-auth-user", 'a> CONNECT {"user":"guest","pass":"x"}', "a< -ERR 'Authorization Violation'", "a.", 'b> CONNECT {"user":"nobody"}', "b< -ERR 'Authorization Violation'", "b.")
case("A-09 a user for WEBSOCKET only is refused", "users", 'a> CONNECT {"user":"wsonly","pass":"w"}', "a< -ERR 'Authorization Violation'", "a.")
case("A-09 STANDARD among the types is enough", "users", 'a> CONNECT {"user":"std","pass":"w"}', "a< +OK")

# -- A-20..A-24


def no_publish(subject):
    return f"a< -ERR 'Permissions Violation for Publish to \"{subject}\"'"


def no_subscribe(subject, queue=None):
    return f"a< -ERR 'Permissions Violation for Subscription to \"{subject}\"" + (f' using queue "{queue}"' if queue else "") + "'"


for subject, allowed in (("foo", 1), ("foo.bar", 0), ("req.x.y", 1), ("req", 0), ("a.b", 1), ("a.x", 0), ("a.b.c", 0), ("a.*", 1), ("a.>", 1), (">", 0), ("a..b", 0), ("req.", 0)):
    case(f"A-20 alice {'may' if allowed else 'may not'} publish to {subject}", "users", f"a> {ALICE}", f"a>> PUB {subject} 0\r\n\r\n", *([] if allowed else [no_publish(subject)]))
for subject, allowed in (("foo", 1), ("foo.bar", 0), ("_INBOX.x", 1), ("a.b", 1), ("a.x", 0), ("a.*", 1), ("*", 0), (">", 0), ("b.>", 1), ("b.secret.x", 0), ("b.secret.*", 0), ("b.secret", 1), ("a.>", 1), ("a.>.b", 0), ("a", 0), ("q.>", 0), ("b.*.c", 1), ("q.x", 0)):
    case(f"A-20 alice {'may' if allowed else 'may not'} subscribe to {subject}", "users", f"a> {ALICE}", f"a> SUB {subject} 1", *([] if allowed else [no_subscribe(subject)]))
case("A-20 a refused publish in verbose mode gets the error alone", "users", f"a> {ALICE.replace('false', 'true', 1)}", "a< +OK", "a>> PUB no 0\r\n\r\n", no_publish("no"), "a~", "a> SUB no 1", no_subscribe("no"), "a~")
case("A-20 the text quotes like Go", "users", f"a> {ALICE}", 'a>> PUB a"b\\c 0\r\n\r\n', "a< -ERR 'Permissions Violation for Publish to \"a\\\"b\\\\c\"'", "a>> PUB gr\u00fcn 0\r\n\r\n", no_publish("gr\u00fcn"),
     "a>> PUB n\udcff\x01\x7f 0\r\n\r\n", "a< -ERR 'Permissions Violation for Publish to \"n\\xff\\x01\\x7f\"'", "a>> PUB n\x07\x0b'\u200b 0\r\n\r\n", "a< -ERR 'Permissions Violation for Publish to \"n\\a\\v'\\u200b\"'")
case("A-20 the error comes after the payload", "users", f"a> {ALICE}", "a>> PUB no 2\r\n", "a>> h", "a>> i\r\n", no_publish("no"))
case("A-20 a refused publish is not delivered, nor are responders looked for", "users", f"a> {login('alice', 'wonder', ',' + chr(34) + 'no_responders' + chr(34) + ':true')}", "a> SUB _INBOX.1 1", f"b> {BOB}", "b> SUB > 1", "b~", "a>> PUB no _INBOX.1 0\r\n\r\n", no_publish("no"), "b~")
case("A-20 the reply needs no permission", "users", f"a> {ALICE}", "a>> PUB foo elsewhere 0\r\n\r\n")
case("A-20 permission comes before validity and before a duplicate sid", "users", f"a> {ALICE}", "a> SUB z..y 1", no_subscribe("z..y"), "a> SUB foo 1", "a> SUB zzz 1", no_subscribe("zzz"))
case("A-20 an empty allow list is no list: all may be published", "users", f"a> {login('blank', 'x')}", "a>> PUB foo 0\r\n\r\n", "a>> PUB bar 0\r\n\r\n", "a> SUB foo 1", "a> SUB bar 2", no_subscribe("bar"))
case("A-20 an allowed a.* lets a.> be subscribed, and more than a.* is then delivered", "users", f"a> {ALICE}", "a> SUB a.> 1", "a~", f"b> {BOB}", "b>> PUB a.b.c 0\r\n\r\nPUB a.x 0\r\n\r\n", "b~", "a<< MSG a.b.c 1 0\r\n\r\n", "a~")
for subject, queue, allowed in (("q.x", "grp", 1), ("q.x", "other", 0), ("q.x", "v1.2", 1), ("q.x", "v1", 0), ("q.x", "v1.2.3", 0), ("q.>", "grp", 1), ("foo", "any", 1), ("foo", "bad", 0), ("foo", "v2.a.b", 0), ("a.b", "any", 1), ("a.x", "any", 0)):
    case(f"A-21 alice {'may' if allowed else 'may not'} subscribe to {subject} in queue {queue}", "users", f"a> {ALICE}", f"a> SUB {subject} {queue} 1", *([] if allowed else [no_subscribe(subject, queue)]))
case("A-22 a wildcard over a denied subject is filtered message by message", "users", f"a> {login('wild', 'w')}", "a> SUB d.* 1", "a> SUB d.x 2", no_subscribe("d.x"), "a> SUB d.> 3", "a~", f"b> {BOB}",
     "b>> PUB d.x 0\r\n\r\nPUB d.y 0\r\n\r\n", "b~", "a<~ MSG d.y [13] 0", "a< ", "a<~ MSG d.y [13] 0", "a< ", "a~")
case("A-22 a denied queue is filtered too", "users", f"a> {login('wild', 'w')}", "a> SUB q.* no 1", no_subscribe("q.*", "no"), "a> SUB q.x yes 2", "a~", f"b> {BOB}", "b>> PUB q.x 0\r\n\r\n", "b~", "a<< MSG q.x 2 0\r\n\r\n")
case("A-22 a filtered message counts as not delivered", "users", f"a> {login('wild', 'w')}", "a> SUB d.> 1", "a~", f"b> {login('bob', 'builder', ',' + chr(34) + 'no_responders' + chr(34) + ':true')}", "b> SUB r 9", "b>> PUB d.x r 0\r\n\r\n",
     f"b<< HMSG r 9 35 35\r\n{NOBODY}d.x\r\n\r\n\r\n", "a~")
case("A-23 allow_responses: one reply, then refused", "users", f"a> {login('service', 's')}", "a> SUB svc 1", "a~", f"b> {BOB}", "b> SUB in.1 1", "a>> PUB in.1 0\r\n\r\n", no_publish("in.1"), "b>> PUB svc in.1 0\r\n\r\n", "b~",
     "a<< MSG svc 1 in.1 0\r\n\r\n", "a>> PUB in.1 2\r\nok\r\n", "a~", "b<< MSG in.1 1 2\r\nok\r\n", "a>> PUB in.1 2\r\nno\r\n", no_publish("in.1"), "b~")
case("A-23 allow_responses with max 3", "users", f"a> {login('service3', 's')}", "a> SUB svc 1", "a~", f"b> {BOB}", "b>> PUB svc in.2 0\r\n\r\n", "b~", "a<< MSG svc 1 in.2 0\r\n\r\n", *["a>> PUB in.2 0\r\n\r\n"] * 3, "a~",
     "a>> PUB in.2 0\r\n\r\n", no_publish("in.2"), "a>> PUB only.this 0\r\n\r\n", "a>> PUB other 0\r\n\r\n", no_publish("other"))


@function_case("A-23 allow_responses expires", "users")
def response_expires(context):
    context.play(f"a> {login('brief', 's')}", "a> SUB svc 1", "a~", f"b> {BOB}", "b>> PUB svc in.3 0\r\n\r\n", "b~", "a<< MSG svc 1 in.3 0\r\n\r\n")
    received = time.monotonic()
    context.wait(lambda: time.monotonic() - received > 0.005, "five milliseconds to pass")
    context.play("a>> PUB in.3 0\r\n\r\n", no_publish("in.3"))


@function_case("A-24 ten thousand subjects do not upset the permission cache", "users")
def permission_cache(context):
    context.play(f"a> {ALICE}")
    c = context.get("a")
    c.send(b"".join(b"PUB req.%d 0\r\n\r\n" % i for i in range(10000)))
    context.barrier("a")
    c.send(b"".join(b"PUB deny.%d 0\r\n\r\n" % i for i in range(3000)))
    context.expect("a", b"".join(b"-ERR 'Permissions Violation for Publish to \"deny.%d\"'\r\n" % i for i in range(3000)))
    c.send(b"".join(b"PUB req.%d 0\r\n\r\n" % i for i in range(10000)))
    context.barrier("a")


# Where our broker differs on purpose (reasons in proto/README.md). With --known-deviations
# these are run, and reported as known when they fail.
DEVIATIONS = {
    "C-06 junk after PING is ignored up to LF, however long": "a line longer than the control line limit is refused",
    "C-06 junk after PONG and +OK is ignored": "a line longer than the control line limit is refused",
    "C-16 the pedantic complaint comes before the payload has": "a command is judged when all of it is there",
    "C-20 blanks between verb and arguments do not count, blanks at the end do": "a line has a bound, blanks included",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True)
    parser.add_argument("--flags", default="", help="extra flags for the server")
    parser.add_argument("--only", default="", help="run the cases whose name matches this regular expression")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--known-deviations", action="store_true", help="report our documented deviations apart")
    args = parser.parse_args()
    chosen = [c for c in CASES if re.search(args.only, c[0])]
    if args.list:
        print("\n".join(c[0] for c in chosen))
        return 0
    passed = failed = known = 0
    running = {}
    broken = {}
    extra = wire.split_flags(args.flags)
    # One server at a time: the cases are grouped by the server they need.
    for server_name in sorted({c[1] for c in chosen}, key=lambda n: list(SERVERS).index(n)):
        flags, config = SERVERS[server_name]
        for name, _, steps in [c for c in chosen if c[1] == server_name]:
            server = running.get(server_name)
            if server and not server.alive():
                print(f"      the server had exited (case before: {name}):\n{server.log_tail(10)}")
                server.stop()
                server = None
            if server is None and server_name not in broken:
                try:
                    server = running[server_name] = wire.Server(args.server, (*flags, *extra), config, monitor=True)
                except wire.ServerError as e:
                    broken[server_name] = str(e)
            if server_name in broken and args.known_deviations and name in DEVIATIONS:
                known += 1
                print(f"known {name}: {DEVIATIONS[name]}")
                continue
            if server_name in broken:
                failed += 1
                print(f"FAIL  {name}\n      {broken[server_name][:600]}")
                continue
            context = Context(server)
            context.extra_flags = extra
            error = None
            try:
                if callable(steps):
                    steps(context)
                else:
                    context.play(*steps)
                context.finish()
            except Failure as e:
                error = str(e)
            except (wire.Closed, OSError, ValueError, KeyError, AttributeError, IndexError) as e:
                error = f"{type(e).__name__}: {e}"
            finally:
                try:
                    context.close()
                except OSError:
                    pass
            if error is None:
                passed += 1
                if args.verbose:
                    print(f"ok    {name}")
            elif args.known_deviations and name in DEVIATIONS:
                known += 1
                print(f"known {name}: {DEVIATIONS[name]}")
            else:
                failed += 1
                print(f"FAIL  {name}\n      {error[:1500]}")
            sys.stdout.flush()
        if running.get(server_name):
            running.pop(server_name).stop()
    print(f"{passed} passed, {failed} failed" + (f", {known} skipped" if known else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
