// The HTTP API: tokens that are renewed before they expire, problem documents as errors that people can read.

const STORAGE_KEY = "inkwire.token";
const RENEW_AT = 0.8; // of the token's lifetime
const DEFAULT_LIFETIME_MS = 600_000;

/**
 * An answer that is an error. `message` says what happened and what to do, `errors` where in the request it is
 * (`{ pointer, detail }`); `signIn` asks for a token.
 */
export class ApiError extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || "Something went wrong. Try again.");
    this.status = status;
    this.code = problem.code || "unknown";
    this.title = problem.title || "Something went wrong";
    this.errors = problem.errors ?? [];
    this.signIn = status === 401;
  }
}

/** The server could not be reached at all. */
export class Unreachable extends Error {
  constructor() {
    super("The server cannot be reached. Nothing is lost: try again in a moment.");
    this.code = "unreachable";
    this.signIn = false;
  }
}

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

  /** Use a token that the reader pasted; it is handed on only as shorter-lived ones. */
  signIn(token) {
    this.#storage.setItem(STORAGE_KEY, token.trim());
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
