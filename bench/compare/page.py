#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""page FILE.json... [-o FILE.html]: one self-contained page with every figure of stored results.

Of several files the later ones add scenarios and replace those of the same name; what was measured when stands at the end.
"""

import argparse
import math
import sys
from html import escape

import charts
import figures
import results
from aims import METRIC_WORDS
from scenarios import SCENARIOS

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #ffffff; --soft: #646a73; --rule: #dfe2e6; --ours: #2463c4;
  --peer: #c46a14; --relay: #8a9099; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --paper: #15171a; --soft: #9aa1ab; --rule: #33383f;
  --ours: #77a9ff; --peer: #f0a050; --relay: #7c838d; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 900px;
  margin: 2rem auto 4rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .3rem; }
p { margin: .3rem 0 .8rem; } .soft, caption { color: var(--soft); } code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; border: 1px solid var(--rule); border-radius: 4px; padding: .6rem .8rem; }
svg { max-width: 100%; height: auto; display: block; } svg text { font: 12px system-ui, sans-serif; fill: var(--ink); }
svg text.small { font-size: 11px; fill: var(--soft); } .grid { stroke: var(--rule); } .one { stroke: var(--ink); }
.span { stroke: var(--ours); stroke-width: 3; opacity: .45; } .aim { stroke: var(--ink); stroke-width: 1.5; }
.fill.ours { fill: var(--ours); } .fill.peer { fill: var(--peer); } .fill.relay { fill: var(--relay); }
.stroke { fill: none; stroke-width: 2; } .stroke.ours { stroke: var(--ours); } .stroke.peer { stroke: var(--peer); }
.stroke.relay { stroke: var(--relay); }
.legend span { margin-right: 1.2em; } .legend i { display: inline-block; width: .8em; height: .8em; margin-right: .35em;
  border-radius: 2px; } .plots { display: flex; flex-wrap: wrap; gap: 8px 20px; } .plots > div { flex: 1 1 400px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; width: 100%; }
th, td { text-align: right; padding: .2rem .6rem; border-bottom: 1px solid var(--rule); white-space: nowrap;
  font-variant-numeric: tabular-nums; } th { font-weight: 600; } td:first-child, th:first-child, td.left, th.left
  { text-align: left; white-space: normal; }
"""

TITLES = {'ours': 'Millrace', 'peer': 'nats-server', 'relay': 'relay (the least a broker can do)'}


def legend(names):
    items = ''.join(f'<span><i style="background:var(--{name})"></i>{TITLES[name]}</span>' for name in names)
    return f'<p class="legend soft">{items}</p>'


def table(heads, rows, left=()):
    def cells(tag, values):
        return ''.join(f'<{tag}{" class=left" if index in left else ""}>{escape(str(value))}</{tag}>'
                       for index, value in enumerate(values))
    body = ''.join(f'<tr>{cells("td", row)}</tr>' for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells("th", heads)}</tr></thead><tbody>{body}</tbody></table></div>'


def section(title, text, *content):
    return f'<h2>{escape(title)}</h2><p class="soft">{escape(text)}</p>' + ''.join(content) if any(content) else ''


def labelled(row):
    """What is compared, where it is not throughput."""
    return f'{row.name} {METRIC_WORDS[row.metric].split()[0]}' if row.lower_is_better else row.name


def ratio_chart(rows, report):
    primary = {}  # scenario → aim on the figure that this chart shows, as times better
    for verdict in figures.verdicts(report):
        aim = verdict.aim
        shown = next((row for row in rows if row.name == aim.scenario and row.metric == aim.metric), None)
        if shown and aim.what == 'ratio':
            primary[aim.scenario] = 1 / aim.bound if shown.lower_is_better else aim.bound
    entries = [(labelled(row), row.advantage, primary.get(row.name), figures.with_spread(row.advantage))
               for row in rows if row.advantage]
    return charts.ratios(entries, 'times better than the peer') if entries else ''


def bar_chart(rows, names, value_of, label, name_of=lambda row: row.name):
    groups = [(name_of(row), [(name, *value_of(row, name)) for name in names if value_of(row, name)]) for row in rows]
    groups = [(name, values) for name, values in groups if values]
    return charts.bars(groups, label) if groups else ''


def value_bar(row, name):
    value = row.values.get(name)
    return value and (max(value.median, 0), f'{figures.number(value.median)} {row.unit}')


def cpu_bar(row, name):
    value = row.cpu.get(name)
    return value and (value.median, figures.cpu_text(value.median))


