import assert from "node:assert/strict";
import { test } from "node:test";
import { UserFeed } from "../../../web/src/inkwire_web/static/user_feed.js";

const summary = (id, seq, more = {}) => ({
  id, seq, title: id, recipe: "blog", status: "generating", percent: 10, message: "", words: null, sha256: null,
  created_at: `2026-03-01T10:00:0${id.length}.000Z`, ...more,
});
const event = (type, post, seq, data = {}, run = 1) => ({
  type: "event", event: { type, post, seq, run, time: "2026-03-01T11:00:00.000Z", data },
});

function feed(...items) {
  let changes = 0;
  const it = new UserFeed("ada", () => {
    changes += 1;
  });
  it.receive({ type: "posts", items });
  return { it, changes: () => changes };
}

test("lists newest first and never asks for a position", () => {
  const { it } = feed(summary("a", 1), summary("ccc", 1), summary("bb", 1));
  assert.deepEqual(it.posts.map((post) => post.id), ["ccc", "bb", "a"]);
  assert.equal(it.position(), null);
  assert.equal(it.channel, "user:ada");
});

test("a life is told by its events", () => {
  const { it } = feed();
  it.receive(event("requested", "a", 1, { title: "Tips", recipe: "blog" }));
  assert.deepEqual([it.posts[0].title, it.posts[0].status], ["Tips", "queued"]);
  it.receive(event("started", "a", 2));
  assert.equal(it.posts[0].status, "generating");
  it.receive(event("retrying", "a", 9, { message: "Waiting" }));
  assert.deepEqual([it.posts[0].status, it.posts[0].message], ["retrying", "Waiting"]);
  it.receive(event("published", "a", 20, { sha256: "f".repeat(64), metrics: { words: 7 } }));
  assert.deepEqual([it.posts[0].status, it.posts[0].percent, it.posts[0].words], ["published", 100, 7]);
  it.receive(event("deleted", "a", 21));
  assert.deepEqual(it.posts, []);
});

test("a deleted post leaves, whoever tells of it first, and no older answer brings it back", () => {
  const { it, changes } = feed(summary("a", 20, { status: "published" }), summary("bb", 3));
  it.update({ post: "a", seq: 21, title: "", status: "deleted" });
  assert.deepEqual(it.posts.map((post) => post.id), ["bb"]);
  const before = changes();
  it.receive(event("deleted", "a", 21));
  assert.equal(changes(), before);
  it.add([summary("a", 20, { status: "published" })]);
  assert.deepEqual(it.posts.map((post) => post.id), ["bb"]);
});

test("what was deleted while nobody listened leaves with the next list", () => {
  const ended = { status: "published" };
  const { it } = feed(summary("a", 9, ended), summary("bb", 9, ended), summary("ccc", 2), summary("dddd", 9, ended));
  it.receive({ type: "posts", items: [summary("bb", 9, ended), summary("dddd", 9, ended)] });
  assert.deepEqual(it.posts.map((post) => post.id), ["dddd", "ccc", "bb", "a"]); // too young to be stored; an older page
  it.receive({ type: "posts", items: [summary("bb", 9, ended)] });
  assert.deepEqual(it.posts.map((post) => post.id), ["ccc", "bb", "a"]);
});

test("what is older than what is known changes nothing", () => {
  const { it } = feed(summary("a", 20, { status: "published" }));
  it.receive(event("started", "a", 2));
  it.add([summary("a", 5)]);
  it.update({ post: "a", seq: 7, title: "x", status: "failed", progress: {}, error: null, metrics: null });
  assert.equal(it.posts[0].status, "published");
});

test("older pages are merged into the list", () => {
  const { it, changes } = feed(summary("bb", 3));
  const before = changes();
  it.add([summary("a", 9), summary("bb", 3)]);
  assert.deepEqual(it.posts.map((post) => post.id), ["bb", "a"]);
  assert.equal(changes(), before + 1);
});

test("an event of a post that is not in the list adds nothing but a request", () => {
  const { it } = feed();
  it.receive(event("published", "a", 20, {}));
  assert.deepEqual(it.posts, []);
});

test("the open post's own channel is newer than the list", () => {
  const { it } = feed(summary("a", 3));
  const progress = { percent: 55, message: "Writing section 2" };
  it.update({ post: "a", seq: 9, title: "T", status: "generating", progress, error: null, metrics: null, sha256: null });
  assert.deepEqual([it.posts[0].percent, it.posts[0].message], [55, "Writing section 2"]);
});

test("events that mean nothing to a list are heard and change no state", () => {
  const { it } = feed(summary("a", 3));
  it.receive(event("novelty", "a", 4));
  it.receive({ type: "subscribed" });
  assert.deepEqual([it.posts[0].status, it.posts[0].seq], ["generating", 4]);
});

test("after a lost log the list is what is saved, however far a post had come before", () => {
  const { it } = feed(summary("a", 60), summary("bb", 9));
  it.receive(event("deleted", "ccc", 5));
  it.startOver();
  assert.deepEqual(it.posts, []);
  it.receive({ type: "posts", items: [summary("a", 41), summary("ccc", 3)] });
  assert.deepEqual(it.posts.map((post) => [post.id, post.seq]), [["ccc", 3], ["a", 41]]);
});
