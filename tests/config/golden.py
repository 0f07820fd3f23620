#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the broker says to configurations and command lines, word for word: the texts of golden.txt against those of the probe.

    golden.py PROBE            compares, prints what differs, exits 1 if anything does
    golden.py PROBE --write    writes golden.txt anew; its diff is what a change means for those who run the broker

compare_with_peer.py tells what is right; this test tells that nothing else has changed, and needs no nats-server. Of --print-config
only the lines are kept that differ from those of an empty command line.
"""
import difflib
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import compare_with_peer as cases  # noqa: E402

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.txt")

# Every key with a value that differs from its default, in two files.
EVERY_KEY = [
    """server_name: n1, client_advertise: 'h:1', debug: true, trace: on, logtime: false, logtime_utc: yes, log_file: /tmp/l
logfile_size_limit: 5MB, logfile_max_num: 3, max_traced_msg_len: 9, connect_error_reports: 2, reconnect_error_reports: 4
max_connections: 0, max_subs: 7, max_sub_tokens: 8, max_control_line: 2KB, max_payload: 9MB, max_pending: 32MB
ping_interval: '30s', ping_max: 5, write_deadline: 3s, write_timeout: retry, max_closed_clients: 11
no_fast_producer_stall: true, no_sublist_cache: true, no_header_support: true, lame_duck_duration: 60s
lame_duck_grace_period: 7s, pidfile: /tmp/p, ports_file_dir: /tmp, http: '127.0.0.1:8222', http_base_path: /x
server_tags: [A, b, a], listen: '127.0.0.1:5', server_metadata: {k: v}, feature_flags: {f: true, g: false}
syslog: true, remote_syslog: 'udp://x:1', trace_headers: true, prof_block_rate: 5, no_system_account: true
authorization {timeout: 3, default_permissions {publish: d}, users: [{user: a, password: x}, {user: 'b"', password: y}]}
no_auth_user: a
millrace { shards: 3, spin_us: 0, batch_wait_us: 150, pin_shards: false, recv_buffer_bytes_small: 1KB, send_bytes_max: 8KB
  recv_buffer_bytes_large: 8KB, recv_buffers_small: 4, recv_buffers_large: 16, ring_bytes: 128KB, mail_inline_bytes_max: 7
  send_bytes_shared: 8KB, outbox_chunk_bytes: 32KB, output_high_water: 8KB, bytes_per_turn: 8KB, uring_entries: 128
  match_cache_entries: 128, store_lock_wait: 90s, js_durability: async, js_wal_file_bytes: 1MB, js_wal_files: 4
  js_block_cache_bytes: 2MB, js_scrub_bytes_per_second: 0, js_block_bytes: 64KB, auth_helpers: 2, auth_checks_max: 9 }
""",
    """authorization {user: u, password: p}
jetstream {store_dir: '/tmp/x', strict: false, max_mem: 1GB, max_file: '2G', sync: always, domain: hub, unique_tag: ' A '
  request_queue_limit: 5, info_queue_limit: 4, max_concurrent_io: 8, max_buffered_size: '1K', max_buffered_msgs: 9
  extension_hint: no_extend, key: a, prev_key: b, cipher: aes
  limits { max_request_batch: 1, max_ack_pending: 2, max_ha_assets: 3, default_max_consumers: -1, duplicate_window: '1m'
    batch { max_inflight_per_stream: 4, max_inflight_total: 5, max_msgs: 6, timeout: '7s' } } }
