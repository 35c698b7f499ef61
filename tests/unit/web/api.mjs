import assert from "node:assert/strict";
import { test } from "node:test";
import { Api } from "../../../web/src/inkwire_web/static/api.js";
import { ApiError, Unreachable } from "../../../web/src/inkwire_web/static/api_error.js";

const claims = (lifetime) => btoa(JSON.stringify({ iat: 1000, exp: 1000 + lifetime })).replace(/=+$/, "");

function world({ answers = {}, stored = null, lifetime = 100 } = {}) {
  const calls = [];
  const store = new Map(stored ? [["inkwire.token", stored]] : []);
  const clock = { ms: 0 };
  let minted = 0;
  const fetch = async (path, init) => {
    calls.push({ path, ...init });
    const given = answers[path];
    if (given instanceof Error) throw given;
    if (given) return typeof given === "function" ? given(init) : given;
    minted += 1;
    return Response.json({ token: `h.${claims(lifetime)}.${minted}`, owner: "ada" });
  };
  const storage = { getItem: (key) => store.get(key) ?? null, setItem: (key, value) => store.set(key, value) };
  return { api: new Api({ fetch, storage, now: () => clock.ms }), calls, clock, store };
}

test("one token is fetched once, kept for most of its life, then renewed", async () => {
  const { api, calls, clock } = world();
  const [one, two] = await Promise.all([api.get(), api.get()]);
  assert.equal(one, two);
  assert.deepEqual([one.owner, one.lifetimeMs, calls.length], ["ada", 100_000, 1]);
  clock.ms = 79_000;
  assert.equal(await api.get(), one);
  clock.ms = 81_000;
  assert.notEqual(await api.get(), one);
  assert.equal(calls.length, 2);
});

test("a token that was given is used to get shorter ones, and is not sent elsewhere", async () => {
  const { api, calls } = world({ answers: { "/posts?limit=30": Response.json({ items: [] }) } });
  api.signIn("  sec\n  ret\u200b \n"); // wrapped by a terminal, with what a mail program adds
  await api.posts();
  assert.equal(calls[0].headers.Authorization, "Bearer secret");
  assert.match(calls[1].headers.Authorization, /^Bearer h\./);
});

test("a refused token is replaced once, then the refusal is told", async () => {
  const refusal = () => Response.json({ code: "invalid_token", detail: "Get a new token." }, { status: 401 });
  const { api, calls } = world({ answers: { "/posts?limit=30": refusal } });
  await assert.rejects(api.posts(), (error) => error instanceof ApiError && error.signIn && error.code === "invalid_token");
  assert.deepEqual(calls.map((call) => call.path), ["/tokens", "/posts?limit=30", "/tokens", "/posts?limit=30"]);
});

test("a problem document becomes its own words", async () => {
  const problem = { code: "too_many_posts", title: "Too many", detail: "Wait until one has ended." };
  const { api } = world({ answers: { "/posts": () => Response.json(problem, { status: 429 }) } });
  await assert.rejects(api.create({}, "k"), { message: "Wait until one has ended.", status: 429, code: "too_many_posts" });
});

test("an error that is no problem document still says something", async () => {
  const { api } = world({ answers: { "/config": () => new Response("<html>", { status: 502 }) } });
  await assert.rejects(api.config(), (error) => error instanceof ApiError && error.message.length > 10);
});

test("a server that cannot be reached is its own error", async () => {
  const { api } = world({ answers: { "/config": new TypeError("failed to fetch") } });
  await assert.rejects(api.config(), Unreachable);
});

test("creating sends the body and the key that makes it one post", async () => {
  const { api, calls } = world({ answers: { "/posts": () => Response.json({ id: "x" }, { status: 202 }) } });
  assert.deepEqual(await api.create({ title: "T" }, "key-1"), { id: "x" });
  const call = calls.at(-1);
  assert.deepEqual([call.method, call.headers["Idempotency-Key"], call.body], ["POST", "key-1", '{"title":"T"}']);
});

test("a page of posts asks for its cursor", async () => {
  const { api, calls } = world({ answers: { "/posts?limit=5&cursor=a%2Fb": () => Response.json({ items: [] }) } });
  await api.posts("a/b", 5);
  assert.equal(calls.at(-1).path, "/posts?limit=5&cursor=a%2Fb");
});

test("markdown comes as bytes with the name the server gave it", async () => {
  const headers = { "content-disposition": "attachment; filename=\"x.md\"; filename*=UTF-8''caf%C3%A9.md" };
  const { api } = world({ answers: { "/posts/p/markdown": () => new Response("é", { headers }) } });
  const { bytes, name } = await api.markdown("p");
  assert.deepEqual([new Uint8Array(bytes), name], [new Uint8Array([0xc3, 0xa9]), "café.md"]);
});

test("a token without readable claims has a careful lifetime", async () => {
  const { api } = world({ answers: { "/tokens": () => Response.json({ token: "opaque", owner: "ada" }) } });
  assert.ok((await api.get()).lifetimeMs >= 60_000);
});

test("stop and try again name the run that is meant", async () => {
  const answer = () => Response.json({ id: "p", run: 2, status: "generating" }, { status: 202 });
  const { api, calls } = world({ answers: { "/posts/p/cancel?run=2": answer, "/posts/p/retry?run=2": answer } });
  await api.cancel("p", 2);
  await api.retry("p", 2);
  assert.deepEqual(
    calls.slice(1).map((call) => [call.method, call.path]),
    [["POST", "/posts/p/cancel?run=2"], ["POST", "/posts/p/retry?run=2"]],
  );
});
