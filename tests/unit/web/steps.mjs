import assert from "node:assert/strict";
import { test } from "node:test";
import { complianceOf, verdict } from "../../../web/src/inkwire_web/static/compliance.js";
import { stepsOf } from "../../../web/src/inkwire_web/static/steps.js";

const step = (section, status, text = "") => ({ section, title: section, in_document: false, status, text });
const part = (section) => ({ ...step(section, "pending"), in_document: true });
const EXPECTED = [{ section: "keywords", title: "Keywords" }, { section: "strategy", title: "Strategy" }];
const states = (snapshot, expected) => stepsOf(snapshot, expected).map(({ section, state }) => `${section} ${state}`);

test("steps that have not begun are waited for, in the recipe's order", () => {
  assert.deepEqual(states({ status: "queued", sections: [] }, EXPECTED), ["keywords waiting", "strategy waiting"]);
  const sections = [step("keywords", "done", "- tea"), step("strategy", "writing", "*A")];
  assert.deepEqual(states({ status: "generating", sections: [sections[0]] }, EXPECTED), ["keywords done", "strategy waiting"]);
  assert.deepEqual(states({ status: "generating", sections }, EXPECTED), ["keywords done", "strategy writing"]);
});

test("a step that the recipe's list does not have stands after those it has", () => {
  const sections = [step("keywords", "done", "x"), step("content_2", "writing")];
  assert.deepEqual(states({ status: "generating", sections }, EXPECTED), ["keywords done", "content_2 writing", "strategy waiting"]);
});

test("a step that was given up and will be written again waits", () => {
  assert.deepEqual(states({ status: "retrying", sections: [step("outline", "pending")] }), ["outline waiting"]);
});

test("once the document is planned no step is waited for", () => {
  const sections = [step("keywords", "done", "x"), part("post")];
  assert.deepEqual(states({ status: "generating", sections }, EXPECTED), ["keywords done"]);
});

test("after the end there are the steps that have a text, and what was cut off says so", () => {
  const sections = [step("keywords", "done", "x"), step("strategy", "writing", "*A"), step("content", "pending")];
  assert.deepEqual(states({ status: "failed", sections }, EXPECTED), ["keywords done", "strategy interrupted"]);
});

test("a post without steps has none", () => {
  assert.deepEqual(stepsOf({ status: "generating", sections: [part("s0")] }), []);
  assert.deepEqual(stepsOf({ status: "queued", sections: [] }), []);
});

test("a compliance check is read from the metadata, whatever else may stand there", () => {
  for (const compliance of [undefined, null, "passed", {}, { status: "odd" }, { status: "constructor" }]) {
    assert.equal(complianceOf({ compliance }), null);
  }
  const findings = [{ rule: "No promises", quote: "always works", severity: "blocker" }, { rule: "Long" }];
  assert.deepEqual(complianceOf({ compliance: { status: "failed", findings, disclaimers: ["Ad"] } }), {
    status: "failed",
    findings: [
      { rule: "No promises", quote: "always works", blocker: true },
      { rule: "Long", quote: "", blocker: false },
    ],
    disclaimers: ["Ad"],
  });
  assert.deepEqual(complianceOf({ compliance: { status: "passed" } }).findings, []);
});

test("the verdict says what it means for publishing", () => {
  const [blocker, hint] = [{ blocker: true }, { blocker: false }];
  assert.match(verdict({ status: "passed", findings: [] }), /Nothing/);
  assert.match(verdict({ status: "passed", findings: [hint, hint] }), /may be published; 2 things/);
  assert.match(verdict({ status: "failed", findings: [blocker, hint] }), /one thing in it that must not/);
});
