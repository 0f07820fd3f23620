#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Source checks that need no compiler: include direction, file shape, and what the house style bans.

tools/tidy.py [ROOT]   prints PATH:LINE: what is wrong, and exits 1 if anything is.
Proof: tests/tidy/tidy_test.py holds, for every rule, a text that breaks it and one that comes close.
"""
import os
import re
import sys

COLUMNS_MAX = 120  # of C++; scripts hold tables of cases and recorded lines
FOLDERS = ('broker', 'proto', 'store', 'bench', 'tests', 'tools', 'docs', '.ci')
PRODUCT = ('broker/', 'proto/', 'store/')

# What a folder builds upon; it may include these and all that they build upon. A file at the top of broker/ is a layer of
# its own. A new folder is a new row.
LAYERS = {
    'proto/base': (),
    'proto': ('proto/base',),
    'store': ('proto',),  # at the top of it: the words that its folders share
    'store/keys': ('store',),
    'store/index': ('store',),
    'store/log': ('store/keys',),
    'store/segment': ('store/index', 'store/keys'),
    'store/shard': ('store/log', 'store/segment'),
    'broker/version': (),
    'broker/json': ('proto',),
    'broker/config/language': ('broker/json',),
    'broker/config/table': ('broker/config/language',),
    'broker/config/blocks': ('broker/config/table', 'broker/account'),
    'broker/config': ('broker/config/blocks', 'broker/version'),
    'broker/log': ('proto/base',),
    'broker/http': ('proto',),
    'broker/proxy': ('proto',),
    'broker/websocket': ('proto', 'broker/closed_reason'),
    'broker/monitor': ('broker/http', 'broker/json', 'broker/version', 'broker/account/account_id.h'),
    'broker/io': ('proto/base', 'store/disk.h'),
    'broker/mesh': ('proto',),
    'broker/account': ('proto',),
    'broker/route': ('broker/account/account_id.h', 'broker/account/account_views.h', 'broker/account/service_index.h',
                     'broker/account/stream_imports.h', 'broker/mesh'),
    'broker/service': ('broker/account', 'broker/route', 'broker/json'),
    'broker/system': ('broker/account', 'broker/route', 'broker/config', 'broker/monitor', 'broker/version', 'broker/session/info.h'),
    'broker/closed_reason': (),
    'broker/question': ('broker/account',),
    'broker/speaker': ('broker/account', 'broker/closed_reason', 'broker/question', 'broker/route', 'broker/monitor'),
    'broker/session': ('broker/speaker', 'broker/system', 'broker/account', 'broker/route', 'broker/config', 'broker/log', 'broker/monitor', 'broker/version'),
    'broker/net': ('broker/speaker', 'broker/config', 'broker/log', 'broker/io', 'broker/monitor'),
    'broker/jetstream/api': ('broker/json', 'broker/version', 'broker/account/jetstream_limits.h'),
    'broker/part': ('broker/route', 'broker/io', 'broker/log', 'broker/monitor'),
    'broker/jetstream/archive': ('broker/jetstream/api',),
    'broker/jetstream/base': ('broker/jetstream/api', 'broker/account', 'broker/route', 'broker/log', 'broker/io', 'store/shard'),
    'broker/jetstream/consumer': ('broker/jetstream/base', 'broker/jetstream/archive'),
    'broker/jetstream/stream': ('broker/jetstream/consumer',),
    'broker/jetstream/directory': ('broker/jetstream/stream',),
    'broker/jetstream/upstream': ('broker/jetstream/directory',),
    'broker/jetstream/backup': ('broker/jetstream/directory',),
    'broker/jetstream/api_server': ('broker/jetstream/backup',),
    'broker/jetstream/engine': ('broker/jetstream/api_server', 'broker/jetstream/upstream', 'broker/part', 'broker/config'),
    'broker/system/services': ('broker/system', 'broker/admin', 'broker/part'),
    'broker/system/beats': ('broker/system', 'broker/admin', 'broker/part'),
    'broker/admin': ('broker/session', 'broker/service', 'broker/speaker', 'broker/monitor', 'broker/part'),
    'broker/shard': ('broker/net', 'broker/session', 'broker/service', 'broker/part', 'broker/admin'),
    'broker/shard_stop': ('broker/shard',),
    'broker/control': ('broker/shard', 'broker/system/beats', 'broker/system/services', 'broker/jetstream/engine', 'broker/account', 'broker/io', 'store/shard', 'broker/config', 'broker/log'),
    'broker/memory': (),
    'broker/main': ('broker/control', 'broker/memory'),
}


def reach(layer, layers=LAYERS):
    """All that `layer` may include, itself among it."""
    seen, todo = set(), [layer]
    while todo:
        at = todo.pop()
        if at not in seen:
            seen.add(at)
            todo += layers.get(at, ())
    return seen


def layer_of(path):
    """The row of LAYERS that a path inside the product belongs to, or would belong to if it had one."""
    folder, name = os.path.split(path)
    if folder == 'broker':
        return 'broker/' + name.split('.')[0]
    while folder not in LAYERS and os.path.dirname(folder) not in ('', 'broker', 'store'):
        folder = os.path.dirname(folder)
    return folder


def without_comments(text):
    """C++ text with comments and the insides of literals blanked, every line at its place."""
    token = re.compile(
        r'//(?:\\\n|[^\n])*'                                 # to the end of the line
        r'|/\*.*?(?:\*/|\Z)'
        r'|R"(?P<mark>[^()\\\s]{0,16})\(.*?\)(?P=mark)"'
        r'|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9a-zA-Z_])'(?:\\.|[^'\\\n])+'",           # not the digit separator of 1'000
        re.S)

    def blank(match):
        found = match.group(0)
        keep = found[0] if found[0] in '"\'' else ' '
        return keep + re.sub(r'[^\n]', ' ', found[1:-1]) + keep if len(found) > 1 else found
    return token.sub(blank, text)


INCLUDE = re.compile(r'^\s*#\s*include\s+(?P<name>"[^"]+"|<[^>]+>)', re.M)


def includes_of(text):
    """(line number, name, in quotes) of each include directive that is not commented out."""
    code = without_comments(text).split('\n')
    for number, line in enumerate(text.split('\n'), 1):
        match = INCLUDE.match(line)
        if match and INCLUDE.match(code[number - 1]):
            name = match.group('name')
            yield number, name[1:-1], name[0] == '"'


def check_direction(path, text):
    """Includes follow the DAG of LAYERS; product code includes nothing of tests or bench."""
    if not path.startswith(PRODUCT):
        return
    source = layer_of(path)
    if source not in LAYERS:
        yield 1, f'{source} has no row in LAYERS of tools/tidy.py: say what it builds upon'
        return
    allowed = reach(source)
    for number, name, quoted in includes_of(text):
        if name.startswith(('tests/', 'bench/')):
            yield number, f'product code includes {name}'
        elif name.startswith(PRODUCT):
            if not quoted:
                yield number, f'our own header {name} in angle brackets'
            if layer_of(name) not in allowed and name not in allowed:
                yield number, f'{source} may not include {name} (its layers: {", ".join(sorted(allowed - {source}))})'


def only_in(*places):
    return lambda path: path in places or any(path.startswith(p) for p in places if p.endswith('/'))


# Include, where it is welcome, why not elsewhere.
GUARDED_INCLUDES = [
    (re.compile(r'^(mutex|shared_mutex|condition_variable)$'), only_in(), 'nothing here takes a lock'),
    (re.compile(r'^atomic$'), only_in('broker/mesh/', 'tests/', 'bench/'), 'shards share memory in broker/mesh only'),
    (re.compile(r'^thread$'), only_in('broker/control/shard_thread.h', 'broker/control/helper_thread.h', 'tests/', 'bench/'),
     'threads start in broker/control/shard_thread.cc and helper_thread.cc only'),
    (re.compile(r'^liburing\.h$'), only_in('broker/io/uring.cc', 'bench/'), 'broker/io/uring.cc is the one user of liburing'),
]


def check_includes(path, text):
    for number, name, _ in includes_of(text):
        for pattern, welcome, why in GUARDED_INCLUDES:
            if pattern.match(name) and not welcome(path):
                yield number, f'<{name}> is banned here: {why}'


def in_product(path):
    return path.startswith(PRODUCT)


# Words that code (not comments, not literals) must not hold.
BANNED_CODE = [
    (re.compile(r'\bshared_ptr\b'), in_product, 'shared_ptr: say who owns it'),
    (re.compile(r'\babsl::StrCat\b'), in_product, 'absl::StrCat does not mix with std::string_view here: use absl::StrFormat'),
    (re.compile(r'\babsl::string_view\b'), in_product, 'absl::string_view: text is std::string_view'),
    (re.compile(r'\bthrow\b'), in_product, 'product code throws nothing'),
    (re.compile(r'\bthread_local\b'), in_product, 'thread_local: state has an owner'),
    (re.compile(r'\bstd::(recursive_|shared_)?mutex\b'), lambda path: True, 'nothing here takes a lock'),
    (re.compile(r'\bk(Global|System)Account(Name)?\b'), lambda path: in_product(path) and not path.startswith(('broker/account/', 'broker/monitor/connz.cc')),
     'an account is known by its id: ask AccountTable which one plays this part'),
    (re.compile(r'\bstd::this_thread::sleep|\b(u|nano|clock_nano)?sleep\s*\('), lambda path: path.startswith('tests/'),
     'a test waits for a condition, it does not sleep'),
]


def check_banned_code(path, text):
    for number, line in enumerate(without_comments(text).split('\n'), 1):
        for pattern, applies, why in BANNED_CODE:
            if applies(path) and pattern.search(line):
                yield number, why


def check_header(path, text):
    if '#pragma once' not in text.split('\n'):
        yield 1, 'no #pragma once'
    block = []
    for line in text.split('\n'):
        if not line.startswith('//'):
            break
        block.append(line)
    if not any(re.match(r'//\s+Owner:\s+\S', line) for line in block):
        yield 1, 'no "Owner:" line in the first comment block'


def check_python_sleep(path, text):
    """Scripts that drive a foreign process may poll; a unit test may not."""
    if not path.startswith('tests/') or path.startswith('tests/interop/') or path.endswith('/compare_with_peer.py'):
        return
    for number, line in enumerate(text.split('\n'), 1):
        if re.search(r'\btime\.sleep\(', line.split('#')[0]):
            yield number, 'a test waits for a condition, it does not sleep'


def check_shape(path, text):
    """What holds for every source file."""
    lines = text.split('\n')
    columns_max = COLUMNS_MAX if language(path, text) == 'c++' else sys.maxsize
    first = 1 if lines[0].startswith('#!') else 0
    if len(lines) <= first or 'SPDX-License-Identifier: Apache-2.0' not in lines[first]:
        yield first + 1, 'the SPDX line comes first'
    if not text.endswith('\n') or text.endswith('\n\n'):
        yield len(lines), 'a file ends with exactly one newline'
    for number, line in enumerate(lines, 1):
        if len(line) > columns_max:
            yield number, f'{len(line)} columns, at most {columns_max}'
        if line != line.rstrip():
            yield number, 'blanks at the end of the line'
        if '\t' in line:
            yield number, 'a tab'
        if 'TODO' + '(now)' in line:
            yield number, 'TODO' + '(now) has to be done now'


MENTION = re.compile(r'(?<![\w./*$%{}<-])((?:[A-Za-z0-9_.-]+/)*[A-Za-z0-9_-]+\.(?:cc|h|py|md|def))(?![\w(*])')
FOREIGN = {'nats.py'}  # what somebody else's project is called


def comment_of(line, code):
    """The comment at the end of a line of C++; `code` is the same line with comments and literals blanked."""
    at = line.find('//')
    while at >= 0 and code[at:].strip():
        at = line.find('//', at + 1)
    return line[at:] if at >= 0 else ''


def check_mentions(path, text, known):
    """Files that comments and pages name are there. `known`: every path, and every end of one that begins with a name."""
    if path.startswith('tests/tidy/'):
        return
    lines = text.split('\n')
    if language(path, text) == 'c++':
        lines = [comment_of(*pair) for pair in zip(lines, without_comments(text).split('\n'))]
    elif not path.endswith('.md'):
        return
    for number, line in enumerate(lines, 1):
        for match in MENTION.finditer(line):
            name = match.group(1)
            if name not in known and name not in FOREIGN and not name.startswith('../shared/'):
                yield number, f'{name} is not there'


def ends_of(paths):
    """Every path from each of its folders on: a/b.h gives a/b.h and b.h."""
    known = set()
    for path in paths:
        names = path.split('/')
        known.update('/'.join(names[i:]) for i in range(len(names)))
    return known


def language(path, text):
    if path.endswith(('.h', '.cc')):
        return 'c++'
    if path.endswith('.py'):
        return 'python'
    if text.startswith('#!') and 'sh' in text.split('\n')[0]:
        return 'shell'
    if text.startswith('#!') and 'python' in text.split('\n')[0]:
        return 'python'
    return None


CHECKS = {
    'c++': (check_shape, check_direction, check_includes, check_banned_code),
    'python': (check_shape, check_python_sleep),
    'shell': (check_shape,),
}


def check_text(path, text):
    """All findings for one file, as (line number, message), in order."""
    kind = language(path, text)
    checks = CHECKS.get(kind, ()) + ((check_header,) if path.endswith('.h') else ())
    return sorted(finding for check in checks for finding in check(path, text))


def cycle_in(layers):
    """A layer that reaches itself through others, or None: LAYERS must stay a DAG."""
    for layer, below in layers.items():
        if any(layer in reach(other, layers) for other in below):
            return layer
    return None


def sources(root):
    for folder in FOLDERS:
        for at, folders, names in os.walk(os.path.join(root, folder)):
            folders[:] = sorted(f for f in folders if f not in ('__pycache__', 'node_modules', 'build'))
            for name in sorted(names):
                yield os.path.relpath(os.path.join(at, name), root)


def main(root):
    count = files = 0
    if cycle := cycle_in(LAYERS):
        print(f'tools/tidy.py: LAYERS has a cycle through {cycle}')
        count += 1
    paths = list(sources(root)) + [name for name in os.listdir(root) if name.endswith('.md')]
    known = ends_of(paths)
    for path in paths:
        try:
            with open(os.path.join(root, path), encoding='utf-8') as file:
                text = file.read()
        except (UnicodeDecodeError, FileNotFoundError):  # data; or gone since it was listed
            continue
        files += 1
        for number, message in sorted([*check_text(path, text), *check_mentions(path, text, known)]):
            print(f'{path}:{number}: {message}')
            count += 1
    print(f'tidy: {files} files, ' + (f'{count} findings' if count else 'clean'))
    return 1 if count or not files else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), '..')))
