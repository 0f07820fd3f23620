#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random accounts with exports, imports and mappings on two servers: every byte that each client gets has to be the same.

    accounts_differential.py --ours build/release/millrace --peer /tmp/bin/nats-server [--sets 50] [--steps 60] [--shards 2]

Each set is a configuration that both servers take (those of account_rules.py), and clients of its accounts that subscribe, publish,
ask and answer. After each step all clients have had a PONG, then what they got is compared, in any order within the step. Reply subjects
of service imports, sizes that depend on them, and times are masked. A set in which the peer contradicts itself (it walks maps in random
order) is left out: two peers have to agree first.
"""
import argparse
import collections
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import account_rules  # noqa: E402

CONNECT = 'CONNECT {"verbose":false,"headers":true,"no_responders":true,"user":"%s","pass":"p"}\r\nPING\r\n'
REPLY = re.compile(rb'_R_\.[0-9A-Za-z.]+')


class Client:
    def __init__(self, port, user):
        self.sock = socket.create_connection(('127.0.0.1', port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(10)
        self.data = b''
        self.replies = collections.deque(maxlen=4)  # reply subjects that were heard, the latest last
        self.read_until(b'\r\n')
        self.send((CONNECT % user).encode())
        self.read_until(b'PONG\r\n')

    def send(self, data):
        self.sock.sendall(data)

    def read_until(self, end):
        while not self.data.endswith(end):
            more = self.sock.recv(65536)
            if not more:
                raise EOFError(self.data)
            self.data += more
        data, self.data = self.data, b''
        return data

    def heard(self):
        """Frames since the last call, masked, in any order; all that was under way has come."""
        self.send(b'PING\r\n')
        data = self.read_until(b'PONG\r\n')[:-6]
        frames = []
        while data:
            line, _, data = data.partition(b'\r\n')
            if line.startswith((b'MSG ', b'HMSG ')):
                size = int(line.rsplit(b' ', 1)[1])
                body, data = data[:size], data[size + 2:]
                found = REPLY.search(line)
                if found:
                    self.replies.append(found.group())
                words = REPLY.sub(b'_R_', line).split(b' ')
                words = words[:-2] if line.startswith(b'H') else words[:-1]
                body = re.sub(rb'"(rtt|id|start|host|server)":("[^"]*"|\d+),?', b'', body)
                if body.startswith(b'NATS/1.0 503'):
                    words[2] = b'sid'  # any subscription of the requestor's that hears the reply
                frames.append((b' '.join(words), REPLY.sub(b'_R_', body)))
            elif line.startswith(b'INFO '):
                continue
            else:
                frames.append((REPLY.sub(b'_R_', line), b''))
        return sorted(frames)


class Server:
    def __init__(self, binary, config, port, extra):
        self.port = port
        self.process = subprocess.Popen([binary, '-c', config, '-p', str(port), '-a', '127.0.0.1'] + extra,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        end = time.time() + 20
        while True:
            try:
                socket.create_connection(('127.0.0.1', port)).close()
                return
            except OSError:
                if self.process.poll() is not None or time.time() > end:
                    raise RuntimeError(self.process.stderr.read()) from None
                time.sleep(0.005)

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


def literal(rng, pattern):
    tokens = [rng.choice('abAB') if t == '*' or t.startswith(('$', '{{')) else t for t in pattern.split('.')]
    if tokens[-1] == '>':
        tokens[-1:] = [rng.choice('ab') for _ in range(rng.randint(1, 2))]
    return '.'.join(tokens)


def names_of(accounts):
    """Subjects that mean something to somebody."""
    names = {'a', 'b', 'a.b', 'x.a', 'p.a'}
    for account in accounts:
        names.update(e[0] for e in account['stream_exports'] + account['service_exports'])
        for _, there, prefix, to in account['stream_imports']:
            names.add(to or (prefix.rstrip('.') + '.' + there if prefix else there))
        for _, there, to, _ in account['service_imports']:
            names.add(to or there)
        for source, targets in account['mappings']:
            names.add(source)
            names.update(t[0] for t in targets)
    return sorted(n for n in names if ' ' not in n and '..' not in n)


def plan(rng, accounts, steps):
    """Steps: (client, bytes or a function of the reply subject). One set of client numbers for all servers."""
    names = names_of(accounts)
    users = [a['name'] for a in accounts for _ in range(2)]
    out = []
    sid = 0
    for _ in range(steps):
        client = rng.randrange(len(users))
        what = rng.random()
        if what < 0.35:
            sid += 1
            filter_ = rng.choice(names)
            filter_ = re.sub(r'\$\d|\{\{[^}]*\}\}', '*', filter_)
            if rng.random() < 0.2:
                filter_ = rng.choice(['>', '*', '*.*', 'x.>', 'a.*', filter_])
            out.append((client, 'SUB %s %d\r\n' % (filter_, sid)))
        elif what < 0.40:
            out.append((client, 'UNSUB %d%s\r\n' % (rng.randint(1, max(sid, 1)), rng.choice(['', '', ' 1', ' 2']))))
        elif what < 0.65:
            out.append((client, 'PUB %s 2\r\nhi\r\n' % literal(rng, rng.choice(names))))
        elif what < 0.70:
            out.append((client, 'HPUB %s 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n' % literal(rng, rng.choice(names))))
        elif what < 0.85:
            out.append((client, 'PUB %s inbox.%d 2\r\nhi\r\n' % (literal(rng, rng.choice(names)), client)))
        else:  # an answer to what was heard last, sometimes again, sometimes empty, sometimes one that wants a reply
            which, body, reply = rng.choice([-1, -1, -2]), rng.choice(['yes', 'yes', '']), rng.choice(['', '', 'more '])
            out.append((client, (which, 'PUB %%s %s%d\r\n%s\r\n' % (reply, len(body), body))))
    return users, out


def run(server, users, steps):
    clients = [Client(server.port, user) for user in users]
    for number, client in enumerate(clients):
        client.send(b'SUB inbox.%d 900\r\nSUB more 901\r\n' % number)
        client.heard()
    told = []
    for number, what in steps:
        client = clients[number]
        if isinstance(what, tuple):
            which, text = what
            if len(client.replies) < -which:
                told.append([])
                continue
            what = text % client.replies[which].decode()
        client.send(what.encode())
        # Twice: what a client causes at another, which is heard in the first round, nothing else does.
        first = client.heard()
        heard = [c.heard() for c in clients]
        heard[number] = sorted(first + heard[number])
        told.append(heard)
    for client in clients:
        client.sock.close()
    return told


def main():
    args = argparse.ArgumentParser()
    args.add_argument('--ours', required=True)
    args.add_argument('--peer', required=True)
    args.add_argument('--sets', type=int, default=50)
    args.add_argument('--steps', type=int, default=60)
    args.add_argument('--seed', type=int, default=1)
    args.add_argument('--shards', type=int, default=2)
    args.add_argument('--port', type=int, default=15200)
    args = args.parse_args()
    compared = refused = apart = unsure = 0
    folder = tempfile.mkdtemp()
    config = os.path.join(folder, 'accounts.conf')
    seed = args.seed
    while compared < args.sets:
        rng = random.Random(seed)
        accounts = account_rules.make_accounts(rng)
        for account in accounts:
            account['service_exports'] = [e[:4] + [None] for e in account['service_exports']]
            # The choice among targets is random: those with one target alone.
            account['mappings'] = [[s, [[t[0][0], 100, '']]] for s, t in account['mappings'] if t and 'random' not in t[0][0]]
            # Of two imports of one service the peer shares some one of them.
            often = collections.Counter(tuple(i[:2]) for i in account['service_imports'])
            account['service_imports'] = [i[:3] + [i[3] and often[tuple(i[:2])] == 1] for i in account['service_imports']]
        with open(config, 'w', encoding='utf8') as file:
            text = account_rules.write_config(accounts)
            for account in accounts:
                text = text.replace(' %s {\n' % account['name'],
                                    ' %s {\n  users: [ { user: %s, password: p } ]\n' % (account['name'], account['name']), 1)
            file.write(text)
        seed += 1
        verdicts = [subprocess.run([binary, '-t', '-c', config], capture_output=True).returncode
                    for binary in (args.peer, args.ours)]
        if verdicts[0] != 0:
            refused += 1
            continue
        users, steps = plan(rng, accounts, args.steps)
        told = []
        try:
            for binary, port, extra in ((args.peer, args.port, []), (args.peer, args.port + 1, []),
                                        (args.ours, args.port + 2, ['--shards', str(args.shards)])):
                server = Server(binary, config, port, extra)
                try:
                    told.append(run(server, users, steps))
                finally:
                    server.stop()
        except RuntimeError as error:
            if len(told) == 2:
                raise
            told.append(str(error))  # another order of its maps: it does not take this one any more
        if len(told) < 3 or told[0] != told[1]:
            unsure += 1
            continue
        compared += 1
        if told[0] == told[2]:
            continue
        apart += 1
        print('seed %d differs' % (seed - 1))
        for number, (step, peer, ours) in enumerate(zip(steps, told[0], told[2])):
            if peer != ours:
                kept = os.path.join(folder, 'seed%d.conf' % (seed - 1))
                os.rename(config, kept)
                print('  step %d %s %r, configuration %s' % (number, users[step[0]] + str(step[0]), step[1], kept))
                for client, (theirs, mine) in enumerate(zip(peer, ours)):
                    if theirs != mine:
                        print('    client %s%d\n      peer %s\n      ours %s' % (users[client], client, theirs, mine))
                break
    print('%d sets compared, %d differ; %d configurations refused by the peer, %d where it contradicts itself' %
          (compared, apart, refused, unsure))
    return 1 if apart else 0


if __name__ == '__main__':
    sys.exit(main())
