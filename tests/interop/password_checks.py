#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Comparing passwords with bcrypt hashes holds nobody up who does not wait for one himself.

    password_checks.py --server build/release/millrace [--flags ...] [--wrong 25,100] [--varz-ms 250] [--only REGEX]

Wrong passwords of cost 11 come from one address; meanwhile another address logs in, and /varz answers. Then: a check whose client has
gone, a reload during a check, a stop during checks. Everything waits for what is to happen, and nothing for time to pass. The bound for
/varz is generous, for machines that are shared; the figures are printed. Exit code 1 on a failure.
"""
import argparse
import os
import re
import select
import signal
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire  # noqa: E402

RIGHT_11 = "$2b$11$abcdefghijklmnopqrstuuD06ya1Nw2W31Tn1jG5w4.7wnwI3cNXm"  # of "right"
OTHER_11 = "$2b$11$abcdefghijklmnopqrstuu/MuAeqovAjO5.o12ibA2PqzRzMqv9iu"  # of "other"
RIGHT_14 = "$2b$14$abcdefghijklmnopqrstuuhiNZXkTFMCiaM.9LKAZ5KgRZtwr.E1S"
CONFIG = 'authorization { users: [ {user: u, password: "%s"} ] }\n'
REFUSED = b"-ERR 'Authorization Violation'\r\n"
LATE = b"-ERR 'Authentication Timeout'\r\n"
PATIENCE_S = 120


class Failure(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Failure(what)


class Client(wire.Connection):
    def login(self, password):
        self.send(b'CONNECT {"user":"u","pass":"%s","verbose":false}\r\nPING\r\n' % password.encode())
        return self

    # A server may ask whether somebody is there while a check takes its time.
    def read_line(self):
        line = super().read_line()
        while line == b"PING":
            line = super().read_line()
        return line

    def read_to_close(self):
        return super().read_to_close().replace(b"PING\r\n", b"")


def client(server, source="127.0.0.1"):
    return Client(server.port, timeout=PATIENCE_S, source=source)


def varz_s(server):
    began = time.monotonic()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.monitor_port}/varz", timeout=PATIENCE_S) as answer:
        answer.read()
    return time.monotonic() - began


def readable(clients):
    found, _, _ = select.select([c.socket for c in clients], [], [], 0)
    return [c for c in clients if c.socket in found]


def flood(args, wrong):
    with wire.Server(args.server, flags=args.flags, config=CONFIG % RIGHT_11, monitor=True) as server:
        varz_s(server)  # the first one makes what later ones use
        guessing = [client(server).login(f"wrong{i}") for i in range(wrong)]
        began = time.monotonic()
        good = client(server, "127.0.0.2").login("right")
        login_s = None
        worst = 0.0
        heard = {REFUSED: 0, LATE: 0}
        waiting = list(guessing)
        while waiting or login_s is None:
            expect(time.monotonic() - began < PATIENCE_S, f"{len(waiting)} checks have no answer")
            worst = max(worst, varz_s(server))
            if login_s is None and readable([good]):
                expect(good.read_line() == b"PONG", "the right password is refused")
                login_s = time.monotonic() - began
            for done in readable(waiting):
                said = done.read_to_close()
                expect(said in heard, f"a wrong password is answered {said!r}")
                heard[said] += 1
                waiting.remove(done)
        print(f"  {wrong} wrong passwords: {heard[REFUSED]} refused, {heard[LATE]} for want of time, in "
              f"{time.monotonic() - began:.2f} s; another address logged in after {login_s * 1000:.0f} ms; "
              f"/varz at most {worst * 1000:.1f} ms")
        expect(heard[REFUSED] >= min(wrong, 25), "too few were looked at")
        expect(worst * 1000 < args.varz_ms, f"/varz took {worst * 1000:.0f} ms")
        good.send(b"PING\r\n")
        expect(good.read_line() == b"PONG", "the one who logged in is gone")


def gone(args):
    """The checks of clients that have gone are not made: one behind 40 of them is answered soon."""
    with wire.Server(args.server, flags=args.flags, config=CONFIG % RIGHT_11) as server:
        began = time.monotonic()
        expect(client(server).login("right").read_line() == b"PONG", "the right password is refused")
        alone_s = time.monotonic() - began
        began = time.monotonic()
        for old in [client(server).login("wrong") for _ in range(40)]:
            old.close()
        last = client(server).login("right")
        expect(last.read_line() == b"PONG", "the right password is refused")
        behind_s = time.monotonic() - began
        print(f"  alone: {alone_s:.2f} s, behind 40 who have gone: {behind_s:.2f} s")
        expect(behind_s < 10 * alone_s, "their checks were made")


def reload_(args):
    """A reload while a check is under way: what holds then counts; and who has proved it is asked for no more."""
    with wire.Server(args.server, flags=args.flags, config=CONFIG % RIGHT_14) as server:
        config = os.path.join(server.dir, "server.conf")
        old = client(server).login("right")
        expect(old.read_line() == b"PONG", "the right password is refused")
        during = client(server).login("right")
        with open(config, "w", encoding="utf-8") as f:
            f.write(CONFIG % OTHER_11)
        server.process.send_signal(signal.SIGHUP)
        expect(during.read_to_close() == REFUSED, "judged by a hash that does not hold any more")
        expect(old.read_to_close() == REFUSED, "another password, and the old connection stays")
        new = client(server).login("other")
        expect(new.read_line() == b"PONG", "the new password is refused")


def stop(args):
    with wire.Server(args.server, flags=args.flags, config=CONFIG % RIGHT_14.replace("$14$", "$20$")) as server:
        checking = [client(server).login("right") for _ in range(5)]
        began = time.monotonic()
        code = server.stop()
        print(f"  stopped with checks of a minute each under way: {time.monotonic() - began:.2f} s")
        expect(code == 0, f"exit code {code}: {server.log_tail()}")
        for c in checking:
            expect(c.read_to_close() == b"", "an answer to a check that was not made")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--server", required=True)
    parser.add_argument("--flags", default="", type=wire.split_flags)
    parser.add_argument("--wrong", default="25,100")
    parser.add_argument("--varz-ms", default=250, type=float)
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    cases = [(f"flood of {n}", lambda n=int(n): flood(args, n)) for n in args.wrong.split(",")]
    cases += [("gone", lambda: gone(args)), ("reload", lambda: reload_(args)), ("stop", lambda: stop(args))]
    failed = 0
    for name, run in cases:
        if not re.search(args.only, name):
            continue
        try:
            run()
            print(f"ok    {name}")
        except (Failure, wire.ServerError, wire.Closed, OSError) as e:
            failed += 1
            print(f"FAIL  {name}: {e!r}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
