#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions of the hot operations under callgrind and compares them with bounds.json.

bench/instructions/check                  all cases, about 10 s; exits 1 if one is above its bound
bench/instructions/check route            the cases whose name holds 'route'
bench/instructions/check --accept route   takes what is measured now as the new figure of these cases
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BOUNDS = os.path.join(HERE, 'bounds.json')
HEADROOM = 1.05  # a bound is the measured count and so much
SLACK = 0.90     # below this part of its figure a case has earned a tighter bound

# The count must not hang on the machine: an empty environment (its size moves the stack), and memcpy in the version that
# every x86-64-v2 has (glibc would choose by the CPU).
ENVIRONMENT = {'GLIBC_TUNABLES': 'glibc.cpu.hwcaps=-AVX,-AVX2,-AVX2_Usable,-AVX512F,-ERMS,-FSRM', 'LC_ALL': 'C'}


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f'instructions: {" ".join(command)} ends with {done.returncode}: {done.stderr.strip()[-600:]}')
    return done.stdout.split('\n')


def totals_of(folder):
    """The counts callgrind has dumped, in order: one for the few operations, one for the many."""
    totals = []
    for number in (1, 2):
        with open(os.path.join(folder, f'out.{number}'), encoding='utf-8') as dump:
            totals.append(int(re.search(r'^totals: (\d+)', dump.read(), re.M).group(1)))
    return totals


def count(binary, case, few, many):
    """Instructions of one operation, set-up and the requests to callgrind left out."""
    with tempfile.TemporaryDirectory(prefix='instructions-') as folder:
        command = ['valgrind', '--tool=callgrind', '--instr-atstart=no',
                   '--callgrind-out-file=' + os.path.join(folder, 'out'), binary, case]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60,
                              env={**ENVIRONMENT, 'PATH': os.environ.get('PATH', '')})
        if done.returncode != 0:
            sys.exit(f'instructions: {case} under valgrind ends with {done.returncode}: {done.stderr[-600:]}')
        first, second = totals_of(folder)
    return round((second - first) / (many - few), 1)


def judge(measured, cases):
    """{name: count} and the recorded cases → [(name, count, figure, bound, word)], the word '' when all is well."""
    rows = []
    for name, value in measured.items():
        recorded = cases.get(name)
        if recorded is None:
            rows.append((name, value, None, None, 'new'))
            continue
        word = 'ABOVE' if value > recorded['bound'] else 'below' if value < recorded['measured'] * SLACK else ''
        rows.append((name, value, recorded['measured'], recorded['bound'], word))
    return rows


def accepted(measured, cases):
    """The recorded cases with `measured` taken over."""
    return {**cases, **{name: {'measured': value, 'bound': round(value * HEADROOM, 1)} for name, value in measured.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('cases', nargs='*', help='parts of the names of the cases to run')
    parser.add_argument('--accept', action='store_true', help='record what is measured in bounds.json')
    parser.add_argument('--binary', default=os.path.join(ROOT, 'build', 'release', 'bench', 'instructions', 'instructions'))
    options = parser.parse_args()
    if shutil.which('valgrind') is None or not os.access(options.binary, os.X_OK):
        sys.exit('instructions: valgrind or the program is not there: tools/setup, then tools/build release')

    toolchain = output_of(options.binary, '--toolchain')[0]
    few, many = (int(word) for word in output_of(options.binary, '--amounts')[0].split())
    names = [name for name in output_of(options.binary, '--list') if name]
    chosen = [name for name in names if not options.cases or any(part in name for part in options.cases)]
    measured = {name: count(options.binary, name, few, many) for name in chosen}
    with open(BOUNDS, encoding='utf-8') as file:
        bounds = json.load(file)

    if options.accept:
        if toolchain != bounds['toolchain'] and chosen != names:
            sys.exit(f'instructions: bounds.json was recorded with {bounds["toolchain"]}, this is {toolchain}: '
                     'accept all cases or none')
        kept = {name: bounds['cases'][name] for name in names if name in bounds['cases']}
        bounds = {'toolchain': toolchain, 'cases': accepted(measured, kept)}
        with open(BOUNDS, 'w', encoding='utf-8') as file:
            json.dump(bounds, file, indent=1)
            file.write('\n')

    same = toolchain == bounds['toolchain']
    rows = judge(measured, bounds['cases'])
    print(f'instructions per operation, {toolchain}')
    for name, value, figure, bound, word in rows:
        against = '' if figure is None else f'{figure:>10.1f} recorded {bound:>10.1f} bound {100 * (value / figure - 1):+6.1f} %'
        print(f'  {name:<18}{value:>10.1f}{against}  {word if same else ""}'.rstrip())
    if not same:
        print(f'bounds.json was recorded with {bounds["toolchain"]}: other counts are to be expected, nothing is judged')
        return 0
    wrong = [name for name, *_, word in rows if word in ('ABOVE', 'new')]
    if wrong:
        print(f'instructions: {", ".join(wrong)} above the bound, or without one. If the change is worth it, record the new '
              f'figure and say in the commit why:\n    bench/instructions/check --accept {" ".join(wrong)}')
        return 1
    if better := [name for name, *_, word in rows if word == 'below']:
        print(f'better by more than 10 %: tighten with bench/instructions/check --accept {" ".join(better)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
