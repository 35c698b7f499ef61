import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection, backoffMs, reconnectRule } from "../../../web/src/inkwire_web/static/socket.js";

// A clock that only moves when told to, and sockets that only say what the test says.
class World {
  now = 0;
  timers = [];
  sockets = [];
  states = [];
  drops = 0;
  tokens = 0;
  tokenError = null;
  lifetimeMs = 600_000;

  constructor() {
    this.connection = new Connection({
      url: "ws://host/ws",
      tokens: {
        get: async () => {
          if (this.tokenError) throw this.tokenError;
          this.tokens += 1;
          return { token: `t${this.tokens}`, lifetimeMs: this.lifetimeMs };
        },
        drop: () => {
          this.drops += 1;
        },
      },
      open: (url, protocols) => {
        const socket = new FakeSocket(url, protocols);
        this.sockets.push(socket);
        return socket;
      },
      clock: {
        now: () => this.now,
        setTimeout: (run, ms) => {
          const timer = { at: this.now + ms, run };
          this.timers.push(timer);
          return timer;
        },
        clearTimeout: (timer) => {
          this.timers = this.timers.filter((other) => other !== timer);
        },
      },
      random: () => 0.5,
      onState: (state, detail) => this.states.push([state, detail]),
    });
  }

  get socket() {
    return this.sockets.at(-1);
  }

  get state() {
    return this.states.at(-1)?.[0];
  }

  async settle() {
    for (let n = 0; n < 10; n += 1) await Promise.resolve();
  }

  async pass(ms) {
    const end = this.now + ms;
    for (;;) {
      const due = this.timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.timers = this.timers.filter((timer) => timer !== due);
      this.now = due.at;
      due.run();
      await this.settle();
    }
    this.now = end;
  }

  // Until the next try.
  async retry() {
    await this.pass(this.states.at(-1)[1].retryMs);
  }

  async online() {
    this.connection.start();
    await this.settle();
    this.socket.says({ type: "welcome" });
  }
}

