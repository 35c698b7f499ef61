import assert from "node:assert/strict";
import { test } from "node:test";
import { placeOf, pointsOf, proposedOutline } from "../../../web/src/inkwire_web/static/review.js";

const outline = { title: "Tea", description: "All of it", tags: ["tea"], sections: [{ title: "Leaves" }], closing: "End" };
const paused = (data) => ({ status: "paused", sections: [{ section: "outline", in_document: false, data }] });

test("the outline of a post that waits is what can be changed, each field filled", () => {
  assert.deepEqual(proposedOutline(paused(outline)), {
    ...outline,
    sections: [{ title: "Leaves", target_words: 0, points: [] }],
  });
});

test("there is nothing to change where nothing waits, or where it has no outline", () => {
  assert.equal(proposedOutline({ ...paused(outline), status: "generating" }), null);
  assert.equal(proposedOutline(paused(null)), null);
  assert.equal(proposedOutline(paused({ keywords: ["tea"] })), null);
  assert.equal(proposedOutline({ status: "paused", sections: [{ in_document: true, data: outline }] }), null);
});

test("points stand one on each line, with or without a dash", () => {
  assert.deepEqual(pointsOf(" one\n\n- two \n* three\n-four\n"), ["one", "two", "three", "-four"]);
  assert.deepEqual(pointsOf(" \n"), []);
});

test("a fault is found by its pointer, and one without a place is told for the whole", () => {
  const place = (pointer) => placeOf({ pointer, detail: "x" });
  assert.deepEqual(place("#/outline/title"), { name: "title" });
  assert.deepEqual(place("#/outline/sections/2/target_words"), { index: 2, name: "target_words" });
  assert.deepEqual(place("#/outline/sections/0/points/3"), { index: 0, name: "points" });
  for (const none of ["#/outline", "#/outline/sections", "#/outline/tags/0", "#/title", undefined]) {
    assert.equal(place(none), null, none);
  }
});
