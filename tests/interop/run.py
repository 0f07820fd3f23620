#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Interop checks with the official clients: C (libnats), nats-py, @nats-io/transport-node and the nats command line.

    run.py --server build/release/millrace [--shards 1,2,4] [--flags ...] [--only c,py,node,cli]

With --shards the server is started once per number with `--shards N`; without, once with neither. Clients come from where the README
says; one whose registry cannot be reached is skipped by name. The last line is `N passed, N failed, N skipped`; exit code 1 on a failure.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import wire  # noqa: E402
from install import Skip, install, nats_clis  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(HERE))
CLIENTS = os.path.join(HERE, "clients")
BUILD = os.path.join(ROOT, "build", "interop")


# -- where each client comes from

def find_c():
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise Skip("no C compiler")
    os.makedirs(BUILD, exist_ok=True)
    binary = os.path.join(BUILD, "check-c")
    source = os.path.join(CLIENTS, "check.c")
    if not os.path.exists(binary) or os.path.getmtime(binary) < os.path.getmtime(source):
        if not os.path.exists("/usr/include/nats/nats.h") and "CPATH" not in os.environ:
            raise Skip("libnats headers are not installed (Debian: libnats-dev)")
        r = subprocess.run([compiler, "-O1", "-Wall", "-Wextra", "-o", binary, source, "-lnats"], capture_output=True, text=True)
        if r.returncode:
            raise RuntimeError("check.c does not compile:\n" + r.stderr)
    return [binary]


def find_python():
    python = os.environ.get("MILLRACE_NATS_PY")
    if not python:
        home = os.path.join(BUILD, "venv")
        python = os.path.join(home, "bin", "python")
        if subprocess.run([python, "-c", "import nats"], capture_output=True).returncode if os.path.exists(python) else True:
            os.makedirs(BUILD, exist_ok=True)
            install([sys.executable, "-m", "venv", home], "venv")
            install([python, "-m", "pip", "install", "-q", "nats-py"], "nats-py from PyPI")
    return [python, os.path.join(CLIENTS, "check.py")]


def find_node():
    if not shutil.which("node"):
        raise Skip("node is not installed")
    home = os.environ.get("MILLRACE_NATS_NODE")
    if not home:
        home = os.path.join(BUILD, "node")
        if not os.path.isdir(os.path.join(home, "node_modules", "@nats-io", "transport-node")):
            os.makedirs(home, exist_ok=True)
            install(["npm", "install", "--no-fund", "--no-audit", "--prefix", home, "@nats-io/transport-node"], "@nats-io/transport-node from npm")
    return ["node", os.path.join(CLIENTS, "check.mjs"), home]


# -- the nats command line

class Cli:
    def __init__(self, binary, url, directory):
        self.base = [binary, "--server", url, "--timeout", "5s"]
        # Own home: no contexts of the user, nothing written to theirs.
        self.env = dict(os.environ, HOME=directory, XDG_CONFIG_HOME=directory, NO_COLOR="1")
        self.directory = directory
        self.children = []

    def run(self, *args, timeout=60):
        r = subprocess.run(self.base + list(args), capture_output=True, text=True, timeout=timeout, env=self.env, stdin=subprocess.DEVNULL)
        return r.returncode, r.stdout + r.stderr

    def start(self, *args):
        """Output goes to a file: a pipe nobody reads would stop the program."""
        path = os.path.join(self.directory, f"cli-{len(self.children)}.out")
        with open(path, "wb") as out:
            p = subprocess.Popen(self.base + list(args), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=self.env)
        p.output_path = path
        self.children.append(p)
        return p

    def until_done(self, process, action, timeout=60):
        """Repeats an action (publishing) until the process (a subscriber with a count) has had enough. Returns its output."""
        deadline = time.monotonic() + timeout
        while process.poll() is None and time.monotonic() < deadline:
            action()
        code = process.poll()
        if code is None:
            process.kill()
            process.wait()
        with open(process.output_path, encoding="utf-8", errors="replace") as f:
            return (124 if code is None else code), f.read()

    def stop(self):
        for p in self.children:
            if p.poll() is None:
                p.kill()
            p.wait()


def need(condition, output):
    if not condition:
        raise AssertionError(" / ".join(str(output).strip().splitlines()[-6:])[:600])


def cli_pub_sub(cli):
    sub = cli.start("sub", "cli.>", "--count", "3")
    code, out = cli.until_done(sub, lambda: cli.run("pub", "cli.a", "hello {{Count}}", "--count", "3"))
    need(code == 0 and out.count("hello ") == 3, out)


def cli_headers(cli):
    sub = cli.start("sub", "cli.h", "--count", "1")
    code, out = cli.until_done(sub, lambda: cli.run("pub", "cli.h", "body", "-H", "Key:one", "-H", "Other:two"))
    need(code == 0 and "Key: one" in out and "Other: two" in out and "body" in out, out)


def cli_queue(cli):
    subs = [cli.start("sub", "cli.q", "--queue", "workers", "--count", "5") for _ in range(2)]
    deadline = time.monotonic() + 60
    while any(s.poll() is None for s in subs) and time.monotonic() < deadline:
        cli.run("pub", "cli.q", "job", "--count", "10")
    need(all(s.poll() == 0 for s in subs), "a member of the group did not get its five")


def cli_request(cli):
    cli.start("reply", "cli.svc", "answer {{Request}}")
    deadline = time.monotonic() + 30
    while True:
        code, out = cli.run("request", "cli.svc", "question")
        if "answer question" in out:
            return
        need(time.monotonic() < deadline, out)


