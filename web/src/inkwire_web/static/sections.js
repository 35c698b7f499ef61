// The list of a post's sections with their states; the document's texts, one element for each section.

import { arrange, el, setText } from "./dom.js";
import { isFinal } from "./fold.js";
import { SectionText } from "./render.js";

const STATE = { pending: "to come", writing: "being written", done: "done", interrupted: "interrupted" };

function stateOf(section, snapshot) {
  return section.status === "writing" && isFinal(snapshot) ? "interrupted" : section.status;
}

/** Words, roughly, as people count them. */
export function countWords(text) {
  return text.match(/[\p{L}\p{N}]+(?:['’.-][\p{L}\p{N}]+)*/gu)?.length ?? 0;
}

export class Outline {
  #list;
  #count;
  #onChoose;
  #rows = new Map();

  /** `onChoose(section)` is called when a reader picks one. */
  constructor(list, count, onChoose) {
    this.#list = list;
    this.#count = count;
    this.#onChoose = onChoose;
  }

  draw(snapshot) {
    const shown = snapshot.sections.filter((section) => section.in_document);
    arrange(
      this.#list,
      shown.map((section) => this.#row(section, snapshot)),
    );
    const done = shown.filter((section) => section.status === "done").length;
    this.#list.closest("details").hidden = shown.length === 0;
    setText(this.#count, shown.length === 0 ? "" : `${done} of ${shown.length}`);
    for (const id of [...this.#rows.keys()]) if (!shown.some((s) => s.section === id)) this.#rows.delete(id);
  }

  #row(section, snapshot) {
    let row = this.#rows.get(section.section);
    if (!row) {
      const title = el("span", { class: "title", dir: "auto" });
      const state = el("span", { class: "visually-hidden" });
      const words = el("span", { class: "words" });
      const button = el(
        "button",
        { type: "button", onclick: () => this.#onChoose(section.section) },
        el("span", { class: "mark", "aria-hidden": "true" }),
        title,
        words,
        state,
      );
      row = { node: el("li", { "data-section": section.section }, button), button, title, words, state };
      this.#rows.set(section.section, row);
    }
    const state = stateOf(section, snapshot);
    row.node.dataset.state = state;
    row.button.disabled = section.length === 0;
    setText(row.title, section.title || "Untitled");
    setText(row.state, `, ${STATE[state]}`);
    setText(row.words, state === "pending" && section.target_words > 0 ? `~${section.target_words}` : "");
    if (state === "writing") row.button.setAttribute("aria-current", "step");
    else row.button.removeAttribute("aria-current");
    return row.node;
  }
}

export class DocumentView {
  #article;
  #caret = el("span", { class: "caret", "aria-hidden": "true" });
  #texts = new Map();

  constructor(article) {
    this.#article = article;
  }

  draw(snapshot) {
    const written = snapshot.sections.filter((section) => section.in_document && section.length > 0);
    this.#fill(written, snapshot);
    if (snapshot.open_section === null || isFinal(snapshot)) this.#caret.remove();
    this.#article.setAttribute("aria-busy", String(!isFinal(snapshot)));
  }

  /** The element of a section, if it is shown. */
  element(section) {
    return this.#texts.get(section)?.node;
  }

  clear() {
    this.#texts.clear();
    this.#article.replaceChildren();
  }

  #fill(sections, snapshot) {
    const nodes = sections.map((section) => {
      let text = this.#texts.get(section.section);
      if (!text) {
        const node = el("section", { "data-section": section.section });
        text = { node, view: new SectionText(node, this.#caret) };
        this.#texts.set(section.section, text);
      }
      text.view.update(section.text, section.status === "writing" && !isFinal(snapshot));
      return text.node;
    });
    arrange(this.#article, nodes);
  }
}
