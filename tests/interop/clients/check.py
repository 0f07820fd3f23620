# SPDX-License-Identifier: Apache-2.0
"""Interop checks with nats-py. Usage: check.py <url>. Prints "PASS <name>" or "FAIL <name>: <why>" per check."""
import asyncio
import sys
import traceback

import nats
from nats.errors import MaxPayloadError, NoRespondersError


async def settle(c):
    """nats-py may write the PING of a flush before what it had buffered; the second round trip comes after it."""
    await c.flush()
    await c.flush()


async def pub_sub(a, b):
    sub = await a.subscribe("py.*")
    await settle(a)
    for i in range(1000):
        await b.publish("py.x", b"%d" % i)
    await settle(b)
    for i in range(1000):
        m = await sub.next_msg(5)
        assert m.data == b"%d" % i, m.data
    await sub.unsubscribe()


async def wildcards(a, b):
    got = asyncio.Queue()

    async def handler(m):
        await got.put(m.subject)
    subs = [await a.subscribe(s, cb=handler) for s in ("pyw.>", "pyw.*.b", "pyw.a.b")]
    await settle(a)
    await b.publish("pyw.a.b", b"")
    await b.publish("pyw.\u00fc", b"")
    await settle(b)
    names = sorted([await asyncio.wait_for(got.get(), 5) for _ in range(4)])
    assert names == ["pyw.a.b"] * 3 + ["pyw.\u00fc"], names
    for s in subs:
        await s.unsubscribe()


async def auto_unsubscribe(a, b):
    sub = await a.subscribe("pyu")
    await sub.unsubscribe(limit=3)
    await settle(a)
    for _ in range(6):
        await b.publish("pyu", b"x")
    await settle(b)
    for _ in range(3):
        await sub.next_msg(5)
    await settle(a)
    assert sub.delivered == 3, sub.delivered


async def request(a, b):
    async def answer(m):
        await m.respond(b"re: " + m.data)
    sub = await a.subscribe("pys", cb=answer)
    await settle(a)
    replies = await asyncio.gather(*[b.request("pys", b"%d" % i, timeout=5) for i in range(100)])
    assert [r.data for r in replies] == [b"re: %d" % i for i in range(100)]
    r = await b.request("pys", b"old", timeout=5, old_style=True)
    assert r.data == b"re: old"
    await sub.unsubscribe()
    await settle(a)


async def no_responders(a, b):
    try:
        await b.request("py.nobody", b"", timeout=5)
    except NoRespondersError:
        return
    raise AssertionError("no error")


async def queue_group(a, b):
    counts = [0, 0]

    def member(i):
        async def handler(m):
            counts[i] += 1
        return handler
    subs = [await c.subscribe("pyq", queue="workers", cb=member(i)) for i, c in enumerate((a, b))]
    await settle(a)
    await settle(b)
    for _ in range(400):
        await a.publish("pyq", b"job")
    await settle(a)
    await settle(b)
    for s in subs:
        await s.drain()
    assert sum(counts) == 400 and min(counts) > 80, counts


async def headers(a, b):
    sub = await a.subscribe("pyh")
    await settle(a)
    await b.publish("pyh", b"body", headers={"Key": "one", "key": "lower", "Empty": ""})
    m = await sub.next_msg(5)
    assert m.data == b"body" and m.headers["Key"] == "one" and m.headers["key"] == "lower", m.headers
    await sub.unsubscribe()


async def large_message(a, b):
    sub = await a.subscribe("pyl")
    await settle(a)
    body = bytes(range(256)) * (b.max_payload // 256)
    await b.publish("pyl", body)
    assert (await sub.next_msg(10)).data == body
    try:
        await b.publish("pyl", body + b"x")
        raise AssertionError("one byte more was accepted")
    except MaxPayloadError:
        pass
    await sub.unsubscribe()


async def drain(a, b):
    url = a.connected_url.geturl()
    c = await nats.connect(url)
    got = []

    async def handler(m):
        await asyncio.sleep(0)
        got.append(m.data)
    await c.subscribe("pyd", cb=handler)
    await settle(c)
    for i in range(500):
        await b.publish("pyd", b"%d" % i)
    await settle(b)
    await settle(c)
    while c.stats["in_msgs"] < 500:
        await asyncio.sleep(0.005)       # the whole check has a time limit
    await c.drain()
    assert c.is_closed and got == [b"%d" % i for i in range(500)], len(got)


async def main(url):
    a, b = await nats.connect(url), await nats.connect(url, name="other")
    failed = 0
    for check in (pub_sub, wildcards, auto_unsubscribe, request, no_responders, queue_group, headers, large_message, drain):
        name = check.__name__.replace("_", " ").replace("pub sub", "pub/sub")
        try:
            await asyncio.wait_for(check(a, b), 30)
            print(f"PASS {name}", flush=True)
        except Exception as e:
            failed += 1
            where = traceback.extract_tb(e.__traceback__)[-1]
            print(f"FAIL {name}: {type(e).__name__} {e} (line {where.lineno} of {where.name})", flush=True)
    await a.close()
    await b.close()
    return failed


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main(sys.argv[1])) else 0)
