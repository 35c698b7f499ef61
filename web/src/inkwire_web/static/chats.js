// Conversations: opens one, keeps it and its answers live, and does what its reader asks for.

import { ChatView } from "./chat_view.js";
import { ConversationFeed, PresenceFeed } from "./conversation_feed.js";
import { standing } from "./conversation_fold.js";
import { el } from "./dom.js";
import { isFinal } from "./fold.js";
import { PostFeed } from "./post_feed.js";

const MAX_FOLLOWED = 20; // answers of which more is to come; further ones wait for their turn
const CHECKED = new Set(["social"]); // kinds whose compliance check a list of messages does not tell

export class Chats {
  #api;
  #connection;
  #view;
  #onTrouble;
  #onEnd;
  #onDraw;
  #feed = null;
  #presence = null;
  #replies = new Map();
  #followed = new Map();
  #cursor = null;
  #me = "";
  #key = null;
  #loaded = null;
  #left = null; // the conversation that the reader leaves, or has left, here

  /**
   * `onTrouble(title, text)`: something that was asked for did not work. `onEnd(code, message)`: the conversation cannot be
   * followed (any more). `onDraw(conversation)` after each change.
   */
  constructor({ nodes, api, connection, onTrouble, onEnd, onDraw }) {
    this.#api = api;
    this.#connection = connection;
    this.#onTrouble = onTrouble;
    this.#onEnd = onEnd;
    this.#onDraw = onDraw;
    this.#view = new ChatView(nodes, {
      send: (content, replaces) => this.#send(content, replaces),
      title: (text) => this.#try("The title could not be changed.", () => this.#rename(text)),
      typing: () => this.#whisper(),
      older: () => this.#try("Older messages could not be loaded.", () => this.#older()),
      remove: () => this.#remove(),
      member: (user) => this.#try("Nobody was added.", () => api.addMember(this.id, user)),
      dismiss: (user) => this.#dismiss(user),
      export: (format) => this.#try("The conversation could not be downloaded.", () => this.#export(format)),
      regenerate: (message) => this.#on(message, "written anew", "regenerate"),
      stop: (message) => this.#on(message, "stopped", "cancel"),
      retry: (message) => this.#on(message, "tried again", "retry"),
      react: (message, emoji, present) => this.#react(message, emoji, present),
      copy: (message, button) => this.#copy(message, button),
    });
  }

  /** The open conversation's id, or null. */
  get id() {
    return this.#feed?.conversation.conversation ?? null;
  }

  get conversation() {
    return this.#feed?.conversation ?? null;
  }

  /** Its answers as folded so far, by post. */
  get replies() {
    return this.#replies;
  }

  open(id, me) {
    this.close();
    this.#left = null;
    this.#me = me;
    const feed = new ConversationFeed(
      id,
      (event) => feed === this.#feed && this.#changed(event),
      (code, message) => feed === this.#feed && this.#onEnd(code === "not_a_member" && this.#left === id ? "left" : code, message),
      () => feed === this.#feed && this.#shortened(feed),
    );
    this.#feed = feed;
    const drawn = () => this.#view.changed();
    this.#presence = new PresenceFeed(id, drawn, () => performance.now(), (run, ms) => setTimeout(run, ms));
    this.#view.show(() => this.#state());
    this.#connection.follow(feed);
    this.#connection.follow(this.#presence);
    this.#load(feed);
    this.#view.focus();
  }

  close() {
    if (!this.#feed) return;
    for (const channel of [this.#feed.channel, this.#presence.channel]) this.#connection.unfollow(channel);
    for (const feed of this.#followed.values()) this.#connection.unfollow(feed.channel);
    this.#followed.clear();
    this.#replies.clear();
    this.#feed = this.#presence = this.#cursor = null;
    this.#view.show(null);
  }

  #state() {
    const { conversation } = this.#feed;
    const hasOlder = this.#cursor !== null;
    return { conversation, presence: this.#presence, replies: this.#replies, me: this.#me, hasOlder };
  }

  // Finished answers are read over HTTP, all at once; those that are being written are followed.
  async #load(feed) {
    try {
      const page = await this.#api.messages(this.id);
      if (feed !== this.#feed) return;
      this.#cursor = page.next_cursor;
      this.#keep(page.items);
    } catch {
      // What follows is loaded by following each answer.
    }
    if (feed !== this.#feed) return;
    this.#loaded = feed;
    this.#changed();
  }

  // What was fetched by hand no longer joins the newest messages: older ones are asked for from there.
  #shortened(feed) {
    this.#cursor = null;
    this.#load(feed);
  }

  #keep(items) {
    for (const { post, reply } of items) if (post && reply && isFinal(reply)) this.#replies.set(post, settled(post, reply));
  }

  async #older() {
    const feed = this.#feed;
    const cursor = this.#cursor;
    const page = await this.#api.messages(this.id, cursor);
    if (feed !== this.#feed || cursor !== this.#cursor) return;
    this.#cursor = page.next_cursor;
    this.#keep(page.items);
    feed.prepend(page.items.map(asMessage));
  }

  #changed(event) {
    if (event?.type === "message_created" && event.data.author) this.#presence.said(event.data.author);
    if (this.#loaded === this.#feed) this.#followAnswers();
    this.#view.changed();
    this.#onDraw(this.#feed.conversation);
  }

  // First those that are being written, then those that ended early: another tab or member may try them again.
  #followAnswers() {
    const answers = standing(this.#feed.conversation).filter(({ post }) => post && !this.#settled(post));
    const [written, ended] = [answers.filter(({ post }) => !this.#ended(post)), answers.filter(({ post }) => this.#ended(post))];
    const posts = new Set([...ended, ...written].slice(-MAX_FOLLOWED).map(({ post }) => post));
    for (const [post, feed] of this.#followed) {
      if (posts.has(post)) continue;
      this.#connection.unfollow(feed.channel);
      this.#followed.delete(post);
    }
    for (const post of posts) if (!this.#followed.has(post)) this.#follow(post);
  }

  // Nothing can become of it any more, and all of it is here.
  #settled(post) {
    const reply = this.#replies.get(post);
    if (reply?.status === "published") return reply.metadata !== undefined || !CHECKED.has(this.#feed.conversation.recipe);
    return reply?.status === "deleted";
  }

  #ended(post) {
    const reply = this.#replies.get(post);
    return reply !== undefined && isFinal(reply) && !reply.reopened;
  }

  #follow(post) {
    const channel = `reply:${this.id}:${post}`;
    const told = () => {
      if (this.#followed.get(post) !== feed) return;
      this.#replies.set(post, feed.snapshot);
      if (feed.caughtUp && isFinal(feed.snapshot)) this.#changed();
      else this.#view.changed();
    };
    const feed = new PostFeed(post, told, () => {}, told, channel);
    this.#followed.set(post, feed);
    this.#connection.follow(feed);
  }

  // What a reader asks for

  async #send(content, replaces) {
    const body = { content, ...(replaces ? { replaces } : {}) };
    const accepted = await this.#api.say(this.id, body, this.#keyFor(JSON.stringify([this.id, body])));
    this.#key = null;
    return accepted;
  }

  // The same message keeps its key until it was accepted, so that trying again never says it twice.
  #keyFor(content) {
    if (this.#key?.content !== content) this.#key = { content, key: crypto.randomUUID() };
    return this.#key.key;
  }

  #rename(title) {
    return title === "" ? this.#view.changed() : this.#api.rename(this.id, title);
  }

  #whisper() {
    this.#connection.whisper(this.#presence.channel, "typing");
  }

  async #on(message, done, action) {
    await this.#try(`The answer could not be ${done}.`, async () => {
      await this.#api.onMessage(this.id, message.message, action);
      const reply = this.#replies.get(message.post);
      if (action === "retry" && reply) {
        reply.reopened = true; // its next run comes as events
        this.#changed();
      }
    });
  }

  #react(message, emoji, present) {
    this.#try("The reaction could not be changed.", () => this.#api.react(this.id, message.message, emoji, present));
  }

  async #copy(message, button) {
    const reply = this.#replies.get(message.post);
    const text = reply.sections.filter((section) => section.in_document).map((section) => section.text);
    await navigator.clipboard.writeText(text.join(""));
    button.textContent = "Copied";
  }

  async #export(format) {
    const { bytes, type, name } = await this.#api.exportedConversation(this.id, format);
    const url = URL.createObjectURL(new Blob([bytes], { type }));
    el("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }

  // Whoever leaves cannot come back by themselves; somebody who was removed can be added again.
  async #dismiss(user) {
    const { id } = this;
    if (user === this.#me && !confirm("Leave this conversation? Only its owner can add you again.")) return;
    this.#left = user === this.#me ? id : null; // the end of it may come before the answer
    await this.#try("The members stay as they are.", () =>
      this.#api.removeMember(id, user).catch((error) => {
        this.#left = null;
        throw error;
      }),
    );
  }

  async #remove() {
    const { id } = this;
    if (!confirm("Delete this conversation and all its answers, for every member? This cannot be undone.")) return;
    await this.#try("The conversation could not be deleted.", () => this.#api.removeConversation(id));
  }

  async #try(title, run) {
    try {
      this.#view.trouble("");
      await run();
    } catch (error) {
      this.#onTrouble(title, error.message);
    }
  }
}

/** A finished answer as the API tells it, in the form of a folded post. */
export function settled(post, reply) {
  const section = { section: "reply", title: "", in_document: true, status: "done", text: reply.text, length: reply.text.length };
  return {
    post,
    status: reply.status,
    sections: reply.text === "" ? [] : [section],
    open_section: null,
    progress: { percent: 100, code: "", params: {}, message: "" },
    error: reply.error ?? null,
    sha256: reply.sha256 ?? null,
  };
}

// A message of the API in the form in which the fold keeps it.
function asMessage({ id, seq, role, author, content, documents, reply_to, post, replaces, superseded_by, reactions, created_at }) {
  return {
    message: id,
    seq,
    role,
    author: author ?? null,
    content: role === "assistant" ? "" : content,
    documents: documents ?? [],
    reply_to: reply_to ?? null,
    post: post ?? null,
    replaces: replaces ?? null,
    superseded_by: superseded_by ?? null,
    reactions: reactions ?? {},
    created_at,
  };
}
