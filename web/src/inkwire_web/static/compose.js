// The form of a new post: what kind, its title, and the options that the kind's JSON Schema asks for.

import { el } from "./dom.js";
import { Field, faultsByField, fieldsOf } from "./fields.js";

const PRIORITIES = ["urgent", "high", "normal", "low"];
const COUNT_FROM = 0.8; // of the limit, from where a reader is told how far it is
const REMEMBERED = "inkwire.recipe";
const DRAFT = "inkwire.draft";
const FIRST = "blog";
// What the title is to a kind of content, and one that could be written there. A kind that is new to the page has "Title".
const TITLES = {
  blog: ["Title", "Top 10 Laravel tips"],
  course: ["Subject", "Create security training"],
  social: ["Topic", "Botox safety"],
  analysis: ["Title", "Is our login safe?"],
  chat: ["Message", "Explain event sourcing to me"],
};
const CHAT = "chat"; // a kind that is always a conversation
const MAX_MESSAGE_CHARS = 16_000;
// Options without which a request says little; the others are behind "Options".
const UP_FRONT = new Set(["platform", "query", "job_type", "material"]);

/** Characters as the API counts them: code points of the title as it is sent. */
export function titleLength(title) {
  return [...oneLine(title)].length;
}

function oneLine(title) {
  return title.replace(/\s+/g, " ").trim();
}

/** The kinds in the order of the page: what a first visitor most likely wants, then as the API lists them. */
export function inOrder(recipes) {
  return [...recipes].sort((a, b) => Number(b.name === FIRST) - Number(a.name === FIRST));
}

export class Compose {
  #nodes;
  #storage;
  #draft;
  #mentionable;
  #recipes = [];
  #recipe = FIRST;
  #fields = [];
  #wanted = null;
  #key = null;
  #keyOf = "";

