// A conversation on the page: its messages, who is there, and the field in which one answers.

import { arrange, el, setText } from "./dom.js";
import { memberOf, standing } from "./conversation_fold.js";
import { asSentence } from "./fields.js";
import { MessageView } from "./message.js";

const BOTTOM_PX = 120;
const OURS = new Set(["inkwire", "you", "note"]); // names that the page itself gives
const TYPING_EVERY_MS = 2_000;
const FORMATS = [
  ["markdown", "Markdown"],
  ["html", "Web page"],
  ["docx", "Word"],
  ["json", "JSON"],
];

export class ChatView {
  #nodes;
  #actions;
  #rows = new Map();
  #state = null;
  #following = true;
  #pending = false;
  #editing = null;
  #typedMs = -Infinity;
  #busy = false;

  /**
   * `nodes` by id. `actions`: send(content, replaces), title(text), typing(), older(), remove(), member(user), dismiss(user), export(format), and
   * those of MessageView.
   */
  constructor(nodes, actions) {
    this.#nodes = nodes;
    this.#actions = { ...actions, edit: (message) => this.#edit(message) };
    this.#listen();
  }

  /** `state`: conversation, presence, replies (post id -> snapshot), me, hasOlder; null shows none. */
  show(state) {
    this.#state = state;
    this.#following = true;
    this.#rows.clear();
    this.#nodes["chat-messages"].replaceChildren();
    this.#stopEditing();
    this.#nodes["chat-input"].value = "";
    this.trouble("");
    if (state) this.changed();
  }

  focus() {
    if (matchMedia("(pointer: fine)").matches) this.#nodes["chat-input"].focus({ preventScroll: true });
  }

  /** What was asked for did not work, in words; "" takes them away. */
  trouble(message) {
    const { "chat-error": error } = this.#nodes;
    setText(error, message);
    error.hidden = message === "";
  }

