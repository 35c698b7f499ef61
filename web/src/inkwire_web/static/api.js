// The HTTP API: tokens that are renewed before they expire, problem documents as errors that people can read.

import { ApiError, Unreachable } from "./api_error.js";
import { upload } from "./upload.js";

const STORAGE_KEY = "inkwire.token";
const RENEW_AT = 0.8; // of the token's lifetime
const DEFAULT_LIFETIME_MS = 600_000;

export class Api {
  #fetch;
  #storage;
  #now;
  #token = null;
  #pending = null;

  /** `storage` holds a token that the reader gave (sessionStorage); `now` is in milliseconds. */
  constructor({ fetch, storage, now }) {
    this.#fetch = fetch;
    this.#storage = storage;
    this.#now = now;
  }

  /** Use a token that the reader pasted, without what came along; it is handed on only as shorter-lived ones. */
  signIn(token) {
    this.#storage.setItem(STORAGE_KEY, token.replace(/[^\x21-\x7e]/g, ""));
    this.#token = null;
  }

  // `tokens` as socket.js wants them.
  async get() {
    if (this.#token && this.#now() < this.#token.renewMs) return this.#token;
    this.#pending ??= this.#mint().finally(() => {
      this.#pending = null;
    });
    return this.#pending;
  }

  drop() {
    this.#token = null;
  }

  config() {
    return this.#json("GET", "/config", { anonymous: true });
  }

  recipes() {
    return this.#json("GET", "/recipes", { anonymous: true });
  }

  posts(cursor, limit = 30) {
    const query = new URLSearchParams({ limit: String(limit), ...(cursor ? { cursor } : {}) });
    return this.#json("GET", `/posts?${query}`);
  }

  /** `key` makes a request that is sent twice one post. */
  create(body, key) {
    return this.#json("POST", "/posts", { body, headers: { "Idempotency-Key": key } });
  }

  /** Have this run stop, and no later one; may be repeated. */
  cancel(post, run) {
    return this.#json("POST", `/posts/${post}/cancel?run=${run}`);
  }

  /** Begin the run after `run`, which failed or was cancelled; may be repeated. */
  retry(post, run) {
    return this.#json("POST", `/posts/${post}/retry?run=${run}`);
  }

  /** Go on after `run`, which waits for its author, with `outline` or (null) the proposed one; may be repeated. */
  approve(post, run, outline) {
    return this.#json("POST", `/posts/${post}/approve?run=${run}`, { body: outline === null ? {} : { outline } });
  }

  /** Delete for good; what is being written is stopped first. May be repeated. */
  async remove(post) {
    await this.#send("DELETE", `/posts/${post}`);
  }

  /** The stored document's bytes and the digest its answer claims. */
  async markdown(post) {
    return file(await this.#send("GET", `/posts/${post}/markdown`));
  }

  /** A finished post as a file of that format. */
  async exported(post, format) {
    return file(await this.#send("GET", `/posts/${post}/export?format=${format}`));
  }

  // Conversations

  conversations(limit) {
    return this.#json("GET", `/conversations?limit=${limit}`);
  }

  /** `body`: title, recipe, options, all optional. */
  converse(body) {
    return this.#json("POST", "/conversations", { body });
  }

  /** Messages, newest first, finished answers with their text. */
  messages(conversation, cursor = null, limit = 50) {
    const query = new URLSearchParams({ limit: String(limit), ...(cursor ? { cursor } : {}) });
    return this.#json("GET", `/conversations/${conversation}/messages?${query}`);
  }

  /** Say something, and have it answered; `key` makes what is sent twice one message. */
  say(conversation, body, key) {
    const headers = { "Idempotency-Key": key };
    return this.#json("POST", `/conversations/${conversation}/messages`, { body, headers });
  }

  /** `action`: regenerate, cancel or retry, of an answer. */
  onMessage(conversation, message, action) {
    return this.#json("POST", `/conversations/${conversation}/messages/${message}/${action}`);
  }

  async react(conversation, message, emoji, present) {
    const path = `/conversations/${conversation}/messages/${message}/reactions/${encodeURIComponent(emoji)}`;
    await this.#send(present ? "PUT" : "DELETE", path);
  }

  async addMember(conversation, user) {
    await this.#send("PUT", `/conversations/${conversation}/members/${encodeURIComponent(user)}`, { body: {} });
  }

  async removeMember(conversation, user) {
    await this.#send("DELETE", `/conversations/${conversation}/members/${encodeURIComponent(user)}`);
  }

  async rename(conversation, title) {
    await this.#send("PATCH", `/conversations/${conversation}`, { body: { title } });
  }

  async removeConversation(conversation) {
    await this.#send("DELETE", `/conversations/${conversation}`);
  }

  async exportedConversation(conversation, format) {
    return file(await this.#send("GET", `/conversations/${conversation}/export?format=${format}`));
  }

  // Documents

  documents(cursor, limit = 50) {
    const query = new URLSearchParams({ limit: String(limit), ...(cursor ? { cursor } : {}) });
    return this.#json("GET", `/documents?${query}`);
  }

  /** `onProgress(stage, done, total)` as in upload.js. */
  async upload(document, onProgress) {
    return upload({ file: document, token: (await this.get()).token, onProgress });
  }

  async removeDocument(document) {
    await this.#send("DELETE", `/documents/${document}`);
  }

  async #mint() {
    const given = this.#storage.getItem(STORAGE_KEY);
    const headers = given ? { Authorization: `Bearer ${given}` } : {};
    const answer = await this.#json("POST", "/tokens", { body: {}, headers, anonymous: true });
    const lifetimeMs = lifetime(answer.token);
    this.#token = {
      token: answer.token,
      owner: answer.owner,
      lifetimeMs,
      renewMs: this.#now() + lifetimeMs * RENEW_AT,
    };
    return this.#token;
  }

  async #json(method, path, options) {
    return (await this.#send(method, path, options)).json();
  }

  async #send(method, path, options = {}, again = true) {
    const { body, headers = {}, anonymous = false } = options;
    const all = { Accept: "application/json, */*;q=0.9", ...headers };
    if (body !== undefined) all["Content-Type"] = "application/json";
    if (!anonymous) all.Authorization = `Bearer ${(await this.get()).token}`;
    const answer = await this.#reach(path, {
      method,
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
    if (answer.ok) return answer;
    if (answer.status === 401 && !anonymous && again) {
      this.drop();
      return this.#send(method, path, options, false);
    }
    throw new ApiError(answer.status, await answer.json().catch(() => ({})));
  }

  async #reach(path, init) {
    try {
      return await this.#fetch(path, init);
    } catch {
      throw new Unreachable();
    }
  }
}

// By the token's own claims, because the reader's clock may be wrong.
function lifetime(token) {
  try {
    const claims = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
    return Math.max(1, claims.exp - claims.iat) * 1000;
  } catch {
    return DEFAULT_LIFETIME_MS;
  }
}

async function file(answer) {
  const type = answer.headers.get("content-type") ?? "";
  return {
    bytes: await answer.arrayBuffer(),
    type: type.startsWith("text/html") ? "application/octet-stream" : type, // to keep, never to open under our address
    name: fileName(answer.headers.get("content-disposition")),
  };
}

function fileName(disposition) {
  const match = /filename\*=UTF-8''([^;]+)/.exec(disposition ?? "");
  return match ? decodeURIComponent(match[1]) : "post.md";
}
