#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Backs streams up with the nats command line and restores them: ours to ours, and with a peer in both directions.

    backup.py build/release/millrace [--nats /tmp/peer/nats] [--peer /tmp/peer/nats-server]

Each way that the command line has is gone: of one stream, by the old and the new name of the command, and of the account. Without
--nats the versions of install.py are used, the pinned one and the newest. A stream's messages, gaps and consumers must be the
same behind the way; exit code 1 when they are not.
"""
import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from install import nats_clis  # noqa: E402

API = "$JS.API."


class Client:
    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.file = self.sock.makefile("rb")
        self.file.readline()
        self.sock.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB in.> 1\r\n')
        self.count = 0

    def message(self):
        while True:
            words = self.file.readline().split()
            if not words:
                raise EOFError("connection closed")
            if words[0] in (b"MSG", b"HMSG"):
                total = int(words[-1])
                header = int(words[-2]) if words[0] == b"HMSG" else 0
                payload = self.file.read(total + 2)[:-2]
                reply = words[3].decode() if len(words) == (6 if words[0] == b"HMSG" else 5) else ""
                return words[1].decode(), reply, payload[:header], payload[header:]
            if words[0] == b"PING":
                self.sock.sendall(b"PONG\r\n")

    def request(self, subject, body=b"", header=b""):
        self.count += 1
        to = f"in.{self.count}"
        if not isinstance(body, bytes):
            body = (json.dumps(body) if not isinstance(body, str) else body).encode()
        if header:
            self.sock.sendall(f"HPUB {subject} {to} {len(header)} {len(header) + len(body)}\r\n".encode() + header + body +
                              b"\r\n")
        else:
            self.sock.sendall(f"PUB {subject} {to} {len(body)}\r\n".encode() + body + b"\r\n")
        while True:
            subject_got, _, _, payload = self.message()
            if subject_got == to:
                return payload.decode()

    def api(self, verb, body=b""):
        return json.loads(self.request(API + verb, body))


class Server:
    def __init__(self, binary, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = open(os.path.join(folder, "log"), "w")
        self.process = subprocess.Popen([binary, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", folder],
                                        stdout=self.log, stderr=self.log)
        for _ in range(600):
            try:
                self.client = Client(self.port)
                return
            except OSError:
                time.sleep(0.05)  # a port that is not there yet cannot be waited for
        raise RuntimeError(f"{binary} does not listen")

    def stop(self):
        self.process.terminate()
        self.process.wait()


def fill(client, count, size):
    client.api("STREAM.CREATE.BK", {"name": "BK", "subjects": ["bk.>"], "storage": "file"})
    for i in range(1, count + 1):
        header = b"NATS/1.0\r\nNum: %d\r\n\r\n" % i if i % 3 == 0 else b""
        client.request(f"bk.{i % 4}", (f"message {i} " * (i * size if i % 2 else 3))[:500_000], header)
    for seq in (1, 7, 8, count):
        client.api("STREAM.MSG.DELETE.BK", {"seq": seq})
    client.api("CONSUMER.CREATE.BK.dur", {"stream_name": "BK", "config": {
        "durable_name": "dur", "name": "dur", "ack_policy": "explicit", "filter_subject": "bk.1"}})
    client.sock.sendall(b"PUB $JS.API.CONSUMER.MSG.NEXT.BK.dur in.next 1\r\n5\r\n")
    acks = [client.message()[1] for _ in range(5)]
    for ack in (acks[0], acks[2]):
        client.request(ack, "+ACK")


def describe(client):
    """What must survive."""
    info = client.api("STREAM.INFO.BK")
    # The time of the last message, when that one is deleted, does not survive on the peer either.
    state = {k: v for k, v in info["state"].items() if k not in ("lost", "last_ts")}
    messages = []
    for seq in range(state["first_seq"], state["last_seq"] + 1):
        got = client.api("STREAM.MSG.GET.BK", {"seq": seq})
        messages.append(got.get("message") or got["error"]["err_code"])
    consumer = client.api("CONSUMER.INFO.BK.dur")
    position = {k: consumer.get(k) for k in ("num_ack_pending", "num_redelivered", "num_pending")}
    for k in ("delivered", "ack_floor"):
        position[k] = {name: consumer[k][name] for name in ("consumer_seq", "stream_seq")}
    return {"state": state, "messages": messages, "consumer": position}


# name: (to take a backup of BK into a folder, to restore it from there)
WAYS = {
    "stream backup": (["stream", "backup", "BK", "DIR", "--no-progress"], ["stream", "restore", "DIR", "--no-progress"]),
    "backup stream": (["backup", "stream", "BK", "DIR", "--no-progress"], ["backup", "restore", "stream", "DIR", "--no-progress"]),
    "account backup": (["account", "backup", "DIR", "--force"], ["account", "restore", "DIR"]),
    "backup account": (["backup", "account", "DIR", "--force"], ["backup", "restore", "account", "DIR"]),
}


class Cli:
    def __init__(self, label, binary, home):
        self.label = label
        self.binary = binary
        self.env = dict(os.environ, HOME=home, XDG_CONFIG_HOME=home, NO_COLOR="1")

    def run(self, *words):
        return subprocess.run([self.binary, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              timeout=120, env=self.env)

    def knows(self, words):
        """Old names are to go one day."""
        return self.run(*words[:2], "--help").returncode == 0

    def must(self, port, words, folder):
        done = self.run("-s", f"nats://127.0.0.1:{port}", *(folder if word == "DIR" else word for word in words))
        if done.returncode != 0:
            raise RuntimeError(f"nats {' '.join(words[:2])}: {done.stdout.decode()[-600:]}")


def compare(label, before, after):
    same = before == after
    print(f"{label}: {'same' if same else 'DIFFERENT'}")
    for key in before:
        if before[key] != after[key]:
            print(f"  {key}: {str(before[key])[:400]}\n  behind: {str(after[key])[:400]}")
    return same


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ours")
    parser.add_argument("--peer")
    parser.add_argument("--nats")
    parser.add_argument("--messages", type=int, default=60)
    parser.add_argument("--size", type=int, default=300)
    args = parser.parse_args()
    found = [("nats CLI", args.nats)] if args.nats else nats_clis(lambda why: print(f"SKIP  {why}"))
    pairs = [("ours", "ours")]
    if args.peer:
        pairs += [("peer", "ours"), ("ours", "peer")]
    failed = False
    for source_kind, target_kind in pairs:
        with tempfile.TemporaryDirectory() as folder:
            clis = [Cli(label, binary, folder) for label, binary in found]
            servers = []
            for i, kind in enumerate((source_kind, target_kind)):
                place = os.path.join(folder, str(i))
                os.mkdir(place)
                servers.append(Server(args.ours if kind == "ours" else args.peer, place))
            source, target = servers
            try:
                fill(source.client, args.messages, args.size)
                before = describe(source.client)
                for cli, (name, (backup, restore)) in ((c, w) for c in clis for w in WAYS.items()):
                    label = f"{source_kind} -> {target_kind}, {cli.label}, {name}"
                    if not cli.knows(backup):
                        print(f"SKIP  {label}: there is no such command")
                        continue
                    place = os.path.join(folder, cli.label.replace(" ", "-") + "-" + name.replace(" ", "-"))
                    try:
                        cli.must(source.port, backup, place)
                        cli.must(target.port, restore, place)
                        failed |= not compare(label, before, describe(target.client))
                    except (RuntimeError, KeyError) as error:
                        print(f"{label}: FAILED {error}")
                        failed = True
                    target.client.api("STREAM.DELETE.BK")
            except (EOFError, OSError, KeyError) as error:
                print(f"{source_kind} -> {target_kind}: FAILED {error!r}")
                failed = True
            finally:
                for server in servers:
                    server.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
