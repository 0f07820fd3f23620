#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares how nats-server and this broker read configurations and command lines.

Every snippet goes through `-t` of both. Equal means: both accept or both refuse, the same digest,
the same lines of error with file, line and column. The peer walks its maps in random order, so
lines are compared as sets; lines about its own nil pointers do not count, nor does our
", did you mean". A refusal of what this build lacks is counted apart.

usage: compare_with_peer.py PEER OURS [DIRECTORY-OF-CONFIGS ...]
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

ENVIRONMENT = {
    "MR_INT": "4333", "MR_SIZE": "2MB", "MR_TEXT": "hello", "MR_QUOTED": "'4333'",
    "MR_BOOL": "true", "MR_ARRAY": "[a, b]", "MR_MAP": "{a: 1}", "MR_EMPTY": "",
    "MR_A": "$MR_B", "MR_B": "$MR_A", "MR_SELF": "$MR_SELF", "MR_BAD": "[1, 2",
    "MR_INDIRECT": "$MR_INT", "MR_TWO": "5\nport = 6",
}

FILES = {
    "inc_port.conf": "port: 4333\n",
    "inc_users.conf": "users: [ {user: a, password: b} ]\n",
    "inc_var.conf": "THE_PORT: 4444\n",
    "inc_bad.conf": "port: 4333\nfoo: 1\n",
    "inc_syntax.conf": "port: [1\n",
    "inc_cycle.conf": "include inc_cycle2.conf\n",
    "inc_cycle2.conf": "include inc_port.conf\n",
    "inc_type.conf": "\n\n   port: abc\n",
    "sub/inc_nested.conf": "include ./inc_deeper.conf\n",
    "sub/inc_deeper.conf": "debug: true\n",
    "inc_block.conf": "publish: foo\nsubscribe: bar\n",
}

