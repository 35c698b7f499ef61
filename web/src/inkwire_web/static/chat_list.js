// The list of one's conversations, last changed first; asked for again when one of them changes.

import { ago, arrange, el, setText } from "./dom.js";

const SHOWN = 12;

export class ChatList {
  #nodes;
  #api;
  #items = [];
  #rows = new Map();
  #loading = false;
  #again = false;
  #current = null;
  #gone = new Map(); // conversation -> when it ended here; the list follows the log at a distance and may still have it

  /** `nodes`: list, heading. */
  constructor(nodes, api) {
    this.#nodes = nodes;
    this.#api = api;
  }

  /** Read the list; while it is being read, once more afterwards. */
  async load() {
    if (this.#loading) {
      this.#again = true;
      return;
    }
    this.#loading = true;
    try {
      this.#take((await this.#api.conversations(SHOWN)).items);
    } catch {
      // The old list is better than none.
    }
    this.#loading = false;
    this.draw();
    if (this.#again) {
      this.#again = false;
      this.load();
    }
  }

  /** It was deleted, or its reader takes part no more. */
  drop({ conversation, updated_at }) {
    this.#gone.set(conversation, updated_at);
    this.#items = this.#items.filter(({ id }) => id !== conversation);
    this.draw(null);
  }

  // One that changed after its end is there again: somebody was added anew. What is listed no more need not be known.
  #take(items) {
    const ended = ({ id, updated_at }) => this.#gone.has(id) && updated_at <= this.#gone.get(id);
    this.#gone = new Map(items.filter(ended).map(({ id }) => [id, this.#gone.get(id)]));
    this.#items = items.filter((item) => !ended(item));
  }

  /** The open conversation is newer than the list. */
  update({ conversation, title, updated_at }) {
    const known = this.#items.find(({ id }) => id === conversation);
    if (!known) this.load();
    else if (known.title !== title || known.updated_at !== updated_at) Object.assign(known, { title, updated_at });
    else return;
    this.draw(conversation);
  }

  draw(current = this.#current) {
    this.#current = current;
    const items = [...this.#items].sort((a, b) => (a.updated_at < b.updated_at ? 1 : -1));
    arrange(
      this.#nodes.list,
      items.map((item) => this.#row(item)),
    );
    this.#nodes.heading.hidden = this.#nodes.list.hidden = items.length === 0;
  }

  #row(item) {
    let row = this.#rows.get(item.id);
    if (!row) {
      const title = el("span", { class: "title", dir: "auto" });
      const meta = el("span", { class: "meta" });
      const link = el("a", { href: `/c/${item.id}`, "data-link": true }, title, meta);
      row = { node: el("li", { "data-conversation": item.id, "data-status": "conversation" }, link), link, title, meta };
      this.#rows.set(item.id, row);
    }
    setText(row.title, item.title || "Untitled conversation");
    setText(row.meta, ago(item.updated_at, Date.now()));
    if (item.id === this.#current) row.link.setAttribute("aria-current", "page");
    else row.link.removeAttribute("aria-current");
    return row.node;
  }
}
