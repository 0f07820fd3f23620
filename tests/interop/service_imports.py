#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks a running nats-server what requests are called where they arrive, and what mappings make of subjects, and prints
one JSON line for each set: tests/account/peer_services.jsonl, which import_graph_test.cc compares with what is compiled here.

tests/interop/service_imports.py NATS_SERVER [SETS [SEED]] > tests/account/peer_services.jsonl

Each set is two accounts: one that exports everything and hears everything, and one that imports and publishes. Half of
the exporters have one mapping, which requests pass as well.
"""
import json
import random
import sys

from stream_imports import WORLD, filter_of, name_for
from talk import Server, Talker, taken_sets


def mapping_of(rng):
    source = filter_of(rng)
    wildcards = sum(t == '*' for t in source.split('.'))
    tokens = ['m'] + ['$%d' % rng.randint(1, wildcards) for _ in range(rng.randint(0, 2)) if wildcards]
    if rng.random() < 0.4:
        tokens.append('{{partition(5%s)}}' % (',1' if wildcards and rng.random() < 0.5 else ''))
    if wildcards and rng.random() < 0.3:
        tokens.append('{{%s(1,1)}}' % rng.choice(['splitFromLeft', 'left', 'right', 'sliceFromLeft']))
    return [source, '.'.join(tokens + (['>'] if source.endswith('>') else []))]


def make_set(rng):
    imports = []
    for _ in range(rng.randint(1, 3)):
        subject = filter_of(rng)
        to = name_for(rng, subject) if rng.random() < 0.7 else ''
        if rng.random() < 0.1:
            to = filter_of(rng)
        imports.append([subject, to])
    return {'imports': imports, 'mapping': mapping_of(rng) if rng.random() < 0.5 else None}


def config_of(sets):
    lines = ['accounts {']
    for i, one in enumerate(sets):
        maps = one['mapping']
        lines.append(' A%d { users: [{user: a%d, password: p}], exports: [{service: ">"}]%s }' % (
            i, i, ', mappings: { %s: %s }' % (json.dumps(maps[0]), json.dumps(maps[1])) if maps else ''))
        lines.append(' B%d { users: [{user: b%d, password: p}], imports: [' % (i, i))
        for subject, to in one['imports']:
            head = 'service: {account: A%d, subject: %s}' % (i, json.dumps(subject))
            lines.append('  {%s}' % (head + (', to: ' + json.dumps(to) if to else '')))
        lines.append(' ] }')
    return '\n'.join(lines + ['}', ''])


def hear(one, i, port):
    there, here = (Talker(port, user % i, password='p') for user in ('a%d', 'b%d'))
    there.subscribe('>')
    # A message has the headers of who asks; only the names are looked at: [who
    # published, subject, heard there], without what A hears of itself under the same name.
    heard = []
    for publisher, client in (('A', there), ('B', here)):
        for subject in WORLD:
            client.publish(subject, publisher + ' ' + subject)
        got = client.settle()
        heard += got if client is there else []
    lines = [body.split(' ') + [subject] for subject, _, _, _, body in heard + there.settle()]
    one['heard'] = sorted(line for line in lines if line[0] == 'B' or line[1] != line[2])
    print(json.dumps(one, separators=(',', ':')), flush=True)
    there.close()
    here.close()


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