  /**
   * `nodes`: form, recipes, kinds, chosen, title, titleLabel, main, options, fields, error, count, converse. `storage` remembers
   * the kind, and `draft` what is typed until it is sent. `write(body, key)` creates a post and `converse(body, key)` a conversation; what they throw is shown.
   * `mentionable(control)` has documents offered in it.
   */
  constructor(nodes, { storage, draft }, { write, converse, mentionable }) {
    this.#nodes = nodes;
    this.#storage = storage;
    this.#draft = draft;
    this.#mentionable = mentionable;
    nodes.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(this.#recipe === CHAT ? converse : write);
    });
    nodes.converse.addEventListener("click", () => this.#submit(converse));
    nodes.title.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault(); // a title is one line
      nodes.form.requestSubmit();
    });
    nodes.title.addEventListener("input", () => {
      this.#failTitle("");
      this.#changed();
    });
    nodes.kinds.addEventListener("change", (event) => {
      this.#storage.set(REMEMBERED, event.target.value);
      this.#choose(event.target.value);
    });
    for (const name of ["input", "change"]) nodes.form.addEventListener(name, () => this.#keep());
    this.#drawFields([]);
  }

  /** Offer these kinds of content; the one that was used last is chosen. */
  offer(recipes) {
    this.#recipes = inOrder(recipes);
    const chosen = this.#known(this.#storage.get(REMEMBERED)) ?? this.#recipes[0];
    this.#nodes.kinds.replaceChildren(...this.#recipes.map(card));
    this.#nodes.recipes.hidden = this.#recipes.length < 2;
    if (chosen) this.#choose(chosen.name);
    if (this.#wanted) this.fill(this.#wanted);
    else this.#restore(draftOf(this.#draft.get(DRAFT)));
  }

  /** Fill the form from an earlier request. */
  fill(snapshot) {
    this.#wanted = this.#recipes.length === 0 ? snapshot : null;
    if (this.#known(snapshot.recipe)) this.#choose(snapshot.recipe);
    this.#nodes.title.value = snapshot.title;
    for (const field of this.#fields) {
      const value = field.name === "priority" ? undefined : snapshot.options[field.name];
      if (value !== undefined) field.value = value;
    }
    this.#changed();
    if (!this.#wanted) this.#keep();
  }

  // As it was typed before the page was loaded anew; what was typed since stays.
  #restore({ recipe, title, values }) {
    if (this.#nodes.title.value !== "") return;
    if (this.#known(recipe)) this.#choose(recipe);
    this.#nodes.title.value = title;
    for (const field of this.#fields) if (Object.hasOwn(values, field.name)) field.value = values[field.name];
    this.#changed();
  }

  #keep() {
    const values = Object.fromEntries(this.#fields.map((field) => [field.name, field.value]));
    this.#draft.set(DRAFT, JSON.stringify({ recipe: this.#recipe, title: this.#nodes.title.value, values }));
  }

  focus() {
    this.#nodes.title.focus({ preventScroll: true });
  }

  clear() {
    this.#draft.remove(DRAFT);
    this.#nodes.title.value = "";
    this.#failTitle("");
    this.#changed();
  }

  get #button() {
    return this.#nodes.form.querySelector("button[type=submit]");
  }

  get #limit() {
    return this.#recipe === CHAT ? MAX_MESSAGE_CHARS : Number(this.#nodes.title.dataset.limit);
  }

  #known(name) {
    return this.#recipes.find((recipe) => recipe.name === name);
  }

  #choose(name) {
    const { kinds, chosen, title, titleLabel, converse } = this.#nodes;
    this.#recipe = name;
    chosen.textContent = this.#known(name).description; // where the cards have no room for it
    converse.hidden = name === CHAT;
    this.#button.textContent = name === CHAT ? "Send" : "Write it";
    for (const radio of kinds.querySelectorAll("input")) radio.checked = radio.value === name;
    const [label, example] = TITLES[name] ?? ["Title", ""];
    titleLabel.textContent = label;
    title.placeholder = example;
    this.#failTitle("");
    this.#drawFields(fieldsOf(this.#known(name).inputs));
  }

  // What two kinds have in common stays as it was typed.
  #drawFields(schemas) {
    const typed = new Map(this.#fields.map((field) => [field.name, field.value]));
    this.#fields = [...schemas, priorityField()].map((schema) => new Field(schema));
    const { main, fields } = this.#nodes;
    const [first, others] = [this.#fields.filter(isUpFront), this.#fields.filter((field) => !isUpFront(field))];
    for (const field of others) {
      const value = typed.get(field.name);
      if (value !== undefined) field.value = value;
    }
    main.replaceChildren(...first.map((field) => field.node));
    main.hidden = first.length === 0;
    fields.replaceChildren(...others.map((field) => field.node));
    for (const field of this.#fields) if (field.prose) this.#mentionable(field.prose);
  }

  #failTitle(message) {
    const { error, title } = this.#nodes;
    error.textContent = message;
    error.hidden = message === "";
    if (message) title.setAttribute("aria-invalid", "true");
    else title.removeAttribute("aria-invalid");
  }

  // A title is never cut: one that is too long is shown whole, with what to do.
  #changed() {
    const { title, count } = this.#nodes;
    grow(title);
    const length = titleLength(title.value);
    count.hidden = length < this.#limit * COUNT_FROM;
    count.textContent = `${length.toLocaleString("en")} of ${this.#limit} characters`;
    count.dataset.over = String(length > this.#limit);
  }

  #body() {
    const all = this.#fields.map((field) => [field.name, field.value]).filter(([, value]) => value !== undefined);
    const { priority = "normal", ...options } = Object.fromEntries(all);
    return { title: oneLine(this.#nodes.title.value), recipe: this.#recipe, options, priority };
  }

  // Whether all is as the page itself can tell; what is not is shown where it stands.
  #sound(body) {
    for (const field of this.#fields) field.fail(field.unreadable);
    this.#failTitle("");
    if (body.title === "") this.#failTitle(`Type a ${this.#nodes.titleLabel.textContent.toLowerCase()} first.`);
    if (titleLength(body.title) > this.#limit) this.#failTitle(`Shorten it to ${this.#limit} characters first.`);
    return this.#nodes.error.hidden && !this.#fields.some((field) => field.failed);
  }

  async #submit(onSubmit) {
    const body = this.#body();
    if (!this.#sound(body)) {
      this.#focusFault();
      return;
    }
    const button = this.#button;
    button.disabled = this.#nodes.converse.disabled = true;
    try {
      await onSubmit(body, this.#keyFor(body));
      this.#key = null;
      this.clear();
    } catch (error) {
      this.#objected(error);
    } finally {
      button.disabled = this.#nodes.converse.disabled = false;
    }
  }

  // The api's own words at the fields they belong to, and under the title what belongs to none.
  #objected(error) {
    const names = this.#fields.map((field) => field.name);
    const faults = faultsByField(error.errors, names);
    for (const field of this.#fields) field.fail(faults.options.get(field.name) ?? "");
    if (faults.title) this.#failTitle(faults.title);
    else if (faults.options.size === 0 || faults.rest.length > 0) this.#failTitle(faults.rest[0] ?? error.message);
    this.#focusFault();
  }

  #focusFault() {
    const { error, options } = this.#nodes;
    const fault = this.#fields.find((field) => field.failed);
    if (!error.hidden || !fault) {
      this.focus();
      return;
    }
    if (options.contains(fault.node)) options.open = true;
    fault.focus();
  }

  // The same request keeps its key until it was accepted, so that trying again never writes it twice.
  #keyFor(body) {
    const content = JSON.stringify(body);
    if (this.#key === null || this.#keyOf !== content) {
      this.#keyOf = content;
      const random = crypto.getRandomValues(new Uint8Array(18));
      this.#key = Array.from(random, (byte) => byte.toString(36).padStart(2, "0")).join("");
    }
    return this.#key;
  }
}

/** What was kept of a form, as far as it can be read: `{ recipe, title, values }`. */
export function draftOf(kept) {
  let found = null;
  try {
    found = JSON.parse(kept);
  } catch {}
  const { recipe = "", title = "", values = {} } = found ?? {};
  return { recipe, title: String(title), values: values ?? {} };
}

function card({ name, title, description }) {
  const id = `recipe-${name}`;
  const radio = el("input", { type: "radio", name: "recipe", id, value: name, "aria-describedby": `${id}-about` });
  return el(
    "div",
    { class: "kind" },
    radio,
    el("label", { for: id }, el("span", { class: "kind-title" }, title)),
    el("p", { class: "kind-about", id: `${id}-about` }, description),
  );
}

// Browsers without `field-sizing` get the same by hand.
function grow(area) {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.blockSize = "auto";
  area.style.blockSize = `${area.scrollHeight}px`;
}

function isUpFront(field) {
  return UP_FRONT.has(field.name);
}

function priorityField() {
  const hint = "Urgent posts are written before others.";
  return { name: "priority", kind: "choice", label: "Priority", hint, choices: PRIORITIES, fallback: "normal" };
}
