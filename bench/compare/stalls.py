#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long others wait while one administrator's request works on a large stream.

bench/compare/stalls.py [--subjects 400000] [--server build/release/millrace] [--peer nats-server] [--turn-max MS]

A server fills the stream and ends; another process on its store gets the requests below, one by one, while one connection
sends PING after PING and one publishes to another stream. Printed for each: how long the request took, and the longest that a
PONG and a PubAck of the others took meanwhile, in milliseconds. With --turn-max the longest turn that /varz tells of must be
shorter, or the exit status is 1 (millrace only; wall time, so on a quiet machine).
"""
import argparse
import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import restart  # noqa: E402
from servers import Server, free_port  # noqa: E402

BATCH = 1000
CONFIG = {'name': 'T', 'subjects': ['a.>'], 'allow_direct': True, 'allow_rollup_hdrs': True}
BODY = b'x' * 100


class Client(restart.Client):
    """With an inbox of its own."""

    def __init__(self, port):
        super().__init__(port)
        self.inbox = b'inbox.%d' % id(self)
        self.send(b'SUB ' + self.inbox + b' 2\r\n')

    def publish(self, subject, body=b'', reply=True):
        return restart.publish(subject, body, b' ' + self.inbox if reply else b'')


def subject(number):
    if number % 100 == 0:
        return b'a.spread.%d' % number
    if number % 100 in (1, 2):
        return b'a.branch.%d' % number
    return b'a.k.%d.%d' % (number % 1000, number)


def fill(client, count):
    def batch(start):
        numbers = range(start, min(start + BATCH, count))
        lines = [client.publish(subject(n), BODY, False) for n in numbers[:-1]]
        return b''.join(lines) + client.publish(subject(numbers[-1]), BODY)

    restart.send_batches(client, (batch(start) for start in range(0, count, BATCH)))


class Prober(multiprocessing.Process):
    """Sends one thing after the other and remembers the longest that an answer took since `take`. A process: a thread
    would wait while the one that asks reads a long answer."""

    def __init__(self, port, line_of, until):
        super().__init__(daemon=True)
        self.port, self.line_of, self.until = port, line_of, until
        self.worst = multiprocessing.Value('d', 0.0)
        self.start()

    def run(self):
        client = Client(self.port)
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line = self.line_of(client)
        while True:
            began = time.monotonic()
            client.send(line)
            while not client.file.readline().startswith(self.until):
                pass
            if self.until == b'MSG':
                client.file.readline()
            self.worst.value = max(self.worst.value, time.monotonic() - began)
            time.sleep(0.0003)

    def take(self):
        with self.worst.get_lock():
            worst, self.worst.value = self.worst.value, 0.0
        return worst * 1e3


def ask(client, api, **request):
    client.send(client.publish(b'$JS.API.' + api.encode(), json.dumps(request).encode() if request else b''))
    return json.loads(client.answer())


def update(client, config, **changed):
    config.update(changed)
    return ask(client, 'STREAM.UPDATE.T', **config)


def cases(count):
    """Two groups, for the stream as `fill` leaves it, and with two messages a subject. Each request: its name, what it asks."""
    config = dict(CONFIG)
    return [
        ('first page of subjects', lambda c: ask(c, 'STREAM.INFO.T', subjects_filter='>')),
        ('last page of subjects', lambda c: ask(c, 'STREAM.INFO.T', subjects_filter='>', offset=max(0, count - 50000))),
        ('consumer with a filter', lambda c: ask(
            c, 'CONSUMER.DURABLE.CREATE.T.F', stream_name='T',
            config={'durable_name': 'F', 'ack_policy': 'explicit', 'filter_subject': 'a.k.7.*'})),
        ('consumer, last per subject', lambda c: ask(
            c, 'CONSUMER.DURABLE.CREATE.T.L', stream_name='T',
            config={'durable_name': 'L', 'ack_policy': 'explicit', 'deliver_policy': 'last_per_subject',
                    'filter_subject': 'a.*.>'})),
        ('purge of spread messages', lambda c: ask(c, 'STREAM.PURGE.T', filter='a.spread.>')),
        ('purge, keep 5 of a branch', lambda c: ask(c, 'STREAM.PURGE.T', filter='a.branch.>', keep=5)),
        ('purge up to the middle', lambda c: ask(c, 'STREAM.PURGE.T', seq=count // 2)),
        ('max_msgs lowered', lambda c: update(c, config, max_msgs=count // 4)),
        ('max_bytes lowered', lambda c: update(c, config, max_bytes=count // 8 * 140)),
        ('purge of all', lambda c: ask(c, 'STREAM.PURGE.T')),
        ('unlimited again', lambda c: update(c, config, max_msgs=-1, max_bytes=-1)),
    ], [
        ('one a subject from now on', lambda c: update(c, config, max_msgs_per_subject=1)),
        ('stream deleted', lambda c: ask(c, 'STREAM.DELETE.T')),
    ]


def longest_turn(monitor):
    with urllib.request.urlopen(f'http://127.0.0.1:{monitor}/varz') as page:
        return json.load(page)['millrace']['longest_turn'] / 1e6


def run_group(name, server, monitor, group, tick):
    """The longest turn of the server's life so far."""
    client = Client(server.port)
    probers = [Prober(server.port, lambda _: b'PING\r\n', b'PONG'),
               Prober(server.port, lambda client: client.publish(b'other', b'x'), b'MSG')]
    time.sleep(tick)
    longest = 0
    for title, request in group:
        for prober in probers:
            prober.take()
        began = time.monotonic()
        answer = request(client)
        took = (time.monotonic() - began) * 1e3
        time.sleep(tick)  # what it leaves behind counts, too
        line = (f'{name:12} {title:28} took {took:8.1f}   PONG {probers[0].take():7.1f}   '
                f'PubAck {probers[1].take():7.1f}')
        if name == 'millrace' and longest_turn(monitor) > longest:
            longest = longest_turn(monitor)
            line += f'   longest turn {longest:7.1f}'
        print(line + '  ' + json.dumps(answer.get('error', '')).strip('"'), flush=True)
    for prober in probers:
        prober.kill()
        prober.join()
    return longest


def measure(name, binary, subjects, tick):
    monitor = free_port()
    longest = 0
    with tempfile.TemporaryDirectory(prefix='stalls-') as folder:
        # A process for each group: the turns of the one that filled the stream are not those of the requests.
        for number, group in enumerate(cases(subjects)):
            for filling in True, False:
                with Server(name, binary, f'-js -sd {folder} -m {monitor}', []) as server:
                    if not filling:
                        longest = max(longest, run_group(name, server, monitor, group, tick))
                        continue
                    client = Client(server.port)
                    for config in (CONFIG, {'name': 'O', 'subjects': ['other']}) if number == 0 else ():
                        assert 'error' not in ask(client, 'STREAM.CREATE.' + config['name'], **config)
                    for _ in range(number + 1):
                        fill(client, subjects)
    return longest


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--subjects', type=int, default=400_000)
    parser.add_argument('--server', default='build/release/millrace')
    parser.add_argument('--peer', default='nats-server', help='"" for none')
    parser.add_argument('--turn-max', type=float, help='milliseconds')
    args = parser.parse_args()
    if args.peer:
        measure('nats-server', args.peer, args.subjects, 0.3)
    longest = measure('millrace', os.path.abspath(args.server), args.subjects, 0.3)
    if args.turn_max and longest > args.turn_max:
        sys.exit(f'a turn took {longest:.1f} ms, more than {args.turn_max}')


if __name__ == '__main__':
    main()
