#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the cases that record.go answers with the peer's own code. usage: cases.py parse|transform|schedule|consumer"""
import json
import random
import sys

r = random.Random(15)


def put(**case):
    print(json.dumps(case))


STREAM = ('name:s description:s subjects:l retention:e max_consumers:i max_msgs:i max_bytes:i max_age:i max_msgs_per_subject:i '
          'max_msg_size:i discard:e storage:e num_replicas:i no_ack:b duplicate_window:i placement:o mirror:o sources:L compression:e '
          'first_seq:u subject_transform:o republish:o allow_direct:b mirror_direct:b discard_new_per_subject:b sealed:b deny_delete:b '
          'deny_purge:b allow_rollup_hdrs:b consumer_limits:o allow_msg_ttl:b subject_delete_marker_ttl:i allow_msg_counter:b '
          'allow_atomic:b allow_msg_schedules:b persist_mode:e allow_batched:b metadata:o').split()
CONSUMER = ('durable_name:s name:s description:s deliver_policy:e opt_start_seq:u opt_start_time:t ack_policy:e ack_wait:i max_deliver:i '
            'backoff:L filter_subject:s filter_subjects:l replay_policy:e rate_limit_bps:u sample_freq:s max_waiting:i '
            'max_ack_pending:i flow_control:b headers_only:b max_batch:i max_expires:i max_bytes:i deliver_subject:s deliver_group:s '
            'idle_heartbeat:i inactive_threshold:i num_replicas:i mem_storage:b direct:b sourcing:b metadata:o pause_until:t '
            'priority_groups:l priority_policy:e priority_timeout:i').split()
VALUES = ['null', 'true', 'false', '0', '1', '-1', '1.5', '1e3', '-0', '9223372036854775807', '9223372036854775808',
          '18446744073709551615', '18446744073709551616', '2147483648', '""', '"x"', '"1"', '[]', '["a","b"]', '[1,2]', '[null]',
          '[{}]', '[[]]', '{}', '{"a":"b"}', '{"a":1}', '{"a":null}', '{"src":"a","dest":1}', '{"name":"N","opt_start_seq":"1"}',
          '{"cluster":"c","tags":["t",3]}', '{"tags":"t"}', '{"x":1}', '{"dest":"d","headers_only":1}', '{"max_ack_pending":2.5}']
ENUMS = {'retention': ['limits', 'interest', 'workqueue', 'LIMITS', 'Limits'], 'discard': ['old', 'new', 'NEW', 'Old'],
         'storage': ['file', 'memory', 'FILE'], 'compression': ['none', 's2', 'S2', '\\u0073\\u0032', 'zip'],
         'persist_mode': ['default', 'async', 'sync'],
         'deliver_policy': ['all', 'last', 'new', 'by_start_sequence', 'by_start_time', 'last_per_subject', 'undefined', 'ALL'],
         'ack_policy': ['none', 'all', 'explicit', 'flow_control', '\\u006eone'], 'replay_policy': ['instant', 'original'],
         'priority_policy': ['none', 'overflow', 'pinned_client', 'prioritized', 'other']}
TIMES = ['2026-11-25T19:42:00Z', '2026-11-25T19:42:00.123456789Z', '2026-11-25T19:42:00.1Z', '2026-11-25T19:42:00,5Z', '1970-01-01T00:00:00Z',
         '0001-01-01T00:00:00Z', '2026-11-25T19:42:00', '2026-11-25', '', 'x', '2026', '2026-13-01T00:00:00Z', '2026-02-29T00:00:00Z',
         '2024-02-29T00:00:00Z', '2026-00-01T00:00:00Z', '2026-01-00T00:00:00Z', '2026-01-32T00:00:00Z', '2026-01-01T24:00:00Z',
         '2026-01-01T9:00:00Z', '2026-01-01T23:60:00Z', '2026-01-01T23:59:60Z', '2026-01-01T23:59:59Zx', '2026-01-01t00:00:00Z',
         '2026-01-01T00:00:00z', '2026-01-01 00:00:00Z', '26-01-01T00:00:00Z', '2026-1-01T00:00:00Z', '2026-01-1T00:00:00Z',
         '2026-01-01T00:00:00.Z', '2026-01-01T00:00:00.1234567891Z', '2026-01-01T00:00:00+25:00', '2026-01-01T00:00:00+23:61',
         '2026-01-01T00:00:00*01:00', '2026-01-01T00:00:00+01', '2026-01-01T00:00:00+0100', '2026-01-01T00:00:00+1:00', 'é026-01-01T00:00:00Z',
         '2026-01-01T00:00:00é', '2026-01-01T00:0:00Z', '2026-01-01T00:00:0Z']
