import assert from "node:assert/strict";
import { test } from "node:test";
import { DeleteDialog, question } from "../../../web/src/inkwire_web/static/deleting.js";
import { emptySnapshot } from "../../../web/src/inkwire_web/static/fold.js";

const snapshot = (status, more = {}) => ({ ...emptySnapshot("p1"), seq: 9, title: "Tips", status, ...more });

class Node extends EventTarget {
  textContent = "";
  hidden = false;
  disabled = false;
  open = false;
  showModal() {
    this.open = true;
  }
  close() {
    this.open = false;
    this.dispatchEvent(new Event("close"));
  }
}

function dialog(...answers) {
  const nodes = Object.fromEntries(["dialog", "heading", "text", "error", "confirm"].map((name) => [name, new Node()]));
  const asked = [];
  const waits = [];
  const it = new DeleteDialog({
    nodes,
    remove: async (post) => {
      asked.push(post);
      const answer = answers.shift();
      if (answer) throw answer;
    },
    wait: async (ms) => waits.push(ms),
  });
  return { it, nodes, asked, waits };
}

const refusal = (code) => Object.assign(new Error(`because of ${code}`), { code });

test("it says what is lost, and that the writing stops where it has not ended", () => {
  assert.match(question(snapshot("published")).heading, /Tips/);
  assert.doesNotMatch(question(snapshot("published")).text, /stops the writing/);
  for (const status of ["queued", "generating", "retrying", "recovering"]) {
    assert.match(question(snapshot(status)).text, /stops the writing.*cannot be undone/);
  }
  assert.equal(question(snapshot("failed", { title: "" })).heading, "Delete this post?");
});

test("nothing is deleted before it is confirmed, and then once", async () => {
  const { it, nodes, asked } = dialog();
  await it.confirm();
  it.ask(snapshot("published"));
  assert.deepEqual([nodes.dialog.open, asked], [true, []]);
  const first = it.confirm();
  assert.deepEqual([nodes.confirm.disabled, nodes.confirm.textContent], [true, "Deleting…"]);
  await Promise.all([first, it.confirm()]);
  assert.deepEqual([nodes.dialog.open, asked, nodes.confirm.disabled], [false, ["p1"], false]);
});

test("a post whose writer has not let go is asked for again, and one that is gone is no trouble", async () => {
  const { it, nodes, asked, waits } = dialog(refusal("still_stopping"), refusal("still_stopping"), refusal("gone"));
  it.ask(snapshot("generating"));
  await it.confirm();
  assert.deepEqual([asked.length, waits.length, nodes.dialog.open], [3, 2, false]);
});

test("what stands in the way is said in the dialog, which can be tried again", async () => {
  const { it, nodes, asked } = dialog(...Array(5).fill(refusal("still_stopping")), refusal("forbidden"));
  it.ask(snapshot("generating"));
  await it.confirm();
  assert.deepEqual([asked.length, nodes.dialog.open, nodes.error.hidden], [5, true, false]);
  assert.match(nodes.error.textContent, /still_stopping/);
  await it.confirm();
  assert.match(nodes.error.textContent, /forbidden/);
  await it.confirm();
  assert.equal(nodes.dialog.open, false);
  it.ask(snapshot("generating"));
  assert.equal(nodes.error.hidden, true);
});

test("it follows the post: what it says stays true, and it closes when somebody else was faster", () => {
  const { it, nodes } = dialog();
  it.update(snapshot("published"));
  assert.equal(nodes.dialog.open, false);
  it.ask(snapshot("generating"));
  assert.match(nodes.text.textContent, /stops the writing/);
  it.update(snapshot("published"));
  assert.doesNotMatch(nodes.text.textContent, /stops the writing/);
  it.update(snapshot("deleted"));
  assert.equal(nodes.dialog.open, false);
});
