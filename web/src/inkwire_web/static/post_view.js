// One post on the page: state, outline, text, end. Drawn at most once per frame, however fast the events come.

import { ComplianceView } from "./compliance.js";
import { ago, el, setText } from "./dom.js";
import { documentText, isFinal } from "./fold.js";
import { ProgressView, STATUS } from "./progress.js";
import { ReviewView } from "./review.js";
import { DocumentView, Outline, countWords } from "./sections.js";
import { StepsView } from "./steps.js";
import { sha256, verify } from "./verify.js";

const BOTTOM_PX = 90;
const RECOVERING_SHOWN_MS = 2_500; // a take-over is over in milliseconds; people should see that it happened
const TICK_MS = 500;
const STOPPED = new Set(["failed", "cancelled", "deleted"]);
const SEAL = {
  checking: "Checking…",
  verified: "Verified: page = stored = log",
  partly: "Page = log; the stored copy could not be read",
  mismatch: "Not the same text: reload the page",
  unchecked: "Not checked here (needs HTTPS or localhost)",
};

export class PostView {
  #nodes;
  #api;
  #onAgain;
  #onDelete;
  #onDraw;
  #feed = null;
  #progress;
  #outline;
  #document;
  #steps;
  #compliance;
  #review;
  #expected = new Map();
  #pending = false;
  #tick = null;
  #recoveringUntilMs = 0;
  #following = true;
  #arriving = false;
  #verified = null;
  #proof = null;
  #stopping = null;
  #pressedIn = null;
  #onTrouble;

