# SPDX-License-Identifier: Apache-2.0
"""Reading and writing a result: one JSON file with every raw run, small enough to keep in the repository.

The runs of a scenario are written as one list of keys and one row of values per run: each key stands once, not once per
run, which is what keeps five rounds of everything below STORED_BYTES_MAX. In memory a run is a dict again.
"""

import json
import math

FORMAT = 2
STORED_BYTES_MAX = 200_000
DIGITS = 6  # of a float: more than any of them means


def rounded(value):
    if not isinstance(value, float) or value == 0 or not math.isfinite(value):
        return value
    return round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))


def columns(runs):
    keys = list(dict.fromkeys(key for run in runs for key in run))
    return {'keys': keys, 'rows': [[rounded(run.get(key)) for key in keys] for run in runs]}


def dicts(stored):
    return [{key: value for key, value in zip(stored['keys'], row) if value is not None} for row in stored['rows']]


def _compact(value):
    return json.dumps(value, ensure_ascii=False)


def _record(record):
    """A scenario: what it is on the first line, then the keys, then a line per run."""
    runs = columns(record['runs'])
    head = _compact({key: value for key, value in record.items() if key != 'runs'})[:-1]
    rows = ',\n'.join('   ' + _compact(row) for row in runs['rows'])
    return f'{head},\n  "runs": {{"keys": {_compact(runs["keys"])}, "rows": [\n{rows}]}}}}'


def dumps(report):
    """JSON a diff can be read of: a line per fact and per run."""
    facts = []
    for key, value in report.items():
        if key in ('scenarios', 'ladder'):
            value = '[\n ' + ',\n '.join(_record(record) for record in value) + ']' if value else '[]'
        else:
            value = _compact(value)
        facts.append(f'{_compact(key)}: {value}')
    return '{' + ',\n'.join(facts) + '}\n'


def write(report, path):
    """Returns the size in bytes."""
    text = dumps(report).encode()
    with open(path, 'wb') as file:
        file.write(text)
    return len(text)


def read(path):
    with open(path, encoding='utf-8') as file:
        report = json.load(file)
    if report.get('format') != FORMAT:
        raise ValueError(f'{path}: format {report.get("format")}, expected {FORMAT}')
    for part in ('scenarios', 'ladder'):
        report[part] = [{**record, 'runs': dicts(record['runs'])} for record in report.get(part, [])]
    return report
