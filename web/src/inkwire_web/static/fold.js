// The meaning of a post's events, the same as inkwire_contracts/fold.py: both pass tests/contract/vectors.
// A snapshot is a plain object with the field names of the wire; `fold` changes it in place and never guesses.
// Lengths and offsets are Unicode code points, not UTF-16 units.

export const APPLIED = "applied";
export const DUPLICATE = "duplicate";
export const GAP = "gap";
export const INVALID = "invalid";

const ACTIVE = new Set(["queued", "generating", "recovering", "retrying"]);
const RESTARTABLE = new Set(["paused", "failed", "cancelled"]);
const FINAL = new Set(["published", "failed", "cancelled", "paused", "deleted"]);

/** A post of which nothing is known yet. */
export function emptySnapshot(post) {
  return {
    post,
    owner: "",
    run: 0,
    attempt: 0,
    seq: 0,
    key_seq: 0,
    status: "unknown",
    title: "",
    recipe: "",
    options: {},
    priority: "normal",
    pool: "general",
    fingerprint: "",
    documents: [],
    turn: null,
    created_at: "",
    updated_at: "",
    started_run: 0,
    open_section: null,
    sections: [],
    metadata: {},
    progress: emptyProgress(),
    retry: null,
    error: null,
    sha256: null,
    metrics: null,
    spent: emptyAccount(),
    run_spent: emptyAccount(),
  };
}

/** Whether the latest run has ended, or the post is deleted. */
export function isFinal(snapshot) {
  return FINAL.has(snapshot.status);
}

/** The document's text: its sections' texts one after the other, with nothing added. */
export function documentText(snapshot) {
  let text = "";
  for (const section of snapshot.sections) if (section.in_document) text += section.text;
  return text;
}

/** The section of that id, or undefined. */
export function sectionOf(snapshot, id) {
  return snapshot.sections.find((section) => section.section === id);
}

/** Number of Unicode code points in a string. */
export function codePoints(text) {
  const pairs = text.match(/[\ud800-\udbff][\udc00-\udfff]/g);
  return text.length - (pairs ? pairs.length : 0);
}

/** `text` without its first `count` code points. */
function dropCodePoints(text, count) {
  let index = 0;
  for (let n = 0; n < count && index < text.length; n += 1) index += text.codePointAt(index) > 0xffff ? 2 : 1;
  return text.slice(index);
}

/** Apply one event in place; returns APPLIED, or why the snapshot stayed as it was. */
export function fold(snapshot, event) {
  if (event.seq <= snapshot.seq) return DUPLICATE;
  if (event.post !== snapshot.post) return INVALID;
  const prev = event.prev ?? null;
  if ((event.first_seq || event.seq) > snapshot.seq + 1 && prev !== snapshot.key_seq) return GAP;
  if (prev !== null && prev !== snapshot.key_seq) return INVALID;
  if (Object.hasOwn(HANDLERS, event.type)) {
    const outcome = HANDLERS[event.type](snapshot, event);
    if (outcome !== APPLIED) return outcome;
  }
  snapshot.seq = event.seq;
  snapshot.attempt = event.attempt;
  snapshot.updated_at = event.time;
  if (prev !== null) snapshot.key_seq = event.seq;
  return APPLIED;
}

function emptyProgress() {
  return { percent: 0, code: "", params: {}, message: "" };
}

function emptySection(id) {
  return {
    section: id,
    title: "",
    in_document: true,
    target_words: 0,
    status: "pending",
    text: "",
    length: 0,
    data: null,
    usage: null,
    model: "",
    sources: [],
  };
}

// What a post has cost, as inkwire_contracts/account.py: cost_usd is null once the price of one answer is not known.
function emptyAccount() {
  return {
    tokens_in: 0,
    tokens_out: 0,
    wasted_in: 0,
    wasted_out: 0,
    tokens_estimated: 0,
    cost_usd: 0,
    retries: 0,
  };
}

function pay(snapshot, told, wasted) {
  const usage = usageOf(told);
  if (!usage) return;
  const tokens = usage.tokens_in + usage.tokens_out;
  for (const account of [snapshot.spent, snapshot.run_spent]) {
    account.tokens_in += usage.tokens_in;
    account.tokens_out += usage.tokens_out;
    if (usage.source === "estimated") account.tokens_estimated += tokens;
    if (tokens > 0 || usage.cost_usd !== null) {
      const known = account.cost_usd !== null && usage.cost_usd !== null;
      account.cost_usd = known ? account.cost_usd + usage.cost_usd : null;
    }
    if (wasted) waste(account, usage);
  }
}

function waste(account, usage) {
  if (!usage) return;
  account.wasted_in += usage.tokens_in;
  account.wasted_out += usage.tokens_out;
}