def cli_no_responders(cli):
    code, out = cli.run("request", "cli.nobody", "x")
    need(re.search("no responders", out, re.I), out)


def cli_large(cli):
    sub = cli.start("sub", "cli.large", "--count", "1", "--raw")
    code, out = cli.until_done(sub, lambda: cli.run("pub", "cli.large", "{{ Random 500000 500000 }}"))
    need(code == 0 and len(out) >= 500000, f"{len(out)} characters came")


def cli_rtt(cli):
    code, out = cli.run("rtt")
    need(code == 0 and re.search(r"[\d.]+(µs|ms|ns)", out), out)


def cli_check(cli):
    code, out = cli.run("server", "check", "connection")
    need(code == 0 and out.startswith("OK"), out)


def cli_account_info(cli):
    code, out = cli.run("account", "info")
    need("Connected Server Version" in out, out)


def cli_bench(cli):
    sub = cli.start("bench", "sub", "cli.bench", "--clients", "2", "--msgs", "20000", "--no-progress")
    code, out = cli.until_done(sub, lambda: need(cli.run("bench", "pub", "cli.bench", "--clients", "2", "--msgs", "20000", "--size", "128", "--no-progress")[0] == 0, "bench pub failed"))
    need(code == 0 and "msgs/sec" in out, out)


def cli_bench_service(cli):
    cli.start("bench", "service", "serve", "cli.bsvc", "--clients", "2", "--no-progress")
    deadline = time.monotonic() + 60
    while True:
        code, out = cli.run("bench", "service", "request", "cli.bsvc", "--clients", "2", "--msgs", "2000", "--no-progress")
        if code == 0 and "msgs/sec" in out:
            return
        need(time.monotonic() < deadline and re.search("no responders", out, re.I), out)


CLI_CHECKS = {"pub/sub": cli_pub_sub, "headers": cli_headers, "queue group": cli_queue, "request/reply": cli_request, "no responders": cli_no_responders, "large message": cli_large,
              "rtt": cli_rtt, "server check connection": cli_check, "account info": cli_account_info, "bench pub/sub": cli_bench, "bench service": cli_bench_service}


class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def add(self, label, verdict, why=""):
        if verdict == "PASS":
            self.passed += 1
        elif verdict == "SKIP":
            self.skipped += 1
        else:
            self.failed += 1
        print(f"{verdict}  {label}{': ' + why if why else ''}", flush=True)


def run_program(tally, label, argv, url):
    # The url goes right after the program (and its script), before any further argument.
    at = 1 if len(argv) == 1 else 2
    try:
        r = subprocess.run(argv[:at] + [url] + argv[at:], capture_output=True, text=True, timeout=180)
        out, code = r.stdout + r.stderr, r.returncode
    except subprocess.TimeoutExpired as e:
        out, code = (e.stdout or b"").decode(errors="replace") + "\n(timed out)", 124
    seen = failed = 0
    for line in out.splitlines():
        m = re.match(r"(PASS|FAIL) ([^:]+)(?:: (.*))?$", line)
        if m:
            seen += 1
            failed += m[1] == "FAIL"
            tally.add(f"{label}: {m[2]}", m[1], m[3] or "")
    if not seen or (code and not failed):
        tally.add(f"{label}: the whole program", "FAIL", f"exit code {code}: " + " / ".join(out.strip().splitlines()[-4:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", required=True)
    parser.add_argument("--shards", default="", help="comma-separated; each is passed to the server as --shards N")
    parser.add_argument("--flags", default="")
    parser.add_argument("--only", default="c,py,node,cli")
    args = parser.parse_args()
    tally = Tally()
    programs = {}
    finders = {"c": ("libnats (C)", find_c), "py": ("nats-py", find_python), "node": ("@nats-io/transport-node", find_node)}
    clis = []
    for key in [k for k in args.only.split(",") if k]:
        if key == "cli":
            clis = nats_clis(lambda why: tally.add("nats CLI", "SKIP", why))
            continue
        label, finder = finders[key]
        try:
            programs[key] = finder()
        except Skip as e:
            tally.add(label, "SKIP", str(e))
        except RuntimeError as e:
            tally.add(label, "FAIL", str(e))
    for shards in [s for s in args.shards.split(",") if s] or [None]:
        suffix = f" [{shards} shards]" if shards else ""
        try:
            server = wire.Server(args.server, wire.split_flags(args.flags) + (["--shards", shards] if shards else []))
        except wire.ServerError as e:
            tally.add("server" + suffix, "FAIL", str(e))
            continue
        with server:
            url = f"nats://127.0.0.1:{server.port}"
            for key, program in programs.items():
                run_program(tally, finders[key][0] + suffix, program, url)
            for label, program in clis:
                for name, check in CLI_CHECKS.items():
                    cli = Cli(program, url, server.dir)
                    try:
                        check(cli)
                        tally.add(f"{label}{suffix}: {name}", "PASS")
                    except (AssertionError, subprocess.TimeoutExpired) as e:
                        tally.add(f"{label}{suffix}: {name}", "FAIL", str(e))
                    finally:
                        cli.stop()
            if not server.alive():
                tally.add("server" + suffix, "FAIL", f"it exited with {server.process.returncode}: {server.log_tail(5)}")
    print(f"{tally.passed} passed, {tally.failed} failed, {tally.skipped} skipped")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
