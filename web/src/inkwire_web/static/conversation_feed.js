// What follows `conversation:<id>` and `presence:<id>`: frames in, a folded conversation and who is there out.

import { APPLIED, GAP, INVALID } from "./fold.js";
import { emptyConversation, foldConversation, messageOf } from "./conversation_fold.js";

const TYPING_MS = 3_000; // shown for so long after the last whisper of it

export class ConversationFeed {
  #epoch = null;
  #lost = false;
  #onChange;
  #onRefused;
  #onShortened;

  /**
   * `onChange(event?)` after each change, with the event if one was applied; `onRefused(code, message)`; `onShortened()`
   * when older messages that were here are gone, because there may be others between them and the newest.
   */
  constructor(conversation, onChange, onRefused, onShortened = () => {}) {
    this.channel = `conversation:${conversation}`;
    this.conversation = emptyConversation(conversation);
    this.#onChange = onChange;
    this.#onRefused = onRefused;
    this.#onShortened = onShortened;
  }

  /** Where to go on from, or null to begin with the whole. */
  position() {
    return this.#epoch === null || this.#lost ? null : { epoch: this.#epoch, seq: this.conversation.seq };
  }

  receive(frame) {
    if (frame.type === "conversation") return this.#begin(frame);
    if (frame.type === "conversation_event") return this.#event(frame);
    return undefined;
  }

  refused(code, message) {
    this.#onRefused(code, message);
  }

  // The newest messages only. Older ones that are here stay if they reach up to them: else some would be missing between.
  #begin({ conversation, position }) {
    const first = conversation.messages[0]?.seq ?? Infinity;
    const before = this.conversation.messages.filter((message) => message.seq < first);
    const reaches = this.#epoch === position.epoch && this.conversation.seq >= first;
    const gone = conversation.status === "deleted";
    const kept = reaches && !gone ? before : [];
    const shortened = before.length > 0 && !reaches && !gone;
    this.conversation = { ...conversation, messages: [...kept, ...conversation.messages], seq: position.seq };
    this.#epoch = position.epoch;
    this.#lost = false;
    if (shortened) this.#onShortened();
    this.#onChange();
  }

  /** Add older messages, fetched over HTTP. */
  prepend(messages) {
    const known = new Set(this.conversation.messages.map((message) => message.message));
    const older = messages.filter((message) => !known.has(message.message));
    this.conversation.messages = [...older, ...this.conversation.messages].sort((a, b) => a.seq - b.seq);
    this.#onChange();
  }

  #event({ event, position }) {
    if (position.epoch !== this.#epoch || this.#replacesUnknown(event)) return this.#startOver();
    const outcome = foldConversation(this.conversation, event, position.seq);
    if (outcome === APPLIED) this.#onChange(event);
    return outcome === GAP || outcome === INVALID ? this.#startOver() : undefined;
  }

  // What is replaced may be older than all that is here, and what followed it goes too.
  #replacesUnknown({ type, data }) {
    return type === "message_created" && (data.replaces ?? null) !== null && !messageOf(this.conversation, data.replaces);
  }

  #startOver() {
    this.#lost = true;
    return "resubscribe";
  }
}

export class PresenceFeed {
  #members = new Map();
  #typing = new Map();
  #onChange;
  #now;
  #later;

  /** `onChange()` after each change; `now` is in milliseconds; `later(run, ms)` calls once. */
  constructor(conversation, onChange, now, later) {
    this.channel = `presence:${conversation}`;
    this.#onChange = onChange;
    this.#now = now;
    this.#later = later;
  }

  /** Who is there, in the order in which they came. */
  get members() {
    return [...this.#members.values()];
  }

  /** Who types at the moment. */
  get typing() {
    const now = this.#now();
    return [...this.#typing.values()].filter(({ untilMs }) => untilMs > now).map(({ member }) => member);
  }

  position() {
    return null;
  }

  refused() {}

  receive(frame) {
    if (frame.type === "here") this.#members = new Map(frame.members.map((member) => [member.user, member]));
    else if (frame.type === "joined") this.#members.set(frame.member.user, frame.member);
    else if (frame.type === "left") this.#forget(frame.member.user);
    else if (frame.type === "whispered" && frame.name === "typing") this.#typed(frame.member);
    else return undefined;
    this.#onChange();
    return undefined;
  }

  /** Somebody said what they were typing. */
  said(user) {
    if (this.#typing.delete(user)) this.#onChange();
  }

  #forget(user) {
    this.#members.delete(user);
    this.#typing.delete(user);
  }

  #typed(member) {
    this.#typing.set(member.user, { member, untilMs: this.#now() + TYPING_MS });
    this.#later(this.#onChange, TYPING_MS + 50);
  }
}