class FakeSocket {
  readyState = 1;
  sent = [];
  answersPings = true;
  constructor(url, protocols) {
    this.url = url;
    this.protocols = protocols;
  }
  send(data) {
    const frame = JSON.parse(data);
    this.sent.push(frame);
    if (frame.type === "ping" && this.answersPings) this.says({ type: "pong" });
  }
  close() {
    this.readyState = 3;
  }
  says(frame) {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  dies(code) {
    this.readyState = 3;
    this.onclose?.({ code });
  }
  last(type) {
    return this.sent.filter((frame) => frame.type === type).at(-1);
  }
}

class Feed {
  received = [];
  refusals = [];
  answer = undefined;
  constructor(channel, position = null) {
    this.channel = channel;
    this.where = position;
  }
  position() {
    return this.where;
  }
  receive(frame) {
    this.received.push(frame.type);
    return this.answer;
  }
  refused(code) {
    this.refusals.push(code);
  }
}

async function following(feed = new Feed("post:a")) {
  const world = new World();
  world.connection.follow(feed);
  await world.online();
  world.socket.says({ type: "subscribed", channel: feed.channel, id: world.socket.last("subscribe").id });
  return { world, feed };
}

test("authenticates by subprotocol and waits for the welcome before it subscribes", async () => {
  const world = new World();
  world.connection.follow(new Feed("post:a"));
  world.connection.start();
  await world.settle();
  assert.deepEqual(world.socket.protocols, ["inkwire.v1", "token.t1"]);
  assert.deepEqual([world.state, world.socket.sent], ["connecting", []]);
  world.socket.says({ type: "welcome" });
  assert.equal(world.state, "live");
  assert.deepEqual(world.socket.sent, [{ type: "subscribe", channel: "post:a", id: 1 }]);
});

test("subscribes again with the position after a loss", async () => {
  const { world, feed } = await following();
  feed.where = { epoch: "e", seq: 42 };
  world.socket.dies(1006);
  assert.equal(world.state, "reconnecting");
  await world.pass(1_000);
  assert.equal(world.sockets.length, 2);
  world.socket.says({ type: "welcome" });
  assert.deepEqual(world.socket.last("subscribe").position, { epoch: "e", seq: 42 });
});

test("obeys the ranges of close codes", async () => {
  for (const [code, state] of [[1000, "refused"], [4003, "refused"], [4103, "reconnecting"], [4200, "reconnecting"]]) {
    const { world } = await following();
    world.socket.dies(code);
    assert.equal(world.state, state, String(code));
  }
});

test("comes back at once when the gateway drains, later when it is overloaded", async () => {
  const draining = (await following()).world;
  draining.socket.dies(4200);
  assert.ok(draining.states.at(-1)[1].retryMs <= 300);
  const loaded = (await following()).world;
  loaded.socket.dies(4100);
  assert.ok(loaded.states.at(-1)[1].retryMs >= 200);
});

test("waits longer after each failure, up to a bound, and never the same for everyone", () => {
  const none = Array.from({ length: 12 }, (_, attempt) => backoffMs(attempt, () => 0));
  const all = Array.from({ length: 12 }, (_, attempt) => backoffMs(attempt, () => 1));
  assert.ok(none.every((ms, n) => n === 0 || ms >= none[n - 1]));
  assert.ok(all.every((ms, n) => ms === none[n] * 2 && ms <= 15_000));
  assert.equal(backoffMs(10_000, () => 1), 15_000);
});

test("starts from the shortest wait again once it was welcomed", async () => {
  const { world } = await following();
  for (let n = 0; n < 5; n += 1) {
    world.socket.dies(1006);
    await world.retry();
  }
  world.socket.says({ type: "welcome" });
  world.socket.dies(1006);
  assert.ok(world.states.at(-1)[1].retryMs <= 400);
});

test("gets a new token when the old one was refused, and gives up in the end", async () => {
  const { world } = await following();
  const lost = [4101, 4001, 4001];
  for (const code of lost) {
    world.socket.dies(code);
    await world.retry();
  }
  assert.equal(world.state, "connecting");
  assert.equal(world.drops, 3);
  world.socket.dies(4001);
  assert.deepEqual(world.states.at(-1), ["refused", { code: 4001 }]);
});

test("drops a token that may be why handshakes fail", async () => {
  const world = new World();
  world.connection.start();
  await world.settle();
  for (let n = 0; n < 3; n += 1) {
    world.socket.dies(1006);
    await world.retry();
  }
  assert.equal(world.drops, 1);
});

test("asks for signing in where no token is to be had, and retries where the server is away", async () => {
  const world = new World();
  world.tokenError = Object.assign(new Error("sign in"), { signIn: true });
  world.connection.start();
  await world.settle();
  assert.deepEqual(world.states.at(-1), ["refused", { code: "unauthenticated" }]);
  const away = new World();
  away.tokenError = new Error("unreachable");
  away.connection.start();
  await away.settle();
  assert.equal(away.state, "reconnecting");
  away.tokenError = null;
  await away.pass(1_000);
  assert.equal(away.sockets.length, 1);
});

test("refreshes the token before it expires, without a new connection", async () => {
  const { world } = await following();
  await world.pass(world.lifetimeMs * 0.8 - 1_000);
  assert.equal(world.socket.last("refresh"), undefined);
  await world.pass(1_001);
  assert.deepEqual(world.socket.last("refresh"), { type: "refresh", token: "t2" });
  assert.deepEqual([world.sockets.length, world.drops, world.state], [1, 1, "live"]);
});

test("probes a silent connection and leaves a dead one", async () => {
  const { world } = await following();
  await world.pass(30_000);
  assert.ok(world.socket.last("ping"));
  assert.deepEqual([world.state, world.sockets.length], ["live", 1]);
  world.socket.answersPings = false;
  await world.pass(45_000);
  assert.ok(world.sockets.length > 1);
});

test("a handshake that never ends is given up", async () => {
  const world = new World();
  world.connection.start();
  await world.settle();
  await world.pass(12_000);
  assert.equal(world.state, "reconnecting");
});

test("a reader who comes back makes a waiting connection try at once", async () => {
  const { world } = await following();
  for (let n = 0; n < 6; n += 1) {
    world.socket.dies(1006);
    if (n < 5) await world.retry();
  }
  const before = world.sockets.length;
  world.connection.wake();
  await world.settle();
  assert.equal(world.sockets.length, before + 1);
});

test("waking a live connection only asks whether it lives", async () => {
  const { world } = await following();
  world.socket.answersPings = false;
  world.connection.wake();
  world.connection.wake();
  assert.equal(world.socket.sent.filter((frame) => frame.type === "ping").length, 1);
  await world.pass(6_000);
  assert.notEqual(world.state, "live");
});

test("a network that is gone is believed at once, and where somebody has left nothing is tried", async () => {
  const { world, feed } = await following();
  feed.where = { epoch: "e", seq: 7 };
  world.connection.interrupt();
  assert.equal(world.state, "reconnecting");
  const before = world.sockets.length;
  world.connection.wake();
  await world.settle();
  assert.equal(world.sockets.length, before + 1);
  world.socket.says({ type: "welcome" });
  assert.deepEqual(world.socket.last("subscribe").position, { epoch: "e", seq: 7 });
  world.connection.stop();
  world.connection.interrupt();
  assert.equal(world.state, "closed");
});

test("leaves and joins again with its position when a feed misses something", async () => {
  const { world, feed } = await following();
  feed.where = { epoch: "e", seq: 7 };
  feed.answer = "resubscribe";
  world.socket.says({ type: "event", channel: "post:a", event: {} });
  feed.answer = undefined;
  assert.ok(world.socket.last("unsubscribe"));
  world.socket.says({ type: "event", channel: "post:a", event: {} });
  assert.deepEqual(feed.received, ["subscribed", "event"], "frames of the old subscription are not delivered");
  world.socket.says({ type: "unsubscribed", channel: "post:a" });
  const { id, position } = world.socket.last("subscribe");
  assert.deepEqual(position, { epoch: "e", seq: 7 });
  world.socket.says({ type: "event", channel: "post:a", event: {} });
  assert.equal(feed.received.length, 2, "nor before the answer to the new one");
  world.socket.says({ type: "subscribed", channel: "post:a", id });
  world.socket.says({ type: "event", channel: "post:a", event: {} });
  assert.deepEqual(feed.received.slice(2), ["subscribed", "event"]);
});

test("a feed that always misses something slows down", async () => {
  const { world, feed } = await following();
  feed.answer = "resubscribe";
  for (let n = 0; n < 6; n += 1) {
    world.socket.says({ type: "event", channel: "post:a", event: {} });
    world.socket.says({ type: "unsubscribed", channel: "post:a" });
    await world.pass(n < 3 ? 1_000 : 1);
    const { id } = world.socket.last("subscribe");
    world.socket.says({ type: "subscribed", channel: "post:a", id });
  }
  const joins = world.socket.sent.filter((frame) => frame.type === "subscribe").length;
  assert.ok(joins < 7, `${joins} joins`);
});

test("a channel that is not there is told to its feed, a broker that is away is asked again", async () => {
  const gone = new Feed("post:a");
  const away = new Feed("post:b");
  const world = new World();
  world.connection.follow(gone);
  world.connection.follow(away);
  await world.online();
  const [first, second] = world.socket.sent;
  world.socket.says({ type: "error", code: "not_found", channel: "post:a", id: first.id });
  world.socket.says({ type: "error", code: "broker_unavailable", channel: "post:b", id: second.id });
  assert.deepEqual([gone.refusals, away.refusals], [["not_found"], []]);
  await world.pass(2_000);
  assert.equal(world.socket.last("subscribe").channel, "post:b");
  assert.ok(world.socket.last("subscribe").id > second.id);
});

test("a channel that the server ends is told to its feed", async () => {
  const { world, feed } = await following();
  world.socket.says({ type: "unsubscribed", channel: "post:a", code: "gone", message: "m" });
  assert.deepEqual(feed.refusals, ["gone"]);
});

test("does not follow what it was told to leave", async () => {
  const { world, feed } = await following();
  world.connection.unfollow("post:a");
  world.socket.says({ type: "event", channel: "post:a", event: {} });
  assert.deepEqual(feed.received, ["subscribed"]);
  world.socket.says({ type: "unsubscribed", channel: "post:a" });
  world.socket.dies(1006);
  await world.pass(1_000);
  world.socket.says({ type: "welcome" });
  assert.deepEqual(world.socket.sent, []);
});

test("can leave and follow again before the server has answered", async () => {
  const { world } = await following();
  world.connection.unfollow("post:a");
  const again = new Feed("post:a");
  world.connection.follow(again);
  world.socket.says({ type: "unsubscribed", channel: "post:a" });
  world.socket.says({ type: "subscribed", channel: "post:a", id: world.socket.last("subscribe").id });
  assert.deepEqual(again.received, ["subscribed"]);
});

test("stops for good, and starts again when asked", async () => {
  const { world } = await following();
  world.connection.stop();
  assert.equal(world.state, "closed");
  await world.pass(100_000);
  assert.equal(world.sockets.length, 1);
  world.connection.start();
  await world.settle();
  assert.equal(world.sockets.length, 2);
});

test("what an old socket still says is not heard", async () => {
  const { world, feed } = await following();
  const old = world.socket;
  const speak = old.onmessage;
  old.dies(1006);
  await world.pass(1_000);
  speak({ data: JSON.stringify({ type: "event", channel: "post:a", event: {} }) });
  assert.deepEqual(feed.received, ["subscribed"]);
});

test("knows the edges of the ranges", () => {
  assert.equal(reconnectRule(4099), "never");
  assert.equal(reconnectRule(4100), "backoff");
  assert.equal(reconnectRule(4299), "now");
  assert.equal(reconnectRule(4300), "backoff");
});