# --- the language
LANGUAGE = [
    "", "\n\n", "# only a comment", "// only a comment", "port: 4222", "port = 4222", "port 4222",
    "port\t4222", "'port': 4222", '"port": 4222', "'port' 4222", '"port"=4222', "PORT: 4222",
    "port:4222", "port=4222", "port : 4222", "port:\n4222", "port\n: 4222", "port\n4222",
    "port: 4222;debug: true", "port: 4222,debug: true", "port: 4222 debug: true",
    "port: 4222 # comment", "port: 4222 // comment", "port: 4222 / debug: true", "port: 4222 /",
    "{port: 4222}", '{"port": 4222, "debug": true}', '{\n  "port": 4222\n}\n',
    '{"port": 4222, "authorization": {"user": "a", "password": "b"}}', "{{port: 4222}}", "{}",
    "{port: 4222", "{port: 4222\n", "port: 4222\n}", "port: 4222\n}\n", "port: 4222 }", "}", "{",
    "port: 4222\n}\nhost: x\n", "{port: 4222} debug: true", "{port: 4222}\ndebug: true",
    "{port: 4222 # c\n}", "{ # c\n port: 4222 }", "{port: 4222};", "{port: 4222},debug: true",
    "{port: 4222 debug: true}", "{ / }", "/", "/ port: 4222", "=", ": 4222", "port", "port ",
    "port =", "port = ", "server_name =", "server_name = ''", "port =\n", "port = = 4222",
    "server_name: =", "server_name 'single \\n raw'", 'server_name "tab\\tx"',
    'server_name "a\\x41b"', 'server_name "a\\xzz"', 'server_name "a\\x4', 'server_name "a\\q"',
    'server_name "a\\\nb"', 'server_name "quote \\" backslash \\\\"', 'server_name "open',
    "server_name 'open", 'server_name "', "server_name '", "server_name bare\\tx",
    "server_name bare\\", 'server_name: "two\nlines"', "server_name: 'two\nlines'\nfoo: 1",
    "server_name: abc'def'", "server_name: (\nblock\n)\n", "server_name: (\nblock\n)",
    "server_name: (one)", "server_name: (\na)b\n)\n", "server_name: (\n", "server_name: ()\n",
    "server_name: (\n) \n)\n", "debug: true", "debug: TRUE", "debug: yes", "debug: On",
    "debug: off", "debug: 'true'", "debug: 1", "debug: maybe", "debug: no", "debug: False",
    "max_payload: 8MB", "max_payload: 8mb", "max_payload: 8k", "max_payload: 8K", "max_payload: 8KiB",
    "max_payload: 8Ki", "max_payload: 1m", "max_payload: 1g", "max_pending: 1GB",
    "max_pending: 1t", "max_pending: 1TB", "max_pending: 1p", "max_pending: 1e", "max_pending: 1eib",
    "max_pending: 9e", "max_pending: 10e", "max_payload: 1kk", "max_payload: 1kbb\nfoo: 1",
    "max_payload: 5x", "max_payload: 1.5MB", "max_payload: -1", "max_payload: -1k", "max_payload: -",
    "max_payload: -x", "max_payload: -.5", "max_payload: .5", "max_payload: 1.", "max_payload: 1.x",
    "max_payload: 1.5", "max_payload: 99999999999999999999", "max_payload: 3GB", "MAX_PAYLOAD: 3GB",
    "max_control_line: 3GB", "max_control_line: 4KB", "max_payload: -5abc", "max_payload: 1.5x",
    "max_payload: 1e5", "max_payload: 0x10", "max_payload: 0K1abc", "port: 5e7bcd", "port: 4222]",
    "port: 2016-05-04T18:53:41Z", "port: 2016-05-04", "port: 20-1", "port: 2016-13-04T18:53:41Z",
    "port: 2016-02-30T18:53:41Z", "port: 2016-05-04T18:53:41", "port: 2016-0x", "port: 127.0.0.1",
    "listen: 127.0.0.1:4222", "listen: 127.0.0.1:-1", "listen: 4222", "listen: localhost:4222",
    "listen: 'localhost'", "listen: ':4222'", "listen: '[::1]:4222'", "listen: '::1:4222'",
    "listen: 'h:abc'", "listen: 'h:'", "listen: true", "listen: [::]:4222", "listen: 1.2.3.4",
    "listen: 'h:+5'", "listen: 'h:99999999999999999999'", "http: 8222", "http: 'x:8222'", "http: x",
    "port: [1,2]", "port: [1, 2 ]", "server_tags: [a,b]", "server_tags: [a, b, ]",
    "server_tags: [\na\nb\n]", "server_tags: [,]", "server_tags: [a,,b]", "server_tags: [a",
    "server_tags: [a\n", "server_tags: [a b]", "server_tags: [a # c\n b]", "server_tags: [a // c\n b]",
    "server_tags: [a / b]", "server_tags: [/ b]", "server_tags: [[a]]", "server_tags: a",
    "server_tags: 5", "server_tags: [1]", "server_tags: {a: b}", "server_tags []",
    "server_tags: ['a' 'b']", "server_tags: [a;b]", "server_tags: [1 ]",
    "server_metadata: {a: b}", "server_metadata {a: b}", "server_metadata{a: b}",
    "server_metadata: {a: 1}", "server_metadata: x", "server_metadata: {a: {b: c}}",
    "server_metadata: {a b, c d}", "server_metadata: {a: b; c: d}", "server_metadata: {\na: b\nc: d\n}",
    "server_metadata: {'a': b}", 'server_metadata: {"a": b}', "server_metadata: {a: }",
    "server_metadata: {a}", "server_metadata: {a", "server_metadata: {a:", "server_metadata: {a: b",
    "server_metadata: {", "server_metadata: {'a", 'server_metadata: {"a', "server_metadata: {a: ,}",
    "server_metadata: {:}", "server_metadata: {=", "server_metadata: {]}", "server_metadata: {a b c}",
    "server_metadata: {a: b # c\n}", "server_metadata: {# c\n a: b}", "server_metadata: {a: b / c: d}",
    "server_metadata: {/a: b}", "server_metadata: {a: 'x' y}", "server_metadata: {a\n:\nb}",
    "server_metadata: {a: <>&\u2028\u00e9}", 'server_metadata: {a: "\\x01\\x7f\\xff"}',
    "port: 1\nport: 4222", "port: abc\nport: 4222", "server_name: a\\x00b",
    "X: 4222\nport: $X", "port: $X\nX: 4222", "X: 4222\nY: $X\nport: $Y", "port: $NOPE",
    "port: $MR_INT", "port: $MR_TEXT", "server_name: $MR_TEXT", "server_name: $MR_QUOTED",
    "max_payload: $MR_SIZE", "debug: $MR_BOOL", "server_tags: $MR_ARRAY", "port: $MR_EMPTY",
    "server_name: $MR_EMPTY", "port: $MR_A", "port: $MR_SELF", "server_tags: $MR_BAD",
    "port: $MR_INDIRECT", "port: $MR_TWO", "MR_INT: 5\nport: $MR_INT", "port: '$MR_INT'", "port: $",
    "X: a\nserver_metadata: {X: b, c: $X}", "X: a\nserver_metadata: {c: $X}",
    "server_metadata: {X: b, c: $X}", "server_metadata: {c: $X, X: b}", "X: 1", "x: 1\nport: $X",
    "X: [a, b]\nserver_tags: $X", "X: {a: b}\nserver_metadata: $X", "X: a\nserver_tags: [$X, b]",
    "authorization: {user: u, password: $2a$10$UHR6GhotWhpLsKtVP0/i6.Nh9.fuY73cWjLoJjb2sKT8KISBcUW5q}",
    "authorization: {user: u, password: $2b$10$UHR6GhotWhpLsKtVP0/i6}",
    "include inc_port.conf", "include 'inc_port.conf'", 'include "inc_port.conf"',
    "include ./inc_port.conf", "include nope.conf", "include", "include ", "include\n", "include: x",
    "include = x", "include [a]", "include {a}", "include (a)", "include 5", "include -5",
    "include \\x", "include 'open", 'include "open', "include inc_port.conf\nport: 5",
    "port: 5\ninclude inc_port.conf", "include inc_var.conf\nport: $THE_PORT", "include inc_bad.conf",
    "include inc_syntax.conf", "include inc_cycle.conf", "include inc_type.conf",
    "include sub/inc_nested.conf", "authorization { include inc_users.conf }",
    "authorization {\n include inc_users.conf\n}", "authorization { include 'inc_users.conf' }",
    "X: 5\ninclude inc_port.conf\nport: $X", "{ include inc_port.conf }", "include inc_port.conf debug: true",
    "INCLUDE inc_port.conf", "include inc_port.conf;debug: true", "port: 4222\x00 debug",
    "\ufeffport: 4222", "port: 4222\r\ndebug: true\r\n", "server_name: caf\u00e9", "server_name: \u3000x",
    "\u00a0port: 4222", "port: 4222\u00a0", "server_name: a\u00a0b", "foo bar baz", "foo: bar\nbaz",
    "foo", "foo: {", "foo: [", "  foo: 1", "\n  foo: 1", "\t\tfoo: 1", "\n\n\tfoo {\n a: 1\n}",
    "a: 1; foo: 2, b: 3", "'foo bar': 1", "server_name: 'x y'", "server_name: 5", "host: 5",
    "a { b: }", "a { b: }\nport: 5", "authorization { user: }",
]

