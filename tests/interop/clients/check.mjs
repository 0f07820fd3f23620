// SPDX-License-Identifier: Apache-2.0
// Interop checks with @nats-io/transport-node. Usage: node check.mjs <url> <folder with node_modules>.
// Prints "PASS <name>" or "FAIL <name>: <why>" per check.
import { createRequire } from "node:module";
import { join } from "node:path";
import assert from "node:assert/strict";

const [url, home] = process.argv.slice(2);
const require = createRequire(join(home, "package.json"));
const { connect, headers, errors, nuid } = require("@nats-io/transport-node");

const servers = url.replace("nats://", "");
const a = await connect({ servers });
const b = await connect({ servers, name: "other" });
const bytes = (n) => new Uint8Array(n).map((_, i) => i * 7);

async function take(sub, count) {
  const got = [];
  for await (const m of sub) {
    got.push(m);
    if (got.length === count) break;
  }
  return got;
}

const checks = {
  "pub/sub": async () => {
    const sub = a.subscribe("js.*");
    await a.flush();
    for (let i = 0; i < 1000; i++) b.publish("js.x", `${i}`);
    const got = await take(sub, 1000);
    assert.deepEqual(got.map((m) => m.string()), [...Array(1000).keys()].map(String));
  },
  "auto-unsubscribe": async () => {
    const sub = a.subscribe("jsu", { max: 3 });
    await a.flush();
    for (let i = 0; i < 6; i++) b.publish("jsu");
    await b.flush();
    const got = [];
    for await (const m of sub) got.push(m);
    assert.equal(got.length, 3);
  },
  "request": async () => {
    const sub = a.subscribe("jss", { callback: (_, m) => m.respond(m.data) });
    await a.flush();
    const replies = await Promise.all([...Array(100).keys()].map((i) => b.request("jss", `${i}`, { timeout: 5000 })));
    assert.deepEqual(replies.map((m) => m.string()), [...Array(100).keys()].map(String));
    assert.equal((await b.request("jss", "alone", { timeout: 5000, noMux: true })).string(), "alone");
    sub.unsubscribe();
    await a.flush();
  },
  "no responders": async () => {
    await assert.rejects(b.request("js.nobody", "", { timeout: 5000 }), (e) => e instanceof errors.NoRespondersError || e.cause instanceof errors.NoRespondersError || e.isNoResponders?.());
  },
  "queue group": async () => {
    const counts = [0, 0];
    const subs = [a, b].map((c, i) => c.subscribe("jsq", { queue: "workers", callback: () => counts[i]++ }));
    await a.flush();
    await b.flush();
    for (let i = 0; i < 400; i++) a.publish("jsq", "job");
    await a.flush();
    await b.flush();
    for (const s of subs) await s.drain();
    assert.equal(counts[0] + counts[1], 400);
    assert.ok(Math.min(...counts) > 80, `${counts}`);
  },
  "headers": async () => {
    const sub = a.subscribe("jsh", { max: 1 });
    await a.flush();
    const h = headers();
    h.append("Key", "one");
    h.append("Key", "two");
    h.set("key", "lower");
    b.publish("jsh", "body", { headers: h });
    const [m] = await take(sub, 1);
    assert.equal(m.string(), "body");
    assert.deepEqual(m.headers.values("Key"), ["one", "two"]);
    assert.equal(m.headers.get("key"), "lower");
  },
  "large message": async () => {
    const sub = a.subscribe("jsl", { max: 1 });
    await a.flush();
    const body = bytes(b.info.max_payload);
    b.publish("jsl", body);
    const [m] = await take(sub, 1);
    assert.equal(Buffer.compare(Buffer.from(m.data), Buffer.from(body)), 0);
  },
  "status": async () => {
    assert.ok(await b.rtt() >= 0);
    assert.equal(b.info.headers, true);
    assert.ok(nuid.next().length > 0);
  },
  "drain": async () => {
    const c = await connect({ servers });
    let got = 0;
    c.subscribe("jsd", { callback: () => got++ });
    await c.flush();
    for (let i = 0; i < 500; i++) b.publish("jsd");
    await b.flush();
    await c.drain();
    assert.ok(c.isClosed());
    assert.equal(got, 500);
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await Promise.race([check(), new Promise((_, no) => setTimeout(() => no(new Error("30 s passed")), 30000).unref())]);
    console.log(`PASS ${name}`);
  } catch (e) {
    failed++;
    console.log(`FAIL ${name}: ${String(e.message ?? e).split("\n")[0]}`);
  }
}
await a.close();
await b.close();
process.exit(failed ? 1 : 0);
