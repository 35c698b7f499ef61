// The question before a post is deleted, and the deleting itself. The dialog is the browser's own: it holds the focus,
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
  #snapshot = null;
  #busy = false;

  /**
   * `nodes`: dialog, heading, text, error, confirm. `remove(post)` deletes, or throws an error with a `code` and a
   * message for people; `wait(ms)` is a promise.
   */
  constructor({ nodes, remove, wait }) {
    this.#nodes = nodes;
    this.#remove = remove;
    this.#wait = wait;
    nodes.confirm.addEventListener("click", () => this.confirm());
    nodes.dialog.addEventListener("close", () => {
      this.#snapshot = null;
    });
  }

  ask(snapshot) {
    this.#snapshot = snapshot;
    this.#trouble("");
    this.#draw();
    if (!this.#nodes.dialog.open) this.#nodes.dialog.showModal();
  }

  /** The post of the page came forward: what is asked stays true, and nothing is asked of one that is gone. */
  update(snapshot) {
    if (!this.#snapshot) return;
    if (snapshot.post !== this.#snapshot.post || snapshot.status === "deleted") {
      this.close();
      return;
    }
    this.#snapshot = snapshot;
    this.#draw();
  }

  close() {
    if (this.#nodes.dialog.open) this.#nodes.dialog.close();
  }

  /** Delete the post that was asked about; the dialog stays until that is done, or says what stands in the way. */
  async confirm() {
    if (!this.#snapshot || this.#busy) return;
    const { post } = this.#snapshot;
    this.#busy = true;
    this.#trouble("");
    this.#draw();
    try {
      await this.#surely(post);
      this.#busy = false;
      if (this.#snapshot?.post === post) this.close();
    } catch (error) {
      this.#busy = false;
      if (this.#snapshot?.post === post) this.#trouble(error.message);
    }
    this.#draw();
  }

  async #surely(post) {
    for (let left = TRIES - 1; ; left -= 1) {
      try {
        return await this.#remove(post);
      } catch (error) {
        if (error.code === "gone") return undefined;
        if (error.code !== "still_stopping" || left === 0) throw error;
      }
      await this.#wait(AGAIN_MS);
    }
  }

  #draw() {
    const { heading, text, confirm } = this.#nodes;
    if (this.#snapshot) {
      const asked = question(this.#snapshot);
      setText(heading, asked.heading);
      setText(text, asked.text);
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
