// The working steps of a post, which are not part of its document: an outline, keywords, drafts and their checks.
// The one being written is unfolded; afterwards they tell how the document was made.

import { arrange, el, setText } from "./dom.js";
import { documentText, isFinal } from "./fold.js";
import { SectionText } from "./render.js";

const STATE = { waiting: "Waiting", writing: "Writing…", done: "Done", interrupted: "Interrupted" };

/**
 * The steps to show, as `{ section, title, state, text }`: those of the snapshot, then those of `expected`, the recipe's
 * own list, that are still to come. Once the document is planned, or the run has ended, none is.
 */
export function stepsOf(snapshot, expected = []) {
  const final = isFinal(snapshot);
  const steps = snapshot.sections.filter((section) => !section.in_document);
  const planned = steps.length < snapshot.sections.length;
  const known = new Set(steps.map((step) => step.section));
  const coming = final || planned ? [] : expected.filter((step) => !known.has(step.section));
  const shown = steps.map(({ section, title, status, text }) => ({ section, title, state: stateOf(status, final), text }));
  return [
    ...shown.filter((step) => !final || step.text !== ""),
    ...coming.map(({ section, title }) => ({ section, title, state: "waiting", text: "" })),
  ];
}

function stateOf(status, final) {
  if (status === "done") return "done";
  if (final) return "interrupted";
  return status === "writing" ? "writing" : "waiting";
}

export class StepsView {
  #nodes;
  #onOpen;
  #caret = el("span", { class: "caret", "aria-hidden": "true" });
  #rows = new Map();
  #touched = false;

  /** `nodes`: steps (a details element), heading, count, list. `onOpen()`: a reader has opened something to read it. */
  constructor(nodes, onOpen) {
    this.#nodes = nodes;
    this.#onOpen = onOpen;
    nodes.steps.querySelector("summary").addEventListener("click", () => {
      this.#touched = true;
      this.#onOpen();
    });
  }

  draw(snapshot, expected) {
    const { steps: box, heading, count, list } = this.#nodes;
    const steps = snapshot.seq === 0 ? [] : stepsOf(snapshot, expected);
    box.hidden = steps.length === 0;
    arrange(
      list,
      steps.map((step) => this.#row(step)),
    );
    for (const id of [...this.#rows.keys()]) if (!steps.some((step) => step.section === id)) this.#rows.delete(id);
    if (!steps.some((step) => step.state === "writing")) this.#caret.remove();
    const done = steps.filter((step) => step.state === "done").length;
    const paused = snapshot.status === "paused"; // then what is to be approved stands above
    setText(heading, isFinal(snapshot) && !paused ? "How it was made" : "How it is being made");
    setText(count, done < steps.length ? `${done} of ${steps.length} steps` : `${done} ${done === 1 ? "step" : "steps"}`);
    if (!this.#touched) box.open = documentText(snapshot) === "" && !paused;
  }

  clear() {
    this.#rows.clear();
    this.#touched = false;
    this.#nodes.list.replaceChildren();
    this.#nodes.steps.hidden = true;
  }

  #row(step) {
    let row = this.#rows.get(step.section);
    const empty = step.state === "waiting" && step.text === "";
    if (!row || row.empty !== empty) {
      row = empty ? waitingRow() : this.#textRow();
      row.node.dataset.section = step.section;
      this.#rows.set(step.section, row);
    }
    row.node.dataset.state = step.state;
    setText(row.title, step.title || "Untitled");
    setText(row.state, STATE[step.state]);
    if (!empty) this.#drawText(row, step);
    return row.node;
  }

  #drawText(row, step) {
    const writing = step.state === "writing";
    if (!row.touched) row.details.open = writing || step.state === "interrupted";
    row.view.update(step.text, writing);
  }

  #textRow() {
    const { parts, title, state } = headOf();
    const text = el("div", { class: "prose step-text" });
    const summary = el("summary", {}, ...parts);
    const details = el("details", {}, summary, text);
    const row = { node: el("li", {}, details), details, title, state, touched: false, empty: false };
    row.view = new SectionText(text, this.#caret);
    summary.addEventListener("click", () => {
      row.touched = true;
      this.#onOpen();
    });
    return row;
  }
}

function waitingRow() {
  const { parts, title, state } = headOf();
  return { node: el("li", {}, el("div", { class: "step-head" }, ...parts)), title, state, empty: true };
}

function headOf() {
  const title = el("span", { class: "title", dir: "auto" });
  const state = el("span", { class: "state" });
  return { parts: [el("span", { class: "mark", "aria-hidden": "true" }), title, state], title, state };
}
