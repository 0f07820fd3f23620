#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records what the real server answers to API requests. usage: record_answers.py NATS-SERVER > ../golden/answers.jsonl

A line is one request with the streams that exist before it: {"setup": [configs], "subject", "request", "answer"}.
Everything that was made is removed again after each line.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

PORT = 14777
S, MS = 10**9, 10**6


class Client:
    def __init__(self):
        self.socket = socket.create_connection(('127.0.0.1', PORT), timeout=5)
        self.file = self.socket.makefile('rb')
        self.file.readline()
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB _R 1\r\n')

    def request(self, subject, body):
        data = body.encode()
        self.socket.sendall(b'PUB %s _R %d\r\n%s\r\n' % (subject.encode(), len(data), data))
        while True:
            line = self.file.readline()
            if line.startswith(b'PING'):
                self.socket.sendall(b'PONG\r\n')
            elif line.startswith((b'MSG', b'HMSG')):
                payload = self.file.read(int(line.split()[-1]) + 2)[:-2]
                return payload.decode()


def stream_cases():
    base = {'name': 'A', 'subjects': ['a.>']}
    for change in [
            {}, {'subjects': None}, {'description': 'text <&>'}, {'retention': 'interest'}, {'retention': 'workqueue'}, {'max_consumers': 5}, {'max_consumers': -7},
            {'max_msgs': 10, 'max_bytes': 1000}, {'max_msgs': -9}, {'max_age': S}, {'max_age': -1}, {'max_age': 1}, {'max_age': 99 * MS}, {'max_age': 100 * MS},
            {'max_msgs_per_subject': 3}, {'max_msg_size': 100}, {'max_msg_size': -3}, {'discard': 'new'}, {'storage': 'memory'}, {'num_replicas': 3}, {'num_replicas': 6},
            {'num_replicas': -1}, {'no_ack': True}, {'duplicate_window': S}, {'duplicate_window': -1}, {'duplicate_window': 1}, {'duplicate_window': 3 * S, 'max_age': S},
            {'placement': {}}, {'placement': {'cluster': 'c'}}, {'placement': {'tags': ['x']}}, {'placement': {'preferred': 'p'}}, {'compression': 's2'}, {'first_seq': 100},
            {'allow_direct': True}, {'mirror_direct': True}, {'sealed': True}, {'deny_delete': True}, {'deny_purge': True}, {'allow_rollup_hdrs': True},
            {'deny_purge': True, 'allow_rollup_hdrs': True}, {'consumer_limits': {'inactive_threshold': S, 'max_ack_pending': 7}}, {'allow_msg_ttl': True},
            {'subject_delete_marker_ttl': S}, {'subject_delete_marker_ttl': S, 'deny_purge': True}, {'subject_delete_marker_ttl': 5}, {'subject_delete_marker_ttl': -5},
            {'subject_delete_marker_ttl': S, 'pedantic': True}, {'subject_delete_marker_ttl': S, 'allow_msg_ttl': True, 'pedantic': True},
            {'allow_msg_counter': True}, {'allow_msg_counter': True, 'discard': 'new'}, {'allow_msg_counter': True, 'allow_msg_ttl': True},
            {'allow_msg_counter': True, 'allow_msg_schedules': True}, {'allow_msg_counter': True, 'retention': 'interest'}, {'allow_atomic': True}, {'allow_msg_schedules': True},
            {'allow_msg_schedules': True, 'discard': 'new'}, {'allow_msg_schedules': True, 'pedantic': True}, {'persist_mode': 'async'}, {'persist_mode': 'async', 'storage': 'memory'},
            {'persist_mode': 'async', 'allow_atomic': True}, {'persist_mode': 'async', 'num_replicas': 3}, {'persist_mode': 'default'}, {'allow_batched': True},
            {'metadata': {'k': 'v', 'a': 'b'}}, {'metadata': {'_nats.level': '9', '_nats.ver': 'x', '_nats.req.level': '7', 'z': ''}}, {'discard_new_per_subject': True},
            {'discard_new_per_subject': True, 'discard': 'new'}, {'discard_new_per_subject': True, 'discard': 'new', 'max_msgs_per_subject': 1},
            {'max_msgs': -5, 'pedantic': True}, {'max_bytes': -5, 'pedantic': True}, {'max_msg_size': -5, 'pedantic': True}, {'max_consumers': -5, 'pedantic': True},
            {'max_msgs_per_subject': -5, 'pedantic': True}, {'max_age': S, 'pedantic': True}, {'name': ''}, {'name': 'a b'}, {'name': 'a/b'}, {'name': 'B'}, {'nope': 1},
            {'subjects': []}, {'subjects': ['a', 'a']}, {'subjects': ['a.>', 'a.b']}, {'subjects': ['a..b']}, {'subjects': ['a b']}, {'subjects': ['']}, {'subjects': ['>']},
            {'subjects': ['>'], 'no_ack': True}, {'subjects': ['*']}, {'subjects': ['$JS.>']}, {'subjects': ['$JS.API.x']}, {'subjects': ['$JS.EVENT.>']}, {'subjects': ['$JS.EVENT.x']},
            {'subjects': ['$JS.*.x']}, {'subjects': ['$JSC.x']}, {'subjects': ['$NRG.x']}, {'subjects': ['$SYS.x']}, {'subjects': ['$SYS.ACCOUNT.x']}, {'subjects': ['$SYS.>']},
            {'subjects': ['$KV.x.>']}, {'subjects': ['*.*']}, {'subjects': ['$JS.API.>'], 'no_ack': True}, {'subjects': ['b.>', 'c.*', 'b.*.x']},
            {'subject_transform': {'src': 'a.>', 'dest': 'b.>'}}, {'subject_transform': {'src': 'a..', 'dest': 'b.>'}}, {'subject_transform': {'src': 'a.>', 'dest': 'b'}},
            {'subject_transform': {'src': 'a.*', 'dest': 'b.{{wildcard(2)}}'}}, {'subject_transform': {'src': 'a.*', 'dest': 'b.{{nope(1)}}'}}, {'subject_transform': {'src': '', 'dest': ''}},
            {'republish': {'dest': 'r.>'}}, {'republish': {'dest': 'a.x'}}, {'republish': {'src': 'a.*', 'dest': 'r.$1', 'headers_only': True}}, {'republish': {'src': 'a.*', 'dest': 'r.$2'}},
            {'republish': {'dest': 'r.>'}, 'pedantic': True}, {'republish': {'src': '>', 'dest': '>'}, 'subject_transform': {'src': 'a.>', 'dest': 'z.>'}},
            {'republish': {'src': '>', 'dest': '>'}, 'subject_transform': {'src': 'a.>', 'dest': 'z.>'}, 'pedantic': True}, {'republish': {'src': '>', 'dest': '>'}}]:
        yield [], 'CREATE', {**base, **change}
    origin = {'name': 'O', 'subjects': ['o.>'], 'max_msg_size': 100, 'allow_direct': True}
    for change in [
            {}, {'first_seq': 5}, {'subjects': ['x']}, {'sources': [{'name': 'O'}]}, {'allow_msg_counter': True}, {'allow_atomic': True}, {'allow_batched': True}, {'allow_msg_schedules': True},
            {'subject_delete_marker_ttl': S}, {'max_msg_size': 50}, {'max_msg_size': 100}, {'pedantic': True}, {'pedantic': True, 'mirror_direct': True}]:
        yield [origin], 'CREATE', {'name': 'M', 'mirror': {'name': 'O'}, **change}
    T = lambda *pairs: [{'src': a, 'dest': b} for a, b in pairs]
    for source in [
            {'name': ''}, {'name': 'a.b'}, {'name': 'nobody'}, {'name': 'O', 'filter_subject': 'o.x'}, {'name': 'O', 'filter_subject': 'o..x'}, {'name': 'O', 'opt_start_seq': 5},
            {'name': 'O', 'opt_start_time': '2026-01-01T00:00:00Z'}, {'name': 'O', 'opt_start_time': '2026-01-01T00:00:00Z', 'opt_start_seq': 5},
            {'name': 'O', 'subject_transforms': T(('o.*', 'p.$1'))}, {'name': 'O', 'filter_subject': 'o.x', 'subject_transforms': T(('o.*', 'p.$1'))},
            {'name': 'O', 'subject_transforms': T(('o..', 'p'))}, {'name': 'O', 'subject_transforms': T(('o.*', 'p.$3'))}, {'name': 'O', 'subject_transforms': T(('o.*', 'p.$1'), ('o.x', ''))},
            {'name': 'O', 'subject_transforms': T(('o.*', ''), ('q.*', ''))}, {'name': 'O', 'consumer': {'name': 'c', 'deliver_subject': 'd'}}, {'name': 'O', 'consumer': {'name': 'c'}},
            {'name': 'O', 'consumer': {'name': '', 'deliver_subject': 'd'}}, {'name': 'O', 'consumer': {'name': 'c', 'deliver_subject': 'd.*'}},
            {'name': 'O', 'consumer': {'name': 'c', 'deliver_subject': 'd'}, 'opt_start_seq': 4}, {'name': 'O', 'consumer': {'name': 'c', 'deliver_subject': 'd'}, 'filter_subject': 'o.x'},
            {'name': 'O', 'external': {'api': '$JS.x.API', 'deliver': 'dd'}}, {'name': 'O', 'external': {'api': '$JS.API', 'deliver': ''}}, {'name': 'O', 'external': {'api': 'x.*', 'deliver': ''}},
            {'name': 'O', 'external': {'api': '', 'deliver': 'd.*'}}, {'name': 'O', 'external': {'api': '', 'deliver': ''}}, {'name': 'X'}, {'name': 'M'}, {'name': 'S'}]:
        yield [origin], 'CREATE', {'name': 'M', 'mirror': source}
        yield [origin], 'CREATE', {'name': 'S', 'sources': [source]}
    yield [origin], 'CREATE', {'name': 'S', 'sources': [{'name': 'O'}, {'name': 'O'}]}
    yield [origin], 'CREATE', {'name': 'S', 'sources': [{'name': 'O'}, {'name': 'O', 'filter_subject': '>'}]}
    yield [origin], 'CREATE', {'name': 'S', 'sources': [{'name': 'O', 'filter_subject': 'o.a'}, {'name': 'O', 'filter_subject': 'o.b'}]}
    yield [origin], 'CREATE', {'name': 'S', 'sources': [{'name': 'O', 'consumer': {'name': 'c', 'deliver_subject': 'd'}}, {'name': 'O', 'consumer': {'name': 'c', 'deliver_subject': 'e'}}]}
    yield [origin], 'CREATE', {'name': 'S', 'sources': [{'name': 'O'}], 'allow_msg_schedules': True}
    yield [origin], 'CREATE', {'name': 'S', 'sources': [{'name': 'O'}], 'max_msg_size': 5}
    yield [origin], 'CREATE', {'name': 'S', 'sources': [{'name': 'O'}], 'subjects': ['s'], 'duplicate_window': 5 * S}
    yield [origin, {'name': 'P', 'sources': [{'name': 'S'}]}], 'CREATE', {'name': 'S', 'sources': [{'name': 'P'}]}
    yield [origin, {'name': 'P', 'subjects': ['p'], 'sources': [{'name': 'S', 'filter_subject': 'q'}]}], 'CREATE', {'name': 'S', 'subjects': ['s'], 'sources': [{'name': 'P', 'filter_subject': 'z'}]}
    yield [origin, {'name': 'P', 'mirror': {'name': 'S'}}], 'CREATE', {'name': 'S', 'mirror': {'name': 'P'}}
    yield [origin], 'CREATE', {'name': 'Z', 'subjects': ['o.x']}
    yield [origin], 'CREATE', {'name': 'O', 'subjects': ['o.>'], 'max_msg_size': 100, 'allow_direct': True}
    yield [origin], 'CREATE', {'name': 'O', 'subjects': ['o.>'], 'max_msg_size': 101, 'allow_direct': True}
    yield [origin], 'CREATE', {'name': 'O', 'subjects': ['o.>'], 'max_msg_size': 100, 'allow_direct': True, 'metadata': {'_nats.ver': '1'}}
    old = {'name': 'A', 'subjects': ['a.>'], 'max_msgs': 10, 'max_bytes': 1000}
    for extra, change in [
            ({}, {}), ({}, {'max_msgs': 20}), ({}, {'storage': 'memory'}), ({}, {'retention': 'interest'}), ({}, {'retention': 'workqueue'}), ({'retention': 'workqueue'}, {'retention': 'limits'}),
            ({}, {'sealed': True, 'max_age': S}), ({'deny_delete': True}, {'deny_delete': False}), ({'deny_purge': True}, {'deny_purge': False}), ({}, {'deny_purge': True}),
            ({}, {'mirror': {'name': 'O'}, 'subjects': None}), ({'mirror': {'name': 'O'}, 'subjects': None}, {'mirror': None}),
            ({'mirror': {'name': 'O'}, 'subjects': None}, {'mirror': {'name': 'O', 'opt_start_seq': 5}}), ({'mirror': {'name': 'O'}, 'subjects': None}, {'description': 'x'}),
            ({'allow_msg_ttl': True}, {'allow_msg_ttl': False}), ({}, {'allow_msg_ttl': True}), ({}, {'allow_msg_counter': True}), ({'allow_msg_counter': True}, {'allow_msg_counter': False}),
            ({'allow_msg_schedules': True}, {'allow_msg_schedules': False}), ({}, {'allow_msg_schedules': True}), ({}, {'persist_mode': 'async'}), ({}, {'discard_new_per_subject': True}),
            ({}, {'num_replicas': 3}), ({}, {'subjects': ['o.x']}), ({}, {'subjects': ['n.>']}), ({}, {'name': 'B'}), ({}, {'name': 'nobody'}), ({}, {'allow_batched': True}),
            ({}, {'consumer_limits': {'max_ack_pending': 5}}), ({}, {'max_msgs': -5, 'pedantic': True}), ({}, {'first_seq': 50}), ({}, {'compression': 's2'}), ({'max_age': 5 * S}, {'max_age': S})]:
        yield [origin, {**old, **extra}], 'UPDATE', {**old, **extra, **change}