# --- options
OPTIONS = [
    "client_advertise: 5", "client_advertise: 'h:1'", "port: '4222'", "port: 4222.5", "port: true",
    "port: {}", "port: []", "host: true", "net: 0.0.0.0", "trace: true", "trace_verbose: true",
    "trace_headers: true", "logtime: false", "logtime_utc: true", "log_file: '/tmp/x'", "logfile: 5",
    "logfile_size_limit: 5MB", "log_size_limit: x", "logfile_max_num: 5", "log_max_num: 'x'",
    "syslog: true", "remote_syslog: 'udp://x:1'", "pidfile: '/x'", "pid_file: 5",
    "ports_file_dir: '/tmp'", "max_traced_msg_len: 5", "max_traced_msg_len: '5'",
    "connect_error_reports: 5", "reconnect_error_reports: 5", "max_connections: 0",
    "max_connections: -1", "max_conn: 5", "max_connections: '5'", "max_subscriptions: 5",
    "max_subs: 5", "max_sub_tokens: 5", "max_sub_tokens: 256", "max_sub_tokens: 0",
    "max_subscription_tokens: -1", "max_pending: 5MB", "max_pending: x", "ping_interval: '2m'",
    "ping_interval: 2m", "ping_interval: 30", "ping_interval: 'x'", "ping_interval: '5'",
    "ping_interval: 5y", "ping_interval: 1h2m3.5s", "ping_interval: '-5s'", "ping_interval: true",
    "ping_interval: '1.5.5s'", "ping_interval: '9999999999999h'", "ping_interval: ''",
    "ping_interval: '.s'", "ping_interval: '5\u00b5s'", "ping_max: 5", "ping_max: '5'",
    "write_deadline: '5s'", "write_deadline: 5", "write_deadline: abc", "write_timeout: close",
    "write_timeout: retry", "write_timeout: default", "write_timeout: x", "write_timeout: 5",
    "max_closed_clients: 5", "no_fast_producer_stall: true", "no_fast_producer_stall: 5",
    "disable_sublist_cache: true", "no_sublist_cache: true", "no_header_support: true",
    "lame_duck_duration: '1m'", "lame_duck_duration: 60", "lame_duck_duration: '10s'",
    "lame_duck_duration: 'x'", "lame_duck_grace_period: '5s'", "lame_duck_grace_period: '-5s'",
    "lame_duck_grace_period: 5", "lame_duck_grace_period: 'x'", "prof_block_rate: 5",
    "feature_flags: {js_ack_fc_v2: true}", "feature_flags: {a: 1}", "feature_flags: 5",
    "http_port: 8222", "monitor_port: 8222", "http_port: '8222'", "http_base_path: /x",
    "http_base_path: 5", "no_auth_user: 5", "system_account: 5", "system_account: $SYS",
    "system_account: '$SYS'", "no_system_account: true", "no_sys_acc: 5", "foo: 1", "Foo: 1",
    "prot: 4222", "debgu: true", "foo: {bar: 1}", "foo: 1\nbar: 2", "a: 1\nb: 2\nport: $a",
    "debug: 5\ntrace: 6", "debug: true\nfoo: 1\nping_interval: 5", "proxy_protocol: false",
    "allow_non_tls: false", "jetstream: disabled", "jetstream: false", "jetstream: xyz",
    "jetstream: 5", "jetstream {enabled: false}", "jetstream {foo: 1}", "store_dir: '/tmp/x'",
    "store_dir: 5", "store_dir: '/tmp/a'\njetstream {store_dir: '/tmp/b', enabled: false}",
    "mappings: {}", "cluster {}", "cluster {name: abc}", "cluster {name: 'a b'}", "cluster {foo: 1}",
    "leafnodes {}", "leafnodes {listen: '127.0.0.1:-1'}", "leafnodes {foo: 1}",
    "websocket {port: -1, no_tls: true}", "websocket {foo: 1}", "websocket {listen: '127.0.0.1:-1', no_tls: true}",
    "leafnodes {remotes: []}", "accounts {}", "accounts: {A: {foo: 1}}", "gateway {foo: 1}", "mqtt {foo: 1}",
    "tls {foo: 1}", "operator: ''",
]

