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
import random
import sys

from talk import Server, Talker, taken_sets

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
    lines = ['accounts {']
    for i, one in enumerate(sets):
        lines.append(' A%d { users: [{user: a%d, password: p}], exports: [{stream: ">"}] }' % (i, i))
        lines.append(' B%d { users: [{user: b%d, password: p}], imports: [' % (i, i))
        for there, prefix, to in one['imports']:
            head = 'stream: {account: A%d, subject: %s}' % (i, json.dumps(there))
            head += ', prefix: ' + json.dumps(prefix) if prefix else ''
            lines.append('  {%s}' % (head + (', to: ' + json.dumps(to) if to else '')))
        lines.append(' ] }')
    return '\n'.join(lines + ['}', ''])


def hear(one, i, port):
    here, there = (Talker(port, user % i, password='p') for user in ('b%d', 'a%d'))
    for sid, text in enumerate(one['subscriptions']):
        here.send('SUB %s %d\r\n' % (text, sid))
    heard = here.settle()
    for subject in WORLD:
        there.publish(subject, subject)
    there.settle()
    # [subscription, subject there, subject here]
    one['heard'] = sorted([int(sid), body, subject] for subject, sid, _, _, body in heard + here.settle())
    print(json.dumps(one, separators=(',', ':')), flush=True)
    here.close()
    there.close()


def main():
    server = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    sets = taken_sets(server, count, lambda: make_set(rng), config_of)
    with Server(server, config=config_of(sets)) as running:
        for i, one in enumerate(sets):
            hear(one, i, running.port)


if __name__ == '__main__':
    main()
