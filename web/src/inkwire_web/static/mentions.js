// "@" in a text field opens the list of the author's documents. A choice becomes `@3`, which the API understands.

import { el } from "./dom.js";

const SHOWN = 6;
const MENTION = /(?:^|[\s([{,;:])@([\p{L}\p{N}._-]{0,60})$/u;

let pressed = false; // a button of the mouse, anywhere on the page
if (globalThis.document) {
  document.addEventListener("mousedown", () => (pressed = true), { capture: true });
  document.addEventListener("mouseup", () => (pressed = false), { capture: true });
}

/** The mention that is being typed before the caret, as `{ start, query }`, or null. */
export function mentionAt(text, caret) {
  const match = MENTION.exec(text.slice(0, caret));
  return match ? { start: caret - match[1].length - 1, query: match[1].toLowerCase() } : null;
}

/** Documents that fit what was typed: the one of that number, then by the number's beginning, then by a part of the name. */
export function matching(documents, query) {
  const rank = ({ number, name }) => {
    if (String(number) === query) return 0;
    if (String(number).startsWith(query)) return 1;
    return name.toLowerCase().includes(query) ? 2 : 3;
  };
  const fitting = documents.filter((document) => rank(document) < 3);
  return fitting.sort((a, b) => rank(a) - rank(b)).slice(0, SHOWN);
}

export class MentionList {
  #field;
  #documents;
  #refresh;
  #list;
  #found = [];
  #active = 0;
  #mention = null;

  /**
   * `field`: a textarea or input. `documents()` gives the author's documents, as far as they are known; `refresh()` asks
   * for all of them, whenever a mention is begun.
   */
  constructor(field, documents, refresh) {
    this.#field = field;
    this.#documents = documents;
    this.#refresh = refresh;
    const id = `${field.id}-mentions`;
    this.#list = el("ul", { class: "mention-list", id, role: "listbox", "aria-label": "Your documents", hidden: true });
    field.after(this.#list);
    field.setAttribute("aria-autocomplete", "list");
    field.setAttribute("aria-controls", id);
    field.addEventListener("input", () => this.#look());
    field.addEventListener("click", () => this.#look());
    this.#closeWhenLeft();
    // Before the field's own keys, for which Enter sends.
    field.addEventListener("keydown", (event) => this.#key(event), { capture: true });
    this.#list.addEventListener("mousedown", (event) => {
      event.preventDefault(); // the field keeps the focus
      const row = event.target.closest("li");
      if (row) this.#choose(Number(row.dataset.index));
    });
  }

  get #open() {
    return !this.#list.hidden;
  }

  // What stands below moves when the list goes: the click that leaves the field has to hit what it was meant for first.
  #closeWhenLeft() {
    this.#field.addEventListener("blur", () => {
      if (!pressed) this.#close();
      else document.addEventListener("mouseup", () => setTimeout(() => this.#close()), { capture: true, once: true });
    });
  }

  #look() {
    const begins = this.#mention === null;
    this.#mention = mentionAt(this.#field.value, this.#field.selectionStart);
    this.#active = 0;
    this.#find();
    if (begins && this.#mention) this.#refresh().then(() => this.#find());
  }

  // What was chosen with the arrows stays chosen when there is more to choose from.
  #find() {
    const chosen = this.#found[this.#active]?.id;
    this.#found = this.#mention ? matching(this.#documents(), this.#mention.query) : [];
    this.#active = Math.max(0, this.#found.findIndex(({ id }) => id === chosen));
    this.#draw();
  }

  #draw() {
    this.#list.hidden = this.#found.length === 0;
    const rows = this.#found.map(({ number, name }, index) => {
      const id = `${this.#list.id}-${index}`;
      const selected = String(index === this.#active);
      const label = [el("b", {}, `@${number}`), ` ${name}`];
      return el("li", { id, role: "option", "aria-selected": selected, "data-index": index, dir: "auto" }, ...label);
    });
    this.#list.replaceChildren(...rows);
    if (this.#open) this.#field.setAttribute("aria-activedescendant", rows[this.#active].id);
    else this.#field.removeAttribute("aria-activedescendant");
  }

  #key(event) {
    if (!this.#open || event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.#active = (this.#active + step + this.#found.length) % this.#found.length;
    else if (event.key === "Enter" || event.key === "Tab") this.#choose(this.#active);
    else if (event.key === "Escape") this.#close();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (step) this.#draw();
  }

  #choose(index) {
    const { number } = this.#found[index];
    const { start } = this.#mention;
    this.#field.setRangeText(`@${number} `, start, this.#field.selectionStart, "end");
    this.#close();
    this.#field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  #close() {
    this.#mention = null;
    this.#found = [];
    this.#draw();
  }
}
