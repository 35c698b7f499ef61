// One connection to the gateway: connects, authenticates, subscribes with positions, resumes after any loss.
// It owns no clock, no network and no randomness: all are passed in, so that every path is tested without a browser.

export const SUBPROTOCOL = "inkwire.v1";
const BACKOFF_FIRST_MS = 400;
const BACKOFF_MAX_MS = 15_000;
const NOW_MAX_MS = 300;
const WELCOME_WITHIN_MS = 12_000;
const PONG_WITHIN_MS = 5_000;
const CHECK_EVERY_MS = 10_000;
const SILENT_AFTER_MS = 25_000;
const REFRESH_AT = 0.8; // of the token's lifetime
const REFRESH_RETRY_MS = 5_000;
const MAX_REFUSED_TOKENS = 3;
const QUICK_REJOIN_MS = 10_000;
const MAX_TIMER_MS = 2 ** 31 - 1;

const TOKEN_REFUSED = new Set([4001, 4002, 4101]);
const TRANSIENT = new Set(["broker_unavailable", "store_unavailable", "rate_limited", "internal"]);

/** What a close code asks for: the same rule as inkwire_contracts/close_codes.py. */
export function reconnectRule(code) {
  if (code === 1000 || (code >= 4000 && code <= 4099)) return "never";
  return code >= 4200 && code <= 4299 ? "now" : "backoff";
}

/** Wait before the next try: doubles up to a bound, half of it by chance, so that many clients do not come at once. */
export function backoffMs(attempt, random) {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt, 16));
  return ceiling / 2 + (random() * ceiling) / 2;
}

/**
 * A feed is what follows one channel: `{ channel, position(), receive(frame), refused(code, message) }`.
 * `receive` returns "resubscribe" when something is missing. States told to `onState`: "connecting", "live",
 * "reconnecting" (with `retryMs`), "refused" (with `code`), "closed".
 */
export class Connection {
  #url;
  #tokens;
  #open;
  #clock;
  #random;
  #onState;
  #socket = null;
  #generation = 0;
  #state = "closed";
  #attempt = 0;
  #refusedTokens = 0;
  #heardMs = 0;
  #nextId = 1;
  #subscriptions = new Map();
  #timers = new Map();

  constructor({ url, tokens, open, clock, random, onState }) {
    this.#url = url;
    this.#tokens = tokens;
    this.#open = open;
    this.#clock = clock;
    this.#random = random;
    this.#onState = onState;
  }

  get state() {
    return this.#state;
  }