ZONED = ['2026-01-01T00:00:00+02:00', '2026-01-01T00:00:00-05:30', '2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00-00:00']
SYNTAX = ['', ' ', '\n\t ', '{', '}', '[', ']', '{}', ' {} ', '{}{}', '{} {}', '{}x', '{}\n', '{"a"', '{"name"', '{"name":', '{"name":"x"',
          '{"name":"x",', '{"name":"x",}', '{"name":"x"]', '{"name" "x"}', '{name:"x"}', "{'name':'x'}", '{"name":x}', '{"name":tru}',
          '{"name":trux}', '{"name":fals', '{"name":falsy}', '{"name":nul}', '{"name":nulL}', '{"name":-}', '{"name":01}', '{"name":1.}',
          '{"name":1.x}', '{"name":1e}', '{"name":1e+}', '{"name":1ex}', '{"name":.5}', '{"name":+1}', '{"name":"a\nb"}', '{"name":"a\tb"}',
          '{"name":"\\x"}', '{"name":"\\u12"}', '{"name":"\\u12G4"}', '{"name":"\\', '{"name":"abc', '{"name":"\\ud800"}',
          '{"name":"\\ud83d\\ude00"}', '{"name":"é"}', '{"name":"a","name":"b"}', '{"name":"a","NAME":"b"}', '{"NAME":"b"}', '{"Name":"b"}',
          '{"ſubjects":["k"],"name":"K"}', '{"\u212Aeep":1}', '{"name":"a","name":null}', '{"nope":1}', '{"nope":{"a":[1,{}]},"other":2}',
          '{"no\\"pe":1}', '{"é":1}', '{"":1}', '{"max_msgs":"a","nope":1}', '{"nope":1,"max_msgs":"a"}', '{"nope":1,"retention":"x"}',
          '{"max_msgs":"a","retention":"x"}', '{"retention":"x","max_msgs":"a"}', 'null', 'true', '5', '"x"', '[]', '[1]', '5x', 'null null',
          'nullx', '{"name":"a"}{"name":"b","nope":1}', '{"name":"a"} 5', '{"name":"a"} {', '{"name":"a"} }', '{"name":"a","subjects":["x"]}{"name":"b"}',
          '{"a":[}', '{"a":[1 2]}', '{"a":[1,]}', '{"a":{"b":}}', '{"a":{"b":1,,}}', '{,}', '{"a":1 "b":2}', '\ufeff{}', '{"a":é}', '{"a":\x01}', "{\"a\":'}",
          '{"a":\\}', '{"pedantic":true}', '{"pedantic":"x"}', '{"StreamConfig":{}}', '{"offset":"x"}', '{"subject":1}']


