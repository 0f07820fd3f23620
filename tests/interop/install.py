# SPDX-License-Identifier: Apache-2.0
"""Installs what the checks use of others, below build/: what cannot be had because its registry is out of reach is a Skip."""
import os
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INSTALL_TIMEOUT_S = 300

NATS_CLI = "github.com/nats-io/natscli"
NATS_CLI_VERSION = "v0.5.1"


class Skip(Exception):
    pass


def install(argv, what, **options):
    """What the command says on its standard output."""
    try:
        r = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, **options)
    except FileNotFoundError:
        raise Skip(f"{what}: {argv[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Skip(f"{what}: no answer within {INSTALL_TIMEOUT_S} s") from None
    if r.returncode:
        # Only an unreachable registry is a reason to skip, but no client tells it in the same words: name what it said.
        lines = [line for line in (r.stderr or r.stdout).strip().splitlines() if "error" in line.lower()] or ["?"]
        raise Skip(f"{what}: {lines[0][:200]}")
    return r.stdout


def nats_cli(version):
    folder = os.path.join(ROOT, "build", "tools", "natscli-" + version)
    binary = os.path.join(folder, "nats")
    if not os.path.exists(binary):
        os.makedirs(folder, exist_ok=True)
        install(["go", "install", f"{NATS_CLI}/nats@{version}"], f"nats CLI {version} from the Go module proxy",
                env=dict(os.environ, GOBIN=folder))
    return binary


def nats_clis(on_skip):
    """[(what it is called, its binary)]: the pinned version and the newest one; MILLRACE_NATS_CLI is the only one when it is set.
    on_skip(text) for what cannot be had."""
    given = os.environ.get("MILLRACE_NATS_CLI")
    if given:
        return [("nats CLI", given)]
    found = []
    versions = [NATS_CLI_VERSION]
    try:
        newest = install(["go", "list", "-m", "-f", "{{.Version}}", NATS_CLI + "@latest"],
                         "newest nats CLI from the Go module proxy", cwd="/").strip()
        versions += [newest] if newest != NATS_CLI_VERSION else []
    except Skip as e:
        on_skip(str(e))
    for version in versions:
        try:
            found.append((f"nats CLI {version}", nats_cli(version)))
        except Skip as e:
            on_skip(str(e))
    return found
