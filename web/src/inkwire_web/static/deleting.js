// The question before something is deleted, and the deleting itself. The dialog is the browser's own: it holds the focus,
// Escape closes it, and what is behind it cannot be reached meanwhile.

import { setText } from "./dom.js";
import { isFinal } from "./fold.js";

const TRIES = 5; // of a post whose writer has not let go of it yet
const AGAIN_MS = 1_000;

/** What a reader is asked before the post of a snapshot is deleted. */
export function question(snapshot) {
  const stops = isFinal(snapshot) ? "" : "It is still being written: deleting it stops the writing. ";
  return {
    heading: snapshot.title ? `Delete “${snapshot.title}”?` : "Delete this post?",
    text: `${stops}Its text will be gone for good, for every reader. This cannot be undone.`,
  };
}

export class DeleteDialog {
  #nodes;
  #remove;
  #wait;
  #asked = null;
  #busy = false;

  /**
   * `nodes`: dialog, heading, text, error, confirm. `remove(post)` deletes a post, or throws an error with a `code` and
   * a message for people; `wait(ms)` is a promise.
   */
  constructor({ nodes, remove, wait }) {
    this.#nodes = nodes;
    this.#remove = remove;
    this.#wait = wait;
    nodes.confirm.addEventListener("click", () => this.confirm());
    nodes.dialog.addEventListener("close", () => {
      this.#asked = null;
    });
  }

  /** Ask about the post of a snapshot. */
  ask(snapshot) {
    this.askAbout({ id: snapshot.post, ...question(snapshot), remove: () => this.#remove(snapshot.post) });
  }

  /** Ask about anything: `id`, `heading`, `text`, and `remove()`, which deletes or throws. */
  askAbout(asked) {
    this.#asked = asked;
    this.#trouble("");
    this.#draw();
    if (!this.#nodes.dialog.open) this.#nodes.dialog.showModal();
  }

  /** The post of the page came forward: what is asked stays true, and nothing is asked of one that is gone. */
  update(snapshot) {
    if (!this.#asked) return;
    if (snapshot.post !== this.#asked.id || snapshot.status === "deleted") {
      this.close();
      return;
    }
    Object.assign(this.#asked, question(snapshot));
    this.#draw();
  }

  close() {
    if (this.#nodes.dialog.open) this.#nodes.dialog.close();
  }

  /** Delete what was asked about; the dialog stays until that is done, or says what stands in the way. */
  async confirm() {
    if (!this.#asked || this.#busy) return;
    const asked = this.#asked;
    this.#busy = true;
    this.#trouble("");
    this.#draw();
    try {
      await this.#surely(asked);
      this.#busy = false;
      if (this.#asked === asked) this.close();
    } catch (error) {
      this.#busy = false;
      if (this.#asked === asked) this.#trouble(error.message);
    }
    this.#draw();
  }

  async #surely({ remove }) {
    for (let left = TRIES - 1; ; left -= 1) {
      try {
        return await remove();
      } catch (error) {
        if (error.code === "gone") return undefined;
        if (error.code !== "still_stopping" || left === 0) throw error;
      }
      await this.#wait(AGAIN_MS);
    }
  }

  #draw() {
    const { heading, text, confirm } = this.#nodes;
    if (this.#asked) {
      setText(heading, this.#asked.heading);
      setText(text, this.#asked.text);
    }
    confirm.disabled = this.#busy;
    setText(confirm, this.#busy ? "Deleting…" : "Delete");
  }

  #trouble(message) {
    const { error } = this.#nodes;
    error.hidden = message === "";
    setText(error, message);
  }
}
