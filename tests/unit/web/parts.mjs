import assert from "node:assert/strict";
import { test } from "node:test";
import { draftOf, inOrder, titleLength } from "../../../web/src/inkwire_web/static/compose.js";
import { ago } from "../../../web/src/inkwire_web/static/dom.js";
import { tabTitle } from "../../../web/src/inkwire_web/static/post_view.js";
import { ProgressView, STATUS } from "../../../web/src/inkwire_web/static/progress.js";
import { safeUrl } from "../../../web/src/inkwire_web/static/render.js";
import { countWords } from "../../../web/src/inkwire_web/static/sections.js";

test("links lead to http, https and mailto only", () => {
  for (const good of ["https://a.example/b?c#d", "http://a.example", " https://a.example ", "mailto:a@b.example"]) {
    assert.ok(safeUrl(good), good);
  }
  const bad = [
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", " java\nscript:alert(1)", "\u0001javascript:alert(1)",
    "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:x", "/posts", "#x", "//", "", "https://",
  ];
  for (const url of bad) assert.equal(safeUrl(url), null, url);
});

test("the blog comes first, the other kinds as the api lists them", () => {
  const names = (...all) => inOrder(all.map((name) => ({ name }))).map(({ name }) => name);
  assert.deepEqual(names("analysis", "blog", "course"), ["blog", "analysis", "course"]);
  assert.deepEqual(names("course", "analysis"), ["course", "analysis"]);
});

test("a draft is read as far as it can be", () => {
  const whole = { recipe: "course", title: "Bees", values: { modules: 3 } };
  assert.deepEqual(draftOf(JSON.stringify(whole)), whole);
  for (const kept of [null, "", "{", "null", "7", "{}"]) assert.deepEqual(draftOf(kept), { recipe: "", title: "", values: {} });
});

test("times are told as people say them", () => {
  const now = Date.parse("2026-03-08T12:00:00Z");
  const told = ["2026-03-08T11:59:50Z", "2026-03-08T12:00:09Z", "2026-03-08T11:58:00Z", "2026-03-08T09:00:00Z", ""];
  assert.deepEqual(told.map((time) => ago(time, now)), ["just now", "just now", "2m ago", "3h ago", ""]);
  assert.match(ago("2025-12-24T12:00:00Z", now), /2025/);
});

test("words are counted in any script that has them", () => {
  assert.equal(countWords("# It's a café, n'est-ce pas? 3.5 слова"), 7);
  assert.equal(countWords(" \n— … "), 0);
});

test("the tab says how far a post is", () => {
  const base = { title: "Tips", status: "generating", progress: { percent: 40 } };
  assert.equal(tabTitle(base), "40 % · Tips · Inkwire");
  assert.equal(tabTitle({ ...base, status: "published" }), "Tips · Inkwire");
  assert.equal(tabTitle({ ...base, status: "failed" }), "Failed · Tips · Inkwire");
  assert.equal(tabTitle(null), "Inkwire");
});

test("every state of a post has a word", () => {
  const states = ["queued", "generating", "recovering", "retrying", "paused", "published", "failed", "cancelled", "deleted"];
  for (const state of states) assert.ok(STATUS[state], state);
});

test("a title is as long as the API counts it", () => {
  assert.equal(titleLength("  two\n words  "), 9);
  assert.equal(titleLength("👩🏽‍🚀é"), 5);
  assert.equal(titleLength(" \n "), 0);
});

/** What is drawn, with a clock that stands where it is put. */
function progressView() {
  const node = () => ({
    dataset: {}, textContent: "", style: {}, attributes: {},
    setAttribute(name, value) { this.attributes[name] = value; },
  });
  const nodes = { status: node(), message: node(), percent: node(), bar: { ...node(), firstElementChild: node() } };
  const clock = { ms: 10_000 };
  return { nodes, clock, view: new ProgressView(nodes, () => clock.ms) };
}

test("a lost connection is told where the reader looks, and not as a silent writer", () => {
  const { nodes, clock, view } = progressView();
  const snapshot = { status: "generating", progress: { percent: 40, message: "Writing section 2 of 9" } };
  view.quietSince(clock.ms);
  view.connected(false);
  clock.ms += 600;
  view.draw(snapshot);
  assert.equal(nodes.message.textContent, "Writing section 2 of 9");
  clock.ms += 9_000;
  view.draw(snapshot);
  assert.match(nodes.message.textContent, /Connection lost.*trying again/);
  assert.equal(nodes.status.textContent, "Writing");
  view.connected(true);
  view.draw(snapshot);
  assert.equal(nodes.message.textContent, "Writing section 2 of 9");
});

