// The author's documents: upload with progress, list, delete; and what the fields' mention lists offer.

import { ago, arrange, el, setText } from "./dom.js";

const MAX_PAGES = 20; // of PAGE documents; an author may have 1,000 of them
const PAGE = 100;
const KINDS = ".txt,.md,.markdown,.html,.htm,.pdf,.docx,text/plain,text/markdown,text/html,application/pdf";

export class Library {
  #nodes;
  #api;
  #ask;
  #onTrouble;
  #documents = [];
  #uploads = [];
  #rows = new Map();
  #cursor = null;
  #refreshing = null;
  #changes = 0;

  /**
   * `nodes`: list, empty, more, drop, input. `api`: documents, upload, removeDocument. `ask` as DeleteDialog.askAbout;
   * `onTrouble(title, text)` where something that was asked for did not work.
   */
  constructor(nodes, api, { ask, onTrouble }) {
    this.#nodes = nodes;
    this.#api = api;
    this.#ask = ask;
    this.#onTrouble = onTrouble;
    this.#listen();
  }

  /** The author's documents as far as they are loaded, newest first. */
  get documents() {
    return this.#documents;
  }

  async load() {
    const page = await this.#api.documents(null);
    this.#documents = page.items;
    this.#cursor = page.next_cursor;
    this.#draw();
  }

  /** Ask for all of them; what cannot be had leaves what is known. Who asks meanwhile waits for the same answer. */
  refresh() {
    this.#refreshing ??= this.#all()
      .catch(() => {}) // a list that is offered while somebody types: the library itself says what is wrong
      .finally(() => {
        this.#refreshing = null;
      });
    return this.#refreshing;
  }

  async #all() {
    const changes = this.#changes;
    const found = [];
    let cursor = null;
    for (let pages = 0; pages < MAX_PAGES; pages += 1) {
      const page = await this.#api.documents(cursor, PAGE);
      found.push(...page.items);
      cursor = page.next_cursor;
      if (cursor === null) break;
    }
    if (changes !== this.#changes) return; // what was uploaded or deleted here meanwhile is known better
    this.#documents = found;
    this.#cursor = cursor;
    this.#draw();
  }

  async #older() {
    const cursor = this.#cursor;
    let page;
    try {
      page = await this.#api.documents(cursor);
    } catch (error) {
      this.#onTrouble("Older documents could not be loaded.", error.message);
      return;
    }
    if (cursor !== this.#cursor) return; // asked for twice
    const known = new Set(this.#documents.map(({ id }) => id));
    this.#documents = [...this.#documents, ...page.items.filter(({ id }) => !known.has(id))];
    this.#cursor = page.next_cursor;
    this.#draw();
  }

  /** Upload files, one after the other, so that the first is there soon. */
  async add(files) {
    const waiting = [...files].map((file) => ({ file, done: 0, total: 0, stage: "Waiting", error: "" }));
    this.#uploads.push(...waiting);
    this.#draw();
    for (const upload of waiting) await this.#send(upload);
  }

  async #send(upload) {
    try {
      const document = await this.#api.upload(upload.file, (stage, done, total) => {
        Object.assign(upload, { stage, done, total });
        this.#draw();
      });
      this.#uploads = this.#uploads.filter((other) => other !== upload);
      this.#documents = [document, ...this.#documents];
      this.#changes += 1;
    } catch (error) {
      upload.error = error.message;
    }
    this.#draw();
  }

  #askToRemove(document) {
    const text = "Posts that were written from it stay as they are. This cannot be undone.";
    this.#ask({ id: document.id, heading: `Delete “${document.name}”?`, text, remove: () => this.#remove(document) });
  }

  async #remove({ id: gone }) {
    try {
      await this.#api.removeDocument(gone);
    } catch (error) {
      if (error.code !== "not_found") throw error; // another tab was faster
    }
    this.#documents = this.#documents.filter(({ id }) => id !== gone);
    this.#changes += 1;
    this.#draw();
  }

  #draw() {
    const { list, empty, more } = this.#nodes;
    const known = new Set(this.#documents.map(({ id }) => id));
    for (const id of [...this.#rows.keys()]) if (!known.has(id)) this.#rows.delete(id);
    arrange(list, [...this.#uploads.map((upload) => this.#upload(upload)), ...this.#documents.map((d) => this.#row(d))]);
    empty.hidden = list.childElementCount > 0;
    more.hidden = this.#cursor === null;
  }

  #row(document) {
    let row = this.#rows.get(document.id);
    if (row) return row;
    const facts = [
      document.pages ? count(document.pages, "page") : "",
      count(Math.round(document.chars / 6), "word"), // about
      ago(document.created_at, Date.now()),
    ];
    const label = `Delete @${document.number} ${document.name}`;
    const ask = () => this.#askToRemove(document);
    const remove = el("button", { type: "button", class: "delete", "aria-label": label, "aria-haspopup": "dialog", onclick: ask }, "Delete");
    row = el(
      "li",
      { class: "document", "data-document": document.id },
      el("span", { class: "number" }, `@${document.number}`),
      el("span", { class: "name", dir: "auto" }, document.name),
      el("span", { class: "meta" }, facts.filter(Boolean).join(" · ")),
      remove,
    );
    this.#rows.set(document.id, row);
    return row;
  }

  #upload(upload) {
    upload.node ??= el(
      "li",
      { class: "document uploading" },
      el("span", { class: "number" }, "…"),
      el("span", { class: "name", dir: "auto" }, upload.file.name),
      el("span", { class: "meta", role: "status" }),
      el("progress", { max: 1 }),
      el("button", { type: "button", class: "delete", hidden: true, onclick: () => this.#forget(upload) }, "Dismiss"),
    );
    const [, , meta, bar, dismiss] = upload.node.children;
    const share = upload.total > 0 ? upload.done / upload.total : null;
    setText(meta, upload.error || (share === null ? `${upload.stage}…` : `${upload.stage} ${Math.round(share * 100)} %`));
    upload.node.dataset.failed = String(upload.error !== "");
    bar.hidden = upload.error !== "";
    dismiss.hidden = upload.error === "";
    if (share !== null) bar.value = share;
    else bar.removeAttribute("value");
    return upload.node;
  }

  #forget(upload) {
    this.#uploads = this.#uploads.filter((other) => other !== upload);
    this.#draw();
  }

  #listen() {
    const { drop, input, more } = this.#nodes;
    input.accept = KINDS;
    input.addEventListener("change", () => {
      this.add(input.files);
      input.value = "";
    });
    more.addEventListener("click", () => this.#older());
    drop.addEventListener("dragover", (event) => {
      event.preventDefault();
      drop.dataset.over = "true";
    });
    drop.addEventListener("dragleave", () => delete drop.dataset.over);
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      delete drop.dataset.over;
      this.add(event.dataTransfer.files);
    });
  }
}

function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