  start() {
    if (this.#state === "closed" || this.#state === "refused") this.#connect();
  }

  /** Leave for good, or until start() is called again. */
  stop() {
    this.#drop(1000);
    this.#tell("closed");
  }

  follow(feed) {
    const known = this.#subscriptions.get(feed.channel);
    if (known) {
      known.feed = feed;
      known.wanted = true;
      if (known.state === "joined") this.#rejoin(known);
      return;
    }
    const subscription = { feed, wanted: true, state: "idle", id: 0, rejoins: 0, rejoinedMs: -Infinity };
    this.#subscriptions.set(feed.channel, subscription);
    if (this.#state === "live") this.#join(subscription);
  }

  unfollow(channel) {
    const subscription = this.#subscriptions.get(channel);
    if (!subscription) return;
    subscription.wanted = false;
    this.#cancel(`join ${channel}`);
    if (subscription.state === "joined" || subscription.state === "joining") this.#leave(subscription);
    else if (subscription.state === "idle") this.#subscriptions.delete(channel);
  }

  /** Tell the others of a channel something that nobody keeps; nothing where it is not followed at the moment. */
  whisper(channel, name) {
    if (this.#subscriptions.get(channel)?.state === "joined") this.#send({ type: "whisper", channel, name });
  }

  /** The network or the reader came back: try at once, or make sure that the connection still lives. */
  wake() {
    if (this.#state === "reconnecting") {
      this.#attempt = 0;
      this.#connect();
    } else if (this.#state === "live") {
      this.#probe();
    }
  }

  /** The network is gone: what the socket would find out in a while is so at once. */
  interrupt() {
    if (this.#state !== "closed" && this.#state !== "refused") this.#lost(1006);
  }

  async #connect() {
    this.#drop(1000);
    const generation = this.#generation;
    this.#tell("connecting");
    let token;
    try {
      token = await this.#tokens.get();
    } catch (error) {
      if (generation !== this.#generation) return;
      if (error.signIn) this.#refuse("unauthenticated");
      else this.#retryLater(backoffMs(this.#attempt++, this.#random));
      return;
    }
    if (generation !== this.#generation) return;
    const socket = this.#open(this.#url, [SUBPROTOCOL, `token.${token.token}`]);
    this.#socket = socket;
    socket.onmessage = (message) => generation === this.#generation && this.#receive(message.data, token);
    socket.onclose = (event) => generation === this.#generation && this.#lost(event.code);
    this.#after("welcome", WELCOME_WITHIN_MS, () => this.#lost(1006));
  }

  #receive(data, token) {
    this.#heardMs = this.#clock.now();
    const frame = JSON.parse(data);
    switch (frame.type) {
      case "welcome":
        return this.#welcomed(token);
      case "pong":
        return this.#cancel("pong");
      case "refreshed":
        return undefined;
      case "subscribed":
        return this.#subscribed(frame);
      case "unsubscribed":
        return this.#unsubscribed(frame);
      case "error":
        return this.#refused(frame);
      default:
        return this.#deliver(frame);
    }
  }

  #welcomed(token) {
    this.#cancel("welcome");
    this.#attempt = 0;
    this.#refusedTokens = 0;
    this.#tell("live");
    this.#refreshLater(token.lifetimeMs * REFRESH_AT);
    this.#check();
    for (const subscription of this.#subscriptions.values()) this.#join(subscription);
  }

  #join(subscription) {
    subscription.state = "joining";
    subscription.id = this.#nextId++;
    const { feed, id } = subscription;
    const position = feed.position();
    this.#send({ type: "subscribe", channel: feed.channel, id, ...(position ? { position } : {}) });
  }

  #leave(subscription) {
    subscription.state = "leaving";
    this.#send({ type: "unsubscribe", channel: subscription.feed.channel });
  }

  // Leave and join again with the feed's position; a feed that asks for it in a row has to wait in between.
  #rejoin(subscription) {
    const now = this.#clock.now();
    subscription.rejoins = now - subscription.rejoinedMs < QUICK_REJOIN_MS ? subscription.rejoins + 1 : 0;
    subscription.rejoinedMs = now;
    this.#leave(subscription);
  }

  #joinSoon(subscription) {
    subscription.state = "idle";
    if (subscription.rejoins < 2) {
      this.#join(subscription);
      return;
    }
    const wait = backoffMs(subscription.rejoins, this.#random);
    this.#after(`join ${subscription.feed.channel}`, wait, () => this.#join(subscription));
  }

  #subscribed(frame) {
    const subscription = this.#subscriptions.get(frame.channel);
    if (!subscription || subscription.state !== "joining" || subscription.id !== frame.id) return;
    subscription.state = "joined";
    this.#deliver(frame);
  }