test("a computer that is offline is told so at once", () => {
  const { nodes, clock, view } = progressView();
  const snapshot = { status: "generating", progress: { percent: 40, message: "Writing section 2 of 9" } };
  view.quietSince(clock.ms);
  clock.ms += 60_000;
  view.connected(false, true);
  view.draw(snapshot);
  assert.match(nodes.message.textContent, /computer is offline/);
  view.connected(false, false);
  clock.ms += 2_000;
  view.draw(snapshot);
  assert.match(nodes.message.textContent, /Connection lost/);
  view.connected(true, false);
  view.draw(snapshot);
  assert.equal(nodes.message.textContent, "Writing section 2 of 9");
});

test("a finished post needs no connection", () => {
  const { nodes, clock, view } = progressView();
  view.connected(false);
  clock.ms += 60_000;
  view.draw({ status: "published", progress: { percent: 100, message: "" }, metrics: { words: 1200 } });
  assert.equal(nodes.message.textContent, "Done · 1,200 words");
});

test("before the first per cent the bar moves instead of saying 0 %", () => {
  const { nodes, view } = progressView();
  view.draw({ status: "generating", progress: { percent: 0, message: "Planning the outline..." } });
  assert.deepEqual([nodes.percent.textContent, nodes.bar.dataset.waiting], ["", "true"]);
  view.draw({ status: "generating", progress: { percent: 10, message: "Outline ready" } });
  assert.deepEqual([nodes.percent.textContent, nodes.bar.dataset.waiting], ["10 %", "false"]);
});

test("a retry counts down to now, is announced once, and is gone when text flows", () => {
  const { nodes, clock, view } = progressView();
  const retry = { code: "provider_rate_limited", delay_ms: 7_000, time: new Date(clock.ms).toISOString() };
  const snapshot = { status: "retrying", progress: { percent: 40, message: "" }, retry };
  const seen = () => (view.draw(snapshot), [nodes.message.textContent, nodes.message.attributes["aria-live"]]);
  assert.deepEqual(seen(), ["Retrying in 7 s (rate limited)", "polite"]);
  clock.ms += 1_200;
  assert.deepEqual(seen(), ["Retrying in 6 s (rate limited)", "off"]);
  assert.equal(nodes.bar.attributes["aria-valuetext"], "40 %, Retrying (rate limited)");
  clock.ms += 60_000;
  assert.deepEqual(seen(), ["Retrying now (rate limited)", "off"]);
  view.draw({ status: "generating", progress: { percent: 40, message: "Writing section 2 of 9" }, retry: null });
  assert.deepEqual([nodes.message.textContent, nodes.message.attributes["aria-live"]], ["Writing section 2 of 9", "polite"]);
});

test("who joins in the middle of a wait sees what is left of it, whatever his clock says at most the whole", () => {
  for (const [passedMs, words] of [[5_000, "in 2 s"], [-3_600_000, "in 7 s"], [3_600_000, "now"]]) {
    const { nodes, clock, view } = progressView();
    const time = new Date(clock.ms - passedMs).toISOString();
    const retry = { code: "provider_cut", delay_ms: 7_000, time };
    view.draw({ status: "retrying", progress: { percent: 40, message: "" }, retry });
    assert.equal(nodes.message.textContent, `Retrying ${words} (connection cut)`);
  }
});

test("waiting for a turn at the provider counts down too, and is no silence", () => {
  const { nodes, clock, view } = progressView();
  const until = new Date(clock.ms + 9_000).toISOString();
  const progress = { percent: 12, code: "waiting_for_provider", params: { delay_s: 9, until }, message: "" };
  const snapshot = { status: "generating", progress, retry: null };
  view.quietSince(clock.ms);
  view.draw(snapshot);
  assert.equal(nodes.message.textContent, "The model provider is asked in 9 s (rate limited)");
  clock.ms += 8_100;
  view.draw(snapshot);
  assert.equal(nodes.message.textContent, "The model provider is asked in 1 s (rate limited)");
});
