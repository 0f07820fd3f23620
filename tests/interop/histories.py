#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random histories of JetStream on small volumes, with kill -9: what was confirmed stays readable, room that is made is
room again, and disk in use stays within its bounds (docs/durability.md, "Disk in use").

    histories.py --server build/release/millrace [--seeds 1:300] [--jobs 2] [--steps 40] [--verbose]

A seed makes a volume of 30 to 300 MB (ext4 on a loop device; needs root), a size of the log, four streams (limits, key-value,
work queue, ages) and a list of steps: bursts of publishes, purges, deletes, acknowledgements, limits lowered and raised,
streams deleted and made again, kill -9 in the middle of a burst, stops, and pauses. A model knows what must be there, what must
not, and what may be either: messages that were sent and not confirmed when the server was killed.
The last line is `N passed, N failed, N skipped`; exit code 1 on a failure.
"""
import argparse
import concurrent.futures
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wire  # noqa: E402

MIB = 1 << 20
ANSWER_S = 20           # an answer that takes longer is none
RESUME_S = 2.0          # publishing resumes within this time once there is room
QUIET_S = 10.0          # disk in use is within its bound after this much quiet
AGE_S = 4.0             # max_age of the stream AGES
AGE_SLACK_S = 3.0
FULL = (10023, 10047)
FS_BYTES = MIB          # what the file system itself takes for directories and extents
AIR_BYTES = 4 * MIB     # what is on its way when producers are paused, besides a file of the log


class Violation(Exception):
    pass


class Volume:
    """A file system of its own."""

    def __init__(self, size):
        self.dir = tempfile.mkdtemp(prefix="history-")
        self.image = os.path.join(self.dir, "image")
        self.path = os.path.join(self.dir, "volume")
        os.mkdir(self.path)
        with open(self.image, "wb") as f:
            f.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1", self.image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True, capture_output=True)
        self.overhead = self._used()

    def folders(self):
        sizes = {}
        for folder, _, files in os.walk(self.path):
            for name in files:
                try:
                    sizes[os.path.basename(folder)] = sizes.get(os.path.basename(folder), 0) + \
                        os.stat(os.path.join(folder, name)).st_blocks // 2
                except OSError:
                    pass  # it has gone
        return ", ".join(f"{folder} {kib} KiB" for folder, kib in sorted(sizes.items()))

    def _used(self):
        stat = os.statvfs(self.path)
        return (stat.f_blocks - stat.f_bfree) * stat.f_frsize

    def used(self):
        return self._used() - self.overhead

    def free(self):
        stat = os.statvfs(self.path)
        return stat.f_bavail * stat.f_frsize

    def close(self):
        deadline = time.monotonic() + 5
        while subprocess.run(["umount", self.path], capture_output=True, check=False).returncode != 0:
            if time.monotonic() > deadline:
                subprocess.run(["umount", "-l", self.path], capture_output=True, check=False)
                break
            time.sleep(0.1)
        shutil.rmtree(self.dir, ignore_errors=True)


class Client:
    """Requests by number; every answer is kept until somebody asks for it."""

    def __init__(self, port):
        self.wire = wire.Connection(port, timeout=ANSWER_S)
        self.wire.send(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB r.> 1\r\nPING\r\n')
        self.next = 0
        self.answers = {}
        while self.wire.read_line() != b"PONG":
            pass

    def send(self, subject, body=b"", header=b""):
        self.next += 1
        if header:
            self.wire.send(b"HPUB %s r.%d %d %d\r\n%s%s\r\n" % (subject, self.next, len(header), len(header) + len(body),
                                                              header, body))
        else:
            self.wire.send(b"PUB %s r.%d %d\r\n%s\r\n" % (subject, self.next, len(body), body))
        return self.next

    def read(self):
        """One message: (number, subject, reply, header, body)."""
        while True:
            line = self.wire.read_line()
            if line.startswith((b"MSG ", b"HMSG ")):
                break
            if line == b"PING":
                self.wire.send(b"PONG\r\n")
            elif line.startswith(b"-ERR"):
                raise Violation(line.decode())
        words = line.split()
        head = int(words[-2]) if words[0] == b"HMSG" else 0
        has_reply = len(words) == (6 if words[0] == b"HMSG" else 5)
        data = self.wire.read_exactly(int(words[-1]) + 2)
        number = int(words[1].split(b".")[1]) if words[1].startswith(b"r.") else 0
        return number, words[1], words[3] if has_reply else b"", data[:head], data[head:-2]

    def ask(self, subject, body=b""):
        wanted = self.send(subject, body)
        while True:
            number, _, _, header, answer = self.read()
            if number == wanted:
                return header, answer
            self.answers[number] = (header, answer)

    def api(self, name, request=None):
        header, answer = self.ask(b"$JS.API." + name.encode(), b"" if request is None else json.dumps(request).encode())
        if header and not answer:
            raise Violation(f"{name}: {header!r}")
        return json.loads(answer)

    def close(self):
        self.wire.close()


def payload(stream, number, size):
    """Tells whose it is, and from there every byte."""
    head = b"%s %d " % (stream.encode(), number)
    rest = size - len(head)
    if rest <= 0:
        return head
    unit = b"%016x" % ((number * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF)
    return head + (unit * (rest // 16 + 1))[:rest]


class Stream:
    """What must be there of one stream."""

    def __init__(self, name, config):
        self.name = name
        self.config = dict(config, name=name, allow_direct=True, num_replicas=1)
        self.sure = {}       # seq: (subject, number, size, time of the answer)
        self.maybe = {}      # number: (subject, size): sent, the answer never came
        self.gone = set()    # numbers of messages that were removed, and confirmed to be
        self.doubtful = False  # a removal was sent whose answer never came: what is sure may be gone

    def bytes(self):
        return sum(size for _, _, size, _ in self.sure.values())

    def remove(self, seq):
        self.gone.add(self.sure.pop(seq)[1])

    def apply_limits(self):
        per_subject = self.config.get("max_msgs_per_subject", 0)
        if per_subject > 0:
            by_subject = {}
            for seq in sorted(self.sure):
                by_subject.setdefault(self.sure[seq][0], []).append(seq)
            for seqs in by_subject.values():
                for seq in seqs[:-per_subject]:
                    self.remove(seq)
        limit = self.config.get("max_msgs", -1)
        if limit > 0:
            for seq in sorted(self.sure)[:-limit]:
                self.remove(seq)


STREAMS = {
    "PLAIN": {"subjects": ["PLAIN.>"]},
    "KV": {"subjects": ["KV.>"], "max_msgs_per_subject": 1, "allow_rollup_hdrs": True},
    "WORK": {"subjects": ["WORK.>"], "retention": "workqueue"},
    "AGES": {"subjects": ["AGES.>"], "max_age": int(AGE_S * 1e9)},
}


class History:
    def __init__(self, seed, binary, steps, verbose):
        self.seed = seed
        self.random = random.Random(seed)
        self.binary = binary
        self.steps = steps
        self.verbose = verbose
        self.log = []
        self.size = self.random.choice((30, 40, 64, 100, 200, 300)) * MIB
        self.wal_file = self.random.choice([n for n in (1, 2, 4, 16) if n * MIB * 6 < self.size]) * MIB
        self.shards = self.random.choice((1, 2))
        self.number = 0
        self.streams = {}
        self.server = self.client = self.volume = None
        self.full = False
        self.resumed_s = 0.0
        self.worst = 0.0      # disk in use after quiet, in units of its bound
        self.peaks = []       # (time, live bytes): for the bound under load

    def note(self, text):
        self.log.append(text)
        if self.verbose:
            print(f"  {self.seed}: {text}", flush=True)

    # --- the server

    def start(self):
        flags = ["-js", "-sd", self.volume.path, "--js-wal-file-bytes", str(self.wal_file), "--shards", str(self.shards)]
        self.server = wire.Server(self.binary, flags)
        self.client = Client(self.server.port)

    def kill(self, how):
        self.server.process.send_signal(how)
        try:
            code = self.server.process.wait(20)
        except subprocess.TimeoutExpired:
            raise Violation("the server does not end") from None
        if how == signal.SIGTERM and code != 0:
            raise Violation(f"exit code {code} after SIGTERM: {self.server.log_tail(5)}")
        self.client.close()
        shutil.rmtree(self.server.dir, ignore_errors=True)
        self.server = None

    def make(self, name):
        answer = self.client.api("STREAM.CREATE." + name, dict(STREAMS[name], name=name, allow_direct=True))
        if "error" in answer:
            if answer["error"].get("err_code") in FULL:
                return False
            raise Violation(f"create {name}: {answer}")
        self.streams[name] = Stream(name, STREAMS[name])
        if name == "WORK":
            answer = self.client.api("CONSUMER.DURABLE.CREATE.WORK.W",
                                     {"stream_name": "WORK", "config": {"durable_name": "W", "ack_policy": "explicit",
                                                                        "ack_wait": 600 * 10**9, "max_ack_pending": -1}})
            if "error" in answer:
                self.client.api("STREAM.DELETE.WORK")
                del self.streams[name]
                return False
        return True

    # --- what there is

    def read_all(self, stream):
        """{seq: (subject, body)} by DIRECT.GET, batch by batch."""
        found, after = {}, 1
        while True:
            wanted = self.client.send(b"$JS.API.DIRECT.GET." + stream.name.encode(),
                                      json.dumps({"seq": after, "batch": 500, "max_bytes": 4 * MIB}).encode())
            ended, count = False, 0
            while not ended:
                number, _, _, header, body = self.client.read()
                if number != wanted:
                    continue
                first = header.split(b"\r\n", 1)[0]
                if b" 404" in first or b" 204" in first or b" 408" in first:
                    ended = True
                    continue
                fields = dict(line.split(b": ", 1) for line in header.split(b"\r\n")[1:] if b": " in line)
                seq = int(fields[b"Nats-Sequence"])
                found[seq] = (fields[b"Nats-Subject"].decode(), body)
                after = seq + 1
                count += 1
            if count == 0:
                return found

    def check(self):
        for name, stream in list(self.streams.items()):
            info = self.client.api("STREAM.INFO." + name)
            if "error" in info:
                if stream.doubtful:
                    del self.streams[name]
                    continue
                raise Violation(f"{name} is gone: {info['error']}")
            found = self.read_all(stream)
            if name != "AGES" and info["state"]["messages"] != len(found):
                raise Violation(f"{name}: {info['state']['messages']} messages, {len(found)} can be read")
            now = time.monotonic()
            for seq, (subject, body) in found.items():
                words = body.split(b" ", 2)
                number = int(words[1])
                if number in stream.gone:
                    raise Violation(f"{name}: message {number} was removed, and is back at {seq}")
                known = stream.sure.get(seq)
                if known is None:
                    if number not in stream.maybe:
                        raise Violation(f"{name}: nobody knows of {number} at {seq}")
                    subject_sent, size = stream.maybe[number]
                    known = (subject_sent, number, size, now)
                if known[0] != subject or body != payload(name, known[1], known[2]):
                    raise Violation(f"{name}: {seq} is not what was published")
            replaced = {}
            for seq, (subject, body) in found.items():
                replaced[subject] = max(replaced.get(subject, 0), seq)
            for seq, (subject, number, size, at) in list(stream.sure.items()):
                if seq in found or stream.doubtful:
                    continue
                if name == "AGES" and now - at > AGE_S - 0.5:
                    continue
                if name == "KV" and replaced.get(subject, 0) > seq:
                    continue  # by one that was not confirmed
                raise Violation(f"{name}: message {number} at {seq} was confirmed, and is lost")
            if name == "AGES":
                for seq, (_, number, _, at) in stream.sure.items():
                    if seq in found and now - at > AGE_S + AGE_SLACK_S and not self.full:
                        raise Violation(f"{name}: message {number} at {seq} is {now - at:.1f} s old")
            sure = {}
            for seq, (subject, body) in found.items():
                number = int(body.split(b" ", 2)[1])
                sure[seq] = stream.sure.get(seq, (subject, number, len(body), now))
            stream.sure, stream.maybe, stream.doubtful = sure, {}, False

    def live(self):
        total = 0
        for name in self.streams:
            total += self.client.api("STREAM.INFO." + name)["state"]["bytes"]
        return total

    def log_bytes(self):
        return 3 * self.wal_file

    # --- steps

    def publish(self, stream, count, size_max, answers=True):
        sent = {}
        for _ in range(count):
            self.number += 1
            size = self.random.randint(40, size_max)
            subject = f"{stream.name}.{self.random.randrange(50)}"
            try:
                sent[self.client.send(subject.encode(), payload(stream.name, self.number, size))] = (
                    subject, self.number, time.monotonic())  # its age begins soon after
            except OSError:
                pass
            stream.maybe[self.number] = (subject, max(size, len(payload(stream.name, self.number, size))))
            if len(sent) >= 64 and answers:
                self.collect(stream, sent)
        if answers:
            self.collect(stream, sent)
        return sent

    def collect(self, stream, sent):
        while sent:
            number, _, _, header, body = self.client.read()
            if number not in sent:
                continue
            subject, message, sent_at = sent.pop(number)
            if not body:
                raise Violation(f"publish to {stream.name}: {header!r}")
            answer = json.loads(body)
            error = answer.get("error")
            if error is None:
                stream.sure[answer["seq"]] = (subject, message, stream.maybe.pop(message)[1], sent_at)
                self.full = False
            elif error.get("err_code") in FULL:
                del stream.maybe[message]
                stream.gone.add(message)
                self.full = True
            else:
                raise Violation(f"publish to {stream.name}: {error}")
        stream.apply_limits()

    def step_publish(self):
        stream = self.streams[self.random.choice(sorted(self.streams))]
        size_max = self.random.choice((200, 2000, 16000, 200000))
        count = self.random.randint(1, max(2, min(800, self.size // 4 // size_max)))
        self.publish(stream, count, size_max)
        return f"publish {count} of {size_max} to {stream.name}{', full' if self.full else ''}"

    def step_fill(self):
        stream = self.streams[self.random.choice(sorted(self.streams))]
        sent = 0
        while not self.full and sent < self.size:
            self.publish(stream, 100, 64000)
            sent += 100 * 32000
            self.look_under_load()
        return f"fill {stream.name}: {sent >> 20} MiB{', full' if self.full else ''}"

    def step_churn(self):
        """More than the volume holds passes through a few keys."""
        stream = self.streams.get("KV")
        if stream is None:
            return "no KV"
        passed = 0
        while passed < self.size * 3 // 2 and not self.full:
            self.publish(stream, 200, 60000)
            passed += 200 * 30000
            self.look_under_load()
        return f"churn: {passed >> 20} MiB through KV{', full' if self.full else ''}"

    def step_purge(self):
        stream = self.streams[self.random.choice(sorted(self.streams))]
        request, kept = {}, set()
        seqs = sorted(stream.sure)
        how = self.random.choice(("all", "keep", "seq", "filter"))
        if how == "keep":
            request["keep"] = self.random.randint(1, 20)
            kept = set(seqs[-request["keep"]:])
        elif how == "seq" and seqs:
            request["seq"] = self.random.choice(seqs)
            kept = {seq for seq in seqs if seq >= request["seq"]}
        elif how == "filter":
            request["filter"] = f"{stream.name}.{self.random.randrange(50)}"
            kept = {seq for seq in seqs if stream.sure[seq][0] != request["filter"]}
        answer = self.client.api("STREAM.PURGE." + stream.name, request)
        if "error" in answer:
            raise Violation(f"purge {stream.name} {request}: {answer['error']}")
        removed = [seq for seq in seqs if seq not in kept]
        if stream.name != "AGES" and answer["purged"] != len(removed):
            raise Violation(f"purge {stream.name} {request}: {answer['purged']} of {len(removed)}")
        for seq in removed:
            stream.remove(seq)
        return f"purge {stream.name} {request}"

    def step_delete(self):
        stream = self.streams[self.random.choice(sorted(self.streams))]
        seqs = self.random.sample(sorted(stream.sure), min(len(stream.sure), 30))
        secure = self.random.random() < 0.3
        for seq in seqs[:3] if secure else seqs:
            answer = self.client.api("STREAM.MSG.DELETE." + stream.name, {"seq": seq, "no_erase": not secure})
            if not answer.get("success") and stream.name != "AGES":
                raise Violation(f"delete {stream.name} {seq}: {answer}")
            stream.remove(seq)
        return f"delete {len(seqs)} of {stream.name}{', secure' if secure else ''}"

    def step_work(self):
        stream = self.streams.get("WORK")
        if stream is None:
            return "no WORK"
        count = self.random.randint(1, 400)
        wanted = self.client.send(b"$JS.API.CONSUMER.MSG.NEXT.WORK.W",
                                  json.dumps({"batch": count, "no_wait": True}).encode())
        acks, answers, got = {}, {}, 0
        while got < count:
            number, _, reply, header, _ = self.client.read()
            if reply.startswith(b"$JS.ACK.WORK.W."):  # under the subject that it was published to
                got += 1
            elif number == wanted:
                break
            else:
                answers[number] = header  # to an ack, while others are still delivered
                continue
            acks[self.client.send(reply, b"+ACK")] = int(reply.split(b".")[5 if len(reply.split(b".")) == 9 else 7])
        removed = len(acks)
        while acks:
            if answers:
                number, header = answers.popitem()
            else:
                number, _, _, header, _ = self.client.read()
            seq = acks.pop(number, None)
            if seq is None:
                continue
            if header:
                raise Violation(f"ack of {seq}: {header!r}")
            if seq in stream.sure:
                stream.remove(seq)
        return f"work off {removed}"

    def step_limit(self):
        stream = self.streams.get("PLAIN")
        if stream is None or len(stream.sure) < 10:
            return "no limit"
        limit = self.random.randint(1, len(stream.sure))
        for max_msgs in (limit, -1):
            answer = self.client.api("STREAM.UPDATE.PLAIN", dict(STREAMS["PLAIN"], name="PLAIN", allow_direct=True,
                                                                 max_msgs=max_msgs))
            if "error" in answer:
                if answer["error"].get("err_code") in FULL:
                    return "limit: full"
                raise Violation(f"update: {answer['error']}")
            stream.config["max_msgs"] = max_msgs
            stream.apply_limits()
        return f"limit to {limit}"

    def step_recreate(self):
        name = self.random.choice(sorted(STREAMS))
        if name in self.streams:
            answer = self.client.api("STREAM.DELETE." + name)
            if not answer.get("success"):
                raise Violation(f"delete {name}: {answer}")
            del self.streams[name]
        deadline = time.monotonic() + RESUME_S
        while not self.make(name):
            if time.monotonic() > deadline:
                if self.volume.free() > self.size // 3:
                    raise Violation(f"{name} cannot be made, and {self.volume.free()} bytes are free")
                return f"delete {name}, no room"
        return f"delete and make {name}"

    def step_kill(self):
        names = [self.random.choice(sorted(self.streams)) for _ in range(3)]
        for name in names:
            self.publish(self.streams[name], self.random.randint(1, 60), 20000, answers=False)
        removal = self.random.random() < 0.3
        if removal:
            stream = self.streams[self.random.choice(sorted(self.streams))]
            self.client.send(f"$JS.API.STREAM.PURGE.{stream.name}".encode(), b'{"keep":3}')
            stream.doubtful = True
        if self.random.random() < 0.5:
            # In the middle of what the server makes of it: when the first answers have come.
            self.client.read()
        self.kill(signal.SIGKILL)
        self.start()
        self.check()
        return f"kill -9{' with a purge' if removal else ''}"

    def step_stop(self):
        self.kill(signal.SIGTERM)
        self.start()
        self.check()
        return "stop and start"

    def step_resume(self):
        """Room is made; publishing goes on within RESUME_S."""
        name = max(self.streams, key=lambda n: self.streams[n].bytes())
        stream = self.streams[name]
        answer = self.client.api("STREAM.PURGE." + name, {})
        if "error" in answer:
            raise Violation(f"purge {name}: {answer['error']}")
        for seq in list(stream.sure):
            stream.remove(seq)
        live = sum(s.bytes() for s in self.streams.values())
        if live * 2 + 2 * self.log_bytes() > self.size * 2 // 3:
            return f"purge {name}, much is left"
        begun = time.monotonic()
        while True:
            self.publish(stream, 1, 1000)
            if not self.full:
                break
            if time.monotonic() - begun > RESUME_S:
                raise Violation(f"after a purge of {name} publishing does not resume within {RESUME_S} s; "
                                f"{self.volume.free() >> 10} KiB are free, {live >> 10} KiB live")
        self.resumed_s = max(self.resumed_s, time.monotonic() - begun)
        return f"purge {name}, resumed after {time.monotonic() - begun:.2f} s"

    def look_under_load(self):
        now, live = time.monotonic(), self.live()
        self.peaks = [(at, n) for at, n in self.peaks if now - at < QUIET_S] + [(now, live)]
        bound = 2 * max(n for _, n in self.peaks) + 2 * self.log_bytes() + self.wal_file + AIR_BYTES + FS_BYTES
        used = self.volume.used()
        if used > bound:
            raise Violation(f"under load {used >> 10} KiB are in use for {live >> 10} KiB, bound {bound >> 10}: "
                            + self.volume.folders())

    def step_quiet(self):
        deadline = time.monotonic() + QUIET_S + 1
        while True:
            live, used = self.live(), self.volume.used()
            bound = 1.3 * live + 2 * self.log_bytes()
            if used <= bound:
                break
            if time.monotonic() > deadline:
                raise Violation(f"after {QUIET_S} s of quiet {used >> 10} KiB are in use for {live >> 10} KiB, "
                                f"bound {int(bound) >> 10}")
            time.sleep(0.2)
        self.worst = max(self.worst, used / bound)
        return f"quiet: {used >> 10} KiB for {live >> 10}"

    STEPS = ((step_publish, 12), (step_fill, 3), (step_churn, 1), (step_purge, 6), (step_delete, 3), (step_work, 6),
             (step_limit, 2), (step_recreate, 1), (step_kill, 4), (step_stop, 1), (step_quiet, 1))

    def run(self):
        self.volume = Volume(self.size)
        self.note(f"volume {self.size >> 20} MiB, log 3 x {self.wal_file >> 20} MiB, {self.shards} shards")
        try:
            self.start()
            for name in sorted(STREAMS):
                if not self.make(name):
                    raise Violation(f"{name} cannot be made on an empty volume")
            choices = [step for step, weight in self.STEPS for _ in range(weight)]
            for _ in range(self.steps):
                if not self.streams:
                    self.note(self.step_recreate())
                    continue
                if self.full and self.random.random() < 0.5:
                    self.note(self.step_resume())
                    continue
                step = self.random.choice(choices)
                self.log.append("… " + step.__name__)
                text = step(self)
                self.log.pop()
                self.note(text)
            self.check()
            self.note(self.step_quiet())
            self.note(self.step_kill())
            self.kill(signal.SIGTERM)
        finally:
            if self.server is not None:
                self.server.kill_process()
                shutil.rmtree(self.server.dir, ignore_errors=True)
            self.volume.close()


def one(arguments):
    seed, binary, steps, verbose = arguments
    history = History(seed, binary, steps, verbose)
    begun = time.monotonic()
    try:
        history.run()
    except (Violation, wire.ServerError, wire.Closed, OSError, KeyError, ValueError) as e:
        return seed, f"{type(e).__name__}: {e}", history.log, 0, 0, time.monotonic() - begun
    return seed, "", history.log, history.resumed_s, history.worst, time.monotonic() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True)
    parser.add_argument("--seeds", default="1:4", help="FIRST:LAST")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    first, last = (int(word) for word in options.seeds.split(":"))
    seeds = range(first, last + 1)
    try:
        Volume(32 * MIB).close()
    except (subprocess.CalledProcessError, FileNotFoundError, PermissionError) as e:
        print(f"volumes cannot be made here: {e}")
        print(f"0 passed, 0 failed, {len(seeds)} skipped")
        return 0
    passed, failed, resumed, worst = 0, 0, 0.0, 0.0
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        work = [(seed, options.server, options.steps, options.verbose) for seed in seeds]
        for seed, problem, log, resumed_s, quiet, took in pool.map(one, work):
            resumed, worst = max(resumed, resumed_s), max(worst, quiet)
            if problem:
                failed += 1
                print(f"FAIL  seed {seed} ({took:.0f} s): {problem}")
                for line in log[-12:]:
                    print("        " + line)
            else:
                passed += 1
                print(f"PASS  seed {seed} ({took:.0f} s)", flush=True)
    print(f"slowest resume {resumed:.2f} s; disk in use after quiet at most {worst:.2f} of its bound")
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
