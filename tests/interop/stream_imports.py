#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a running nats-server what subscriptions hear through random stream imports, and prints one JSON line for each
set of them: tests/account/peer_streams.jsonl, which stream_imports_test.cc compares with what is computed here.

tests/interop/stream_imports.py NATS_SERVER [SETS [SEED]] > tests/account/peer_streams.jsonl

Each set is two accounts: one that exports everything, and one that imports and subscribes. Two kinds of imports are not
among them. Of place holders that stand twice the peer ends when it subscribes to a part of such an import. Of a literal
that is imported as a filter (a as b.*) the peer hears other subjects than that literal, imported or not, when a
subscription and the filter overlap (*.c: it subscribes to b.c there); here nothing but the literal is heard.
"""
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time

PORT = 14871
WORLD = ['.'.join(t) for n in (1, 2, 3) for t in itertools.product('ab', repeat=n)] + ['a.b.a.b', 'b.a.a.a', 'a.a.b.b']


def filter_of(rng, letters='ab'):
    tokens = [rng.choice([letters[0], letters[1], '*']) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.25:
        tokens[-1] = '>'
    return '.'.join(tokens)


def name_for(rng, there):
    n = sum(t == '*' for t in there.split('.'))
    holders = ['$%d', '{{wildcard(%d)}}', '{{ Wildcard( %d ) }}']
    wildcards = [rng.choice(holders) % (i + 1) for i in range(n)]
    if rng.random() < 0.4:
        wildcards = ['*'] * n
    elif rng.random() < 0.4:
        rng.shuffle(wildcards)
    name = [rng.choice('ab')] + wildcards
    if rng.random() < 0.3:
        name.insert(rng.randint(0, len(name)), rng.choice('ab'))
    return '.'.join(name + (['>'] if there.endswith('>') else []))


def make_set(rng):
    imports = []
    for _ in range(rng.randint(1, 3)):
        there = filter_of(rng)
        kind = rng.random()
        prefix = rng.choice(['a', 'b', 'a.b', 'b.']) if kind < 0.25 else ''
        to = name_for(rng, there) if kind >= 0.5 else ''
        if all(there != other[0] for other in imports):
            imports.append([there, prefix, to])
    return {'imports': imports, 'subscriptions': [filter_of(rng) for _ in range(6)]}


def config_of(sets):
    lines = ['listen: 127.0.0.1:%d' % PORT, 'accounts {']
    for i, one in enumerate(sets):
        lines.append(' A%d { users: [{user: a%d, password: p}], exports: [{stream: ">"}] }' % (i, i))
        lines.append(' B%d { users: [{user: b%d, password: p}], imports: [' % (i, i))
        for there, prefix, to in one['imports']:
            head = 'stream: {account: A%d, subject: %s}' % (i, json.dumps(there))
            head += ', prefix: ' + json.dumps(prefix) if prefix else ''
            lines.append('  {%s}' % (head + (', to: ' + json.dumps(to) if to else '')))
        lines.append(' ] }')
    return '\n'.join(lines + ['}', ''])


class Client:
    def __init__(self, user):
        self.socket = socket.create_connection(('127.0.0.1', PORT))
        self.file = self.socket.makefile('rb')
        self.file.readline()
        self.messages = []  # (sid, subject, payload)
        self.send('CONNECT {"verbose":false,"headers":true,"user":"%s","pass":"p"}\r\n' % user)
        self.settle()

    def send(self, text):
        self.socket.sendall(text.encode())

    def settle(self):
        self.send('PING\r\n')
        while True:
            line = self.file.readline().decode().split()
            if not line or line[0] == '-ERR':
                raise SystemExit('closed: %s' % line)
            if line[0] == 'PONG':
                return
            if line[0] == 'HMSG':
                size, headers = int(line[-1]), int(line[-2])
                self.messages.append([int(line[2]), self.file.read(size + 2)[headers:-2].decode(), line[1]])
            if line[0] == 'MSG':
                payload = self.file.read(int(line[-1]) + 2)[:-2].decode()
                self.messages.append([int(line[2]), payload, line[1]])


def wait_until_open():
    for _ in range(100):
        try:
            socket.create_connection(('127.0.0.1', PORT)).close()
            return
        except OSError:
            time.sleep(0.05)


def run(sets, folder, server):
    path = os.path.join(folder, 'streams.conf')
    with open(path, 'w') as file:
        file.write(config_of(sets))
    process = subprocess.Popen([server, '-c', path], stderr=subprocess.DEVNULL)
    try:
        wait_until_open()
        for i, one in enumerate(sets):
            here, there = Client('b%d' % i), Client('a%d' % i)
            for sid, text in enumerate(one['subscriptions']):
                here.send('SUB %s %d\r\n' % (text, sid))
            here.settle()
            for subject in WORLD:
                there.send('PUB %s %d\r\n%s\r\n' % (subject, len(subject), subject))
            there.settle()
            here.settle()
            one['heard'] = sorted(here.messages)  # [subscription, subject there, subject here]
            print(json.dumps(one, separators=(',', ':')), flush=True)
            here.socket.close()
            there.socket.close()
    finally:
        process.terminate()
        process.wait()


def main():
    server = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'one.conf')
        sets = []
        while len(sets) < count:
            one = make_set(rng)
            with open(path, 'w') as file:
                file.write(config_of([one]))
            if subprocess.run([server, '-t', '-c', path], capture_output=True).returncode == 0:
                sets.append(one)
        run(sets, folder, server)


if __name__ == '__main__':
    main()
