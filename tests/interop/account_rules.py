#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks nats-server -t what it says of random sets of accounts, and prints one JSON line for each:
tests/account/peer_accounts.jsonl, which import_graph_test.cc compares with what is compiled here.

tests/interop/account_rules.py NATS_SERVER [CASES [SEED]] > tests/account/peer_accounts.jsonl

The peer reads its maps in random order. So each set is asked several times, more often where the answers differ, and
every answer that came is kept.
"""
import json
import os
import random
import re
import subprocess
import sys
import tempfile

FEW, MANY = 4, 40  # times to ask


def subject(rng):
    if rng.random() < 0.03:
        return rng.choice(['a..b', 'a b', '.a', 'a.', '>.a', '*', '>', 'a.>.b'])
    tokens = [rng.choice(['a', 'b', '*', 'A', 'B']) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.1:
        tokens[-1] = '>'
    return '.'.join(tokens)


def narrower(rng, wide):
    """Mostly a subject that an export of `wide` allows."""
    if rng.random() < 0.1:
        return subject(rng)
    tokens = [rng.choice(['a', 'b', '*', 'A', 'B']) if t == '*' and rng.random() < 0.5 else t for t in wide.split('.')]
    if tokens[-1] == '>' and rng.random() < 0.4:
        tokens[-1:] = [rng.choice(['a', '*', 'a.>'])]
    return '.'.join(tokens)


def name_for(rng, there):
    """What it may be called where it is imported."""
    n = sum(t == '*' for t in there.split('.'))
    if rng.random() < 0.1:
        return rng.choice(['x', 'x.*', 'x.>', 'x.$1', 'x.$1.$1', 'x.{{wildcard(1)}}', 'x.{{partition(3,1)}}', 'x..y'])
    wildcards = ['$%d' % (i + 1) if rng.random() < 0.5 else '{{wildcard(%d)}}' % (i + 1) for i in range(n)]
    if rng.random() < 0.5:
        wildcards = ['*'] * n
    elif rng.random() < 0.3:
        rng.shuffle(wildcards)
    tail = ['>'] if there.endswith('>') else []
    return '.'.join([rng.choice('xya')] + wildcards + tail)


def scope(rng, names, wide):
    accounts = rng.sample(names, rng.randint(1, 2)) if rng.random() < 0.25 else []
    if accounts and rng.random() < 0.1:
        accounts.append('NONE')
    position = 0
    if rng.random() < 0.15:
        stars = [i + 1 for i, t in enumerate(wide.split('.')) if t == '*']
        position = rng.choice(stars) if stars and rng.random() < 0.9 else rng.randint(1, 4)
    return accounts, position


def mapping(rng):
    source = subject(rng)
    while ' ' in source or not re.fullmatch(r'(\*|[abAB])(\.(\*|[abAB]))*(\.>)?', source):
        source = subject(rng)
    targets = []
    for _ in range(rng.randint(0, 3)):
        dest = rng.choice([source, name_for(rng, source), name_for(rng, source), 'm.{{random(3)}}', 'm.{{left(1,1)}}',
                           'm.$2', 'm.{{unknown(1)}}', 'm n', 'm..n'])
        targets.append([dest, rng.choice([100, 50, 50, 30, 1, 0]), rng.choice(['', '', '', 'east', 'west'])])
    return [source, targets]


def make_accounts(rng):
    names = ['A', 'B', 'C', 'D'][:rng.randint(2, 4)]
    accounts = {n: {'name': n, 'stream_exports': [], 'service_exports': [], 'stream_imports': [],
                    'service_imports': [], 'mappings': []} for n in names}
    exports = []
    for _ in range(rng.randint(1, 5)):
        owner, wide, is_service = rng.choice(names), subject(rng), rng.random() < 0.5
        listed, position = scope(rng, names, wide)
        exports.append((owner, wide, is_service))
        if not is_service:
            accounts[owner]['stream_exports'].append([wide, listed, position])
            continue
        latency = None
        if rng.random() < 0.1:
            latency = [rng.choice(['lat', 'lat.x', subject(rng)]), rng.choice([1, 50, 100, 0])]
        accounts[owner]['service_exports'].append(
            [wide, listed, position, rng.choice(['single', 'single', 'single', 'stream', 'chunk']), latency])
    for _ in range(rng.randint(1, 6)):
        owner, wide, is_service = rng.choice(exports)
        importer = rng.choice(names)
        if importer == owner and rng.random() < 0.8:
            importer = rng.choice(names)
        if rng.random() < 0.03:
            owner = 'NONE'
        there = narrower(rng, wide)
        to = name_for(rng, there) if rng.random() < 0.4 else ''
        if is_service:
            accounts[importer]['service_imports'].append([owner, there, to, rng.random() < 0.3])
        else:
            prefix = '' if to else rng.choice(['', '', 'p', 'p.q', 'p.', 'p.*'])
            accounts[importer]['stream_imports'].append([owner, there, prefix, to])
    if rng.random() < 0.15:
        for _ in range(rng.randint(1, 2)):
            owner = accounts[rng.choice(names)]
            new = mapping(rng)
            if all(new[0] != old[0] for old in owner['mappings']):
                owner['mappings'].append(new)
    return list(accounts.values())


def write_config(accounts):
    quote = json.dumps
    lines = ['accounts {']
    for a in accounts:
        lines.append(' %s {' % a['name'])
        items = []
        for wide, listed, position in a['stream_exports']:
            items.append(['stream: ' + quote(wide), listed, position])
        for wide, listed, position, response, latency in a['service_exports']:
            head = 'service: %s, response: %s' % (quote(wide), response)
            if latency:
                sampling = 'headers' if latency[1] == 0 else str(latency[1])
                head += ', latency: { subject: %s, sampling: %s }' % (quote(latency[0]), sampling)
            items.append([head, listed, position])
        lines.append('  exports: [')
        for head, listed, position in items:
            head += ', accounts: [%s]' % ', '.join(listed) if listed else ''
            head += ', account_token_position: %d' % position if position else ''
            lines.append('   { %s }' % head)
        lines.append('  ]\n  imports: [')
        for owner, there, prefix, to in a['stream_imports']:
            head = 'stream: { account: %s, subject: %s }' % (owner, quote(there))
            head += ', prefix: ' + quote(prefix) if prefix else ''
            lines.append('   { %s }' % (head + (', to: ' + quote(to) if to else '')))
        for owner, there, to, share in a['service_imports']:
            head = 'service: { account: %s, subject: %s }' % (owner, quote(there))
            head += ', to: ' + quote(to) if to else ''
            lines.append('   { %s }' % (head + (', share: true' if share else '')))
        lines.append('  ]\n  mappings: {')
        for source, targets in a['mappings']:
            values = ['{ destination: %s, weight: %d%s }' % (quote(d), w, ', cluster: ' + c if c else '')
                      for d, w, c in targets]
            lines.append('   %s: [ %s ]' % (quote(source), ', '.join(values)))
        lines.append('  }\n }')
    return '\n'.join(lines + ['}', ''])


def ask(server, path):
    done = subprocess.run([server, '-t', '-c', path], capture_output=True, text=True, timeout=60)
    text = (done.stdout + done.stderr).replace('nats-server: ', '', 1)
    errors = sorted(re.sub(r'^%s:\d+:\d+: ' % re.escape(path), '', line) for line in text.split('\n')
                    if line.startswith(path + ':'))
    if (done.returncode != 0) != bool(errors):
        raise SystemExit('not understood: rc %d, %r' % (done.returncode, text))
    return errors


def main():
    server = sys.argv[1]
    cases = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'accounts.conf')
        for case in range(cases):
            accounts = make_accounts(random.Random('%d %d' % (seed, case)))
            with open(path, 'w') as file:
                file.write(write_config(accounts))
            answers = []
            times = FEW
            while times > 0:
                times -= 1
                answer = ask(server, path)
                if answer not in answers:
                    if len(answers) == 1:
                        times = MANY
                    answers.append(answer)
            print(json.dumps({'case': '%d %d' % (seed, case), 'accounts': accounts, 'answers': sorted(answers)},
                             separators=(',', ':')), flush=True)


if __name__ == '__main__':
    main()