""",
]

MORE = EVERY_KEY + [
    # several errors in one file, and what ends a block
    "authorization {foo: 1, user: 5, bar: 2}", "authorization {foo: 1, users: [{user: a, foo: 2, nkey: 5, bar: 3}], baz: 4}",
    "authorization {user: a, users: [5], token: b}", "authorization {user: a, users: 5}", "authorization {timeout: x, foo: 1}",
    "authorization {users: [{user: a, permissions: 5, clients: 5}, {user: b, foo: 1}, {}, {user: c, foo: 2}]}",
    "authorization {users: [{nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4, user: a}]}",
    "authorization {proxy_required: true, auth_callout {issuer: x}, users: [{user: a, proxy_required: true}]}",
    "authorization {auth_hook {issuer: x}}", "authorization {users: [{user: a, permissions: {publish: {allow: [a..b], deny: 5}}}]}",
    "authorization {default_permission: {pub: a}, users: [{user: a, authorization: {sub: 'b q'}, connection_types: [mqtt, x, y]}]}",
    "authorization {users: [{user: a, permissions: {allow_responses: {max: x, foo: 1}, foo: 2}}]}",
    "authorization {users: [{user: a}, {user: b}, {user: a}], default_permissions: {sub: x}}", "authorization {token: t}",
    "authorization {user: u, pass: '$2a$10$UHR6GhotWhpLsKtVP0/i6.Nh9.fuY73cWjLoJjb2sKT8KISBcUW5q'}",
    "max_payload: 4MB\nmax_pending: 1MB\nserver_name: a\nno_auth_user: b", "host: ''", "port: 0", "http_port: 0", "ping_max: 0",
    "max_closed_clients: 0", "auth_timeout: 5", "username: a", "http_host: x", "password: x", "token: x", "http: '[::1]:-1'",
    "https: 'h:8443'", "https_port: 1", "trace_verbose: true\ntrace: false", "trace_headers: 5", "monitor_port: 5",
    # what is not built, and the keys within
    "tls {cert_file: a}", "tls {certs [{foo: 1}]}", "tls {ocsp_peer {foo: 1}, bar: 2}", "tls: true", "ocsp: true", "ocsp {foo: 1}",
    "ocsp_cache {foo: 1}", "accounts {A {users [{foo: 1}], limits {foo: 1}}}", "accounts {A: 5, B {bar: 1}}", "operator: x",
    "roots: x", "trusted: [x]", "resolver: MEMORY", "resolver {foo: 1}", "resolver_tls {foo: 1}", "resolver_preload {a: b}",
    "resolver_pinned_accounts: [a]", "default_sentinel: x", "system_account: x", "system: SYS", "proxies {trusted [{foo: 1}]}",
    "proxy_protocol: true", "mappings {a: b}", "maps {a: b}", "cluster {port: 1, foo: 1, tls {foo: 2}, permissions {foo: 3}}",
    "cluster {routes: [], listen: x, compression {foo: 1}, authorization {foo: 2, users [{foo: 3}]}}", "cluster_name: x",
    "cluster_name: ''", "gateway {gateways [{foo: 1}], tls {foo: 2}}", "leafnodes {remotes [{url: a, foo: 1, tls {foo: 2}}], foo: 3}",
    "leafnodes {remotes [{proxy {foo: 1}, js_cluster_migrate {foo: 2}}]}", "leaf {remotes [{url: a}]}", "leaf {authorization {foo: 1}}",
    "websocket {foo: 1, authentication {foo: 2}}", "ws {port: 1}", "mqtt {port: 1}", "mqtt {}", "mqtt {enabled: false, port: 1}",
    "default_js_domain {A: b}", "prof_port: 1", "prof_block_rate: 1", "connect_error_reports: 1", "reconnect_error_reports: 1",
    "allow_non_tls: true", "allow_non_tls: 5", "jetstream {tpm {keys_file: x}}", "jetstream {meta_compact: 5}",
    "jetstream {meta_compact_size: 5}", "jetstream {meta_compact_sync: true}", "jetstream {max_outstanding_catchup: 5}",
    "cluster [{foo: 1}]", "tls [{foo: 1}, {bar: 2}]", "X {foo: 1}\ncluster: $X", "tls {X: 1, timeout: $X}",
    # our own block
    "millrace: 5", "millrace {foo: 1}", "millrace {Shards: 2, JS_WAL_FILES: 2}", "millrace {shards: x}", "millrace {js_durability: x}",
    "millrace {js_durability: 5}", "millrace {store_lock_wait: 5}", "millrace {store_lock_wait: '-5s'}", "millrace {store_lock_wait: x}",
    "millrace {js_wal_files: 1}", "millrace {js_block_bytes: 100000}", "millrace {ring_bytes: 65536, mail_inline_bytes_max: 16384}",
    "millrace {recv_buffers_small: 3}", "millrace {uring_entries: 99999}", "millrace {match_cache_entries: 1}", "millrace {spin_us: 9999}",
    # near misses
    "jetstrem {}", "max_paylod: 1", "lame_duck: 1", "sytem_account: 1", "http_prt: 1", "htps: 1", "leafnode: 1", "clustr: 1",
    "wbsocket: 1", "authorisation {}", "mllrace {}", "milrace {}", "tsl {}", "log: 1", "loglevel: 1", "jetstream {maxmem: 1}",
    "jetstream {limit {}}", "jetstream {limits {max_ack: 1, batch {max_msg: 1}}}", "jetstream {dommain: x, tmp {}}",
    "authorization {usr: a, passwrd: b, tokn: c, timout: d}", "authorization {users: [{usr: a}]}", "millrace {shrads: 1, spin: 1}",
    "authorization {user_s: [], permision: {}, auth_calout: 1}", "x: 1", "pots: 1", "pings: 1", "names: 1",
]

COMMANDS = [
    ["-h"], ["--help"], ["help"], ["--help_tls"], ["-v"], ["--print-config"], ["--print_config"], ["-t"], ["-c"], ["-c", "nope.conf"],
    ["-p", "-1", "-a", "::1", "-n", "x", "-m", "8222", "--client_advertise", "h:1", "-P", "/tmp/p", "--ports_file_dir", "/tmp"],
    ["--name=a b"], ["--net", "h", "--addr", "g"], ["-D"], ["-V"], ["-DV"], ["-VV"], ["-DVV"], ["-DVV=false", "-D"], ["-D", "-DV=0"],
    ["-T=0"], ["--logtime=false", "--logtime_utc"], ["-l", "/tmp/x", "--log_size_limit=0x10"], ["-s"], ["-r", "udp://a:1"],
    ["--syslog=maybe"], ["--max_traced_msg_len", "5"], ["--max_traced_msg_len", "9999999999"], ["-js", "-sd", "/tmp/x"],
    ["--jetstream", "--store_dir=/tmp/y"], ["--js-key", "a", "--js-prev-key", "b", "--js-cipher", "AES"], ["--js-cipher=des"],
    ["--js_cipher=ChaChaPoly"], ["--user", "u", "--pass", "p"], ["--auth", "t"], ["--shards", "2", "--pin_shards=f"], ["--shards", "0"],
    ["--shards=x"], ["--spin-us", "5", "--batch-wait-us=6"], ["--js-durability", "async"], ["--js-durability", "maybe"],
    ["--js_wal_file_bytes=1048576"], ["--js-wal-files=1"], ["--js-block-cache-bytes=5"], ["--js-block-bytes=65536"],
    ["--js-scrub-bytes-per-second=0"], ["--store_lock_wait", "1m30s"], ["--store-lock-wait=-1s"], ["--store_lock_wait=soon"],
    ["--tls"], ["--tls=false"], ["--tls=false", "--tlscert", "x"], ["--tlscert=a", "--tlskey=b"], ["--tls", "--tlscert=a"],
    ["--tls", "--tlscert=a", "--tlskey=b"], ["--tls", "--routes=nats://x:1"], ["--routes=x", "--cluster=y"], ["--cluster_listen=y"],
    ["--cluster="], ["--cluster_name", "x"], ["--cluster_name=x", "--connect_retries=5", "--no_advertise"], ["--no_advertise=false"],
    ["--cluster_advertise=h"], ["--connect_retries=0"], ["--connect_retries=x"], ["--tlsverify=maybe"], ["--https_port", "5"],
    ["-ms", "5"], ["-ms", "0"], ["--profile", "5"], ["--profile", "0"], ["--no_advertise=maybe"], ["--tlscacert"],
    ["-m", "x"], ["--jetstream=2"], ["-p=5", "-p=6"], ["--port", "7", "word"],
]

# The file before, the file after, and flags that both have.
RELOADS = [(cases.BASE % 4222, cases.BASE % 4222 + text, []) for text in cases.RELOADS if not text.startswith("authorization")] + [
    (cases.BASE % 4222, "listen: '127.0.0.1:4222'\n" + text, []) for text in cases.RELOADS if text.startswith("authorization")] + [
    (cases.JETSTREAM_BASE % "/tmp/x" + "}", cases.JETSTREAM_BASE % "/tmp/x" + text, []) for text in cases.JETSTREAM_RELOADS] + [
    ("", EVERY_KEY[0], []), (EVERY_KEY[0], "", []), ("", EVERY_KEY[1], []), (EVERY_KEY[1], "", []), (EVERY_KEY[0], EVERY_KEY[0], []),
    ("debug: true", "debug: false", ["-D"]), ("pid_file: a", "pid_file: ''", []), ("log_file: a", "log_file: ''", []),
    ("no_fast_producer_stall: true", "no_fast_producer_stall: false", []), ("jetstream {key: a}", "jetstream {key: b}", []),
    ("port: -1\nhttp_port: -1", "port: -1\nhttp_port: -1\ndebug: true", []), ("http_port: 1", "http_port: -1", []),
    ("jetstream {cipher: aes}", "jetstream {cipher: chacha}", []), ("", "client_advertise: 'a:b:c'", []),
    ("jetstream {store_dir: '/tmp/a'}", "jetstream {store_dir: '/tmp/b'}", []), ("jetstream {store_dir: '/tmp/a'}", "jetstream {}", []),
    ("jetstream {}", "", []), ("jetstream {max_mem: 1G}", "jetstream {}", []), ("jetstream {}", "jetstream {max_mem: 1G}", []),
    ("millrace {js_wal_files: 3}", "millrace {js_wal_files: 4}", []), ("", "millrace {store_lock_wait: 5s}", []),
    ("authorization {user: a, password: b}", "authorization {user: a, password: c, timeout: 5}", []), ("", "tls {cert_file: x}", []),
    ("authorization {token: a}", "authorization {token: b}", []), ("", "syslog: true\nremote_syslog: x\nserver_tags: a", []),
]
RELOADS += [("", line, []) for line in cases.OPTIONS if not line.startswith("log")]


def run(probe, args, directory):
    done = subprocess.run([probe, *args], cwd=directory, env=dict(os.environ, **cases.ENVIRONMENT), timeout=60, capture_output=True)
    text = done.stdout.decode("utf8", "replace") + done.stderr.decode("utf8", "replace")
    return "%d " % done.returncode + text.replace("\0", "EOF")


def without_machine(text):
    return re.sub(r"(?m)^  shards: \d+ +# default\n", "", text)  # as many as there are CPUs


def write(directory, name, text):
    with open(os.path.join(directory, name), "wb") as file:
        file.write(text.encode("utf8"))


def answers(probe, directory):
    """Pairs of what was asked and what came, in a fixed order."""
    usage = run(probe, ["-h"], directory)[2:]
    plain = without_machine(run(probe, ["--print-config"], directory)).split("\n")

    def print_config(args):
        text = without_machine(run(probe, [*args, "--print-config"], directory))
        return "\n".join(line for line in text.split("\n") if line not in plain)

    for name, text in cases.FILES.items():
        os.makedirs(os.path.dirname(os.path.join(directory, name)), exist_ok=True)
        write(directory, name, text)
    texts = cases.LANGUAGE + cases.OPTIONS + cases.ACCOUNTS + cases.AUTHORIZATION + cases.START + MORE
    texts += ["jetstream: " + text for text in cases.JETSTREAM]
    texts += ["authorization {users: [{user: a, permissions: %s}]}" % text for text in cases.PERMISSIONS]
    for text in texts:
        write(directory, "t.conf", text)
        test = run(probe, ["-t", "-c", "t.conf"], directory)
        yield text, test
        start = run(probe, ["-c", "t.conf"], directory)
        if start != test:
            yield text + " (start)", start
        if start.startswith("0"):
            yield text + " (print)", print_config(["-c", "t.conf"])
    for args in cases.FLAGS + cases.USAGE + COMMANDS:
        answer = without_machine(run(probe, args, directory))
        yield " ".join(args), answer if args == ["-h"] else answer.replace(usage, "USAGE\n")
        if answer == "0 ":
            yield " ".join(args) + " (print)", print_config(args).replace(usage, "USAGE\n")
    for before, after, flags in RELOADS:
        write(directory, "t.conf", before)
        write(directory, "after.conf", after)
        yield "reload %s -> %s" % (before, after), run(probe, ["-c", "t.conf", *flags, "--reload-to", "after.conf"], directory)


def main():
    probe = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as directory:
        text = "".join("=== %r\n%s\n" % (asked, came.rstrip("\n").replace("\t", "\\t")) for asked, came in answers(probe, directory))
    text = re.sub(r"[ ]+$", "", text, flags=re.M)
    if "--write" in sys.argv:
        with open(GOLDEN, "w", encoding="utf8") as file:
            file.write(text)
        return 0
    with open(GOLDEN, encoding="utf8") as file:
        expected = file.read()
    for line in difflib.unified_diff(expected.splitlines(), text.splitlines(), "golden.txt", "now", lineterm="", n=2):
        print(line)
    print("golden: %d answers, %s" % (text.count("=== "), "the same" if text == expected else "not the same"))
    return 0 if text == expected else 1


if __name__ == "__main__":
    sys.exit(main())