def parse():
    for text in SYNTAX:
        for strict in (True, False):
            put(op='request', type='StreamConfigRequest', strict=strict, text=text)
        put(op='unmarshal', type='StreamConfigRequest', text=text)
    for kind, fields, wrap in (('StreamConfigRequest', STREAM, '{"name":"A",%s}'),
                               ('ConsumerCreateRequest', CONSUMER, '{"stream_name":"S","config":{%s}}')):
        for field in fields:
            key, _ = field.split(':')
            for value in VALUES:
                # Most make the same errors: all of them for a third of the members, a sample for the others.
                if len(key) % 4 == 0 or r.random() < 0.25:
                    put(op='request', type=kind, strict=True, text=wrap % f'"{key}":{value}')
            for value in ENUMS.get(key, []):
                put(op='request', type=kind, strict=True, text=wrap % f'"{key}":"{value}"')
    for text in TIMES + ZONED:
        put(op='time', text=text)
    for text in TIMES:
        put(op='request', type='ConsumerCreateRequest', strict=True, text=json.dumps({'config': {'opt_start_time': text}}, ensure_ascii=False))
        put(op='request', type='ConsumerPauseRequest', strict=True, text=json.dumps({'pause_until': text}, ensure_ascii=False))
    for value in VALUES:
        for kind, keys in (('StreamNamesRequest', 'offset subject'), ('StreamListRequest', 'offset subject'),
                           ('StreamInfoRequest', 'offset deleted_details subjects_filter'), ('StreamPurgeRequest', 'seq filter keep'),
                           ('MessageGetRequest', 'seq last_by_subj next_by_subj batch max_bytes start_time multi_last up_to_seq up_to_time no_hdr'),
                           ('MessageDeleteRequest', 'seq no_erase'), ('StreamSnapshotRequest', 'deliver_subject no_consumers chunk_size window_size jsck'),
                           ('StreamRestoreRequest', 'config state'), ('ConsumerListRequest', 'offset'), ('ConsumerPauseRequest', 'pause_until'),
                           ('ConsumerUnpinRequest', 'group'), ('ConsumerResetRequest', 'seq'), ('LeaderStepdownRequest', 'placement'),
                           ('ConsumerCreateRequest', 'stream_name config action pedantic'),
                           ('ConsumerNextRequest', 'expires batch max_bytes no_wait idle_heartbeat group min_pending min_ack_pending id priority')):
            for key in keys.split():
                if r.random() < (0.1 if kind == 'StreamRestoreRequest' else 0.4):
                    put(op='request', type=kind, strict=True, text='{"%s":%s}' % (key, value))
    for action in ('create', 'update', '', 'CREATE', 'other'):
        put(op='request', type='ConsumerCreateRequest', strict=True, text='{"action":"%s"}' % action)
    for text in ('{"state":{"messages":1,"first_ts":"2026-11-25T19:42:00.5Z","subjects":{"a":1,"b":2},"deleted":[1,2],"lost":{"msgs":[1],"bytes":3}}}',
                 '{"config":{"name":"X","sources":[{"name":"A","external":{"api":"a","deliver":"d"},"consumer":{"name":"n","deliver_subject":"s"}}]}}',
                 '{"state":{"lost":{"msgs":"x"}}}', '{"config":{"sources":[{"name":1}]}}', '{"config":{"sources":[{"external":{"api":1}}]}}',
                 '{"config":{"mirror":{"subject_transforms":[{"src":1}]}}}', '{"config":{"metadata":{"a":1}}}', '{"state":{"subjects":{"a":"b"}}}'):
        put(op='request', type='StreamRestoreRequest', strict=True, text=text)
    for text in ('0', '', '1', '1s', '1.5s', '-1s', '+1s', '1h2m3s4ms5us6ns', '1µs', '1μs', '1d', 's', '.s', '.5s', '1.s', '1', '1x', '1s1', '9223372036854775807ns',
                 '9223372036854775808ns', '-9223372036854775808ns', '2562047h47m16.854775807s', '2562047h47m16.854775808s', '3000000h', '1 s', ' 1s', '-',
                 '0.000000000001s', '1.0000000000000000000000001s', '99999999999999999999s', '0.99999999999999999999s', 'é', '1é', '1"s'):
        put(op='duration', text=text)
    for text in ('', ' ', '1', '10', '0', '-1', '+3', 'x', '1x', '1.5', '{}', '{"batch":5}', '{"batch":"x"}', '{"no_wait":true}', '{', '[', '[]', 'null',
                 '{"expires":1000,"idle_heartbeat":600}', '{"expires":1000,"idle_heartbeat":500}', '{"idle_heartbeat":1}', '{"idle_heartbeat":-5}',
                 '{"nope":1,"batch":2}', ' {"batch":7} ', '{"batch":1}x', '99999999999999999999', '{"group":"A","min_pending":5,"id":"x","priority":3}',
                 '{"group":5}', '++1', '+', '{"expires":-5}', '{"idle_heartbeat":9223372036854775807,"expires":1}'):
        put(op='next', text=text)
    for text in ('never', 'NEVER', 'Never', '1s', '999ms', '1.9s', '1h', '10', '0', '-1', '-1s', '', 'x', '1 s', '99999999999999999999', '00012', '1e3', '+5', '1m30s'):
        put(op='ttl', text=text)
    for text in ('{"name":"A"}', '{"name":"A","filter_subject":"a.*"}', '{"name":"A","external":{"api":"$JS.hub.API","deliver":"d"}}',
                 '{"name":"A","consumer":{"name":"C","deliver_subject":"x"}}', '{"name":"A","subject_transforms":[{"src":"a","dest":"b"},{"src":"","dest":""}]}',
                 '{"name":"A","external":{"api":"","deliver":""},"consumer":{"name":""}}'):
        put(op='iname', text=text)