# --- accounts: what is measured and traced
ACCOUNTS = ["accounts {A {exports [{%s}]}}" % text for text in [
    "service: a, latency: l", "service: a, latency: {sampling: headers, subject: l}",
    "service: a, latency: {Sampling: 5, subject: l}", "service: a, latency: ''", "service: a, latency: 'l.*'",
    "service: a, latency: 5", "service: a, latency: {subject: 5}", "service: a, latency: {sampling: 10}",
    "service: a, latency: {sampling: 0, subject: l}", "service: a, latency: {sampling: 101, subject: l}",
    "service: a, latency: {sampling: 99999999999, subject: l}", "service: a, latency: {sampling: '5%%', subject: l}",
    "service: a, latency: {sampling: true, subject: l}", "service: '>', latency: l",
    "service: a, response: stream, latency: l",
    "service: a, latency: l}, {service: a, latency: {sampling: 5, subject: m}",
    "service: l}, {service: a, latency: l", "service: a, latency: l}, {service: l", "stream: a, latency: l",
    "latency: l, stream: a", "service: a, allow_trace: true", "service: a, allow_trace: 5",
    "stream: a, allow_trace: true", "allow_trace: true, stream: a",
]] + ["accounts {A {imports [{%s}]}, B {exports [{service: s}, {stream: t}]}}" % text for text in [
    "service: {account: B, subject: s}, allow_trace: true", "allow_trace: true, service: {account: B, subject: s}",
    "stream: {account: B, subject: t}, allow_trace: 5", "stream: {account: B, subject: t}, allow_trace: true",
]] + ["accounts {A {%s}}" % text for text in [
    "msg_trace: a", "trace_dest: 'a.*'", "msg_trace: ''", "msg_trace: 5", "msg_trace [a]",
    "MSG_TRACE: b, trace_dest: c", "msg_trace {dest: a, sampling: 10}", "msg_trace {SAMPLING: '20%', Dest: a}",
    "msg_trace {dest: ''}", "msg_trace {dest: 5}", "msg_trace {sampling: 5}", "msg_trace {dest: a, sampling: 0}",
    "msg_trace {dest: a, sampling: '101%'}", "msg_trace {dest: a, sampling: x}",
    "msg_trace {dest: a, sampling: true}", "msg_trace {dest: a, foo: 1}",
]]

