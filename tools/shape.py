#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shape of the product's code in numbers: checks, long functions, large classes, knots of includes.

    tools/shape.py            the table of docs/architecture.md, section 11
    tools/shape.py --names    and which ones they are

Counted from the text as tools/tidy.py leaves it (comments and literals blanked), by the look that all files here have:
a function begins at the first column and ends with a brace there; a class's members stand two columns in.
"""
import argparse
import collections
import os
import re
import sys

TOOLS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TOOLS)
sys.path.insert(0, TOOLS)
import tidy  # noqa: E402

FOLDERS = ('proto', 'store', 'broker')
LONG_FUNCTION = 70
MANY_METHODS = 60
CHECK = re.compile(r'\bMR_D?CHECK(_OP)?\(')
CLASS = re.compile(r'^(?:class|struct) (?:\[\[\w+\]\] )?(\w+)[^;]*\{$')
METHOD = re.compile(r'^  (?:\[\[\w+\]\] )?(?!using|return|friend|static_assert|struct|class|enum|public|private|MR_)[^=()]*?'
                    r'([~\w]+|operator[^\s(]+)\(')
MEMBER = re.compile(r'^  [^()]*\b\w+_(?:\[\w*\])?(?: = .*|\{.*\})?;')


def sources():
    for folder in FOLDERS:
        for path, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in sorted(names):
                if name.endswith(('.h', '.cc')):
                    full = os.path.join(path, name)
                    with open(full, encoding='utf-8') as file:
                        yield os.path.relpath(full, ROOT), file.read()


def folder_of(path):
    parts = path.split('/')
    return '/'.join(parts[:2]) if parts[0] == 'broker' and len(parts) > 2 else parts[0]


def functions_of(lines):
    """(name, number of lines) of each function with a body of its own."""
    begun = None
    for number, line in enumerate(lines):
        if begun is None and line and line[0] not in ' }#/\t' and not line.startswith(('namespace', 'class', 'struct', 'enum')):
            begun = number
        if line.startswith('}') and begun is not None:
            head = ' '.join(lines[begun:number])
            if '(' in head.split('{')[0]:
                yield head.split('(')[0].split()[-1], number - begun + 1
            begun = None
        elif begun is not None and line.endswith(';') and '{' not in ' '.join(lines[begun:number + 1]):
            begun = None


def classes_of(lines):
    """(name, methods, members) of each class at the first column."""
    at = 0
    while at < len(lines):
        match = CLASS.match(lines[at])
        if match:
            methods = members = 0
            while at < len(lines) and not lines[at].startswith('};'):
                methods += METHOD.match(lines[at]) is not None
                members += MEMBER.match(lines[at]) is not None
                at += 1
            yield match.group(1), methods, members
        at += 1


def knots(edges):
    """Sets of units that include each other in a circle, largest first (Tarjan)."""
    index, low, stack, on, found = {}, {}, [], set(), []

    def visit(unit):
        index[unit] = low[unit] = len(index)
        stack.append(unit)
        on.add(unit)
        for other in edges.get(unit, ()):
            if other not in index:
                visit(other)
                low[unit] = min(low[unit], low[other])
            elif other in on:
                low[unit] = min(low[unit], index[other])
        if low[unit] == index[unit]:
            knot = set()
            while unit not in knot:
                knot.add(stack.pop())
            on.difference_update(knot)
            if len(knot) > 1:
                found.append(knot)

    sys.setrecursionlimit(10000)
    for unit in list(edges):
        if unit not in index:
            visit(unit)
    return sorted(found, key=len, reverse=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--names', action='store_true', help='which functions, classes and knots')
    names = parser.parse_args().names
    rows = collections.defaultdict(lambda: collections.Counter())
    functions, classes, edges = [], [], collections.defaultdict(set)
    for path, text in sources():
        code = tidy.without_comments(text)
        lines = code.split('\n')
        row = rows[folder_of(path)]
        row['files'] += 1
        row['lines'] += len(lines) - 1
        row['checks'] += len(CHECK.findall(code))
        found = [(size, name, path) for name, size in functions_of(lines)]
        functions += [item for item in found if item[0] > LONG_FUNCTION]
        row['long'] += sum(size > LONG_FUNCTION for size, _, _ in found)
        if path.endswith('.h'):
            classes += [(methods, members, name, path) for name, methods, members in classes_of(lines)]
        unit = os.path.splitext(path)[0]
        for _, name, quoted in tidy.includes_of(text):
            other = os.path.splitext(name)[0]
            if quoted and other != unit and os.path.exists(os.path.join(ROOT, name)):
                edges[unit].add(other)
    print('| folder | files | lines | checks per 1,000 | functions over %d lines |' % LONG_FUNCTION)
    print('|---|---|---|---|---|')
    for folder, row in sorted(rows.items()):
        per = 1000 * row['checks'] / row['lines']
        print(f"| {folder} | {row['files']} | {row['lines']:,} | {per:.1f} | {row['long']} |")
    many = sorted((c for c in classes if c[0] > MANY_METHODS), reverse=True)
    circles = knots(edges)
    print(f"\nclasses with more than {MANY_METHODS} methods: " +
          ', '.join(f'{name} {methods} (members {members})' for methods, members, name, _ in many))
    print('units that include each other in a circle: ' + ', '.join(str(len(knot)) for knot in circles))
    if names:
        for size, name, path in sorted(functions, reverse=True):
            print(f'{size:5} {name}  {path}')
        for knot in circles:
            print('  '.join(sorted(knot)))


if __name__ == '__main__':
    main()