SUBJECTS = ['foo', 'foo.bar', 'foo.bar.baz', 'foo.a-b-c', 'foo.--a--b-', 'foo.abcdefg', 'bar.x', 'foo.*', 'foo..bar', '']
MAPPINGS = [('foo', 'bar'), ('foo', ''), ('', 'bar.>'), ('', ''), ('>', '>'), ('foo.*', 'bar.$1'), ('foo.*', 'bar.$2'), ('foo.*', 'bar.$0'), ('foo.*', 'bar.$-1'),
            ('foo.*', 'bar.$x'), ('foo.*', 'bar.$+1'), ('foo.*', 'bar.$ 1'), ('foo.*', 'bar'), ('foo.*.*', 'x.$2.$1'), ('foo.*.*', 'x.$2'), ('foo.>', 'bar.>'),
            ('foo.>', 'bar'), ('foo', 'bar.>'), ('foo.*.>', 'x.$1.>'), ('foo.*', 'bar.*'), ('foo..x', 'bar'), ('foo', 'bar..x'), ('foo.>.x', 'bar'), ('foo', '>.bar'),
            ('foo', 'bar.$1'), ('*', '$1'), ('*.*', '$2.$1.x'), ('>', 'pre.>'), ('foo', 'bar baz'), ('foo bar', 'bar'), ('foo', 'bar.\t'), ('foo.*', 'a{{wildcard(1)}}'),
            ('foo.*', '{{wildcard(1)}}x')]
CALLS = ['wildcard(1)', 'Wildcard(1)', 'WILDCARD(1)', ' wildcard ( 1 ) ', 'wildcard()', 'wildcard( )', 'wildcard(1,2)', 'wildcard(x)', 'wildcard(3)', 'wildcard(0)', 'wildcard(-1)',
         'wildcard(1', 'wildcard 1', 'nope(1)', '', ' ', 'partition(10,1)', 'Partition(10,1,2)', 'partition(10)', 'partition(0,1)', 'partition(0)', 'partition(-5,1)', 'partition()',
         'partition(x,1)', 'partition(10,x)', 'partition(10,9)', 'partition(3000000000)', 'partition(2147483647,1)', 'partition(10, 1, 2)', 'split(1,-)', 'Split(2,-)', 'split(1)',
         'split(1,-,x)', 'split(x,-)', 'split(1,.)', 'split(1, )', 'split(1,)', 'split(1,a b)', 'split(1,--)', 'split(9,-)', 'splitFromLeft(1,2)', 'SplitFromLeft(1,20)',
         'splitfromleft(1,1)', 'splitFromLeft(1,0)', 'splitFromLeft(1,-3)', 'splitFromLeft(1)', 'splitFromLeft(1,2,3)', 'splitFromLeft(x,2)', 'splitFromLeft(1,x)',
         'splitFromLeft(1,3000000000)', 'splitFromRight(1,2)', 'splitFromRight(2,1)', 'sliceFromLeft(1,2)', 'sliceFromLeft(1,3)', 'SliceFromLeft(1,1)', 'sliceFromRight(1,2)',
         'sliceFromRight(1,3)', 'sliceFromRight(1,4)', 'left(1,2)', 'left(1,3)', 'Left(1,30)', 'left(1,0)', 'right(1,2)', 'right(1,3)', 'Right(1,0)', 'right(1)', 'random(1)', 'random(0)',
         'random(x)', 'random(1,2)', 'random()', 'random(3000000000)', '{{wildcard(1)', 'wildcard(1)}}.x.{{wildcard(1)', 'a{{wildcard(1)', 'wildcard((1))', 'wildcard(1))']


def transform():
    cases = list(MAPPINGS)
    for call in CALLS:
        token = '{{%s}}' % call
        cases += [('foo.*', 'bar.' + token), ('foo.*.*', token), ('foo', 'bar.' + token), ('foo.>', token + '.>')]
    for src, dest in cases:
        put(op='mapping', src=src, dest=dest)
        for strict in (False, True):
            put(op='transform', src=src, dest=dest, strict=strict, subjects=SUBJECTS)


