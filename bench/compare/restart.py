#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a JetStream server is like after kill -9: how long until it answers, and the memory it takes.

bench/compare/restart.py messages [--count 10000000] [--server build/release/millrace]
bench/compare/restart.py streams [--count 100000] [--server PATH]

messages: one stream of 1,000 subjects and 128 B. streams: idle ones, one subject each, also after a stop.
"""
import argparse
import json
import os
import socket
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from servers import Server, memory_kib, pinned  # noqa: E402

PATIENCE_S = 60
WINDOW = 500
REST_S = 15
REST_MAX_S = 90


class Client:
    """One connection; answers come to `reply` in the order of the requests."""

    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port), PATIENCE_S)
        self.file = self.socket.makefile('rb')
        self.socket.sendall(b'CONNECT {"verbose":false}\r\nSUB reply 1\r\nPING\r\n')
        while not self.file.readline().startswith(b'PONG'):
            pass

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        while True:
            line = self.file.readline()
            if line.startswith(b'MSG '):
                return self.file.read(int(line.split()[-1]) + 2)[:-2]
            if not line:
                raise EOFError('the server closed the connection')

    def ask(self, subject, body=b''):
        self.send(publish(subject, body))
        return self.answer()


def publish(subject, body, reply=b' reply'):
    return b'PUB %s%s %d\r\n%s\r\n' % (subject, reply, len(body), body)


def create(name, **config):
    body = json.dumps({'name': name, **config}).encode()
    return publish(b'$JS.API.STREAM.CREATE.' + name.encode(), body)


def send_batches(client, batches):
    """Each is answered once; ten of them wait for that at a time."""
    waiting = 0
    for batch in batches:
        client.send(batch)
        waiting += 1
        if waiting > 10:
            client.answer()
            waiting -= 1
    for _ in range(waiting):
        client.answer()


def fill_messages(client, count):
    client.send(create('T', subjects=['t.*'], allow_direct=True))
    assert b'"error"' not in client.answer()
    batch, body = 1000, b'x' * 128

    def lines(first):
        return b''.join(publish(b't.%d' % (n % 1000), body, b'') for n in range(first, first + batch - 1))

    send_batches(client, (lines(first) + publish(b't.999', body) for first in range(0, count, batch)))


def fill_streams(client, count):
    sent = answered = 0
    while answered < count:
        lines = []
        while sent < min(count, answered + WINDOW):
            lines.append(create(f'S{sent}', subjects=[f's.{sent}']))
            sent += 1
        client.send(b''.join(lines))
        assert b'"error"' not in client.answer()
        answered += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser.add_argument('what', choices=('messages', 'streams'))
    parser.add_argument('--count', type=int, default=0)
    parser.add_argument('--server', default=os.path.join(root, 'build/release/millrace'))
    options = parser.parse_args()
    count = options.count or {'messages': 10_000_000, 'streams': 100_000}[options.what]
    with tempfile.TemporaryDirectory(prefix='restart-') as folder:
        measure(options, count, folder)


def at_rest(server):
    """Resident KiB once they have not changed for a while: bursts end with a checkpoint, unused streams go to rest."""
    deadline = time.monotonic() + REST_MAX_S
    since, steady = time.monotonic(), memory_kib(server.pid)[0]
    while time.monotonic() < min(deadline, since + REST_S):
        time.sleep(0.5)
        resident, _ = memory_kib(server.pid)
        if abs(resident - steady) > steady / 100:
            since, steady = time.monotonic(), resident
    return steady


def measure(options, count, folder):
    fill = {'messages': fill_messages, 'streams': fill_streams}[options.what]

    def start(store):
        return Server('restart', options.server, f'-js -sd {folder}/{store}', pinned(0, False))

    def each(resident):
        return f'resident {resident / 1024:.1f} MiB, {(resident - empty) * 1024 / count:,.1f} B each'

    def look(server, began, how):
        client = Client(server.port)
        client.ask(b'$JS.API.INFO')
        answered = time.monotonic() - began
        print(f'{how}: first answer after {answered:.2f} s, {each(at_rest(server))}', flush=True)

    if options.what == 'streams':
        with start('made') as server:
            empty, _ = memory_kib(server.pid)
            fill(Client(server.port), count)
            print(f'{count:,} made: {each(memory_kib(server.pid)[0])}, at rest {each(at_rest(server))}', flush=True)
    with start('killed') as server:
        empty, _ = memory_kib(server.pid)
        fill(Client(server.port), count)
        server.process.kill()  # in the middle of things: the log is long
    for how in ('after kill -9', 'after a stop'):
        began = time.monotonic()
        with start('killed') as server:
            look(server, began, how)


if __name__ == '__main__':
    main()