def percentile_plot(row, names):
    """Percentiles on a scale where each further nine is one step; the greatest stands at the end."""
    def nines(fraction):
        return -math.log10(1 - fraction) if fraction < 1 else 4.5
    ticks = [(nines(.5), '50 %'), (1, '90'), (2, '99'), (3, '99.9'), (4, '99.99'), (4.5, 'max')]
    series = [(name, [(nines(fraction), us) for fraction, us in row.latency[name]])
              for name in names if name in row.latency]
    return '<div>' + charts.lines(series, ticks, f'latency of {row.name}', f'{row.name}: µs by percentile') + '</div>'


def ladder_plots(report, names):
    steps = figures.rungs(report)
    if not steps:
        return ''
    ticks = [(math.log10(step.rate), charts.short(step.rate)) for step in steps]
    def series(pick, scale=1):
        return [(name, [(math.log10(step.rate), pick(step)[name].median * scale) for step in steps
                        if name in pick(step)]) for name in names]
    rows = [[f'{step.rate:,}', *(figures.with_spread(step.p50_us.get(name)) for name in names),
             *(figures.with_spread(step.p99_us.get(name)) for name in names),
             *(figures.with_spread(step.cpu[name].times(100)) if name in step.cpu else '–' for name in names),
             ', '.join(name for name in names if step.behind[name]) or 'nobody'] for step in steps]
    heads = ['messages/s', *(f'{what} {name}' for what in ('p50 µs', 'p99 µs', 'CPU %') for name in names), 'behind']
    plots = [charts.lines(series(lambda step: step.p50_us), ticks, 'p50 by rate', 'p50 in µs by messages/s'),
             charts.lines(series(lambda step: step.p99_us), ticks, 'p99 by rate', 'p99 in µs by messages/s'),
             charts.lines(series(lambda step: step.cpu, 100), ticks, 'CPU by rate',
                          'CPU of the server in % of a core, by messages/s', y_log=False)]
    return '<div class="plots">' + ''.join(f'<div>{plot}</div>' for plot in plots) + '</div>' + table(heads, rows)


def aim_rows(report):
    def what(aim):
        word = METRIC_WORDS[aim.metric]
        return {'ratio': f'{word}, ours / peer', 'own': f'{word}, ours',
                'by': f'{word}, ours / ours in {aim.by}'}[aim.what]
    words = {True: 'met', False: 'not met', None: 'not measured'}
    return [[v.aim.scenario, what(v.aim), v.aim.text(), figures.with_spread(v.measured), words[v.met]]
            for v in figures.verdicts(report)]


def figure_heads(names):
    upper, lower = figures.sides(names)
    return ['scenario', 'what', 'unit', *names, f'{upper} / {lower}', *(f'CPU/op {name}' for name in names),
            f'CPU {upper} / {lower}', 'notes']


def figure_row(row, names):
    return [row.name, METRIC_WORDS[row.metric], row.unit, *(figures.with_spread(row.values.get(name)) for name in names),
            figures.with_spread(row.ratio),
            *(figures.cpu_text(row.cpu[name].median) if name in row.cpu else '–' for name in names),
            figures.with_spread(row.cpu_ratio), '; '.join(row.notes + row.errors[:1])]


def latency_rows(rows, names):
    return [[row.name, name, *(figures.number(us) for _, us in row.latency[name])]
            for row in rows for name in names if name in row.latency]


LATENCY_HEADS = ['scenario', 'server', *(f'p{100 * fraction:g}' for _, fraction in figures.PERCENTILES), 'max']


def facts(report):
    """What was measured where and how, as (word, text)."""
    machine, options = report['machine'], report['options']
    yield 'machine', f'{machine["cpu"]}, {machine["cpus"]} CPUs, {machine["memory_kib"] / 1048576:.1f} GiB'
    yield 'kernel', machine['kernel']
    yield 'load average at start', f'{machine["loadavg_at_start"]:.1f}'
    yield 'date', report['date']
    yield 'commit', report['commit'] + (' with changes' if report['dirty'] else '')
    for name, server in report['servers'].items():
        # Millrace answers --version as the server whose place it takes: its file is told apart by its digest.
        called = server['version'] if name == 'peer' else 'Millrace' if name == 'ours' else 'millrace-relay'
        yield name, f'{called or server["binary"]} {server["flags"]}'.strip() + f', sha256 {server["sha256"][:16]}'
    yield 'rounds', f'{options["rounds"]} of {options["seconds"]:g} s each, servers in turn'
    yield 'cores', (f'server on {options["server_core"]}, load on {options["load_core"]}'
                    + (', real-time priority' if options.get('realtime') else ''))
    for source in report.get('sources', []):
        yield 'also', source


