// What follows `post:<id>`, or a reply's channel: frames in, a folded post out. A snapshot replaces everything; until its texts are complete
// the reader keeps what was there before.

import { APPLIED, DUPLICATE, codePoints, emptySnapshot, fold, sectionOf } from "./fold.js";

export class PostFeed {
  #epoch = null;
  #shownEpoch = null;
  #staging = null;
  #gapSeq = null;
  #onChange;
  #onRefused;
  #onLogLost;

  /**
   * `onChange(event?)` after each change, with the event if one was applied; `onRefused(code, message)`; `onLogLost()`
   * when what is shown from now on comes from another log than before; `channel` where it is not the post's own.
   */
  constructor(post, onChange, onRefused, onLogLost = () => {}, channel = `post:${post}`) {
    this.channel = channel;
    this.snapshot = emptySnapshot(post);
    this.caughtUp = false;
    this.#onChange = onChange;
    this.#onRefused = onRefused;
    this.#onLogLost = onLogLost;
  }

  /** Where to go on from, or null to begin with a snapshot. */
  position() {
    return this.#epoch === null ? null : { epoch: this.#epoch, seq: this.snapshot.seq };
  }

  receive(frame) {
    switch (frame.type) {
      case "subscribed":
        this.#staging = null;
        return undefined;
      case "snapshot":
        return this.#begin(frame);
      case "data":
        return this.#data(frame);
      case "text":
        return this.#text(frame);
      case "event":
        return this.#event(frame.event);
      case "live":
        return this.#live(frame.position);
      default:
        return undefined;
    }
  }

  refused(code, message) {
    this.#onRefused(code, message);
  }

  #begin(frame) {
    const expected = new Map();
    for (const section of frame.snapshot.sections) {
      expected.set(section.section, section.length);
      section.text = "";
      section.length = 0;
    }
    const snapshot = { ...emptySnapshot(this.snapshot.post), ...frame.snapshot }; // an older gateway sends fewer fields
    this.#staging = { epoch: frame.epoch, snapshot, expected };
  }

  #data(frame) {
    const section = this.#staging && sectionOf(this.#staging.snapshot, frame.section);
    if (!section) return this.#startOver();
    section.data = frame.data;
    return undefined;
  }

  #text(frame) {
    const section = this.#staging && sectionOf(this.#staging.snapshot, frame.section);
    if (!section || frame.start !== section.length || frame.end - frame.start !== codePoints(frame.text)) {
      return this.#startOver();
    }
    section.text += frame.text;
    section.length = frame.end;
    return undefined;
  }

  // Between a snapshot's texts and `live` come the events that happened meanwhile.
  #event(event) {
    if (!this.#complete()) return this.#startOver();
    const snapshot = this.#staging ? this.#staging.snapshot : this.snapshot;
    const outcome = fold(snapshot, event);
    if (outcome === APPLIED) {
      if (!this.#staging) this.#onChange(event);
      return undefined;
    }
    return outcome === DUPLICATE ? undefined : this.#missing();
  }

  #live(position) {
    if (!this.#complete()) return this.#startOver();
    if (this.#staging) {
      this.snapshot = this.#staging.snapshot;
      this.#staging = null;
    }
    if (this.snapshot.seq !== position.seq) return this.#missing();
    const anotherLog = this.#shownEpoch !== null && this.#shownEpoch !== position.epoch;
    this.#epoch = this.#shownEpoch = position.epoch;
    this.caughtUp = true;
    if (anotherLog) this.#onLogLost();
    this.#onChange();
    return undefined;
  }

  // All texts that the snapshot announced are here; asked once, before the first event that follows them.
  #complete() {
    const staging = this.#staging;
    if (!staging || !staging.expected) return true;
    for (const section of staging.snapshot.sections) {
      if (section.length !== staging.expected.get(section.section)) return false;
    }
    staging.expected = null;
    return true;
  }

  // The first time go on from the position; if that leads to the same hole, begin with a snapshot.
  #missing() {
    if (this.#staging || this.#gapSeq === this.snapshot.seq) return this.#startOver();
    this.#gapSeq = this.snapshot.seq;
    return "resubscribe";
  }

  #startOver() {
    this.#staging = null;
    this.#epoch = null;
    this.#gapSeq = null;
    return "resubscribe";
  }
}