def main():
    store = tempfile.mkdtemp()
    server = subprocess.Popen([sys.argv[1], '-p', str(PORT), '-js', '-sd', store], stderr=subprocess.PIPE)
    try:
        while b'Server is ready' not in server.stderr.readline():
            pass
        threading.Thread(target=lambda: server.stderr.read(), daemon=True).start()
        client = Client()

        def send(subject, body):
            return client.request('$JS.API.' + subject, body)

        def record(setup, subject, body):
            for config in setup:
                answer = json.loads(send('STREAM.CREATE.' + config['name'], json.dumps(config)))
                assert 'error' not in answer, (config, answer)
            answer = send(subject, body)
            print(json.dumps({'setup': [json.dumps(c) for c in setup], 'subject': subject, 'request': body, 'answer': answer}))
            for name in json.loads(send('STREAM.NAMES', ''))['streams'] or []:
                send('STREAM.DELETE.' + name, '')

        for setup, verb, config in stream_cases():
            config = {k: v for k, v in config.items() if v is not None}
            setup = [{k: v for k, v in c.items() if v is not None} for c in setup]
            name = config['name']
            # A name that is no token goes by another subject.
            token = name if name and not set(name) & set(' ') else 'X'
            if config['name'] == 'B' and verb == 'UPDATE':
                token = 'A'
            record(setup, f'STREAM.{verb}.{token}', json.dumps(config))

        # Answers of other kinds, for their shapes.
        one = {'name': 'ONE', 'subjects': ['one.*'], 'max_msgs_per_subject': 5}
        for subject, body in [
                ('INFO', ''), ('STREAM.NAMES', ''), ('STREAM.LIST', ''), ('STREAM.NAMES', '{"subject":"one.x"}'), ('STREAM.LIST', '{"offset":5}'), ('STREAM.NAMES', '{"offset":"x"}'),
                ('STREAM.LIST', '{"nope":1}'), ('STREAM.INFO.ONE', ''), ('STREAM.INFO.ONE', '{"subjects_filter":">","deleted_details":true}'), ('STREAM.INFO.NO', ''), ('STREAM.DELETE.ONE', ''),
                ('STREAM.DELETE.NO', ''), ('STREAM.DELETE.ONE', '{"a":1}'), ('STREAM.PURGE.ONE', ''), ('STREAM.PURGE.NO', ''), ('STREAM.MSG.DELETE.ONE', '{"seq":5}'),
                ('STREAM.MSG.DELETE.ONE', ''), ('STREAM.MSG.GET.ONE', '{"seq":5}'), ('STREAM.SNAPSHOT.ONE', '{"deliver_subject":""}'), ('STREAM.RESTORE.ONE', '{}'), ('STREAM.RESTORE.ONE', ''),
                ('STREAM.LEADER.STEPDOWN.ONE', ''), ('STREAM.PEER.REMOVE.ONE', '{"peer":"x"}'), ('CONSUMER.NAMES.ONE', ''), ('CONSUMER.LIST.ONE', ''), ('CONSUMER.NAMES.NO', ''),
                ('CONSUMER.LIST.NO', ''), ('CONSUMER.INFO.ONE.C', ''), ('CONSUMER.DELETE.ONE.C', ''), ('CONSUMER.PAUSE.ONE.C', '{}'), ('CONSUMER.UNPIN.ONE.C', '{"group":"g"}'),
                ('CONSUMER.LEADER.STEPDOWN.ONE.C', ''), ('CONSUMER.CREATE.ONE', '{"stream_name":"ONE","config":{"ack_policy":"explicit"}}'),
                ('CONSUMER.CREATE.ONE.C', '{"stream_name":"ONE","config":{"ack_policy":"explicit","durable_name":"C","metadata":{"x":"y"}}}'),
                ('CONSUMER.CREATE.ONE.C', '{"stream_name":"ONE","config":{"priority_groups":["g"],"priority_policy":"pinned_client","pause_until":"2040-01-01T00:00:00Z"}}'),
                ('CONSUMER.CREATE.ONE.C.one.x', '{"stream_name":"ONE","config":{"filter_subject":"one.y"}}'), ('CONSUMER.CREATE.ONE.C.one.x', '{"stream_name":"ONE","config":{"filter_subject":"one.x"}}'),
                ('CONSUMER.CREATE.ONE.C.one.x', '{"stream_name":"ONE","config":{"filter_subjects":["one.x"]}}'), ('CONSUMER.CREATE.ONE.C', '{"stream_name":"TWO","config":{}}'),
                ('CONSUMER.CREATE.ONE.C', '{"stream_name":"ONE","config":{"durable_name":"D"}}'), ('CONSUMER.DURABLE.CREATE.ONE.C', '{"stream_name":"ONE","config":{"durable_name":"C","deliver_subject":"d","backoff":[1000000000],"max_deliver":3,"ack_policy":"all"}}'),
                ('CONSUMER.DURABLE.CREATE.ONE.C', '{"stream_name":"ONE","config":{"durable_name":"D"}}'), ('CONSUMER.DURABLE.CREATE.ONE.C', '{"stream_name":"ONE","config":{}}'),
                ('CONSUMER.CREATE.ONE', '{"stream_name":"ONE","config":{"durable_name":"D"}}'), ('CONSUMER.CREATE.ONE', '{"stream_name":"ONE","config":{"name":"a/b"}}'),
                ('CONSUMER.CREATE.ONE.C', '{"stream_name":"ONE","config":{},"action":"update"}'), ('CONSUMER.CREATE.ONE.C', '{"stream_name":"ONE","config":{"num_replicas":3}}')]:
            record([one], subject, body)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(store)


if __name__ == '__main__':
    main()