ZONES = ['', 'UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe', 'Pacific/Apia', 'nowhere', 'Local', '../etc/passwd', '/etc/localtime', 'europe/berlin', 'EST5EDT', 'Africa/Casablanca']
# Not before 2030, so that no case depends on today: the recorder's clock is the real one.
STARTS = ['2030-01-01T00:00:00Z', '2030-02-28T23:59:59.5Z', '2030-03-31T00:59:59Z', '2030-10-27T00:30:00Z', '2031-03-09T06:59:58Z', '2031-11-02T05:30:00Z', '2032-02-28T12:34:56.789Z',
          '2033-12-31T23:59:59.999999999Z', '2030-04-06T15:29:30Z']
PATTERNS = ['', '@at 2035-01-01T00:00:00Z', '@at 2035-01-01T00:00:00.5+02:00', '@at 2035', '@at ', '@at  2035-01-01T00:00:00Z', '@at', '@every 1s', '@every 1500ms', '@every 999ms', '@every 1h30m',
            '@every -5s', '@every x', '@every', '@every  5s', '@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly', '@minutely', '@Daily', '@daily ', '* * * * * *',
            '0 * * * * *', '30 15 * * * *', '0 0 2 * * *', '0 30 2 * * *', '0 30 1 * * *', '0 0 0 1 * *', '0 0 0 29 2 *', '0 0 0 30 2 *', '0 0 0 31 * *', '0 0 12 * * 1', '0 0 12 * * MON-FRI',
            '0 0 12 * * sun,Sat', '0 0 12 13 * 5', '0 0 12 13 * *', '0 0 12 */2 * 1', '0 0 12 ? * 1', '0 0 12 1 JAN,jul ?', '*/15 * * * * *', '5/20 * * * * *', '10-20/5 * * * * *', '0 0 0/6 * * *',
            '0 0 9-17 * * 1-5', '59 59 23 31 12 *', '60 * * * * *', '* 60 * * * *', '* * 24 * * *', '* * * 0 * *', '* * * 32 * *', '* * * * 0 *', '* * * * 13 *', '* * * * * 7', '* * * * *', '* * * * * * *',
            'a * * * * *', '1-2-3 * * * * *', '1/2/3 * * * * *', '5-1 * * * * *', '*/0 * * * * *', '*/x * * * * *', '-1 * * * * *', '1- * * * * *', ',1, * * * * *', '1,,2 * * * * *',
            '*-5 * * * * *', '*/1 * * * * *', '* * * */1 * 1', '+5 * * * * *', '  0   0 12 * * *  ', '0\t0\t12 * * *', '* * * * jan-mar *', '* * * * mar-jan *', '0 0 0 * feb mon', '?/5 * * * * *', '0 0 3 * * 0',
            '0 0 0 1-7 * mon', '0 15 10 ? * 6', '0 0 0 29 2 1', '99999999999999999999 * * * * *', '*/70 * * * * *', '0 0 */5 * * *', '0 45 2 9 3 *', '0 0 0 31 4,6,9,11 *']


def schedule():
    from datetime import datetime, timezone
    for pattern in PATTERNS:
        for zone in ['', 'Europe/Berlin'] + r.sample(ZONES, 4):
            for start in r.sample(STARTS, 3):
                whole, _, fraction = start[:-1].partition('.')
                seconds = int(datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp())
                put(op='schedule', text=pattern, zone=zone, ts=seconds * 10**9 + int((fraction + '000000000')[:9] or 0))