// A finished section is given up in this run, and what it cost with it.
function supersede(snapshot, section) {
  if (section.status !== "done") return;
  waste(snapshot.spent, section.usage);
  waste(snapshot.run_spent, section.usage);
}

function usageOf(told) {
  return told ? fill(USAGE, told) : null;
}

function setText(section, text) {
  section.text = text;
  section.length = codePoints(text);
}

function isActive(snapshot, event) {
  return ACTIVE.has(snapshot.status) && event.run === snapshot.run;
}

function openSection(snapshot) {
  return snapshot.open_section === null ? undefined : sectionOf(snapshot, snapshot.open_section);
}

// What an interrupted attempt wrote of its open section is superseded.
function discardOpenText(snapshot) {
  const section = openSection(snapshot);
  if (section) {
    setText(section, "");
    section.status = "pending";
  }
  snapshot.open_section = null;
}

// The open section holds what the event says, nothing if it says nothing: chunks have no part in it. Where text is
// kept, what was paid for it is kept with it; else it is wasted.
function keepOpenText(snapshot, { section: id = "", text = "", usage = null }) {
  const section = openSection(snapshot);
  const kept = section !== undefined && section.section === id && text !== "";
  if (section) {
    setText(section, kept ? text : "");
    section.usage = kept ? usageOf(usage) : null;
  }
  pay(snapshot, usage, !kept);
}

function requested(snapshot, event) {
  const first = snapshot.seq === 0 && event.seq === 1 && event.run === 1;
  const again = RESTARTABLE.has(snapshot.status) && event.run === snapshot.run + 1;
  if (!first && !again) return INVALID;
  const data = event.data;
  if (first) snapshot.created_at = event.time;
  snapshot.owner = event.owner;
  snapshot.run = event.run;
  snapshot.title = data.title;
  snapshot.recipe = data.recipe;
  snapshot.options = data.options ?? {};
  snapshot.priority = data.priority ?? "normal";
  snapshot.pool = data.pool ?? "general";
  snapshot.fingerprint = data.fingerprint ?? "";
  snapshot.documents = (data.documents ?? []).map((document) => fill(DOCUMENT, document));
  snapshot.turn = data.turn ? fill(TURN, data.turn) : null;
  snapshot.status = "queued";
  snapshot.error = null;
  snapshot.metrics = null;
  snapshot.progress = emptyProgress();
  const kept = openSection(snapshot);
  if (kept) {
    waste(snapshot.spent, kept.usage); // the run before had paid for it, so it is no waste of this one
    kept.usage = null;
  }
  snapshot.run_spent = emptyAccount();
  discardOpenText(snapshot);
  return APPLIED;
}

function started(snapshot, event) {
  if (!isActive(snapshot, event)) return INVALID;
  snapshot.status = snapshot.started_run === event.run ? "recovering" : "generating";
  snapshot.started_run = event.run;
  snapshot.retry = null;
  pay(snapshot, event.data?.usage, true);
  discardOpenText(snapshot);
  return APPLIED;
}

function planned(snapshot, event) {
  if (!isActive(snapshot, event)) return INVALID;
  const known = new Map(snapshot.sections.map((section) => [section.section, section]));
  const ids = new Set(event.data.sections.map((item) => item.section));
  const left = snapshot.sections.filter((section) => !ids.has(section.section));
  const steps = left.filter((section) => !section.in_document);
  for (const dropped of left) if (dropped.in_document) supersede(snapshot, dropped);
  const sections = event.data.sections.map((item) => {
    const section = known.get(item.section) ?? emptySection(item.section);
    section.title = item.title;
    section.in_document = item.in_document ?? true;
    section.target_words = item.target_words ?? 0;
    return section;
  });
  snapshot.sections = [...steps, ...sections];
  snapshot.metadata = event.data.metadata ?? {};
  if (!openSection(snapshot)) snapshot.open_section = null;
  return APPLIED;
}

function sectionStarted(snapshot, event) {
  if (!isActive(snapshot, event)) return INVALID;
  const data = event.data;
  if (snapshot.open_section !== data.section) discardOpenText(snapshot);
  let section = sectionOf(snapshot, data.section);
  if (!section) {
    section = emptySection(data.section);
    snapshot.sections.push(section);
  }
  supersede(snapshot, section);
  section.title = data.title || section.title;
  section.in_document = data.in_document ?? true;
  section.status = "writing";
  setText(section, "");
  section.data = null;
  section.sources = [];
  snapshot.open_section = section.section;
  snapshot.status = "generating";
  snapshot.retry = null;
  return APPLIED;
}

