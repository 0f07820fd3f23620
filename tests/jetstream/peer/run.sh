#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Records the golden files anew: cases.py makes the cases, the peer's own code (Go module cache) answers them.
set -euo pipefail
cd "$(dirname "$0")"
peer="$(go env GOMODCACHE)/github.com/nats-io/nats-server/v2@v2.15.2"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
# Files of the module cache can not be laid over: the peer is built from a copy.
cp -r "$peer" "$work/peer"
chmod -R u+w "$work/peer"
mkdir "$work/peer/oracle"
cp export.go "$work/peer/server/oracle_export.go"
cp record.go "$work/peer/oracle/main.go"
(cd "$work/peer" && GOFLAGS=-mod=mod GOPROXY=off go build -buildvcs=false -o "$work/record" ./oracle)
[ -z "${KEEP_RECORDER:-}" ] || cp "$work/record" "$KEEP_RECORDER"
for name in "${@:-parse transform schedule consumer}"; do
  for one in $name; do
    python3 -B cases.py "$one" | "$work/record" >"../golden/$one.jsonl"
    wc -l "../golden/$one.jsonl"
  done
done