def consumer():
    pull = {'durable_name': 'C', 'ack_policy': 'explicit'}
    push = {'deliver_subject': 'd.x', 'ack_policy': 'explicit'}
    flow = {'deliver_subject': 'd.x', 'ack_policy': 'flow_control'}
    stream = {'name': 'S', 'subjects': ['s.>', 't'], 'num_replicas': 3, 'retention': 'limits', 'storage': 'file'}
    s, ms = 10**9, 10**6
    changes = [{}]
    for key, values in {
            'durable_name': ['', 'a.b', 'a b', 'x' * 256, 'a/b'], 'name': ['C', 'D', 'a*b', 'a\\b'], 'description': ['ok'],
            'deliver_policy': ['all', 'last', 'new', 'by_start_sequence', 'by_start_time', 'last_per_subject'], 'ack_policy': ['none', 'all', 'explicit', 'flow_control'],
            'ack_wait': [-1, 0, 1, 5 * s], 'max_deliver': [-5, -1, 0, 1, 5], 'backoff': [[], [s], [s, 2 * s], [-1], [0]], 'filter_subject': ['s.a', 's.>', 'bad..x', 's a', 'other'],
            'filter_subjects': [['s.a', 's.b'], ['s.a', 's.*'], ['s.*', 's.a'], [''], ['a..b'], ['s.*.a', 's.b.*'], ['s.a', 's.a']], 'replay_policy': ['instant', 'original'],
            'rate_limit_bps': [0, 100], 'sample_freq': ['50', '50%', '%', 'x', '-1', '-1%', '50%%', '99999999999999999999', '+5', '1.5'], 'max_waiting': [-1, 0, 5],
            'max_ack_pending': [-5, -1, 0, 5, 5000], 'flow_control': [True], 'headers_only': [True], 'max_batch': [-1, 0, 5, 500], 'max_expires': [-1, 1, ms, s], 'max_bytes': [-1, 5],
            'deliver_subject': ['d.y', 'd.*', 'd..y', 's.a', 't', 'd y', 'd.>'], 'deliver_group': ['q'], 'idle_heartbeat': [-1, 1, 99 * ms, 100 * ms, s], 'inactive_threshold': [-1, 1, s, 3600 * s],
            'num_replicas': [-1, 1, 3, 5], 'mem_storage': [True], 'direct': [True], 'sourcing': [True], 'metadata': [{'a': 'b'}],
            'priority_groups': [[], ['A'], [''], ['a b'], ['x' * 16], ['x' * 17], ['A', 'B']], 'priority_policy': ['none', 'overflow', 'pinned_client', 'prioritized'], 'priority_timeout': [-1, 0, s],
            'opt_start_seq': [0, 5], 'opt_start_time': ['2026-01-01T00:00:00Z']}.items():
        changes += [{key: value} for value in values]
    changes += [{'deliver_policy': 'by_start_sequence', 'opt_start_seq': 5}, {'deliver_policy': 'by_start_time', 'opt_start_time': '2026-01-01T00:00:00Z'},
                {'deliver_policy': 'by_start_time', 'opt_start_time': '2026-01-01T00:00:00Z', 'opt_start_seq': 1}, {'deliver_policy': 'last_per_subject', 'filter_subject': 's.a'},
                {'deliver_policy': 'by_start_sequence', 'opt_start_seq': 5, 'opt_start_time': '2026-01-01T00:00:00Z'},
                {'filter_subject': 's.a', 'filter_subjects': ['s.b']}, {'flow_control': True, 'idle_heartbeat': s}, {'priority_policy': 'pinned_client', 'priority_groups': ['A']},
                {'priority_policy': 'overflow', 'priority_groups': ['A', '']}, {'priority_policy': 'overflow', 'priority_groups': ['a!']}, {'backoff': [s, 2 * s], 'max_deliver': 1},
                {'backoff': [s, 2 * s], 'max_deliver': 2}, {'backoff': [s], 'ack_wait': s}, {'idle_heartbeat': s, 'flow_control': True, 'max_ack_pending': 5},
                {'idle_heartbeat': 2 * s, 'flow_control': True}, {'direct': True, 'durable_name': ''}]
    for d in ('last', 'new', 'last_per_subject'):
        changes += [{'deliver_policy': d, 'opt_start_seq': 1}, {'deliver_policy': d, 'opt_start_time': '2026-01-01T00:00:00Z'}]
    streams = [{}, {'retention': 'workqueue'}, {'retention': 'interest'}, {'consumer_limits': {'inactive_threshold': 60 * s, 'max_ack_pending': 50}}, {'num_replicas': 1}]
    limits = ['', '{"max_ack_pending":100,"max_request_batch":100}']
    for i, change in enumerate(changes):
        for base in (pull, push, flow):
            for pedantic in (False, True):
                for n, more in enumerate(streams):
                    if n > 0 and r.random() > 0.12:
                        continue
                    if pedantic and r.random() > 0.4:
                        continue
                    limit = limits[r.random() < 0.15]
                    account = '{"max_ack_pending":70}' if r.random() < 0.1 else ''
                    put(op='consumer', text=json.dumps({**base, **change}), stream=json.dumps({**stream, **more}), limits=limit, account=account, pedantic=pedantic)


if __name__ == '__main__':
    {'parse': parse, 'transform': transform, 'schedule': schedule, 'consumer': consumer}[sys.argv[1]]()