  /**
   * `nodes` by id; `onAgain(snapshot)` fills the form anew (null: empty); `onDelete(snapshot)` asks; `onDraw(snapshot)` after each drawing;
   * `onTrouble(title, text)` where something that was asked for did not work.
   */
  constructor({ nodes, api, onAgain, onDelete, onDraw, onTrouble }) {
    this.#nodes = nodes;
    this.#api = api;
    this.#onAgain = onAgain;
    this.#onDelete = onDelete;
    this.#onDraw = onDraw;
    this.#onTrouble = onTrouble;
    const { status, message, percent, progress } = nodes;
    this.#progress = new ProgressView({ status, message, percent, bar: progress }, Date.now);
    this.#document = new DocumentView(nodes.article);
    const { steps, "steps-heading": heading, "steps-count": count, "steps-list": list } = nodes;
    this.#steps = new StepsView({ steps, heading, count, list }, () => this.#look());
    this.#compliance = new ComplianceView({
      panel: nodes.compliance,
      heading: nodes["compliance-heading"],
      text: nodes["compliance-text"],
    });
    this.#outline = new Outline(nodes.sections, nodes["outline-count"], (section) => this.#goTo(section));
    this.#review = new ReviewView(reviewNodes(nodes), ({ post, run }, outline) => {
      this.#pressedIn = this.#state;
      return api.approve(post, run, outline);
    });
    this.#listen();
  }

  /** The digest of the page's text once the post is published and it was computed, else null. */
  get digest() {
    return this.#proof?.page ?? null;
  }

  get proof() {
    return this.#proof;
  }

  get text() {
    return this.#feed ? documentText(this.#feed.snapshot) : "";
  }

  /** Working steps of each recipe, by name, to be shown before they begin. */
  expect(steps) {
    this.#expected = steps;
    this.changed();
  }

  /** Show the post of this feed, or none. */
  show(feed) {
    this.#feed = feed;
    this.#verified = this.#proof = null;
    this.#following = true;
    this.#arrive();
    this.#recoveringUntilMs = 0;
    this.#progress.quietSince(null);
    this.#document.clear();
    this.#steps.clear();
    this.#nodes.ended.hidden = this.#nodes.colophon.hidden = this.#nodes.proof.hidden = true;
    this.#nodes.digest.setAttribute("aria-expanded", "false");
    this.changed();
  }

  // The page before was left scrolled: its way to the top is told in the next frame, and is nobody's wish to stay there.
  #arrive() {
    this.#arriving = true;
    requestAnimationFrame(() => {
      this.#arriving = false;
    });
  }

  /** Whether the page hears of events, and whether this computer is offline. */
  connected(live, offline) {
    this.#progress.connected(live, offline);
    this.changed();
  }

  /** An event was folded. */
  happened(event) {
    this.#progress.quietSince(Date.now());
    if (event.type === "started" && this.#feed.snapshot.status === "recovering") {
      this.#recoveringUntilMs = Date.now() + RECOVERING_SHOWN_MS;
    }
  }

  /** Something changed: draw soon. A hidden page draws seldom, so that it stays cheap. */
  changed() {
    if (this.#pending) return;
    this.#pending = true;
    const draw = () => {
      this.#pending = false;
      if (this.#feed) this.#draw(this.#feed.snapshot);
    };
    if (document.hidden) setTimeout(draw, 250);
    else requestAnimationFrame(draw);
  }

  #draw(snapshot) {
    const { post, asked, article } = this.#nodes;
    post.dataset.status = snapshot.status;
    clearTimeout(this.#tick);
    const recovering = Date.now() < this.#recoveringUntilMs && !isFinal(snapshot);
    this.#progress.draw(snapshot, recovering ? "recovering" : snapshot.status);
    if (!isFinal(snapshot)) this.#tick = setTimeout(() => this.changed(), TICK_MS);
    this.#outline.draw(snapshot);
    this.#document.draw(snapshot);
    this.#steps.draw(snapshot, this.#expected.get(snapshot.recipe));
    this.#compliance.draw(snapshot);
    if (this.#review.draw(snapshot)) this.#nodes.review.scrollIntoView({ block: "start" });
    setText(asked, snapshot.title);
    asked.hidden = snapshot.title === "" || hasTitle(article);
    this.#kicker(snapshot);
    this.#stop(snapshot);
    this.#end(snapshot);
    this.#follow(snapshot);
    this.#keepPlace();
    this.#onDraw(snapshot);
  }

  get #state() {
    const { post, run, status } = this.#feed.snapshot;
    return `${post}.${run}.${status}`;
  }

  // A button goes with the state it was pressed in; who pressed it goes on where the next one is told.
  #keepPlace() {
    if (this.#pressedIn === null || this.#pressedIn === this.#state) return;
    this.#pressedIn = null;
    const { activeElement } = document;
    if (activeElement && activeElement !== document.body && activeElement.checkVisibility()) return;
    const { ended, main } = this.#nodes;
    (ended.hidden ? main : ended.querySelector("h2")).focus({ preventScroll: true });
  }

  #kicker(snapshot) {
    if (snapshot.seq === 0 || snapshot.status === "deleted") {
      setText(this.#nodes.kicker, "");
      return;
    }
    const words = isFinal(snapshot) ? 0 : countWords(documentText(snapshot));
    const parts = [ago(snapshot.created_at, Date.now()), words > 0 ? `${words.toLocaleString("en")} words so far` : ""];
    if (snapshot.run > 1) parts.push(`run ${snapshot.run}`);
    setText(this.#nodes.kicker, parts.filter(Boolean).join(" · "));
  }

  // Pressed once it stays so until the end comes as an event, which may take a worker's attention.
  #stop(snapshot) {
    const { stop } = this.#nodes;
    stop.hidden = snapshot.seq === 0 || isFinal(snapshot);
    const stopping = this.#stopping === `${snapshot.post}.${snapshot.run}`;
    stop.disabled = stopping;
    setText(stop, stopping ? "Stopping…" : "Stop");
  }

  async #cancel() {
    const { post, run } = this.#feed.snapshot;
    this.#stopping = `${post}.${run}`;
    this.#pressedIn = this.#state;
    this.changed();
    try {
      await this.#api.cancel(post, run);
    } catch (error) {
      this.#stopping = null;
      this.changed();
      this.#onTrouble("The post could not be stopped.", error.message);
    }
  }

  #end(snapshot) {
    const { ended, actions, colophon, facts, delete: remove } = this.#nodes;
    remove.hidden = snapshot.seq === 0 || snapshot.status === "deleted";
    const stopped = STOPPED.has(snapshot.status);
    ended.hidden = !stopped;
    if (stopped) this.#tellEnd(snapshot);
    const written = snapshot.sections.some((section) => section.in_document && section.length > 0);
    actions.hidden = !isFinal(snapshot) || !written;
    colophon.hidden = snapshot.status !== "published";
    if (snapshot.status !== "published") return;
    setText(facts, factsOf(snapshot));
    if (this.#verified !== snapshot.sha256) this.#verify(snapshot);
  }

  #tellEnd(snapshot) {
    const { ended } = this.#nodes;
    const key = `${snapshot.post}.${snapshot.run}.${snapshot.status}`;
    if (ended.dataset.key === key && ended.childElementCount > 0) return;
    ended.dataset.key = key;
    ended.dataset.status = snapshot.status;
    if (snapshot.status === "deleted") {
      this.#tellDeleted(ended);
      return;
    }
    const failed = snapshot.status === "failed";
    const message = failed ? snapshot.error?.message || "The run could not go on." : "It was stopped on request.";
    const kept = snapshot.sections.some((section) => section.length > 0) ? " What was written so far is kept." : "";
    ended.replaceChildren(
      el("h2", { tabindex: -1 }, failed ? "This post could not be finished" : "This post was cancelled"),
      el("p", {}, message + kept),
      el("button", { type: "button", class: "primary", "data-testid": "retry", onclick: (event) => this.#retry(event.target, snapshot) }, "Try again"),
      el("button", { type: "button", class: "other", onclick: () => this.#onAgain(snapshot) }, "Write a new one"),
    );
    if (this.#following) ended.scrollIntoView({ block: "nearest" }); // who looks at the last line sees why it is the last
  }

  // Who had pressed a button that is gone now, or none, is taken to the words that say why.
  #tellDeleted(ended) {
    const heading = el("h2", { tabindex: -1 }, "This post was deleted");
    ended.replaceChildren(
      heading,
      el("p", {}, "Its text is gone for good, for every reader."),
      el("button", { type: "button", class: "primary", onclick: () => this.#onAgain(null) }, "Write a new one"),
    );
    window.scrollTo(0, 0);
    const { activeElement } = document;
    if (!activeElement || activeElement === document.body || this.#nodes.post.contains(activeElement)) {
      heading.focus({ preventScroll: true });
    }
  }

  // The next run comes as an event; the button stays as it is until then.
  async #retry(button, { post, run }) {
    button.disabled = true;
    this.#pressedIn = this.#state;
    try {
      await this.#api.retry(post, run);
    } catch (error) {
      button.disabled = false;
      this.#onTrouble("The post could not be tried again.", error.message);
    }
  }

  async #verify(snapshot) {
    this.#verified = snapshot.sha256;
    this.#seal("checking", { page: null, stored: null, log: snapshot.sha256 });
    const feed = this.#feed;
    const proof = await verify({
      subtle: globalThis.crypto?.subtle,
      text: documentText(snapshot),
      log: snapshot.sha256,
      fetchStored: async () => (await this.#api.markdown(snapshot.post)).bytes,
      wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    });
    if (feed !== this.#feed) return;
    this.#proof = proof;
    this.#seal(proof.state, proof);
  }

  #seal(state, proof) {
    const { digest, proof: list } = this.#nodes;
    digest.dataset.state = state;
    digest.dataset.sha256 = proof.log;
    const short = el("code", {}, `${proof.log.slice(0, 8)}…${proof.log.slice(-4)}`);
    digest.replaceChildren(el("span", { class: "mark", "aria-hidden": "true" }), el("span", {}, SEAL[state]), short);
    const rows = [
      ["This page", proof.page],
      ["Stored document", proof.stored],
      ["Log's last event", proof.log],
    ];
    list.replaceChildren(
      ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, el("code", {}, value ?? "not checked"))]),
    );
  }

  // Keep the writing in sight, but only while the reader is at the bottom.
  #follow(snapshot) {
    const writing = !isFinal(snapshot) && snapshot.open_section !== null;
    this.#nodes.follow.hidden = !writing || this.#following || this.#atBottom();
    if (writing && this.#following) window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
  }

  #atBottom() {
    const { scrollHeight } = document.documentElement;
    return window.innerHeight + window.scrollY >= scrollHeight - BOTTOM_PX;
  }

  // Who looks at something else is not taken back to the writing.
  #look() {
    this.#following = false;
    this.changed();
  }

  #goTo(section) {
    this.#following = false;
    this.#document.element(section)?.scrollIntoView({ block: "start" });
    this.changed();
  }

  #listen() {
    const { follow, digest, download, copy } = this.#nodes;
    const onScroll = () => {
      if (this.#arriving) return;
      this.#following = this.#atBottom();
      if (this.#following) follow.hidden = true;
    };
    window.addEventListener("scroll", onScroll, { passive: true });
    document.addEventListener("visibilitychange", () => this.changed());
    follow.addEventListener("click", () => {
      this.#following = true;
      this.changed();
    });
    this.#nodes.stop.addEventListener("click", () => this.#cancel());
    this.#nodes.delete.addEventListener("click", () => this.#onDelete(this.#feed.snapshot));
    digest.addEventListener("click", () => this.#toggleProof());
    download.addEventListener("click", () => this.#act(download, "Downloaded", () => this.#download()));
    copy.addEventListener("click", () => this.#act(copy, "Copied", () => navigator.clipboard.writeText(this.text)));
    const link = this.#nodes["copy-link"];
    link.addEventListener("click", () => this.#act(link, "Copied", () => navigator.clipboard.writeText(location.href)));
  }

  #toggleProof() {
    const { digest, proof } = this.#nodes;
    proof.hidden = !proof.hidden;
    digest.setAttribute("aria-expanded", String(!proof.hidden));
    if (proof.hidden || !this.#feed) return;
    proof.scrollIntoView({ block: "nearest" });
    this.#verify(this.#feed.snapshot);
  }

  async #act(button, done, run) {
    const label = (button.dataset.label ??= button.textContent);
    button.disabled = true;
    try {
      await run();
      button.textContent = done;
    } catch (error) {
      button.textContent = error.code ? error.message : "Not possible here";
    } finally {
      button.disabled = false;
      setTimeout(() => setText(button, label), 2_000);
    }
  }

  async #download() {
    const { post } = this.#feed.snapshot;
    const format = this.#nodes.format.value;
    const { bytes, type, name } = await (format === "" ? this.#api.markdown(post) : this.#api.exported(post, format));
    const url = URL.createObjectURL(new Blob([bytes], { type }));
    el("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }

  /** SHA-256 of the text as it is now, for tests and the curious. */
  sha256() {
    return sha256(globalThis.crypto?.subtle, this.text);
  }
}

function reviewNodes(nodes) {
  const names = ["form", "lede", "before", "sections", "after", "add", "error", "said", "approve"];
  return { panel: nodes.review, ...Object.fromEntries(names.map((name) => [name, nodes[`review-${name}`]])) };
}

/** The tab's title for a snapshot. */
export function tabTitle(snapshot) {
  if (!snapshot || snapshot.title === "") return "Inkwire";
  const state = isFinal(snapshot) ? "" : `${snapshot.progress.percent} % · `;
  const end = { failed: `${STATUS.failed} · `, paused: "Your approval · " }[snapshot.status] ?? "";
  return `${state}${end}${snapshot.title} · Inkwire`;
}

// Whether a document begins with its title: slides and tweets have headings of that level too.
function hasTitle(article) {
  const begins = article.querySelector(":scope > section:first-child > h1:first-child") !== null;
  return begins && article.querySelectorAll("h1").length === 1;
}

function factsOf({ metrics, spent }) {
  if (!metrics) return "";
  const count = (number) => number.toLocaleString("en");
  const paid = spent.tokens_in + spent.tokens_out; // over all runs, like the text
  const wasted = spent.wasted_in + spent.wasted_out;
  const seconds = (ms) => `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const parts = [
    `${count(metrics.words)} words`,
    metrics.time_to_first_token_ms === null ? "" : `first word after ${seconds(metrics.time_to_first_token_ms)}`,
    metrics.tokens_per_s > 0 ? `${Math.round(metrics.tokens_per_s)} tokens/s` : "",
    metrics.duration_ms > 0 ? `${seconds(metrics.duration_ms)} in all` : "",
    metrics.retries > 0 ? `${metrics.retries} ${metrics.retries === 1 ? "retry" : "retries"}` : "",
    metrics.model,
    paid > 0 ? `${count(paid)} tokens${wasted > 0 ? `, ${count(wasted)} wasted` : ""}` : "",
    paid > 0 && spent.cost_usd !== null
      ? `$${spent.cost_usd.toFixed(4)} (${spent.tokens_estimated > 0 ? "estimated" : "reported"})`
      : "",
  ];
  return parts.filter(Boolean).join(" · ");
}
