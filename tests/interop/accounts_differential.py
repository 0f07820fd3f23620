#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random accounts with exports, imports and mappings on two servers: every byte that each client gets has to be the same.

    accounts_differential.py --ours build/release/millrace --peer /tmp/bin/nats-server [--sets 50] [--steps 60] [--shards 2]

Each set is a configuration that both servers take (those of account_rules.py, with limits, permissions and JetStream for some accounts),
and clients of its accounts that subscribe, publish, ask and answer, make streams and consumers and ask for them. Up to twice the
configuration is reloaded in the middle, with other accounts, imports and users; clients stay or are sent away, and some come back. After
each step all clients have had a PONG, then what they got is compared, in any order within the step. Reply subjects of service imports,
sizes that depend on them, and times are masked. A set in which the peer contradicts itself (it walks maps in random order) is left out: two
peers have to agree first.
"""
import argparse
import collections
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import account_rules  # noqa: E402
from wire import Closed, Connection, Server, ServerError  # noqa: E402

CONNECT = 'CONNECT {"verbose":false,"headers":true,"no_responders":true,"user":"%s","pass":"p"}\r\nPING\r\n'
REPLY = re.compile(rb'_R_\.[0-9A-Za-z.]+')
MASKS = ((re.compile(rb'"(rtt|id|start|host|server)":("[^"]*"|\d+),?'), b''),
         (re.compile(rb'"(created|ts|time|first_ts|last_ts|_nats.ver)":"[^"]*"'), rb'"\1":0'),
         (REPLY, b'_R_'))


def masked(data):
    for pattern, to in MASKS:
        data = pattern.sub(to, data)
    return data


class Client:
    """One connection of a user. When the server ends it, what it hears last is that."""

    def __init__(self, server, user):
        self.connection = Connection(server.port)
        self.replies = collections.deque(maxlen=4)  # reply subjects that were heard, the latest last
        self.connection.send((CONNECT % user).encode())
        self.welcome = self.heard(False)

    def send(self, data):
        self.connection.send(data)

    def heard(self, ask=True):
        """Frames since the last call, masked, in any order; all that was under way has come."""
        if self.connection.closed:
            return []
        if ask:
            self.send(b'PING\r\n')
        frames = []
        try:
            while True:
                line = self.connection.read_line()
                if line == b'PONG':
                    break
                if line == b'PING':
                    self.send(b'PONG\r\n')
                elif line.startswith((b'MSG ', b'HMSG ')):
                    size = int(line.rsplit(b' ', 1)[1])
                    frames.append(self.message(line, self.connection.read_exactly(size + 2)[:-2]))
                elif not line.startswith(b'INFO '):
                    frames.append((masked(line), b''))
        except Closed:
            frames.append((b'closed', b''))
        return sorted(frame for frame in frames if frame is not None)

    def message(self, line, body):
        found = REPLY.search(line)
        if found:
            self.replies.append(found.group())
        words = masked(line).split(b' ')
        words = words[:-2] if line.startswith(b'H') else words[:-1]
        if words[1].startswith(b'$JS.EVENT.'):
            return None  # advisories have numbers of their own
        if body.startswith(b'NATS/1.0 503'):
            words[2] = b'sid'  # any subscription of the requestor's that hears the reply
        return b' '.join(words), masked(body)


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


STREAMS = ({'name': 'S', 'subjects': ['js.>'], 'storage': 'memory'},
           {'name': 'T', 'subjects': ['js2.>'], 'storage': 'file', 'max_msgs': 2})
LATE_ROUNDS = 5
ANSWER_ROUNDS = 300  # PINGs, after which there is no answer to come


def stream_step(rng):
    """A request to JetStream: subject and body."""
    stream = rng.choice(STREAMS)
    name = stream['name']
    return rng.choice([
        ('$JS.API.STREAM.CREATE.' + name, json.dumps(stream)), ('$JS.API.STREAM.INFO.' + name, ''),
        ('$JS.API.STREAM.NAMES', ''), ('$JS.API.STREAM.MSG.GET.' + name, '{"seq":1}'), ('js.x', 'stored'), ('js2.y', 'stored'),
        ('$JS.API.CONSUMER.CREATE.%s.c' % name,
         json.dumps({'stream_name': name, 'config': {'name': 'c', 'durable_name': 'c', 'ack_policy': 'none'}})),
        ('$JS.API.CONSUMER.INFO.%s.c' % name, ''), ('$JS.API.CONSUMER.NAMES.' + name, '')])


def subject_list(rng, names):
    return [re.sub(r'\$\d|\{\{[^}]*\}\}', '*', rng.choice(names)) for _ in range(rng.randint(1, 2))]


def permissions(rng, names):
    """Text for a user, mostly none."""
    if rng.random() < 0.8:
        return ''
    parts = []
    for side in ('publish', 'subscribe'):
        kind = rng.choice(['', 'allow', 'deny', 'deny'])
        if kind:
            subjects = subject_list(rng, names) + (['inbox.>', '_INBOX.>'] if kind == 'allow' else [])
            parts.append('%s: { %s: %s }' % (side, kind, json.dumps(subjects)))
    return ', permissions: { %s }' % ', '.join(parts) if parts else ''


def limits(rng, later):
    parts = []
    if not later and rng.random() < 0.15:  # of those who are too many after a reload the peer keeps some
        parts.append('max_connections: %d' % rng.randint(1, 3))
    if rng.random() < 0.15:
        parts.append('max_subscriptions: %d' % rng.randint(3, 6))
    if rng.random() < 0.1:
        parts.append('max_payload: %d' % rng.randint(10, 20))
    return '  limits { %s }\n' % ', '.join(parts) if parts else ''


def make_config(rng, streams, known):
    """(accounts, text). `streams`: names of accounts that have JetStream. `known`: it is for a reload, of a server that has
    had these accounts all the time; some users are in another account than the one that they are called after."""
    accounts = account_rules.make_accounts(rng)
    for account in accounts:
        account['service_exports'] = [e[:4] + [None] for e in account['service_exports']]
        # The choice among targets is random: those with one target alone.
        account['mappings'] = [[s, [[t[0][0], 100, '']]] for s, t in account['mappings'] if t and 'random' not in t[0][0]]
        # Of two imports of one service the peer shares some one of them.
        often = collections.Counter(tuple(i[:2]) for i in account['service_imports'])
        account['service_imports'] = [i[:3] + [i[3] and often[tuple(i[:2])] == 1] for i in account['service_imports']]
        if known is not None and account['name'] not in known:
            account['service_imports'] = []  # the peer does not serve those of an account that comes with a reload
    names = [a['name'] for a in accounts]
    users = collections.defaultdict(list)
    for name in names:
        users[rng.choice(names) if known is not None and rng.random() < 0.2 else name].append(name)
    text = account_rules.write_config(accounts)
    meant = names_of(accounts)
    for name in names:
        listed = ', '.join('{ user: %s, password: p%s }' % (user, permissions(rng, meant)) for user in users[name])
        block = '  users: [ %s ]\n' % listed + limits(rng, known is not None)
        block += '  jetstream: enabled\n' if name in streams else ''
        text = text.replace(' %s {\n' % name, ' %s {\n%s' % (name, block), 1)
    return accounts, ("server_name: here\njetstream { store_dir: '{dir}/js', max_mem: 10MB, max_file: 10MB }\n" if streams else '') + text


def plan(rng, accounts, later, steps, streams):
    """Steps: (client, bytes or a function of the reply subject; or None and the configuration that comes then)."""
    names = names_of(accounts)
    # Who asks itself hears both the request and what becomes of it: the request first here, at the peer not always. With UNSUB and a
    # number one of them is the last.
    asks_itself = any(i[0] == a['name'] for version in [accounts] + [v[0] for v in later] for a in version for i in a['service_imports'])
    users = [a['name'] for a in accounts for _ in range(2)]
    out = []
    sid = 0
    for at in range(steps):
        if later and at in (steps // 3, steps * 2 // 3):
            accounts, text = later.pop(0)
            names = sorted(set(names + names_of(accounts)))
            out.append((None, text))
        client = rng.randrange(len(users))
        what = rng.random()
        if streams and rng.random() < 0.15:
            subject, body = stream_step(rng)
            out.append((client, 'PUB %s answers.to.client.%d %d\r\n%s\r\n' % (subject, client, len(body), body)))
        elif what < 0.35:
            sid += 1
            filter_ = rng.choice(names)
            filter_ = re.sub(r'\$\d|\{\{[^}]*\}\}', '*', filter_)
            if rng.random() < 0.2:
                filter_ = rng.choice(['>', '*', '*.*', 'x.>', 'a.*', filter_])
            out.append((client, 'SUB %s %d\r\n' % (filter_, sid)))
        elif what < 0.40:
            out.append((client, 'UNSUB %d%s\r\n' % (rng.randint(1, max(sid, 1)), '' if asks_itself else rng.choice(['', '', ' 1', ' 2']))))
        elif what < 0.65:
            out.append((client, 'PUB %s 2\r\nhi\r\n' % literal(rng, rng.choice(names))))
        elif what < 0.70:
            out.append((client, 'HPUB %s 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n' % literal(rng, rng.choice(names))))
        elif what < 0.83:
            out.append((client, 'PUB %s inbox.%d 2\r\nhi\r\n' % (literal(rng, rng.choice(names)), client)))
        elif what < 0.86:
            out.append((client, 'connect'))
        else:  # an answer to what was heard last, sometimes again, sometimes empty, sometimes one that wants a reply
            which, body, reply = rng.choice([-1, -1, -2]), rng.choice(['yes', 'yes', '']), rng.choice(['', '', 'more '])
            out.append((client, (which, 'PUB %%s %s%d\r\n%s\r\n' % (reply, len(body), body))))
    return users, out


def begin(server, user, number):
    client = Client(server, user)
    client.send(b'SUB inbox.%d 900\r\nSUB more 901\r\nSUB answers.to.client.%d 902\r\n' % (number, number))
    return client


def asks_streams(what):
    return '$JS.' in what or what.startswith('PUB js')


def answered(frames):
    return any(b'SG answers.to.client.' in line for line, _ in frames)


def until_closed(client):
    """What it hears after a reload. The peer closes 20 ms after it has said that there are too many subscriptions."""
    frames = client.heard()
    while not client.connection.closed and any(line == b"-ERR 'maximum subscriptions exceeded'" for line, _ in frames):
        frames += client.heard()
    return sorted(frames)


def run(server, users, steps):
    clients = [begin(server, user, number) for number, user in enumerate(users)]
    told = [[sorted(client.welcome + client.heard()) for client in clients]]
    for number, what in steps:
        if number is None:
            taken = server.reload(what)
            told.append([[(b'reload', str(taken).encode())]] + [until_closed(client) for client in clients])
            continue
        client = clients[number]
        if what == 'connect':
            before = client.heard()
            if client.connection.closed:  # whoever has been sent away tries again
                clients[number] = client = begin(server, users[number], number)
            told.append([sorted(before + client.welcome)] + [c.heard() for c in clients])
            continue
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
        if asks_streams(what):
            late = []
            for _ in range(ANSWER_ROUNDS):
                if client.connection.closed or answered(first + heard[number] + late):
                    break
                late += client.heard()
            late += [frame for _ in range(LATE_ROUNDS) for frame in client.heard()]  # others get the answer after it
            heard = [sorted(early + c.heard()) for early, c in zip(heard, clients)]
            first += late
        heard[number] = sorted(first + heard[number])
        told.append(heard)
    for client in clients:
        client.connection.close()
    return told


def taken(args, text, folder):
    """Whether the peer takes it."""
    path = os.path.join(folder, 'asked.conf')
    with open(path, 'w', encoding='utf8') as file:
        file.write(text.replace('{dir}', folder))
    return subprocess.run([args.peer, '-t', '-c', path], capture_output=True).returncode == 0


def show(users, steps, text, told, seed, folder):
    kept = os.path.join(folder, 'seed%d.conf' % seed)
    with open(kept, 'w', encoding='utf8') as file:
        file.write('\n\n# ---- reload ----\n'.join([text] + [s[1] for s in steps if s[0] is None]))
    print('seed %d differs, configuration %s' % (seed, kept))
    for number, (step, peer, ours) in enumerate(zip([(0, 'connect')] + steps, told[0], told[2])):
        if peer == ours:
            continue
        who = 'reload' if step[0] is None else '%s%d %r' % (users[step[0]], step[0], step[1])
        print('  step %d %s' % (number, who))
        for client, (theirs, mine) in enumerate(zip(peer, ours)):
            if theirs != mine:
                print('    column %d\n      peer %s\n      ours %s' % (client, theirs, mine))
        return


def main():
    args = argparse.ArgumentParser()
    args.add_argument('--ours', required=True)
    args.add_argument('--peer', required=True)
    args.add_argument('--sets', type=int, default=50)
    args.add_argument('--steps', type=int, default=60)
    args.add_argument('--seed', type=int, default=1)
    args.add_argument('--shards', type=int, default=0, help='without it 1 and 2, in turn')
    args.add_argument('--port', type=int, default=15200, help='the first of a thousand')
    args = args.parse_args()
    compared = refused = apart = unsure = reloads = sent_away = 0
    folder = tempfile.mkdtemp()
    ports = itertools.cycle(range(args.port, args.port + 1000))
    seed = args.seed - 1
    while compared < args.sets:
        seed += 1
        rng = random.Random(seed)
        streams = [name for name in 'AB' if rng.random() < 0.4]
        accounts, text = make_config(rng, streams, None)
        if not taken(args, text, folder):
            refused += 1
            continue
        later = []
        known = {account['name'] for account in accounts}
        for _ in range(rng.choice([0, 1, 2, 2])):
            variants = (make_config(rng, streams, known) for _ in range(10))
            later += next(([variant] for variant in variants if taken(args, variant[1], folder)), [])
            known &= {account['name'] for account in (later[-1][0] if later else accounts)}
        users, steps = plan(rng, accounts, later, args.steps, streams)
        shards = ['--shards', str(args.shards or 1 + seed % 2)]
        told = []
        try:
            for binary, flags in ((args.peer, ()), (args.peer, ()), (args.ours, shards)):
                with Server(binary, flags, text, monitor=True, ports=ports) as server:
                    try:
                        told.append(run(server, users, steps))
                    except (OSError, EOFError) as error:
                        raise ServerError('%s: %r\n%s' % (binary, error, server.log_tail())) from error
        except ServerError as error:
            if len(told) == 2:
                print('seed %d: %s' % (seed, error), flush=True)
                raise
            told.append(str(error))  # another order of its maps: it does not take this one any more
        if len(told) < 3 or told[0] != told[1]:
            unsure += 1
            continue
        compared += 1
        reloads += sum((b'reload', b'True') in heard[0] for heard in told[0] if heard)
        sent_away += sum((b'closed', b'') in frames for heard in told[0] for frames in heard)
        if told[0] != told[2]:
            apart += 1
            show(users, steps, text, told, seed, folder)
        if compared % 50 == 0 or compared == args.sets or told[0] != told[2]:
            print('%d sets compared, %d differ; %d reloads, %d clients sent away; %d configurations refused by the peer, %d where it '
                  'contradicts itself; seeds %d to %d' %
                  (compared, apart, reloads, sent_away, refused, unsure, args.seed, seed), flush=True)
    if not apart:
        shutil.rmtree(folder)
    return 1 if apart else 0


if __name__ == '__main__':
    sys.exit(main())