  /** Something changed: draw soon, once. */
  changed() {
    if (this.#pending) return;
    this.#pending = true;
    const draw = () => {
      this.#pending = false;
      if (this.#state) this.#draw(this.#state());
    };
    if (document.hidden) setTimeout(draw, 250);
    else requestAnimationFrame(draw);
  }

  #draw(state) {
    const { conversation } = state;
    const shown = standing(conversation);
    const known = new Set(shown.map((message) => message.message));
    for (const id of [...this.#rows.keys()]) if (!known.has(id)) this.#rows.delete(id);
    arrange(
      this.#nodes["chat-messages"],
      shown.map((message) => this.#row(message, state)),
    );
    this.#head(state);
    this.#typing(state);
    this.#nodes["chat-older"].hidden = !state.hasOlder;
    this.#nodes["chat-empty"].hidden = shown.length > 0 || conversation.status === "unknown";
    if (this.#following) window.scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
  }

  #row(message, state) {
    let row = this.#rows.get(message.message);
    if (!row) {
      row = new MessageView(message, this.#actions);
      this.#rows.set(message.message, row);
    }
    const mine = message.author === state.me;
    const reply = message.post ? state.replies.get(message.post) : undefined;
    const made = state.conversation.recipe !== "chat" && state.conversation.owner === state.me;
    row.draw(message, { name: nameOf(message, state), me: state.me, mine, reply, made, busy: this.#busy });
    return row.node;
  }

  #head({ conversation, presence, me }) {
    const { "chat-title": title, "chat-members": members, "chat-kind": kind, "chat-delete": remove } = this.#nodes;
    if (document.activeElement !== title) title.value = conversation.title;
    title.readOnly = conversation.owner !== me;
    title.placeholder = conversation.status === "unknown" ? "" : "Untitled conversation";
    setText(kind, conversation.recipe === "chat" ? "Conversation" : `Conversation · ${conversation.recipe}`);
    remove.hidden = conversation.owner !== me;
    const there = new Set(presence.members.map((member) => member.user));
    const key = JSON.stringify([conversation.members, [...there]]);
    if (members.dataset.key !== key) {
      members.dataset.key = key;
      const isOwner = conversation.owner === me;
      members.replaceChildren(...conversation.members.map((member) => this.#member(member, there, me, isOwner)));
    }
    this.#nodes["chat-invite"].hidden = conversation.owner !== me;
  }

  // The owner may remove the others, and the others may leave.
  #member({ user, name, role }, there, me, isOwner) {
    const shown = user === me ? "You" : name || user;
    const label = user === me ? "Leave" : `Remove ${shown}`;
    const mayGo = role !== "owner" && (isOwner || user === me);
    return el(
      "li",
      { "data-here": String(there.has(user)), title: there.has(user) ? "Here now" : "Not here" },
      el("span", { class: "dot", "aria-hidden": "true" }),
      el("span", { dir: "auto" }, shown),
      role === "owner" ? el("span", { class: "visually-hidden" }, ", owner") : null,
      mayGo ? el("button", { type: "button", "aria-label": label, title: label, onclick: () => this.#actions.dismiss(user) }, "×") : null,
    );
  }

  #typing({ presence, me }) {
    const names = presence.typing.filter((member) => member.user !== me).map((member) => member.name || member.user);
    const verb = names.length > 1 ? "are" : "is";
    setText(this.#nodes["chat-typing"], names.length === 0 ? "" : `${names.slice(0, 3).join(", ")} ${verb} typing…`);
  }

  // The field

  #edit(message) {
    this.#editing = message;
    const { "chat-input": input, "chat-editing": editing } = this.#nodes;
    editing.hidden = false;
    input.value = message.content;
    input.focus();
  }

  #stopEditing() {
    this.#editing = null;
    this.#nodes["chat-editing"].hidden = true;
  }

  async #submit() {
    const { "chat-input": input, "chat-send": button } = this.#nodes;
    const typed = input.value;
    const content = typed.trim();
    if (content === "" || this.#busy) return;
    this.#working(true, button);
    try {
      await this.#actions.send(content, this.#editing?.message ?? null);
      if (input.value.startsWith(typed)) input.value = input.value.slice(typed.length); // more may be typed already
      this.#stopEditing();
      this.trouble("");
      this.#following = true;
    } catch (error) {
      this.trouble(asSentence(error.errors?.[0]?.detail ?? error.message));
    } finally {
      this.#working(false, button);
      input.focus();
    }
  }

  #working(busy, button) {
    this.#busy = button.disabled = busy;
    this.changed();
  }

  #listen() {
    const { "chat-form": form, "chat-input": input, "chat-title": title, "chat-cancel-edit": cancel } = this.#nodes;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    input.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.#editing) cancel.click();
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#submit();
    });
    input.addEventListener("input", () => this.#tellTyping());
    cancel.addEventListener("click", () => {
      this.#stopEditing();
      input.value = "";
      input.focus();
    });
    title.addEventListener("change", () => this.#actions.title(title.value.trim()));
    title.addEventListener("keydown", (event) => event.key === "Enter" && title.blur());
    this.#nodes["chat-older"].addEventListener("click", () => this.#actions.older());
    this.#nodes["chat-delete"].addEventListener("click", () => this.#actions.remove());
    this.#nodes["chat-invite"].addEventListener("submit", (event) => {
      event.preventDefault();
      const { "chat-invite-user": user } = this.#nodes;
      if (user.value.trim() !== "") this.#actions.member(user.value.trim());
      user.value = "";
      user.closest("details").open = false;
    });
    this.#listenSheet();
    this.#listenExport();
    window.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  // Escape gives the focus back to what opened it; a click elsewhere does what it was meant for, too.
  #listenSheet() {
    const sheet = this.#nodes["chat-format"].closest("details");
    sheet.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !sheet.open) return;
      sheet.open = false;
      sheet.querySelector("summary").focus();
    });
    document.addEventListener("click", (event) => {
      if (!sheet.contains(event.target)) sheet.open = false;
    });
  }

  #listenExport() {
    const { "chat-format": format, "chat-export": button } = this.#nodes;
    format.replaceChildren(...FORMATS.map(([value, label]) => el("option", { value }, label)));
    button.addEventListener("click", () => this.#actions.export(format.value));
  }

  #scrolled() {
    const { scrollHeight } = document.documentElement;
    this.#following = window.innerHeight + window.scrollY >= scrollHeight - BOTTOM_PX;
  }

  #tellTyping() {
    const now = performance.now();
    if (now - this.#typedMs < TYPING_EVERY_MS || this.#nodes["chat-input"].value === "") return;
    this.#typedMs = now;
    this.#actions.typing();
  }
}

function nameOf(message, { conversation, me }) {
  if (message.role === "assistant") return "Inkwire";
  if (message.role === "system") return "Note";
  if (message.author === me) return "You";
  const name = memberOf(conversation, message.author)?.name || message.author || "Somebody";
  return OURS.has(name.trim().toLowerCase()) ? `${name} (${message.author})` : name; // nobody speaks as somebody else
}