function chunk(snapshot, event) {
  const { section: id, start, end, text } = event.data;
  if (!isActive(snapshot, event) || snapshot.open_section !== id) return INVALID;
  const section = sectionOf(snapshot, id);
  if (!section || end - start !== codePoints(text)) return INVALID;
  if (start > section.length) return GAP;
  if (end > section.length) {
    section.text += dropCodePoints(text, section.length - start);
    section.length = end;
  }
  return APPLIED;
}

function sectionCompleted(snapshot, event) {
  const data = event.data;
  if (!isActive(snapshot, event) || snapshot.open_section !== data.section) return INVALID;
  const section = sectionOf(snapshot, data.section);
  if (!section) return INVALID;
  setText(section, data.text);
  section.status = "done";
  section.data = data.data ?? null;
  section.sources = (data.sources ?? []).map(sourceOf);
  section.usage = usageOf(data.usage);
  section.model = data.model ?? "";
  pay(snapshot, data.usage, false);
  snapshot.open_section = null;
  return APPLIED;
}

function progressed(snapshot, event) {
  if (!isActive(snapshot, event)) return INVALID;
  snapshot.progress = fill(emptyProgress(), event.data);
  return APPLIED;
}

function retrying(snapshot, event) {
  if (!isActive(snapshot, event)) return INVALID;
  const { code = "", message = "", delay_ms = 0, retry = 1, asked = true, usage } = event.data;
  snapshot.status = "retrying";
  snapshot.retry = { code, message, delay_ms, retry, time: event.time };
  for (const account of [snapshot.spent, snapshot.run_spent]) account.retries += asked ? 1 : 0;
  pay(snapshot, usage, true);
  discardOpenText(snapshot);
  return APPLIED;
}

function paused(snapshot, event) {
  return snapshot.open_section === null ? ended(snapshot, event, "paused") : INVALID;
}

function published(snapshot, event) {
  if (snapshot.open_section !== null) return INVALID;
  const outcome = ended(snapshot, event, "published");
  if (outcome === APPLIED) {
    snapshot.sha256 = event.data.sha256;
    snapshot.metrics = fill(METRICS, event.data.metrics);
    snapshot.progress.percent = 100;
  }
  return outcome;
}

function failed(snapshot, event) {
  const outcome = ended(snapshot, event, "failed");
  if (outcome === APPLIED) {
    const { code, params = {}, message = "" } = event.data;
    snapshot.error = { code, params, message };
    snapshot.metrics = fill(METRICS, event.data.metrics);
    keepOpenText(snapshot, event.data);
  }
  return outcome;
}

function cancelled(snapshot, event) {
  const outcome = ended(snapshot, event, "cancelled");
  if (outcome === APPLIED) {
    snapshot.metrics = fill(METRICS, event.data?.metrics);
    keepOpenText(snapshot, event.data ?? {});
  }
  return outcome;
}

function ended(snapshot, event, status) {
  if (!isActive(snapshot, event)) return INVALID;
  snapshot.status = status;
  snapshot.retry = null;
  return APPLIED;
}

function deleted(snapshot) {
  if (snapshot.seq === 0) return INVALID;
  snapshot.status = "deleted";
  snapshot.sections = [];
  snapshot.open_section = null;
  snapshot.title = "";
  snapshot.options = {};
  snapshot.documents = [];
  snapshot.metadata = {};
  snapshot.progress = emptyProgress();
  snapshot.retry = null;
  snapshot.error = null;
  snapshot.sha256 = null;
  return APPLIED;
}

// The fields of `defaults`, taken from `given` where it has them: what a newer writer adds is left out.
function fill(defaults, given) {
  const filled = { ...defaults };
  for (const name of Object.keys(defaults)) if (given?.[name] !== undefined) filled[name] = given[name];
  return filled;
}

const DOCUMENT = { document: "", owner: "", number: 0, name: "" };
const TURN = { conversation: "", message: "", reply: "" };
const SOURCE = { document: "", number: 0, name: "", places: [], missing: false };
const PLACE = { page: null, heading: "" };

function sourceOf(given) {
  const source = fill(SOURCE, given);
  source.places = source.places.map((place) => fill(PLACE, place));
  return source;
}

const USAGE = { tokens_in: 0, tokens_out: 0, source: "estimated", cost_usd: null };
const METRICS = {
  model: "",
  time_to_first_token_ms: null,
  duration_ms: 0,
  tokens_in: 0,
  tokens_out: 0,
  tokens_per_s: 0,
  cost_usd: null,
  retries: 0,
  usage_source: "estimated",
  words: 0,
  tokens_wasted: 0,
};

const HANDLERS = {
  requested,
  started,
  planned,
  section_started: sectionStarted,
  chunk,
  section_completed: sectionCompleted,
  progress: progressed,
  retrying,
  paused,
  published,
  failed,
  cancelled,
  deleted,
};