JETSTREAM = [
    "{}", "true", "Enabled", "off", "{enabled: 5}", "{enable: false}", "{domain: hub}", "{domain: 5}",
    "{strict: false}", "{strict: x}", "{strict: 5}", "{strict: 1.5}", "{store_dir: '/tmp/x'}", "{store: 5}",
    "{STOREDIR: x}", "{store_dir: a, domain: 5}", "{sync: always}", "{sync_interval: ALWAYS}", "{sync: '5s'}",
    "{sync: 5}", "{sync_interval: 'x'}", "{sync: true}", "{sync_interval: 10s}", "{max_mem: 5}", "{max_mem: 5MB}",
    "{max_mem: '5M'}", "{max_mem: '5MB'}", "{max_mem: '5x'}", "{max_mem: 5x}", "{max_mem: 'xM'}", "{max_mem: ''}",
    "{max_mem: 'M'}", "{max_mem: '+5K'}", "{max_mem: '-5K'}", "{max_mem: '+-5K'}", "{max_mem: ' 5K'}",
    "{max_mem: '1_0K'}", "{max_mem: '0x1K'}", "{max_mem: '99999999999999999999M'}",
    "{max_mem: '99999999999999999999x'}", "{max_mem: '\u00e9'}", "{max_memory_store: 5g}", "{max_mem_store: -1}",
    "{max_file: true}", "{max_file_store: '1T'}", "{max_file: {}}", "{max_file: []}", "{extension_hint: x}",
    "{extension_hint: 5}", "{unique_tag: ' AZ:x '}", "{unique_tag: 5}", "{max_outstanding_catchup: '1G'}",
    "{max_buffered_size: '1K'}", "{max_buffered_size: x}", "{MAX_buffered_size: true}", "{max_buffered_msgs: 5}",
    "{max_buffered_msgs: x}", "{max_buffered_msgs: -1}", "{max_buffered_msgs: 1.5}", "{Max_buffered_msgs: true}",
    "{request_queue_limit: 5}", "{request_queue_limit: x}", "{info_queue_limit: 5}", "{info_queue_limit: x}",
    "{max_concurrent_io: 4}", "{max_concurrent_io: 3}", "{max_concurrent_io: 8193}", "{max_concurrent_io: x}",
    "{meta_compact: 5, meta_compact_size: '5K', meta_compact_sync: true}", "{limits: 5}", "{limits {}}",
    "{limits {max_ack_pending: 5, max_ha_assets: 6, max_request_batch: 7, default_max_consumers: 8}}",
    "{limits {max_ack_pending: x}}", "{limits {duplicate_window: '5s'}}", "{limits {duplicate_window: 'x'}}",
    "{limits {duplicate_window: 5}}", "{limits {foo: 1}}", "{limits {batch: 5}}", "{limits {batch {}}}",
    "{limits {batch {max_inflight_per_stream: 1, max_inflight_total: 2, max_msgs: 3, timeout: '4s'}}}",
    "{limits {batch {timeout: 'x', foo: 1}}}", "{limits {batch {max_msgs: x}}}", "{foo: 1}", "{\n\n  foo: 1\n}",
    "{enabled: false, foo: 1}", "{store_dir: a, storedir: b}", "{key: ''}", "{tpm {foo: 1}}", "{tpm: {}}",
    "{X: 5, max_mem: $X}",
    "{cipher: AES}", "{cipher: foo}", "{cipher: 5}", "{key: abc, cipher: ChaChaPoly}", "{ek: abc, cipher: foo}",
    "{key: 5}", "{encryption_key: abc, prev_encryption_key: abc}", "{prev_key: true}", "{prev_ek: x}", "{key: $NONE}",
]

