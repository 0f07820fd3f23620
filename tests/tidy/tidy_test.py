#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goal: tools/tidy.py finds each kind of offence and leaves alone what only looks like one.
Method: tables of small texts with the lines that must be found; a tree on disk for the command itself."""
import io
import os
import sys
import tempfile
import unittest
from contextlib import redirect_stdout

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'tools'))
import tidy  # noqa: E402

SPDX = '// SPDX-License-Identifier: Apache-2.0\n'
HEADER = '// Owner:  caller (pure).\n#pragma once\n'
SLEEP = 'time.' + 'sleep'


class TidyTest(unittest.TestCase):
    def check(self, path, text, *expected):
        """Each expected item is (line, a part of the message); nothing else may be found."""
        findings = tidy.check_text(path, text)
        self.assertEqual(len(findings), len(expected), f'{path}: {findings}')
        for (line, message), (want_line, part) in zip(findings, expected):
            self.assertEqual(line, want_line, f'{path}: {message}')
            self.assertIn(part, message)

    def test_includes_go_down_the_layers_only(self):
        allowed = [
            ('broker/session/session.cc', 'broker/route/router.h'),
            ('broker/session/session.cc', 'broker/mesh/mesh.h'),     # through route
            ('broker/session/session.cc', 'proto/base/check.h'),
            ('broker/session/session.cc', 'broker/session/info.h'),  # itself
            ('broker/net/connection.h', 'broker/io/io.h'),
            ('broker/shard.cc', 'broker/monitor/service.h'),
            ('broker/control/server.h', 'broker/shard.h'),
            ('broker/main.cc', 'broker/config/startup.h'),
            ('broker/monitor/pages.cc', 'broker/version.h'),
            ('broker/config/language/value.cc', 'broker/json/writer.h'),
            ('broker/io/disk.cc', 'store/disk.h'),
            ('store/wal.cc', 'proto/base/check.h'),
            ('broker/jetstream/stream/stream.cc', 'store/stream_log.h'),
            ('broker/jetstream/api_server/api_server.cc', 'broker/jetstream/directory/stream_directory.h'),
            ('broker/jetstream/engine/jetstream.cc', 'broker/jetstream/api_server/api_server.h'),
            ('broker/jetstream/stream/host.cc', 'store/segment/block.h'),  # through store/shard
            ('store/shard/store.cc', 'store/keys/ring.h'),
            ('tests/route/router_test.cc', 'broker/control/server.h'),
            ('proto/parser.cc', 'absl/status/status.h'),
        ]
        for path, name in allowed:
            self.check(path, f'{SPDX}{HEADER}#include "{name}"\n')
        banned = [
            ('proto/parser.cc', 'broker/io/io.h'),
            ('proto/parser.cc', 'store/disk.h'),
            ('proto/base/check.h', 'proto/subject.h'),
            ('store/wal.cc', 'broker/io/io.h'),
            ('broker/io/uring.cc', 'store/wal.h'),
            ('store/wal.h', 'store/log/batch.h'),
            ('store/keys/ring.cc', 'store/shard/catalog.h'),
            ('store/segment/block.cc', 'store/log/batch.h'),
            ('store/log/batch.cc', 'store/segment/block.h'),
            ('broker/io/uring.cc', 'proto/parser.h'),
            ('broker/mesh/mesh.cc', 'broker/route/router.h'),
            ('broker/route/router.cc', 'broker/session/session.h'),
            ('broker/route/router.cc', 'broker/account/nkey.h'),
            ('broker/session/session.cc', 'broker/net/connection.h'),
            ('broker/session/session.cc', 'broker/io/io.h'),
            ('broker/session/session.cc', 'broker/jetstream/base/port.h'),
            ('broker/jetstream/api/parse.cc', 'broker/jetstream/base/port.h'),
            ('broker/jetstream/stream/stream.cc', 'broker/jetstream/engine/jetstream.h'),
            ('broker/jetstream/stream/stream.cc', 'broker/jetstream/upstream/mirror.h'),
            ('broker/jetstream/directory/recovery.cc', 'broker/jetstream/api_server/api_server.h'),
            ('broker/net/connection.cc', 'broker/shard.h'),
            ('broker/net/connection.cc', 'broker/admin.h'),
            ('broker/shard.cc', 'broker/control/server.h'),
            ('broker/json/writer.cc', 'broker/monitor/pages.h'),
            ('broker/config/language/parser.cc', 'broker/monitor/pages.h'),
            ('broker/jetstream/api/parse.cc', 'broker/monitor/pages.h'),
            ('broker/log/log.cc', 'broker/config/options.h'),
            ('broker/monitor/pages.cc', 'broker/mesh/counters.h'),
            ('broker/control/server.cc', 'tests/sim/sim_io.h'),
            ('broker/control/server.cc', 'bench/load/relay.h'),
        ]
        for path, name in banned:
            self.check(path, f'{SPDX}{HEADER}#include "{name}"\n', (4, name))

    def test_an_include_that_is_commented_out_or_quoted_is_none(self):
        for line in ('// #include "broker/control/server.h"', '/* #include "broker/control/server.h" */',
                     'const char* kText = "#include <mutex>";', 'auto text = R"(\n#include <mutex>\n)";'):
            self.check('proto/parser.cc', f'{SPDX}{line}\n')

    def test_our_headers_stand_in_quotes(self):
        self.check('proto/parser.cc', f'{SPDX}#include <proto/parser.h>\n', (2, 'angle brackets'))

    def test_a_new_folder_needs_a_row(self):
        for path in ('broker/mqtt/session.cc', 'store/replica/log.cc'):
            self.check(path, SPDX, (1, 'no row in LAYERS'))

    def test_the_layers_are_a_dag(self):
        self.assertIsNone(tidy.cycle_in(tidy.LAYERS))
        self.assertIsNotNone(tidy.cycle_in({'a': ('b',), 'b': ('c',), 'c': ('a',)}))
        for layer, below in tidy.LAYERS.items():
            for one in below:
                self.assertTrue(one in tidy.LAYERS or '.' in one, f'{layer} builds upon {one}, which has no row')

    def test_some_system_headers_have_one_home(self):
        for path, name, welcome in [
            ('broker/control/shard_thread.h', 'thread', True), ('broker/control/helper_thread.h', 'thread', True), ('broker/control/server.cc', 'thread', False), ('broker/shard.cc', 'thread', False),
            ('tests/mesh/ring_test.cc', 'thread', True), ('bench/load/main.cc', 'thread', True),
            ('broker/mesh/ring.h', 'atomic', True), ('broker/route/router.cc', 'atomic', False),
            ('broker/mesh/ring.h', 'mutex', False), ('tests/mesh/ring_test.cc', 'mutex', False),
            ('broker/control/server.cc', 'condition_variable', False), ('broker/control/server.cc', 'shared_mutex', False),
            ('broker/io/uring.cc', 'liburing.h', True), ('broker/io/uring.h', 'liburing.h', False),
            ('tests/io/uring_test.cc', 'liburing.h', False), ('bench/load/ring.cc', 'liburing.h', True),
        ]:
            expected = [] if welcome else [(4, f'<{name}>')]
            self.check(path, f'{SPDX}{HEADER}#include <{name}>\n', *expected)

    def test_banned_words_count_in_code_only(self):
        for path, line, message in [
            ('broker/a.cc', 'std::shared_ptr<int> p;', 'shared_ptr'),
            ('broker/a.cc', 'auto s = absl::StrCat("a", 1);', 'StrCat'),
            ('proto/a.cc', 'absl::string_view text;', 'string_view'),
            ('store/a.cc', 'throw 1;', 'throws nothing'),
            ('broker/a.cc', 'thread_local int n;', 'thread_local'),
            ('broker/session/a.cc', 'if (id == kGlobalAccount) return;', 'AccountTable'),
            ('tests/io/a.cc', 'std::mutex m;', 'lock'),
            ('tests/io/a.cc', 'std::this_thread::sleep_for(1ms);', 'sleep'),
            ('tests/io/a.cc', 'usleep(100);', 'sleep'),
            ('tests/io/a.cc', 'nanosleep(&a, &b);', 'sleep'),
            ('tests/io/a.cc', '::sleep(1);', 'sleep'),
            ('broker/a.cc', '// throw, shared_ptr, absl::StrCat', None),
            ('broker/a.cc', '/* throw\n shared_ptr */', None),
            ('broker/a.cc', 'Log("throw \\" shared_ptr");', None),
            ('broker/a.cc', 'auto s = R"x(throw )" shared_ptr)x";', None),
            ('broker/a.cc', "char c = '\"'; // throw", None),
            ('broker/a.cc', 'int rethrow_count = 1\'000; // throw', None),
            ('broker/a.cc', 'int a = 1\'000; int b = 2\'000; // throw', None),
            ('bench/a.cc', 'std::shared_ptr<int> p;', None),
            ('tests/sim/a.cc', 'std::shared_ptr<int> p;', None),
            ('broker/account/a.cc', 'if (id == kGlobalAccount) return;', None),
            ('tests/route/a.cc', 'if (id == kGlobalAccount) return;', None),
            ('tests/io/a.cc', 'mesh.TrySleep();', None),
            ('broker/a.cc', 'usleep(1);', None),
        ]:
            text = f'{SPDX}{line}\n'
            path = path.replace('broker/a.', 'broker/shard.')
            self.check(path, text, *([(2, message)] if message else []))
        self.check('proto/a.cc', f"{SPDX}int n = 1'000;\nthrow n;\nint m = 2'000;\n", (3, 'throws nothing'))

    def test_comments_are_blanked_and_lines_stay(self):
        text = 'a /* b\nc */ d // e\n"f\\"g" R"(h\ni)" \'j\'\n'
        blanked = tidy.without_comments(text)
        self.assertEqual([len(line) for line in blanked.split('\n')], [len(line) for line in text.split('\n')])
        self.assertEqual(set(blanked) - set(' \n"\'R'), {'a', 'd'})

    def test_headers_say_who_owns_what(self):
        owner = '// Owner:  shard.\n'
        self.check('broker/io/io.h', f'{SPDX}{owner}#pragma once\n')
        self.check('broker/io/io.h', f'{SPDX}{owner}', (1, 'pragma once'))
        self.check('broker/io/io.h', f'{SPDX}#pragma once\n', (1, 'Owner:'))
        self.check('broker/io/io.h', f'{SPDX}#pragma once\n{owner}', (1, 'Owner:'))       # not the first block
        self.check('broker/io/io.h', f'{SPDX}// Words. Owner: shard.\n#pragma once\n', (1, 'Owner:'))
        self.check('tests/sim/sim_io.h', f'{SPDX}#pragma once\n', (1, 'Owner:'))

    def test_the_shape_of_a_file(self):
        todo = 'TODO' + '(now)'
        for path, text, expected in [
            ('broker/shard.cc', SPDX, []),
            ('broker/shard.cc', '// Shard\n', [(1, 'SPDX')]),
            ('broker/shard.cc', '\n' + SPDX, [(1, 'SPDX')]),
            ('tools/build', '#!/usr/bin/env bash\n# SPDX-License-Identifier: Apache-2.0\n', []),
            ('tools/build', '#!/usr/bin/env bash\nset -e\n', [(2, 'SPDX')]),
            ('tools/x.py', '#!/usr/bin/env python3\n# SPDX-License-Identifier: Apache-2.0\n', []),
            ('broker/shard.cc', SPDX + 'x' * 120 + '\n', []),
            ('broker/shard.cc', SPDX + 'x' * 121 + '\n', [(2, '121 columns')]),
            ('broker/shard.cc', SPDX + '\u00e9' * 120 + '\n', []),                          # columns, not bytes
            ('tests/interop/cases.py', '# SPDX-License-Identifier: Apache-2.0\n' + '#' * 300 + '\n', []),
            ('broker/shard.cc', SPDX + 'int a; \n', [(2, 'blanks')]),
            ('broker/shard.cc', SPDX + '\tint a;\n', [(2, 'tab')]),
            ('broker/shard.cc', SPDX + 'int a;', [(2, 'newline')]),
            ('broker/shard.cc', SPDX + 'int a;\n\n', [(4, 'newline')]),
            ('broker/shard.cc', SPDX + f'// {todo}: x\n', [(2, todo)]),
            ('broker/shard.cc', SPDX + '// TODO(perf): x\n', []),
            ('tests/proto/lines.txt', 'anything\t\n', []),
            ('tests/io/meson.build', 'x' * 200, []),
        ]:
            self.check(path, text, *expected)

    def test_python_tests_do_not_sleep_unless_they_drive_a_foreign_process(self):
        text = f'# SPDX-License-Identifier: Apache-2.0\n{SLEEP}(1)\n'
        self.check('tests/tidy/x.py', text, (2, 'sleep'))
        self.check('tests/tidy/x.py', text.replace(SLEEP, '# ' + SLEEP))
        for path in ('tests/interop/cases.py', 'tests/config/compare_with_peer.py', 'tools/bench.py'):
            self.check(path, text)

    def test_the_command_lists_what_it_finds_and_fails(self):
        with tempfile.TemporaryDirectory() as root:
            def write(path, text):
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), 'w', encoding='latin-1') as file:
                    file.write(text)

            def run():
                out = io.StringIO()
                with redirect_stdout(out):
                    code = tidy.main(root)
                return code, out.getvalue()

            self.assertEqual(run()[0], 1, 'nothing to check is not a success')
            write('proto/parser.cc', SPDX)
            write('tests/data.bin', '\xff\xfe')
            write('build/x/bad.cc', 'throw')
            self.assertEqual(run(), (0, 'tidy: 1 files, clean\n'))
            write('proto/scan.cc', f'{SPDX}#include "broker/shard.h"\n')
            code, out = run()
            self.assertEqual(code, 1)
            self.assertIn('proto/scan.cc:2: proto may not include broker/shard.h', out)

    def test_what_comments_and_pages_name_is_there(self):
        known = tidy.ends_of(['proto/scan.cc', 'README.md', 'docs/a.md'])
        self.assertEqual(known, {'proto/scan.cc', 'scan.cc', 'README.md', 'docs/a.md', 'a.md'})

        def found(path, text):
            return [number for number, _ in tidy.check_mentions(path, text, known)]

        self.assertEqual(found('proto/x.cc', '// as scan.cc (docs/a.md) says\nint a;  // see proto/gone.cc\n// gone.h\n'), [2, 3])
        self.assertEqual(found('proto/x.cc', 'Open("gone.h");  // scan.cc\n#include "gone.h"\nint b;  // "//" in gone.md\n'), [3])
        self.assertEqual(found('docs/a.md', 'nats.py, `*_test.cc`, <gone.h> and ../shared/x.py\n`gone.md`\n'), [2])
        self.assertEqual(found('proto/x.py', '# gone.py\n'), [])


if __name__ == '__main__':
    sys.argv = [a if a != '--quiet' else '-q' for a in sys.argv]
    unittest.main()
