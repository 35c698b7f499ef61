import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { codePoints, documentText, emptySnapshot, fold } from "../../../web/src/inkwire_web/static/fold.js";
import { PostFeed } from "../../../web/src/inkwire_web/static/post_feed.js";

const vector = (name) =>
  JSON.parse(readFileSync(new URL(`../../contract/vectors/${name}.json`, import.meta.url), "utf-8"));
const PLAIN = vector("19-tokens-wasted");
const UNICODE = vector("05b-unicode-open");
const CHANNEL = `post:${PLAIN.snapshot.post}`;

function feed() {
  const seen = { changes: 0, events: [], refusals: [] };
  const made = new PostFeed(
    PLAIN.snapshot.post,
    (event) => {
      seen.changes += 1;
      if (event) seen.events.push(event.seq);
    },
    (code) => seen.refusals.push(code),
  );
  return { feed: made, seen };
}

function folded(events) {
  const snapshot = emptySnapshot(PLAIN.snapshot.post);
  for (const event of events) fold(snapshot, event);
  return structuredClone(snapshot);
}

// What a gateway sends to one who joins after these events, with texts cut into pieces of `size` code points.
function* catchUp(events, size = 1_000) {
  const snapshot = folded(events);
  const texts = snapshot.sections.map((section) => [section.section, section.text]);
  for (const section of snapshot.sections) section.text = "";
  yield { type: "subscribed", channel: CHANNEL, recovered: false };
  yield { type: "snapshot", channel: CHANNEL, epoch: "e1", snapshot };
  for (const [section, text] of texts) {
    const points = Array.from(text);
    for (let start = 0; start < points.length; start += size) {
      const piece = points.slice(start, start + size);
      yield { type: "text", channel: CHANNEL, section, start, end: start + piece.length, text: piece.join("") };
    }
  }
}

// As the gateway does it: data in frames of its own, before the texts.
function withData(frames, data) {
  const [subscribed, snapshot, ...texts] = frames;
  const carried = Object.entries(data).map(([section, value]) => ({ type: "data", channel: CHANNEL, section, data: value }));
  return [subscribed, snapshot, ...carried, ...texts];
}

const event = (value) => ({ type: "event", channel: CHANNEL, event: value });
const live = (seq, epoch = "e1") => ({ type: "live", channel: CHANNEL, position: { epoch, seq } });

test("a snapshot in pieces becomes the post, surrogates and joiners included", () => {
  const { feed: it } = feed();
  for (const frame of catchUp(UNICODE.events, 1)) assert.equal(it.receive(frame), undefined);
  assert.equal(it.position(), null, "no position before live");
  assert.equal(it.receive(live(UNICODE.snapshot.seq)), undefined);
  assert.equal(documentText(it.snapshot), UNICODE.document);
  assert.deepEqual(it.snapshot, folded(UNICODE.events));
  assert.deepEqual(it.position(), { epoch: "e1", seq: UNICODE.snapshot.seq });
});

test("events between the texts and live belong to the snapshot", () => {
  for (let cut = 1; cut < PLAIN.events.length; cut += 1) {
    const { feed: it, seen } = feed();
    for (const frame of catchUp(PLAIN.events.slice(0, cut), 3)) it.receive(frame);
    for (const value of PLAIN.events.slice(cut)) assert.equal(it.receive(event(value)), undefined);
    assert.equal(seen.changes, 0, "nothing is shown before it is complete");
    it.receive(live(PLAIN.snapshot.seq));
    assert.deepEqual(it.snapshot, folded(PLAIN.events));
    assert.equal(seen.changes, 1);
  }
});

test("a snapshot of a gateway that knows less is filled up, and events fold on it", () => {
  const { feed: it } = feed();
  for (const frame of catchUp(PLAIN.events.slice(0, 3))) {
    if (frame.snapshot) for (const name of ["spent", "run_spent"]) delete frame.snapshot[name];
    it.receive(frame);
  }
  it.receive(live(3));
  for (const value of PLAIN.events.slice(3)) it.receive(event(value));
  assert.deepEqual(it.snapshot, folded(PLAIN.events));
});

test("live events are folded and told one by one", () => {
  const { feed: it, seen } = feed();
  for (const frame of catchUp(PLAIN.events.slice(0, 3))) it.receive(frame);
  it.receive(live(3));
  for (const value of PLAIN.events.slice(3)) it.receive(event(value));
  assert.deepEqual(it.snapshot, folded(PLAIN.events));
  assert.deepEqual(seen.events, PLAIN.events.slice(3).map((value) => value.seq));
});

test("a recovered subscription goes on where it stood", () => {
  const { feed: it } = feed();
  for (const frame of catchUp(PLAIN.events.slice(0, 5))) it.receive(frame);
  it.receive(live(5));
  it.receive({ type: "subscribed", channel: CHANNEL, recovered: true });
  for (const value of PLAIN.events.slice(3)) it.receive(event(value));
  assert.equal(it.receive(live(PLAIN.snapshot.seq)), undefined);
  assert.deepEqual(it.snapshot, folded(PLAIN.events));
});