AUTHORIZATION = [
    "authorization {}", "authorization: 5", "authorization: x", "authorization {user: a}",
    "authorization {user: a, password: b}", "authorization {username: a, pass: b}",
    "authorization {USER: a, PASS: b}", "authorization {user: 5}", "authorization {password: 5}",
    "authorization {token: abc}", "authorization {token: 5}", "authorization {user: a, token: b}",
    "authorization {pass: a, token: b}", "authorization {user: a, users: []}",
    "authorization {token: a, users: []}", "authorization {users: []}", "authorization {users: 5}",
    "authorization {users: [5]}", "authorization {users: [{}]}", "authorization {users: [{user: a}]}",
    "authorization {users: [{password: a}]}", "authorization {users: [{user: a}, {user: a}]}",
    "authorization {users: [{user: a, foo: 1}]}", "authorization {foo: 1}",
    "authorization {timeout: 5}", "authorization {timeout: 0.5}", "authorization {timeout: '5s'}",
    "authorization {timeout: 'x'}", "authorization {timeout: true}", "authorization {timeout: 61}",
    "authorization {timeout: 2m}", "authorization {timeout: 100.5}", "authorization {timeout: 1m}",
    "authorization {users: [{user: a}], timeout: 5}", "authorization {users: [{nkey: x}]}",
    "authorization {users: [{nkey: 5}]}",
    "authorization {users: [{user: 5}]}", "authorization {users: {user: a}}",
    "authorization {users: [\n {user: a}\n {user: b}\n]}", "authorization {users: [[]]}",
    "authorization {users: [{user: a, clients: STANDARD}]}",
    "authorization {users: [{user: a, allowed_connection_types: [STANDARD, websocket]}]}",
    "authorization {users: [{user: a, connection_types: [foo, bar]}]}",
    "authorization {users: [{user: a, connection_types: [5]}]}",
    "authorization {users: [{user: a, connection_types: 5}]}",
    "authorization {users: [{user: a, connection_types: []}]}",
    "authorization {default_permissions {}}", "authorization {permissions: 5}",
    "authorization {proxy_required: false}", "authorization {proxy_required: 5}",
    "authorization {X: 5}", "authorization {X: a, user: $X, password: b}",
    "authorization {X: {publish: foo}, users: [{user: a, permissions: $X}]}",
    "X {publish: foo}\nauthorization {users: [{user: a, permissions: $X}]}",
    "authorization {users: [{user: a, permissions {include inc_block.conf}}]}",
]
PERMISSIONS = [
    "{}", "{publish: foo}", "{publish: 'foo.*'}", "{publish: [foo, bar]}", "{publish: []}",
    "{publish: {}}", "{publish: {allow: foo}}", "{publish: {allow: [foo], deny: bar}}",
    "{publish: {deny: '>'}}", "{publish: {foo: bar}}", "{publish: 5}", "{publish: [5]}",
    "{publish: {allow: 5}}", "{publish: {allow: [5]}}", "{publish: 'foo..bar'}", "{publish: ''}",
    "{publish: 'foo bar'}", "{publish: '>.foo'}", "{publish: ['a', 'b..c']}", "{publish: '.a'}",
    "{publish: 'a.'}", "{publish: 'foo*'}", "{publish: 'foo.>x'}", "{publish: {deny: 'a b'}}",
    "{pub: foo}", "{import: foo}", "{sub: foo}", "{subscribe: foo}", "{export: foo}",
    "{subscribe: 'foo queue'}", "{subscribe: 'foo q.*'}", "{subscribe: 'foo q..a'}",
    "{subscribe: 'foo a b'}", "{subscribe: 'foo..a q'}", "{subscribe: {deny: ['foo q', 'bar']}}",
    "{subscribe: {allow: 'foo', deny: 'foo v1.>'}}", "{subscribe: {bad: 1, deny: 5}}",
    "{subscribe: ''}", "{subscribe: ' '}", "{subscribe: \"a\\tq\"}",
    "{allow_responses: true}", "{allow_responses: false}", "{allow_responses: 5}",
    "{allow_responses: {}}", "{allow_responses: {max: 5}}", "{allow_responses: {max: -1, ttl: '-1s'}}",
    "{allow_responses: {max_msgs: 5, expires: '1m'}}", "{allow_responses: {max: x}}",
    "{allow_responses: {expires: 5}}", "{allow_responses: {expires: 'x'}}",
    "{allow_responses: {foo: 5}}", "{publish_allow_responses: {ttl: 1m}}", "{foo: 1}", "5",
    "{publish: foo, allow_responses: true}", "{publish: {deny: x}, allow_responses: true}",
]

# --- what only a start finds out; our -t finds it as well
START = [
    "lame_duck_duration: '30s'\nlame_duck_grace_period: '30s'", "lame_duck_grace_period: '5m'",
    "max_payload: 10MB\nmax_pending: 1MB", "no_auth_user: a",
    "no_auth_user: b\nauthorization {users: [{user: a}]}", "no_auth_user: a\nauthorization {users: []}",
    "jetstream {domain: 'a b'}", "jetstream {domain: 'a.b'}", "jetstream {domain: 'a..b'}", "jetstream {domain: '>'}",
]

# --- flags; each ends at once in both
FLAGS = [
    ["-v"], ["--version"], ["version"], ["VERSION"], ["-v", "-h"], ["foo"], ["-p", "4222", "foo"],
    ["-t"], ["-c", "nope.conf"], ["-c", "nope.conf", "-t"], ["-t", "-c", "."], ["-D=false", "foo"],
    ["-T", "false"], ["--", "foo"], ["--", "version"], ["-", "x"], ["--signal", "stop=abc"],
    ["--signal", "stop=1=2"], ["-sl", "reload=a=b=c"], ["--routes", "nats://h:1"], ["--tls"],
    ["--tlsverify"], ["--tls", "--tlscert", "x"], ["-tlscert", "x"], ["-signal=foo=999999999"],
    ["-signal", "reload=4194999"], ["--signal", "quit=", "x"],
]
USAGE = [
    ["--foo"], ["-p"], ["-p", "abc"], ["-p="], ["-p", "99999999999999999999"], ["-D=maybe"], ["---x"],
    ["-=x"], ["--signal"], ["--max_traced_msg_len=abc"], ["-p", "0x"], ["-p", "1_0_"], ["-T="],
    ["-foo=bar"], ["-h", "--foo"], ["--log_size_limit", "1.5"], ["-c"], ["-DV=2"], ["--connect_retries=x"],
]


# --- where we differ and mean to
MEANT = {
    "max_payload: 1g": "our -t also checks what the peer finds at the start",
    "max_pending: 10e": "the same",
    "server_tags: $MR_ARRAY": "the peer trips over its own arrays from the environment",
    "store_dir: '/tmp/a'\njetstream {store_dir: '/tmp/b', enabled: false}":
        "the peer reports whichever it happens to read last",
    "cluster {name: 'a b'}": "clustering is not built, the name has no effect",
}

