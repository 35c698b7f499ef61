// The list of an owner's posts: newest first, live, with older pages on request.

import { ago, arrange, el, setText } from "./dom.js";
import { STATUS } from "./progress.js";

const RUNNING = new Set(["queued", "generating", "recovering", "retrying"]);

export class PostList {
  #nodes;
  #loadMore;
  #now;
  #rows = new Map();

  /** `nodes`: list, empty, more. `loadMore()` fetches the next page. `now` is in milliseconds. */
  constructor(nodes, loadMore, now) {
    this.#nodes = nodes;
    this.#loadMore = loadMore;
    this.#now = now;
    nodes.more.addEventListener("click", () => this.#loadMore());
  }

  draw(posts, { current, hasMore }) {
    arrange(
      this.#nodes.list,
      posts.map((post) => this.#row(post, current)),
    );
    this.#nodes.empty.hidden = posts.length > 0;
    this.#nodes.more.hidden = !hasMore;
    const known = new Set(posts.map((post) => post.id));
    for (const id of [...this.#rows.keys()]) if (!known.has(id)) this.#rows.delete(id);
  }

  #row(post, current) {
    let row = this.#rows.get(post.id);
    if (!row) {
      const title = el("span", { class: "title", dir: "auto" });
      const meta = el("span", { class: "meta" });
      const link = el("a", { href: `/p/${post.id}`, "data-link": true }, title, meta);
      row = { node: el("li", { "data-post": post.id }, link), link, title, meta };
      this.#rows.set(post.id, row);
    }
    row.node.dataset.status = post.status;
    setText(row.title, post.title || "Untitled");
    setText(row.meta, this.#meta(post));
    if (post.id === current) row.link.setAttribute("aria-current", "page");
    else row.link.removeAttribute("aria-current");
    return row.node;
  }

  #meta(post) {
    const state = STATUS[post.status] ?? post.status;
    if (RUNNING.has(post.status)) return post.percent > 0 ? `${state} · ${post.percent} %` : state;
    if (post.status === "paused") return "Waiting for your approval";
    const when = ago(post.created_at, this.#now());
    if (post.status !== "published") return `${state} · ${when}`;
    return post.words ? `${when} · ${post.words.toLocaleString("en")} words` : when;
  }
}
