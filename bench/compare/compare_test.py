#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: what is shown follows from the raw runs, the same way for a row that wins and one that loses; a stored result
fits, and docs/performance.md is what its result gives.
Method: a made-up result with known ratios; no server runs."""
import os
import re
import sys
import tempfile
import unittest
from xml.etree import ElementTree

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import compare  # noqa: E402
import figures  # noqa: E402
import page  # noqa: E402
import results  # noqa: E402
import table  # noqa: E402
from aims import AIMS, METRIC_WORDS  # noqa: E402
from figures import Spread  # noqa: E402
from scenarios import LADDER, SCENARIOS, rung  # noqa: E402

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def made_up_run(scenario, server, round_number, value, cpu_ns=100.0):
    """As many keys as the generator reports, and the ones that are read with values that are known."""
    run = {'server': server, 'round': round_number, 'scenario': scenario.load[0], 'size': 128, 'headers': 0, 'subjects': 1,
           'pubs': 1, 'window': 524288, 'msgs': 1234567, 'deliveries': 1234567, 'msgs_per_s': 1234567.891,
           'deliveries_per_s': 1234567.891, 'bytes_per_s': 987654321.123, 'wall_s': 1.512345678, 'cpu_s': 0.712345678,
           'cpu_share': 0.471234567, 'server_cpu_s': 1.412345678, 'server_cpu_share': 0.934567891, 'lost': 0,
           'duplicated': 0, 'disordered': 0, 'foreign': 0, 'bad_frames': 0, 'rss_kib': 16528, 'peak_rss_kib': 17528,
           'rss_before_kib': 15000, 'others_share': 0.0123456789, 'server_ns_per_op': cpu_ns}
    if scenario.load[0] in ('open', 'request'):
        run.update({key: 40.5 * 2 ** step for step, (key, _) in enumerate(figures.PERCENTILES)}, max_us=50_000.25)
    run[scenario.metric] = value
    return run


def made_up_record(scenario, ours, peer, rounds=3):
    """`ours` and `peer` are the metric, the same in all rounds, or one value per round."""
    def at(values, number):
        return values[number] if isinstance(values, list) else values
    runs = [made_up_run(scenario, server, number, at(values, number))
            for number in range(rounds) for server, values in (('ours', ours), ('peer', peer))]
    return {**scenario.described(), 'runs': runs}


def made_up_report(records, ladder=(), rounds=3):
    server = {'binary': '/nowhere', 'flags': '', 'sha256': '0' * 64, 'version': 'nats-server v2.15.2'}
    return {'format': results.FORMAT, 'date': '2026-01-02T03:04:05+00:00', 'commit': 'c0ffee' * 6 + 'cafe', 'dirty': False,
            'command': "bench/compare/compare --only '<1x1>'",
            'machine': {'cpu': 'Abacus & Sons', 'cpus': 2, 'memory_kib': 1 << 24, 'kernel': '6.1', 'python': '3.11',
                        'loadavg_at_start': 0.25},
            'servers': {'ours': server, 'peer': server},
            'options': {'rounds': rounds, 'seconds': 1.5, 'server_core': 0, 'load_core': 1},
            'scenarios': list(records), 'ladder': list(ladder)}


def small_report():
    return made_up_report(
        [made_up_record(BY_NAME['1x1-16'], [8e6, 9e6, 6e6], [1e6, 1e6, 1e6]),   # 8, 9, 6 times
         made_up_record(BY_NAME['1x1-64k'], 5e4, 1e5),                          # loses: 0.5 times
         made_up_record(BY_NAME['open-100k'], 500.0, 250.0),                    # loses: twice the p99
         made_up_record(BY_NAME['idle-10k'], 1.2, 44.0)],
        [{**made_up_record(rung(rate), 100.0, 200.0), 'rate': rate} for rate in (10_000, 20_000)])


class FiguresTest(unittest.TestCase):
    def test_a_ratio_is_taken_within_its_round(self):
        record = made_up_record(BY_NAME['1x1-16'], [2e6, 9e6, 4e6], [1e6, 3e6, 4e6])
        self.assertEqual(figures.ratio(record['runs'], 'deliveries_per_s', 'ours', 'peer'), Spread(2, 1, 3))

    def test_failed_runs_count_nowhere_and_are_named(self):
        record = made_up_record(BY_NAME['1x1-16'], 8e6, 1e6)
        record['runs'][0] = {'server': 'ours', 'round': 0, 'error': 'exit 2'}
        row = figures.row(record, ['ours', 'peer'])
        self.assertEqual(row.ratio, Spread(8, 8, 8))
        self.assertEqual(row.errors, ['ours: exit 2'])

    def test_nothing_measured_gives_nothing(self):
        record = {**BY_NAME['1x1-16'].described(), 'runs': [{'server': 'ours', 'round': 0, 'error': 'no'}]}
        row = figures.row(record, ['ours', 'peer'])
        self.assertEqual((row.values, row.ratio, row.advantage), ({}, None, None))
        self.assertIn('1x1-16', page.page(made_up_report([record])))
        self.assertIn('1x1-16', compare.table_row(row, ['ours', 'peer']))

    def test_less_is_turned_over_to_be_compared_with_more(self):
        row = figures.row(made_up_record(BY_NAME['request-1'], [50.0, 100.0, 25.0], 100.0), ['ours', 'peer'])
        self.assertEqual(row.ratio, Spread(0.5, 0.25, 1))
        self.assertEqual(row.advantage, Spread(2, 1, 4))

    def test_a_loaded_generator_and_neighbours_are_noted(self):
        record = made_up_record(BY_NAME['1x1-16'], 8e6, 1e6)
        for run in record['runs']:
            run['others_share'] = 0.2
            run['cpu_share'] = 0.97 if run['server'] == 'ours' else 0.5
        self.assertEqual(figures.row(record, ['ours', 'peer']).notes, ['generator is the limit for ours', 'noisy'])

    def test_a_server_has_fallen_behind_when_half_its_rounds_have(self):
        def runs(*rates):
            return [{'server': 'ours', 'round': i, 'msgs_per_s': rate} for i, rate in enumerate(rates)]
        self.assertFalse(figures.fell_behind(runs(995, 990, 500), 1000, 'ours'))
        self.assertTrue(figures.fell_behind(runs(995, 970, 500), 1000, 'ours'))
        self.assertTrue(figures.fell_behind([{'server': 'ours', 'msgs_per_s': 1000, 'overrun': 1}], 1000, 'ours'))
        self.assertTrue(figures.fell_behind([{'server': 'ours', 'error': 'exit 1'}], 1000, 'ours'))

    def test_numbers_keep_three_digits_that_mean_something(self):
        for value, text in ((0, '0'), (0.0034, '0.003'), (0.02, '0.02'), (1.234, '1.23'), (12.34, '12.3'),
                            (123.4, '123'), (1234567, '1,234,567')):
            self.assertEqual(figures.number(value), text)


class AimsTest(unittest.TestCase):
    def test_every_aim_is_of_a_scenario_and_a_figure_that_exist(self):
        for aim in AIMS:
            self.assertIn(aim.scenario, BY_NAME)
            self.assertIn(aim.metric, METRIC_WORDS)
            self.assertTrue(aim.what in ('ratio', 'own') or aim.what == 'by' and aim.by in BY_NAME)
        self.assertEqual(len(BY_NAME), len(SCENARIOS))
        for scenario in SCENARIOS:
            self.assertIn(scenario.metric, METRIC_WORDS)

    def test_aims_are_judged_on_the_median(self):
        judged = {(v.aim.scenario, v.aim.metric): v for v in figures.verdicts(small_report())}
        expected = {('1x1-16', 'deliveries_per_s'): (8, True), ('1x1-64k', 'deliveries_per_s'): (.5, False),
                    ('open-100k', 'p99_us'): (2, False), ('idle-10k', 'rss_kib_per_conn'): (1.2, True),
                    ('idle-10k', 'rss_before_kib'): (15000 / 1024, True)}
        for key, (measured, met) in expected.items():
            self.assertAlmostEqual(judged[key].measured.median, measured, msg=key)
            self.assertEqual(judged[key].met, met, key)
        self.assertIsNone(judged['churn', 'pairs_per_s'].met)

    def test_an_aim_may_compare_two_scenarios_of_ours(self):
        report = made_up_report([made_up_record(BY_NAME['subjects-100k'], 3e6, 1e6),
                                 made_up_record(BY_NAME['1x1-128'], 6e6, 1e6)])
        judged = next(v for v in figures.verdicts(report) if v.aim.what == 'by')
        self.assertEqual((judged.measured.median, judged.met), (0.5, False))


class ResultsTest(unittest.TestCase):
    def test_a_result_reads_back_as_it_was_written(self):
        report = small_report()
        report['scenarios'][0]['runs'][1] = {'server': 'peer', 'round': 0, 'error': 'exit 1: "lost" µs'}
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'result.json')
            results.write(report, path)
            back = results.read(path)
        self.assertEqual(back['scenarios'][0]['runs'][1], report['scenarios'][0]['runs'][1])
        self.assertEqual(page.page(back), page.page(report))
        self.assertEqual(list(back), list(report))

    def test_five_rounds_of_everything_fit(self):
        report = made_up_report([made_up_record(scenario, 1234567.89, 7654321.98, 5) for scenario in SCENARIOS],
                                [{**made_up_record(rung(rate), 123.4, 234.5, 5), 'rate': rate} for rate in LADDER], 5)
        self.assertLess(len(results.dumps(report).encode()), results.STORED_BYTES_MAX)

    def test_a_file_of_another_format_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'result.json')
            with open(path, 'w', encoding='ascii') as file:
                file.write('{"scenarios": []}')
            with self.assertRaises(ValueError):
                results.read(path)

    def test_what_is_stored_can_be_read_and_is_small(self):
        for name in sorted(os.listdir(compare.STORE)):
            path = os.path.join(compare.STORE, name)
            if name.endswith('.json'):
                self.assertLessEqual(os.path.getsize(path), results.STORED_BYTES_MAX, name)
                page.page(results.read(path))

    def test_the_document_is_what_its_result_gives(self):
        if not os.path.exists(table.DOCUMENT):
            self.skipTest('no docs/performance.md yet')
        with open(table.DOCUMENT, encoding='utf-8') as file:
            text = file.read()
        source = re.search(r'bench/compare/table (.+?) --write', text).group(1)
        self.assertEqual(text, table.document_of(source.split()),
                         f'docs/performance.md: bench/compare/table {source} --write')


class ShownTest(unittest.TestCase):
    def test_the_page_needs_nothing_from_elsewhere(self):
        text = page.page(small_report())
        for word in ('http:', 'https:', 'src=', 'href=', '@import', 'url(', '<script'):
            self.assertNotIn(word, text)
        self.assertIn('prefers-color-scheme: dark', text)

    def test_names_from_outside_are_escaped(self):
        text = page.page(small_report())
        self.assertIn('Abacus &amp; Sons', text)
        self.assertNotIn('<1x1>', text)

    def test_every_chart_is_well_formed_and_inside_its_frame(self):
        charts = re.findall(r'<svg.*?</svg>', page.page(small_report()), re.S)
        self.assertGreaterEqual(len(charts), 8)  # ratios, 3 × bars, a percentile plot, 3 × ladder
        for chart in charts:
            root = ElementTree.fromstring(chart)
            width, height = (float(value) for value in root.get('viewBox').split()[2:])
            for mark in root.iter():
                for axis, limit in (('x', width), ('cx', width), ('x1', width), ('x2', width),
                                    ('y', height), ('cy', height), ('y1', height), ('y2', height)):
                    if mark.get(axis) is not None:
                        self.assertTrue(0 <= float(mark.get(axis)) <= limit, ElementTree.tostring(mark))

    def test_losing_rows_are_drawn_as_winning_ones(self):
        rows = figures.rows(small_report())
        chart = ElementTree.fromstring(page.ratio_chart(rows, small_report()))
        dots = [mark for mark in chart.iter('circle')]
        self.assertEqual(len(dots), len(rows))
        self.assertEqual(len({(dot.get('r'), dot.get('class')) for dot in dots}), 1)
        one = next(float(mark.get('x1')) for mark in chart.iter('line') if mark.get('class') == 'one')
        right_of_one = [float(dot.get('cx')) > one for dot in dots]
        self.assertEqual(right_of_one, [True, False, False, True])

    def test_the_document_holds_every_scenario_and_every_aim(self):
        text = table.document(small_report(), 'bench/results/x.json')
        for name in ('1x1-16', '1x1-64k', 'open-100k', 'idle-10k'):
            self.assertIn(f'| {name} |', text)
        self.assertEqual(text.count('not measured |'), sum(v.met is None for v in figures.verdicts(small_report())))
        self.assertIn('| 1x1-16 | deliveries/s, ours / peer | ≥ 7 | 8.00 (6.00 … 9.00) | met |', text)
        self.assertIn('| 1x1-64k | deliveries/s, ours / peer | ≥ 1.2 | 0.50 | not met |', text)
        self.assertIn('| 20,000 |', text)

    def test_of_several_results_the_last_word_counts(self):
        old = made_up_report([made_up_record(BY_NAME['churn'], 2e5, 1e5), made_up_record(BY_NAME['1x1-16'], 2e6, 1e6)])
        new = made_up_report([made_up_record(BY_NAME['1x1-16'], 8e6, 1e6)])
        merged = page.merged([old, new])
        self.assertEqual([row.name for row in figures.rows(merged)], ['1x1-16', 'churn'])  # the order of SCENARIOS
        self.assertEqual(figures.rows(merged)[0].ratio.median, 8)
        self.assertIn(old['command'], merged['sources'][0])

    def test_a_smoke_test_says_so(self):
        report = made_up_report([made_up_record(BY_NAME['1x1-16'], 2e6, 1e6, 1)], rounds=1)
        self.assertIn('smoke test', page.page(report))
        self.assertIn('smoke test', table.document(report, 'x.json'))
        self.assertNotIn('smoke test', page.page(small_report()))


if __name__ == '__main__':
    unittest.main()
