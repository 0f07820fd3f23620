#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: a case above its bound, and one without a bound, is reported; accepting one leaves the others alone.
Method: made-up counts; the counting itself is shown right by bench/instructions/check."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import check  # noqa: E402

CASES = {'a': {'measured': 100.0, 'bound': 105.0}, 'b': {'measured': 40.0, 'bound': 42.0}}


class CheckTest(unittest.TestCase):
    def words(self, measured):
        return {name: word for name, *_, word in check.judge(measured, CASES)}

    def test_a_count_is_judged_by_its_bound(self):
        self.assertEqual(self.words({'a': 105.0, 'b': 42.1}), {'a': '', 'b': 'ABOVE'})
        self.assertEqual(self.words({'a': 91.0, 'b': 35.0}), {'a': '', 'b': 'below'})
        self.assertEqual(self.words({'c': 1.0}), {'c': 'new'})

    def test_accepting_one_case_leaves_the_others(self):
        cases = check.accepted({'b': 60.0}, CASES)
        self.assertEqual(cases['a'], CASES['a'])
        self.assertEqual(cases['b'], {'measured': 60.0, 'bound': 63.0})

    def test_the_totals_are_read_in_the_order_they_were_dumped(self):
        with tempfile.TemporaryDirectory() as folder:
            for number, total in ((1, 700), (2, 7700)):
                with open(os.path.join(folder, f'out.{number}'), 'w', encoding='ascii') as dump:
                    dump.write(f'# callgrind format\nevents: Ir\nsummary: 0\n\ntotals: {total}\n')
            self.assertEqual(check.totals_of(folder), [700, 7700])


if __name__ == '__main__':
    unittest.main()