def is_smoke_test(report):
    return report['options']['rounds'] < 3 or report['options']['seconds'] < 1


def page(report):
    names = figures.servers_of(report)
    rows = figures.rows(report)
    rates = [row for row in rows if not row.lower_is_better]
    costs = [row for row in rows if row.lower_is_better]
    latencies = [row for row in rows if row.latency]
    judged = [verdict.met for verdict in figures.verdicts(report) if verdict.met is not None]
    peer = report['servers']['peer']['version']
    parts = [
        f'<h1>Millrace beside {escape(peer or "its peer")}</h1>',
        f'<p class="soft">{escape(report["date"][:10])}, commit {escape(report["commit"][:10])}, '
        f'{escape(report["machine"]["cpu"])}. {sum(judged)} of {len(judged)} measured aims met.</p>',
        '<p><strong>A smoke test: too few and too short rounds to quote anything of it.</strong></p>'
        if is_smoke_test(report) else '',
        legend(names),
        section('Times better', 'Median of the ratios within a round; the bar behind the dot reaches from the least to the '
                'greatest round, the tick is the aim. Right of 1 ours is better, left of 1 the peer: throughput as ours / '
                'peer, latency and memory as peer / ours.', ratio_chart(rows, report)),
        section('Throughput', 'Median of the rounds. Each row has a scale of its own.',
                bar_chart(rates, names, value_bar, 'throughput')),
        section('CPU time of the server per operation', 'Per delivered message; per message in pub, request and open; per '
                'pair in churn, per connection in connect. Less is better.',
                bar_chart(rows, names, cpu_bar, 'CPU per operation')),
        section('Latency, memory, idle CPU', 'Less is better. Each row has a scale of its own.',
                bar_chart(costs, names, value_bar, 'latency and memory', labelled)),
        section('Latency distribution', 'Open loop counts from the time a message was due, so a stall is charged to every '
                'message that waited. Both axes are logarithmic.',
                '<div class="plots">' + ''.join(percentile_plot(row, names) for row in latencies) + '</div>'
                if latencies else ''),
        section('Rate ladder', 'Open loop, 128 bytes, one publisher and one subscriber, until a server falls behind the '
                'rate.', ladder_plots(report, names)),
        section('Aims', 'Median (least … greatest round).',
                table(['scenario', 'what', 'aim', 'measured', ''], aim_rows(report), left=(1,))),
        section('Every figure', 'Median (least … greatest round). A row is noisy when others took more than 15 % of a core.',
                table(figure_heads(names), [figure_row(row, names) for row in rows], left=(1, len(names) * 2 + 5)),
                f'<h2>Latencies in µs</h2>{table(LATENCY_HEADS, latency_rows(rows, names), left=(1,))}'
                if latency_rows(rows, names) else ''),
        section('Machine', 'Only ratios of one run count: absolute figures belong to this machine on this day.',
                table(['', ''], facts(report), left=(1,))),
        section('How to repeat it', 'From a checkout of the commit, with nats-server in PATH:',
                f'<pre>tools/setup\ntools/build release\n{escape(report["command"])}</pre>'),
    ]
    return ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            'content="width=device-width, initial-scale=1"><title>Millrace: measurements</title>'
            f'<style>{STYLE}</style></head>\n<body>\n' + '\n'.join(part for part in parts if part) + '\n</body></html>\n')


def merged(reports):
    """The last report with the scenarios of all."""
    last = dict(reports[-1])
    by_name = {record['name']: record for report in reports for record in report['scenarios']}
    place = {scenario.name: index for index, scenario in enumerate(SCENARIOS)}
    last['scenarios'] = sorted(by_name.values(), key=lambda record: place.get(record['name'], len(place)))
    last['ladder'] = next((report['ladder'] for report in reversed(reports) if report['ladder']), [])
    last['options'] = {**last['options'], **{key: min(report['options'][key] for report in reports)
                                             for key in ('rounds', 'seconds')}}
    last['sources'] = [f'{report["date"]}, commit {report["commit"][:10]}: {report["command"]}' for report in reports[:-1]]
    return last


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('files', nargs='+', metavar='FILE.json')
    parser.add_argument('-o', '--output', default='-', help='default: stdout')
    options = parser.parse_args()
    text = page(merged([results.read(path) for path in options.files]))
    if options.output == '-':
        sys.stdout.write(text)
        return
    with open(options.output, 'w', encoding='utf-8') as file:
        file.write(text)


if __name__ == '__main__':
    main()