  #deliver(frame) {
    const subscription = this.#subscriptions.get(frame.channel);
    if (!subscription || subscription.state !== "joined") return;
    if (subscription.feed.receive(frame) === "resubscribe") this.#rejoin(subscription);
  }

  #unsubscribed(frame) {
    const subscription = this.#subscriptions.get(frame.channel);
    if (!subscription) return;
    if (!subscription.wanted) this.#subscriptions.delete(frame.channel);
    else if (subscription.state === "leaving") this.#joinSoon(subscription);
    else if (subscription.state === "joined") this.#ended(subscription, frame);
  }

  #refused(frame) {
    const subscription = frame.channel ? this.#subscriptions.get(frame.channel) : undefined;
    if (!subscription) {
      if (frame.code !== "invalid_token" && frame.code !== "token_expired") return;
      this.#tokens.drop();
      this.#refreshLater(REFRESH_RETRY_MS);
    } else if (!subscription.wanted) {
      this.#subscriptions.delete(frame.channel);
    } else if (subscription.state === "leaving") {
      this.#joinSoon(subscription);
    } else if (subscription.state === "joining" && frame.id === subscription.id) {
      if (frame.code === "already_subscribed") this.#leave(subscription);
      else this.#ended(subscription, frame);
    }
  }

  #ended(subscription, frame) {
    subscription.state = "idle";
    if (!TRANSIENT.has(frame.code)) {
      this.#subscriptions.delete(subscription.feed.channel);
      subscription.feed.refused(frame.code, frame.message);
      return;
    }
    subscription.rejoins += 1;
    const wait = backoffMs(subscription.rejoins, this.#random);
    this.#after(`join ${subscription.feed.channel}`, wait, () => this.#join(subscription));
  }

  #refreshLater(delayMs) {
    this.#after("refresh", delayMs, async () => {
      const generation = this.#generation;
      this.#tokens.drop();
      try {
        const token = await this.#tokens.get();
        if (generation !== this.#generation) return;
        this.#send({ type: "refresh", token: token.token });
        this.#refreshLater(token.lifetimeMs * REFRESH_AT);
      } catch {
        if (generation === this.#generation) this.#refreshLater(REFRESH_RETRY_MS); // at the end the gateway closes
      }
    });
  }

  #check() {
    this.#after("check", CHECK_EVERY_MS, () => {
      if (this.#clock.now() - this.#heardMs > SILENT_AFTER_MS) this.#probe();
      this.#check();
    });
  }

  // A browser cannot see the gateway's pings, and a lost network closes nothing for minutes.
  #probe() {
    if (this.#timers.has("pong")) return;
    this.#after("pong", PONG_WITHIN_MS, () => this.#lost(1006));
    this.#send({ type: "ping" });
  }

  #lost(code) {
    const welcomed = this.#state === "live";
    this.#drop(1000);
    const rule = reconnectRule(code);
    if (TOKEN_REFUSED.has(code) || (!welcomed && code === 1006 && this.#attempt > 1)) this.#tokens.drop();
    if (rule === "never") {
      const again = TOKEN_REFUSED.has(code) && (this.#refusedTokens += 1) < MAX_REFUSED_TOKENS;
      if (!again) return this.#refuse(code);
    }
    const soon = welcomed && rule === "now";
    return this.#retryLater(soon ? this.#random() * NOW_MAX_MS : backoffMs(this.#attempt++, this.#random));
  }

  #retryLater(retryMs) {
    this.#after("connect", retryMs, () => this.#connect());
    this.#tell("reconnecting", { retryMs });
  }

  #refuse(code) {
    this.#tell("refused", { code });
  }

  #drop(code) {
    this.#generation += 1;
    for (const name of [...this.#timers.keys()]) this.#cancel(name);
    for (const subscription of [...this.#subscriptions.values()]) {
      subscription.state = "idle";
      if (!subscription.wanted) this.#subscriptions.delete(subscription.feed.channel);
    }
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close(code);
    }
  }

  #send(frame) {
    if (this.#socket && this.#socket.readyState === 1) this.#socket.send(JSON.stringify(frame));
  }

  #tell(state, detail = {}) {
    this.#state = state;
    this.#onState(state, detail);
  }

  #after(name, delayMs, run) {
    this.#cancel(name);
    const handle = this.#clock.setTimeout(() => {
      this.#timers.delete(name);
      run();
    }, Math.min(delayMs, MAX_TIMER_MS));
    this.#timers.set(name, handle);
  }

  #cancel(name) {
    if (!this.#timers.has(name)) return;
    this.#clock.clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}
