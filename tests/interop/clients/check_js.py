# SPDX-License-Identifier: Apache-2.0
"""JetStream as nats-py sees it. check_js.py URL PHASE [ARGUMENT]; prints PASS or FAIL lines.

first             streams, consumers, key-value and object store on an empty server
after             what `first` left behind is all there after a restart
flood             publishes numbered messages and prints every sequence that was confirmed, until the connection breaks
confirmed FILE    every sequence in FILE is readable, and holds the message that was published under it
"""
import asyncio
import sys

import nats
from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import APIError, NotFoundError

URL, PHASE = sys.argv[1], sys.argv[2]
BLOB = bytes(i * 7 % 251 for i in range(300_000))


async def check(name, coroutine):
    try:
        await coroutine
        print(f"PASS {name}", flush=True)
    except Exception as error:  # noqa: BLE001 what a client library raises is what it is
        print(f"FAIL {name}: {type(error).__name__} {error}", flush=True)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


async def stream(js):
    await js.add_stream(name="ORDERS", subjects=["orders.*"])
    for i in range(100):
        ack = await js.publish(f"orders.{i % 4}", str(i).encode(), headers={"Nats-Msg-Id": str(i)})
        expect(ack.seq == i + 1, f"sequence {ack.seq} for message {i}")
    again = await js.publish("orders.0", b"again", headers={"Nats-Msg-Id": "7"})
    expect(again.duplicate and again.seq == 8, f"a duplicate is {again}")
    try:
        await js.publish("orders.0", b"x", headers={"Nats-Expected-Last-Sequence": "5"})
        raise AssertionError("an expected sequence that is wrong was taken")
    except APIError as error:
        expect(error.err_code == 10071, f"error {error.err_code}")
    await js.delete_msg("ORDERS", 50)
    info = await js.stream_info("ORDERS")
    expect(info.state.messages == 99 and info.state.last_seq == 100, f"state {info.state}")


async def pull(js):
    sub = await js.pull_subscribe("orders.*", durable="WORKER", stream="ORDERS")
    messages = await sub.fetch(20, timeout=5)
    expect([m.data for m in messages] == [str(i).encode() for i in range(20)], "the first twenty")
    for message in messages[:10]:
        await message.ack_sync()
    info = await js.consumer_info("ORDERS", "WORKER")
    expect(info.ack_floor.stream_seq == 10 and info.num_ack_pending == 10, f"consumer {info}")


async def ordered(js):
    sub = await js.subscribe("orders.1", stream="ORDERS", ordered_consumer=True)
    got = [(await sub.next_msg(timeout=5)).data for _ in range(24)]  # 49 is deleted
    expect(got == [str(i).encode() for i in range(1, 100, 4) if i != 49], "filtered and in order")
    await sub.unsubscribe()


async def work_queue(js):
    await js.add_stream(name="JOBS", subjects=["jobs"], retention="workqueue")
    for i in range(10):
        await js.publish("jobs", str(i).encode())
    sub = await js.pull_subscribe("jobs", durable="J", stream="JOBS")
    for message in await sub.fetch(10, timeout=5):
        await message.ack_sync()
    expect((await js.stream_info("JOBS")).state.messages == 0, "acknowledged jobs are still there")


async def key_value(js):
    kv = await js.create_key_value(bucket="CONFIG", history=3)
    for i in range(5):
        await kv.put("key", f"v{i}".encode())
    await kv.put("other", b"1")
    await kv.put("gone", b"1")
    await kv.delete("gone")
    expect((await kv.get("key")).value == b"v4", "the last value")
    expect(len(await kv.history("key")) == 3, "three of history")
    expect(sorted(await kv.keys()) == ["key", "other"], "keys")


async def objects(js):
    store = await js.create_object_store("FILES")
    await store.put("blob", BLOB)
    expect((await store.get("blob")).data == BLOB, "the object")


async def after_stream(js):
    info = await js.stream_info("ORDERS")
    expect(info.state.messages == 99 and info.state.last_seq == 100, f"state {info.state}")
    expect((await js.get_msg("ORDERS", 51)).data == b"50", "message 51")
    try:
        await js.get_msg("ORDERS", 50)
        raise AssertionError("a deleted message came back")
    except NotFoundError:
        pass
    again = await js.publish("orders.0", b"again", headers={"Nats-Msg-Id": "99"})
    expect(again.duplicate and again.seq == 100, f"a duplicate over the restart is {again}")


async def after_pull(js):
    info = await js.consumer_info("ORDERS", "WORKER")
    expect(info.ack_floor.stream_seq == 10, f"ack floor {info.ack_floor}")
    sub = await js.pull_subscribe_bind("WORKER", stream="ORDERS")
    got = {m.metadata.sequence.stream for m in await sub.fetch(5, timeout=5)}
    expect(all(seq > 10 for seq in got), f"what was acknowledged came again: {got}")


async def after_key_value(js):
    kv = await js.key_value("CONFIG")
    expect((await kv.get("key")).value == b"v4", "the last value")
    expect(sorted(await kv.keys()) == ["key", "other"], "keys")


async def after_objects(js):
    expect((await (await js.object_store("FILES")).get("blob")).data == BLOB, "the object")


async def flood(js):
    await js.add_stream(name="FLOOD", subjects=["flood"])
    number = 0
    while True:
        batch = [asyncio.create_task(js.publish("flood", str(number + i).encode(), timeout=5)) for i in range(50)]
        done = await asyncio.gather(*batch, return_exceptions=True)
        for i, ack in enumerate(done):
            if isinstance(ack, Exception):
                return
            print(ack.seq, number + i, flush=True)
        number += 50


async def confirmed(js, path):
    with open(path, encoding="ascii") as file:
        lines = [line.split() for line in file if line.endswith("\n") and len(line.split()) == 2]
    expect(lines, "nothing was confirmed")
    state = (await js.stream_info("FLOOD")).state
    sequences = {int(seq): number for seq, number in lines}
    expect(max(sequences) <= state.last_seq, f"{max(sequences)} was confirmed, the stream ends at {state.last_seq}")
    sub = await js.subscribe("flood", stream="FLOOD", ordered_consumer=True)
    left = dict(sequences)
    while left:
        try:
            message = await sub.next_msg(timeout=10)
        except NatsTimeout:
            break
        seq = message.metadata.sequence.stream
        if seq in left:
            expect(message.data == left.pop(seq).encode(), f"message {seq} holds {message.data!r}")
    expect(not left, f"{len(left)} confirmed messages are lost, the first is {min(left) if left else 0}")


async def main():
    closed = asyncio.Event()

    async def on_closed():
        closed.set()

    nc = await nats.connect(URL, allow_reconnect=PHASE != "flood", closed_cb=on_closed)
    js = nc.jetstream(timeout=10)
    if PHASE == "first":
        for name, phase in (("stream", stream), ("pull consumer", pull), ("ordered consumer", ordered),
                            ("work queue", work_queue), ("key-value", key_value), ("object store", objects)):
            await check(name, phase(js))
    elif PHASE == "after":
        for name, phase in (("stream after a restart", after_stream), ("consumer after a restart", after_pull),
                            ("key-value after a restart", after_key_value), ("object store after a restart", after_objects)):
            await check(name, phase(js))
    elif PHASE == "flood":
        await asyncio.wait([asyncio.create_task(flood(js)), asyncio.create_task(closed.wait())],
                           return_when=asyncio.FIRST_COMPLETED)
        return
    else:
        await check("every confirmed message is there", confirmed(js, sys.argv[3]))
    await nc.close()


asyncio.run(main())
