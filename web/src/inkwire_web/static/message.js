// One message of a conversation: who said it, what, and what a reader may do with it.

import { ComplianceView } from "./compliance.js";
import { ago, arrange, el, setText } from "./dom.js";
import { isFinal } from "./fold.js";
import { STATUS } from "./progress.js";
import { SectionText } from "./render.js";
import { DocumentView } from "./sections.js";

const EMOJIS = ["👍", "❤️", "😄", "🎉", "🤔", "👎"];
const UNFINISHED = { failed: "This answer could not be finished.", cancelled: "Stopped. What was written is kept." };

export class MessageView {
  #actions;
  #parts;
  #article = null;
  #compliance;
  #caret = el("span", { class: "caret", "aria-hidden": "true" });
  #said = null;
  #message;
  #emojis = new Map();

  /** `actions`: edit(message), regenerate(message), stop(message), retry(message), react(message, emoji, present), copy(text). */
  constructor(message, actions) {
    this.#actions = actions;
    const who = el("span", { class: "who", dir: "auto" });
    const when = el("time", { class: "when", datetime: message.created_at });
    const state = el("span", { class: "state" });
    const body = el("div", { class: "said prose", dir: "auto" });
    const documents = el("p", { class: "mentions" });
    const trouble = el("p", { class: "trouble", role: "status", hidden: true });
    const checked = { heading: el("h2"), text: el("div") };
    const panel = el("section", { class: "compliance", "aria-label": "Compliance check", hidden: true }, ...Object.values(checked));
    const reactions = el("div", { class: "reactions" });
    const tools = el("div", { class: "tools" });
    this.node = el(
      "li",
      { class: "turn", "data-message": message.message, "data-role": message.role },
      el("p", { class: "by" }, who, " ", when, " ", state),
      body,
      panel,
      documents,
      trouble,
      el("div", { class: "under" }, reactions, tools),
    );
    this.#compliance = new ComplianceView({ panel, ...checked });
    this.#parts = { who, when, state, body, documents, trouble, reactions, tools };
  }

  /** `context`: name, me (the reader's owner token), mine, reply (a snapshot, for the assistant's), made (there is more to see), busy. */
  draw(message, context) {
    const { who, when, documents } = this.#parts;
    this.#message = message;
    setText(who, context.name);
    setText(when, ago(message.created_at, Date.now()));
    if (message.role === "assistant") this.#answer(message, context);
    else this.#text(message.content);
    setText(documents, message.documents.map(({ number, name }) => `@${number} ${name}`).join("  ·  "));
    documents.hidden = message.documents.length === 0;
    this.#reactions(message, context);
    this.#tools(message, context);
  }

  // What people say is Markdown too, and goes through the same renderer.
  #text(content) {
    if (this.#said === content) return;
    this.#said = content;
    this.#parts.body.replaceChildren();
    new SectionText(this.#parts.body, this.#caret).update(content, false);
  }

  #answer(message, { reply }) {
    const { body, state, trouble } = this.#parts;
    this.#article ??= new DocumentView(body);
    this.node.dataset.status = reply?.status ?? "unknown";
    if (reply) this.#article.draw(reply);
    this.#compliance.draw({ metadata: reply?.metadata ?? {} });
    const final = reply && isFinal(reply);
    setText(state, final || !reply ? "" : progressOf(reply));
    const said = final ? (reply.error?.message ?? UNFINISHED[reply.status] ?? "") : "";
    setText(trouble, said);
    trouble.hidden = said === "";
    this.#seal(reply);
  }

  // Published and folded here to the very digest that the log names.
  #seal(reply) {
    this.node.dataset.sha256 = reply?.status === "published" ? (reply.sha256 ?? "") : "";
  }

  // The same buttons for as long as they are there: what is drawn anew at every word takes away focus and clicks.
  #reactions(message, { me }) {
    const given = Object.entries(message.reactions);
    for (const emoji of [...this.#emojis.keys()]) if (!Object.hasOwn(message.reactions, emoji)) this.#emojis.delete(emoji);
    const buttons = given.map(([emoji, users]) => {
      const button = this.#emoji(emoji, me);
      setText(button, `${emoji} ${users.length}`);
      button.setAttribute("aria-pressed", String(users.includes(me)));
      return button;
    });
    arrange(this.#parts.reactions, buttons);
  }

  #emoji(emoji, me) {
    let button = this.#emojis.get(emoji);
    if (!button) {
      button = el("button", { type: "button", class: "reaction", onclick: () => this.#toggle(emoji, me) });
      this.#emojis.set(emoji, button);
    }
    return button;
  }

  #tools(message, context) {
    const { mine, reply, busy } = context;
    const final = reply && isFinal(reply);
    const tools = [];
    const tool = (name, label, run) => {
      tools.push(el("button", { type: "button", "data-tool": name, onclick: run, disabled: busy }, label));
    };
    if (message.role === "assistant") {
      if (reply && !final) tool("stop", "Stop", () => this.#actions.stop(message));
      if (final && (reply.status === "failed" || reply.status === "cancelled")) {
        tool("retry", "Try again", () => this.#actions.retry(message));
      }
      if (final) tool("regenerate", "Write anew", () => this.#actions.regenerate(message));
      if (final) tool("copy", "Copy", (event) => this.#actions.copy(message, event.target));
      if (final && context.made) tools.push(el("a", { href: `/p/${message.post}`, "data-link": true, "data-tool": "made" }, "How it was made"));
    } else if (mine) {
      tool("edit", "Edit", () => this.#actions.edit(message));
    }
    const picker = el(
      "details",
      { class: "picker" },
      el("summary", { "aria-label": "React" }, "☺"),
      el(
        "div",
        { class: "emojis" },
        ...EMOJIS.map((emoji) =>
          el("button", { type: "button", onclick: () => this.#pick(emoji, context.me) }, emoji),
        ),
      ),
    );
    const key = JSON.stringify([tools.map((node) => node.dataset.tool), busy]);
    if (this.#parts.tools.dataset.key === key) return;
    this.#parts.tools.dataset.key = key;
    arrange(this.#parts.tools, [...tools, picker]);
  }

  #pick(emoji, me) {
    this.#parts.tools.querySelector("details").open = false;
    this.#toggle(emoji, me);
  }

  #toggle(emoji, me) {
    this.#actions.react(this.#message, emoji, !(this.#message.reactions[emoji] ?? []).includes(me));
  }
}

// A conversation's answer has no outline to tell of; other kinds tell their steps.
function progressOf({ recipe, status, progress, retry }) {
  if (retry) return retry.message;
  return recipe === "chat" || progress.message === "" ? `${STATUS[status]}…` : progress.message;
}
