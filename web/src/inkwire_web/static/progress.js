// The state of a post in words, a bar, and a countdown while the provider rests.

import { setText } from "./dom.js";

export const STATUS = {
  unknown: "Loading",
  queued: "Queued",
  generating: "Writing",
  recovering: "Recovering",
  retrying: "Retrying",
  paused: "Paused",
  published: "Published",
  failed: "Failed",
  cancelled: "Cancelled",
  deleted: "Deleted",
};

const ALONE = {
  queued: "Waiting for a writer…",
  recovering: "Another writer takes over; what is finished stays.",
  paused: "Waiting for its author.",
  cancelled: "Stopped. What was written is kept.",
  deleted: "This post was deleted.",
};

export class ProgressView {
  #nodes;
  #now;
  #retry = null;
  #retryUntilMs = 0;

  /** `nodes`: status, message, percent, bar. `now` is in milliseconds. */
  constructor(nodes, now) {
    this.#nodes = nodes;
    this.#now = now;
  }

  /** Draw the snapshot; returns whether a countdown runs, so that it must be drawn again in a second. */
  draw(snapshot) {
    const { status, percent, bar } = this.#nodes;
    setText(status, STATUS[snapshot.status] ?? snapshot.status);
    status.dataset.status = snapshot.status;
    const value = snapshot.progress.percent;
    setText(percent, snapshot.status === "unknown" ? "" : `${value} %`);
    bar.setAttribute("aria-valuenow", String(value));
    bar.dataset.status = snapshot.status;
    bar.firstElementChild.style.inlineSize = `${value}%`;
    return this.#message(snapshot);
  }

  #message(snapshot) {
    const { message } = this.#nodes;
    if (snapshot.status === "retrying" && snapshot.retry) {
      const seconds = this.#secondsLeft(snapshot.retry);
      setText(message, `${snapshot.retry.message.replace(/\.$/, "")} · ${seconds > 0 ? `${seconds} s` : "now"}`);
      return seconds > 0;
    }
    const words = snapshot.metrics ? ` · ${snapshot.metrics.words.toLocaleString("en")} words` : "";
    if (snapshot.status === "published") setText(message, `Done${words}`);
    else if (snapshot.status === "failed") setText(message, "The run ended early.");
    else setText(message, ALONE[snapshot.status] ?? snapshot.progress.message);
    bar(this.#nodes.bar, message.textContent);
    return false;
  }

  // From the moment this page heard of it: the reader's clock may differ from the server's.
  #secondsLeft(retry) {
    if (this.#retry?.time !== retry.time) {
      this.#retry = retry;
      const passedMs = Math.min(retry.delay_ms, Math.max(0, this.#now() - Date.parse(retry.time)));
      this.#retryUntilMs = this.#now() + retry.delay_ms - passedMs;
    }
    return Math.ceil((this.#retryUntilMs - this.#now()) / 1000);
  }
}

function bar(node, text) {
  if (text) node.setAttribute("aria-valuetext", text);
}
