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

const LOST = "Connection lost; trying again. You will miss nothing.";

const REASONS = {
  provider_rate_limited: "The model provider is rate limiting",
  provider_unavailable: "The model provider is not available",
  provider_timeout: "The model provider is silent",
  provider_cut: "The model's answer was cut off",
  provider_invalid_output: "The model's answer could not be used",
};

const ENDED_EARLY = new Set(["failed", "cancelled", "deleted", "unknown"]);
const QUIET_AFTER_MS = 4_000;
const LOST_AFTER_MS = 1_000; // a reconnect is usually over before anybody can read about it
const UNFINISHED = new Set(["unknown", "queued", "generating", "recovering", "retrying"]);

export class ProgressView {
  #nodes;
  #now;
  #retry = null;
  #retryUntilMs = 0;
  #quietSinceMs = null;
  #lostSinceMs = null;

  /** `nodes`: status, message, percent, bar. `now` is in milliseconds. */
  constructor(nodes, now) {
    this.#nodes = nodes;
    this.#now = now;
  }

  /** When the last event came, or null where that is not known. */
  quietSince(ms) {
    this.#quietSinceMs = ms;
  }

  /** Whether events can come. Their absence means nothing while they cannot. */
  connected(live) {
    if (live) this.#lostSinceMs = null;
    else this.#lostSinceMs ??= this.#now();
    if (live && this.#quietSinceMs !== null) this.#quietSinceMs = this.#now();
  }

  /** Draw the snapshot as being in `shown`, which may lag behind its status. */
  draw(snapshot, shown = snapshot.status) {
    const { status, percent, bar, message } = this.#nodes;
    setText(status, STATUS[shown] ?? shown);
    status.dataset.status = shown;
    const value = snapshot.progress.percent;
    const lost = this.#isLost(shown);
    const waiting = value === 0 && (shown === "queued" || shown === "generating");
    setText(percent, ENDED_EARLY.has(shown) || waiting ? "" : `${value} %`);
    bar.dataset.status = shown;
    bar.dataset.waiting = String(waiting && !lost);
    message.dataset.wrap = String(lost || shown === "retrying" || shown === "recovering");
    if (lost) message.dataset.lost = "true";
    else delete message.dataset.lost;
    bar.firstElementChild.style.inlineSize = `${value}%`;
    bar.setAttribute("aria-valuenow", String(value));
    setText(message, this.#words(snapshot, shown));
    bar.setAttribute("aria-valuetext", `${value} %, ${message.textContent}`);
  }

  #isLost(shown) {
    return UNFINISHED.has(shown) && this.#lostSinceMs !== null && this.#now() - this.#lostSinceMs > LOST_AFTER_MS;
  }

  #words(snapshot, shown) {
    if (this.#isLost(shown)) return LOST;
    if (shown === "retrying" && snapshot.retry) return this.#countdown(snapshot.retry);
    if (shown === "published") {
      const words = snapshot.metrics ? ` · ${snapshot.metrics.words.toLocaleString("en")} words` : "";
      return `Done${words}`;
    }
    if (shown === "failed") return "The run ended early.";
    const quietMs = this.#quietSinceMs === null ? 0 : this.#now() - this.#quietSinceMs;
    if (shown === "generating" && quietMs > QUIET_AFTER_MS) {
      return "Nothing new for some seconds. If its writer is gone, another one takes over.";
    }
    return ALONE[shown] ?? snapshot.progress.message;
  }

  // From the moment this page heard of it: the reader's clock may differ from the server's.
  #countdown(retry) {
    if (this.#retry?.time !== retry.time) {
      this.#retry = retry;
      const passedMs = Math.min(retry.delay_ms, Math.max(0, this.#now() - Date.parse(retry.time)));
      this.#retryUntilMs = this.#now() + retry.delay_ms - passedMs;
    }
    const seconds = Math.ceil((this.#retryUntilMs - this.#now()) / 1000);
    const reason = REASONS[retry.code] ?? "The model provider failed";
    return `${reason}; trying again ${seconds > 0 ? `in ${seconds} s` : "now"}.`;
  }
}
