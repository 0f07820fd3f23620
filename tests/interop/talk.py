# SPDX-License-Identifier: Apache-2.0
"""Clients of several accounts, for tools that compare what two servers say, or record what one does."""
import argparse
import json
import os
import subprocess
import tempfile

from wire import Closed, Connection, Server, split_flags

__all__ = ["Server", "Talker", "ask_and_compare", "compare", "split_flags", "taken_sets"]


class Talker:
    """One connection of a user. Messages are (subject, sid, reply, headers, body), all text; other lines are text."""

    def __init__(self, port, user, name="", password="x"):
        self.connection = Connection(port)
        connect = {"user": user, "pass": password, "verbose": False, "headers": True, "no_responders": True, "protocol": 1}
        if name:
            connect["name"] = name
        self.send("CONNECT %s\r\n" % json.dumps(connect))
        self.settle()

    def send(self, text):
        self.connection.send(text.encode())

    def publish(self, subject, body="", reply="", headers=None):
        words = subject + (" " + reply if reply else "")
        if headers is None:
            return self.send("PUB %s %d\r\n%s\r\n" % (words, len(body), body))
        block = "NATS/1.0\r\n" + "".join(line + "\r\n" for line in headers) + "\r\n"
        return self.send("HPUB %s %d %d\r\n%s%s\r\n" % (words, len(block), len(block) + len(body), block, body))

    def subscribe(self, *filters):
        """Each a filter, or a filter and a group; their sids count from 1 for each call."""
        for sid, words in enumerate(filters, 1):
            self.send("SUB %s %d\r\n" % (words, sid))
        self.settle()

    def settle(self):
        """What has come before the PONG."""
        self.send("PING\r\n")
        return self._read(lambda found: found == "PONG", [])

    def next(self):
        """The next message; None when none comes in time."""
        got = []
        try:
            self._read(lambda found: isinstance(found, tuple), got)
        except TimeoutError:
            return None
        return next(entry for entry in got if isinstance(entry, tuple))

    def _read(self, is_last, got):
        while True:
            try:
                line = self.connection.read_line().decode()
            except Closed:
                return got + ["closed"]
            words = line.split(" ")
            if words[0] in ("MSG", "HMSG"):
                sizes = 2 if words[0] == "HMSG" else 1
                text = self.connection.read_exactly(int(words[-1]) + 2)[:-2].decode()
                head = int(words[-2]) if sizes == 2 else 0
                reply = words[3] if len(words) - sizes == 4 else ""
                found = (words[1], words[2], reply, text[:head], text[head:])
            elif words[0] == "PING":
                self.send("PONG\r\n")
                continue
            elif words[0] == "INFO":
                continue
            else:
                found = line
            if found != "PONG":
                got.append(found)
            if is_last(found):
                return got

    def close(self):
        self.connection.close()


def taken_sets(server, count, make_set, config_of):
    """`count` of what make_set() gives: those that the server takes as its configuration."""
    sets = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "one.conf")
        while len(sets) < count:
            one = make_set()
            with open(path, "w", encoding="utf-8") as file:
                file.write(config_of([one]))
            if subprocess.run([server, "-t", "-c", path], capture_output=True).returncode == 0:
                sets.append(one)
    return sets


def compare(answers):
    """`answers`: a name and the list of (what, answer) of each server. Says where they differ; the number of that."""
    (first, ours), *others = answers
    differences = 0
    for name, theirs in others:
        for (what, mine), (_, other) in zip(ours, theirs):
            if mine != other:
                differences += 1
                print("%s\n  %s: %s\n  %s: %s" % (what, first, mine, name, other))
        differences += abs(len(ours) - len(theirs))
    return differences


def ask_and_compare(description, ask):
    """A tool's main: `ask` (path, flags) gives what a server answers, as (what, answer). One server: prints it."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="+")
    parser.add_argument("--flags", default="")
    args = parser.parse_args()
    answers = [(path, ask(path, split_flags(args.flags) if path == args.servers[0] else ())) for path in args.servers]
    if len(answers) == 1:
        for what, answer in answers[0][1]:
            print(what, json.dumps(answer))
        return 0
    differences = compare(answers)
    print("%d answers, %d differences" % (len(answers[0][1]), differences))
    return 1 if differences else 0
