// What follows `user:<owner>`: the newest posts, then what becomes of them. Not contiguous and never replayed, so each
// subscription begins with the list again.

const ENDED = new Set(["published", "failed", "cancelled"]);

export class UserFeed {
  #onChange;
  #posts = new Map();
  #deleted = new Set(); // an id is never used again, and an older answer may still name it

  constructor(owner, onChange) {
    this.channel = `user:${owner}`;
    this.#onChange = onChange;
  }

  /** Summaries, newest first. */
  get posts() {
    return [...this.#posts.values()].sort(newestFirst);
  }

  position() {
    return null;
  }

  refused() {}

  receive(frame) {
    if (frame.type === "posts") this.#begin(frame.items);
    else if (frame.type === "event") this.#event(frame.event);
  }

  /** The log was lost: what was known of posts may be gone, and its `seq` means nothing. Follow again for the list. */
  startOver() {
    this.#posts.clear();
    this.#deleted.clear();
    this.#onChange();
  }

  /** Merge summaries from a list; what is known to be newer stays. */
  add(items) {
    for (const item of items) {
      const known = this.#posts.get(item.id);
      if (!this.#deleted.has(item.id) && (!known || known.seq <= item.seq)) this.#posts.set(item.id, item);
    }
    this.#onChange();
  }

  // The newest posts as they are stored. One that had ended and would have its place among them was deleted while
  // nobody told us; one that had not may be too young to be stored.
  #begin(items) {
    const ids = new Set(items.map((item) => item.id));
    const oldest = [...items].sort(newestFirst).at(-1);
    for (const post of this.#posts.values()) {
      const within = !oldest || newestFirst(post, oldest) < 0;
      if (within && ENDED.has(post.status) && !ids.has(post.id)) this.#posts.delete(post.id);
    }
    this.add(items);
  }

  /** What the open post's own channel says is newer than the list. */
  update(snapshot) {
    if (snapshot.status === "deleted") {
      this.#forget(snapshot.post);
      return;
    }
    const known = this.#posts.get(snapshot.post);
    if (!known || known.seq >= snapshot.seq) return;
    this.#posts.set(snapshot.post, {
      ...known,
      title: snapshot.title,
      status: snapshot.status,
      seq: snapshot.seq,
      percent: snapshot.progress.percent,
      message: snapshot.error ? snapshot.error.message : snapshot.progress.message,
      words: snapshot.metrics ? snapshot.metrics.words : null,
      sha256: snapshot.sha256,
    });
    this.#onChange();
  }

  #event(event) {
    const known = this.#posts.get(event.post);
    if (known && known.seq >= event.seq) return;
    if (event.type === "deleted") {
      this.#forget(event.post);
      return;
    }
    this.#apply(event, known);
    this.#onChange();
  }

  #forget(post) {
    this.#deleted.add(post);
    if (this.#posts.delete(post)) this.#onChange();
  }

  #apply(event, known) {
    const change = { id: event.post, run: event.run, seq: event.seq, updated_at: event.time, ...changeOf(event) };
    if (known || event.type === "requested") this.#posts.set(event.post, { ...(known ?? newPost(event)), ...change });
  }
}

function newestFirst(a, b) {
  if (a.created_at !== b.created_at) return a.created_at < b.created_at ? 1 : -1;
  return a.id < b.id ? 1 : -1;
}

function newPost(event) {
  return { title: "", recipe: "", percent: 0, message: "", words: null, sha256: null, created_at: event.time };
}

function changeOf(event) {
  const data = event.data ?? {};
  switch (event.type) {
    case "requested":
      return {
        title: data.title,
        recipe: data.recipe,
        priority: data.priority,
        status: "queued",
        percent: 0,
        message: "",
      };
    case "started":
    case "planned":
      return { status: "generating" };
    case "retrying":
      return { status: "retrying", message: data.message };
    case "published":
      return { status: "published", percent: 100, words: data.metrics?.words ?? null, sha256: data.sha256 };
    case "failed":
      return { status: "failed", message: data.message };
    case "paused":
    case "cancelled":
      return { status: event.type };
    default:
      return {};
  }
}
