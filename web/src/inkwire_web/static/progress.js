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
  paused: "Waiting for your approval.",
  cancelled: "Stopped. What was written is kept.",
  deleted: "This post was deleted.",
};

const LOST = "Connection lost; trying again. You will miss nothing.";
const OFFLINE = "This computer is offline. The writing goes on without it, and you will miss nothing.";

// Short, as contracts' errors.py has them.
const REASONS = {
  provider_auth: "key refused",
  provider_quota: "quota used up",
  provider_rate_limited: "rate limited",
  provider_unavailable: "provider unavailable",
  provider_timeout: "provider silent",
  provider_cut: "connection cut",
  provider_invalid_output: "unusable answer",
};
const WAITING = "waiting_for_provider";

const ENDED_EARLY = new Set(["failed", "cancelled", "paused", "deleted", "unknown"]);
const QUIET_AFTER_MS = 4_000;
const LOST_AFTER_MS = 1_000; // a reconnect is usually over before anybody can read about it
const UNFINISHED = new Set(["unknown", "queued", "generating", "recovering", "retrying"]);

export class ProgressView {
  #nodes;
  #now;
  #wait = null;
  #quietSinceMs = null;
  #lostSinceMs = null;
  #offline = false;

  /** `nodes`: status, message, percent, bar. `now` is in milliseconds. */
  constructor(nodes, now) {
    this.#nodes = nodes;
    this.#now = now;
  }

  /** When the last event came, or null where that is not known. */
  quietSince(ms) {
    this.#quietSinceMs = ms;
  }

  /** Whether events can come, and whether that is for want of a network. Their absence means nothing while they cannot. */
  connected(live, offline = false) {
    this.#offline = offline && !live;
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
    const wait = lost ? null : this.#waiting(snapshot, shown);
    message.dataset.wrap = String(lost || wait !== null || shown === "recovering");
    if (lost) message.dataset.lost = "true";
    else delete message.dataset.lost;
    bar.firstElementChild.style.inlineSize = `${value}%`;
    bar.setAttribute("aria-valuenow", String(value));
    // A wait is announced once, when it begins; its seconds are for the eye.
    message.setAttribute("aria-live", wait?.told ? "off" : "polite");
    setText(message, wait?.text ?? this.#words(snapshot, shown));
    bar.setAttribute("aria-valuetext", `${value} %, ${wait?.why ?? message.textContent}`);
  }

  #isLost(shown) {
    if (!UNFINISHED.has(shown) || this.#lostSinceMs === null) return false;
    return this.#offline || this.#now() - this.#lostSinceMs > LOST_AFTER_MS;
  }

  #words(snapshot, shown) {
    if (this.#isLost(shown)) return this.#offline ? OFFLINE : LOST;
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

  // While the provider is waited for: the words, whether they were said before, and the part of them that stays.
  #waiting({ retry, progress }, shown) {
    if (shown === "retrying" && retry) {
      const why = `(${REASONS[retry.code] ?? "the model provider failed"})`;
      return this.#countdown(retry.time, retry.delay_ms, Date.parse(retry.time) + retry.delay_ms, "Retrying", why);
    }
    if (shown === "generating" && progress.code === WAITING) {
      const { until, delay_s } = progress.params;
      const why = "(rate limited)";
      return this.#countdown(until, delay_s * 1000, Date.parse(until), "The model provider is asked", why);
    }
    this.#wait = null;
    return null;
  }

  // `endMs` is the server's time. The reader's clock may differ, so what is left is never more than the whole, and once
  // this page has begun to count it goes on by its own clock.
  #countdown(id, wholeMs, endMs, what, why) {
    const told = this.#wait?.id === id;
    if (!told) {
      const leftMs = Math.min(wholeMs, Math.max(0, endMs - this.#now()));
      this.#wait = { id, untilMs: this.#now() + leftMs };
    }
    const seconds = Math.ceil((this.#wait.untilMs - this.#now()) / 1000);
    return { told, why: `${what} ${why}`, text: `${what} ${seconds > 0 ? `in ${seconds} s` : "now"} ${why}` };
  }
}