test("the old post stays while a new snapshot is on its way, and after a loss in the middle of it", () => {
  const { feed: it } = feed();
  for (const frame of catchUp(PLAIN.events)) it.receive(frame);
  it.receive(live(PLAIN.snapshot.seq));
  const half = [...catchUp(PLAIN.events, 2)].slice(0, 4);
  for (const frame of half) it.receive({ ...frame, epoch: "e2" });
  assert.deepEqual(it.snapshot, folded(PLAIN.events));
  it.receive({ type: "subscribed", channel: CHANNEL, recovered: true });
  assert.equal(it.receive(live(PLAIN.snapshot.seq)), undefined);
  assert.deepEqual(it.position(), { epoch: "e1", seq: PLAIN.snapshot.seq });
});

test("a missing event asks to go on from the position, once, and then for a snapshot", () => {
  const { feed: it, seen } = feed();
  for (const frame of catchUp(PLAIN.events.slice(0, 5))) it.receive(frame);
  it.receive(live(5));
  assert.equal(it.receive(event(PLAIN.events[6])), "resubscribe");
  assert.deepEqual(it.position(), { epoch: "e1", seq: 5 });
  it.receive({ type: "subscribed", channel: CHANNEL, recovered: true });
  assert.equal(it.receive(event(PLAIN.events[6])), "resubscribe");
  assert.equal(it.position(), null);
  assert.equal(seen.events.length, 0);
});

test("texts that do not fit together are not shown", () => {
  for (const spoil of [
    (frames) => frames.filter((frame, n) => n !== 3),
    (frames) => frames.filter((frame) => frame.type !== "text"),
    (frames) => frames.map((frame) => (frame.type === "text" ? { ...frame, end: frame.end + 1 } : frame)),
    (frames) => frames.map((frame) => (frame.type === "text" ? { ...frame, section: "other" } : frame)),
    (frames) => frames.slice(0, -1),
  ]) {
    const { feed: it, seen } = feed();
    const answers = [...spoil([...catchUp(PLAIN.events, 4)]), live(PLAIN.snapshot.seq)].map((frame) => it.receive(frame));
    assert.ok(answers.includes("resubscribe"));
    assert.equal(it.position(), null);
    assert.equal(seen.changes, 0);
  }
});

test("live at another place than the fold is a gap", () => {
  const { feed: it } = feed();
  for (const frame of catchUp(PLAIN.events)) it.receive(frame);
  assert.equal(it.receive(live(PLAIN.snapshot.seq + 1)), "resubscribe");
});

test("an epoch that changed comes with a snapshot and replaces everything", () => {
  const { feed: it } = feed();
  for (const frame of catchUp(PLAIN.events)) it.receive(frame);
  it.receive(live(PLAIN.snapshot.seq));
  for (const frame of catchUp(PLAIN.events.slice(0, 2))) it.receive({ ...frame, epoch: "e2" });
  it.receive(live(2, "e2"));
  assert.deepEqual(it.position(), { epoch: "e2", seq: 2 });
  assert.equal(documentText(it.snapshot), "");
});

test("what the server refuses is told", () => {
  const { feed: it, seen } = feed();
  it.refused("not_found", "m");
  assert.deepEqual(seen.refusals, ["not_found"]);
});

test("code points are counted, lone halves as one", () => {
  for (const [text, count] of [["", 0], ["abc", 3], ["a😀b", 3], ["👩‍🚀", 3], ["\ud83d", 1], ["\ude00\ud83d", 2]]) {
    assert.equal(codePoints(text), count);
  }
});

test("a section's data comes in a frame of its own, and one for no section begins again", () => {
  const { feed: it } = feed();
  const [section] = PLAIN.snapshot.sections;
  const data = { [section.section]: { rows: [1, 2] } };
  for (const frame of withData([...catchUp(PLAIN.events)], data)) assert.equal(it.receive(frame), undefined);
  assert.equal(it.receive(live(PLAIN.snapshot.seq)), undefined);
  assert.deepEqual(it.snapshot.sections[0].data, { rows: [1, 2] });
  assert.equal(documentText(it.snapshot), PLAIN.document);
  const { feed: other } = feed();
  const wrong = withData([...catchUp(PLAIN.events)], { nowhere: {} });
  assert.deepEqual(wrong.slice(0, 3).map((frame) => other.receive(frame)), [undefined, undefined, "resubscribe"]);
});

test("a snapshot of another log is told, once, and replaces everything", () => {
  let lost = 0;
  const it = new PostFeed(PLAIN.snapshot.post, () => {}, () => {}, () => (lost += 1));
  const half = PLAIN.events.slice(0, 6);
  const follow = (events, epoch) => {
    for (const frame of catchUp(events)) it.receive(frame.type === "snapshot" ? { ...frame, epoch } : frame);
    it.receive(live(folded(events).seq, epoch));
  };
  follow(PLAIN.events, "e1");
  follow(PLAIN.events, "e1");
  assert.equal(lost, 0);
  follow(half, "e2");
  assert.equal(lost, 1);
  assert.deepEqual(it.position(), { epoch: "e2", seq: folded(half).seq });
  assert.equal(documentText(it.snapshot), documentText(folded(half)));
  follow(half, "e2");
  assert.equal(lost, 1);
});