# --- reloads: the file before, the file after
BASE = "listen: '127.0.0.1:%d'\nauthorization {users: [{user: a, password: b}]}\n"
RELOADS = [
    "", "debug: true", "trace: true", "trace_verbose: true", "max_connections: 5", "max_payload: 5KB",
    "max_connections: 0\nmax_control_line: 5KB\nping_interval: '5s'\nping_max: 9\nwrite_deadline: '1s'",
    "server_tags: [a, b]\nserver_metadata: {a: b}", "no_fast_producer_stall: true", "logtime: false",
    "logtime_utc: true\nmax_traced_msg_len: 5\nconnect_error_reports: 2\nreconnect_error_reports: 3",
    "client_advertise: 'h:1'", "pid_file: 'pid'", "max_subs: 5", "max_pending: 5MB", "server_name: x",
    "http_port: 18222", "lame_duck_duration: '1m'", "lame_duck_grace_period: '5s'", "no_auth_user: a",
    "write_timeout: close", "log_size_limit: 5", "logfile_max_num: 5", "feature_flags: {a: true}",
    "max_sub_tokens: 4", "http_base_path: x", "system_account: foo", "bad: 1", "listen: '127.0.0.1:5'", "port: -1",
    "max_closed_clients: 5", "disable_sublist_cache: true", "no_header_support: true", "foo: [",
    "authorization {user: 1}", "max_payload: 10MB\nmax_pending: 5MB", "host: '0.0.0.0'",
    "authorization {user: a, password: b}", "authorization {token: t}", "authorization {timeout: 9}",
]

JETSTREAM_BASE = "jetstream {store_dir: '%s', max_mem: 1G, max_file: 1G"
JETSTREAM_RELOADS = [
    "}", ", limits {max_ack_pending: 5}}", ", domain: hub}", ", strict: false}", ", sync: always}", ", sync: '5s'}",
    ", max_concurrent_io: 7}", ", request_queue_limit: 7}", ", info_queue_limit: 7}", ", unique_tag: a}",
    ", max_buffered_size: '1K'}", ", max_buffered_msgs: 5}", ", extension_hint: no_extend}", ", max_mem: 2G}",
    ", max_mem: 2G, max_file: 3G}", ", max_mem: 1M}", ", max_mem: -1}", ", max_file: 5}", ", foo: 1}",
    ", limits {batch {timeout: '3s'}}, max_file: 2G}",
]


class Comparison:
    def __init__(self, peer, ours):
        self.peer, self.ours = peer, ours
        self.same = self.apart = self.meant = 0
        self.different = []

    def run(self, binary, args, directory, timeout=20):
        environment = dict(os.environ, **ENVIRONMENT)
        done = subprocess.run([binary, *args], cwd=directory, env=environment, timeout=timeout,
                              capture_output=True)
        return done.returncode, done.stdout.decode("utf8", "replace"), done.stderr.decode("utf8", "replace")

    @staticmethod
    def lines(text):
        text = re.sub(r'(unknown field "[^"\n]*"), did you mean "[^"]*"\?', r"\1", text)
        found = set()
        for line in text.splitlines():
            line = re.sub(r"^nats-server: ", "", line.replace("\0", "EOF"))
            # The peer forgets the place of these two.
            line = re.sub(r"^[^ ]+:\d+:\d+: ((subject|queue) .* is not a valid|Expected subject perm)",
                          r"\1", line)
            line = re.sub(r"map\[[^ ].*\]$", "map[...]", line)
            line = re.sub(r"got \[.*\]$", "got [...]", line)
            if line and "invalid memory address" not in line and "not built yet" not in line:
                found.add(line)
        return found

    def judge(self, name, theirs, mine):
        if isinstance(name, str) and name in MEANT:
            self.meant += 1
            return
        unsupported = "is not supported yet by this build" in mine[2]
        if unsupported and (theirs[0] == 0 or "supported yet" not in theirs[2]):
            self.apart += 1
            return
        if theirs[0] == mine[0] and self.lines(theirs[1] + theirs[2]) == self.lines(mine[1] + mine[2]):
            self.same += 1
            return
        if "/multiple_errors.conf" in name and self.lines(mine[2]) <= self.lines(theirs[2]):
            self.apart += 1  # the rest lies within accounts and cluster
            return
        self.different.append((name, theirs, mine))

    def check(self, text, directory):
        path = os.path.join(directory, "t.conf")
        with open(path, "wb") as file:
            file.write(text.encode("utf8"))
        args = ["-t", "-c", "t.conf"]
        self.judge(text, self.run(self.peer, args, directory), self.run(self.ours, args, directory))

    def start(self, text, directory):
        with open(os.path.join(directory, "t.conf"), "w") as file:
            file.write(text)
        args = ["-a", "127.0.0.1", "-p", "-1", "-c", "t.conf"]
        self.judge(text, self.run(self.peer, args, directory), self.run(self.ours, args, directory))

    def usage(self, args, directory):
        # The peer writes its usage to stdout and exits with 0; ours keeps to stderr and 2.
        theirs, mine = self.run(self.peer, args, directory), self.run(self.ours, args, directory)
        if mine[0] == 2 and mine[1] == "" and mine[2].splitlines()[:1] == theirs[2].splitlines()[:1]:
            self.same += 1
        else:
            self.different.append((args, theirs, mine))

    def reload(self, text, directory, more=""):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        before, after = os.path.join(directory, "t.conf"), os.path.join(directory, "after.conf")
        base = BASE % port + (more and more + "}\n")
        if more:
            changed = BASE % port + more + text + "\n"
        elif text.startswith("authorization"):
            changed = base.splitlines()[0] + "\n" + text + "\n"
        else:
            changed = base + text + "\n"
        with open(before, "w") as file:
            file.write(base)
        with open(after, "w") as file:
            file.write(changed)
        mine = self.run(self.ours, ["-c", "t.conf", "--reload-to", "after.conf"], directory)[1]
        log = os.path.join(directory, "log")
        with open(log, "w") as file:
            server = subprocess.Popen([self.peer, "-c", "t.conf"], cwd=directory, stderr=file)
        read = lambda: open(log).read()
        try:
            self.wait(lambda: "Server is ready" in read())
            with open(before, "w") as file:
                file.write(changed)
            server.send_signal(signal.SIGHUP)
            self.wait(lambda: "Reloaded server configuration" in read() or "Failed to reload" in read())
        finally:
            server.kill()
            server.wait()
        theirs = []
        for line in read().splitlines():
            line = re.sub(r"^\[\d+\] (\S+ \S+ )?\[\w+\] ", "", line)
            line = re.sub(r"^Failed to reload server configuration: ", "", line)
            theirs.append(line)
        start = next(i for i, line in enumerate(theirs) if line.startswith("Trapped")) + 1
        if mine.endswith("\n") and "not supported yet by this build" in mine:
            self.apart += 1
            return
        theirs = [line.replace("\0", "EOF") for line in theirs[start:] if line and
                  "invalid memory address" not in line and
                  not line.startswith(("Reloaded server conf", "[DBG]")) and "[DBG]" not in line]
        mine = [line.replace("after.conf", "t.conf") for line in mine.splitlines() if line]
        if theirs == mine:
            self.same += 1
        else:
            self.different.append(("reload " + text, theirs, mine))

    @staticmethod
    def wait(condition):
        end = time.monotonic() + 10
        while not condition() and time.monotonic() < end:
            time.sleep(0.02)

    def files(self, root):
        for folder, _, names in sorted(os.walk(root)):
            for name in sorted(names):
                if name.endswith((".conf", ".json")):
                    path = os.path.join(folder, name)
                    args = ["-t", "-c", path]
                    self.judge(path, self.run(self.peer, args, os.path.dirname(root)),
                               self.run(self.ours, args, os.path.dirname(root)))


def main():
    comparison = Comparison(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
    with tempfile.TemporaryDirectory() as directory:
        for name, text in FILES.items():
            os.makedirs(os.path.dirname(os.path.join(directory, name)), exist_ok=True)
            with open(os.path.join(directory, name), "w") as file:
                file.write(text)
        for text in LANGUAGE + OPTIONS + ACCOUNTS + AUTHORIZATION:
            comparison.check(text, directory)
        for text in JETSTREAM:
            comparison.check("jetstream: %s" % text, directory)
        for text in PERMISSIONS:
            comparison.check("authorization {users: [{user: a, permissions: %s}]}" % text, directory)
            comparison.check("authorization {\n default_permissions: %s\n}" % text, directory)
        for text in START:
            comparison.start(text, directory)
        for args in FLAGS:
            comparison.judge(args, comparison.run(comparison.peer, args, directory),
                             comparison.run(comparison.ours, args, directory))
        for text in RELOADS:
            comparison.reload(text, directory)
        for text in JETSTREAM_RELOADS:
            comparison.reload(text, directory, JETSTREAM_BASE % os.path.join(directory, "store"))
        for args in USAGE:
            comparison.usage(args, directory)
    for root in sys.argv[3:]:
        comparison.files(os.path.abspath(root))
    for name, theirs, mine in comparison.different:
        print("DIFFERENT %s" % json.dumps(name))
        print("  peer %s" % (theirs,))
        print("  ours %s" % (mine,))
    print("%d the same, %d refused as not built, %d different on purpose, %d different" %
          (comparison.same, comparison.apart, comparison.meant, len(comparison.different)))
    return 1 if comparison.different else 0


if __name__ == "__main__":
    sys.exit(main())
