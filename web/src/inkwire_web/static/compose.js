// The form of a new post. Options come from the recipe's JSON Schema, so a recipe brings its own form.

import { el } from "./dom.js";

const PRIORITIES = ["urgent", "high", "normal", "low"];
const COUNT_FROM = 0.8; // of the limit, from where a reader is told how far it is
const SUGGESTIONS = {
  tone: ["friendly and precise", "dry and witty", "formal", "warm and encouraging", "journalistic"],
  language: ["English", "Deutsch", "Español", "Français", "Italiano", "Polski", "Português", "日本語", "العربية"],
  audience: ["curious practitioners", "beginners", "senior engineers", "decision makers"],
};

/** One field of a JSON Schema as `{ name, kind, label, hint, fallback, choices, ... }`, or null where it has no form. */
export function fieldOf(name, schema, defs = {}) {
  const resolved = resolve(schema, defs);
  const field = {
    name,
    label: resolved.title || name,
    hint: resolved.description || "",
    fallback: resolved.default,
    min: resolved.minimum,
    max: resolved.maximum,
    maxLength: resolved.maxLength,
  };
  if (Array.isArray(resolved.enum)) return { ...field, kind: "choice", choices: resolved.enum };
  switch (resolved.type) {
    case "string":
      return { ...field, kind: "text" };
    case "integer":
    case "number":
      return { ...field, kind: "number", step: resolved.type === "integer" ? 1 : "any" };
    case "boolean":
      return { ...field, kind: "switch" };
    default:
      return null;
  }
}

// Follow a reference, and take the part of an optional field that is not null.
function resolve(schema, defs) {
  let found = schema;
  if (found.$ref) found = { ...defs[found.$ref.split("/").at(-1)], ...found };
  const parts = found.anyOf ?? found.allOf;
  if (parts) {
    const part = parts.find((candidate) => candidate.type !== "null");
    if (part) found = { ...resolve(part, defs), ...found };
  }
  return found;
}

function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function control(field) {
  const id = `option-${field.name}`;
  const common = { id, name: field.name };
  if (field.kind === "choice") {
    const options = field.choices.map((value) =>
      el("option", { value, selected: value === field.fallback }, capitalised(String(value))),
    );
    return el("select", common, ...options);
  }
  if (field.kind === "switch") return el("input", { ...common, type: "checkbox", checked: field.fallback === true });
  if (field.kind === "number") {
    const { min, max, step } = field;
    return el("input", { ...common, type: "number", min, max, step, value: field.fallback });
  }
  const suggestions = SUGGESTIONS[field.name];
  return el("input", {
    ...common,
    type: "text",
    maxlength: field.maxLength,
    value: field.fallback,
    placeholder: field.fallback,
    list: suggestions ? `${id}-list` : null,
    autocomplete: "off",
  });
}

function row(field) {
  const input = control(field);
  const hint = field.hint ? el("small", { id: `${input.id}-hint` }, field.hint) : null;
  if (hint) input.setAttribute("aria-describedby", hint.id);
  const suggestions = SUGGESTIONS[field.name];
  const list =
    suggestions && field.kind === "text"
      ? el("datalist", { id: `${input.id}-list` }, ...suggestions.map((value) => el("option", { value })))
      : null;
  return el("div", { class: `field ${field.kind}` }, el("label", { for: input.id }, field.label), input, hint, list);
}

function valueOf(field, input) {
  if (field.kind === "switch") return input.checked;
  if (field.kind === "number") return input.value === "" ? undefined : Number(input.value);
  return input.value.trim() === "" ? undefined : input.value;
}

/** Characters as the API counts them: code points of the title as it is sent. */
export function titleLength(title) {
  return [...oneLine(title)].length;
}

function oneLine(title) {
  return title.replace(/\s+/g, " ").trim();
}

export class Compose {
  #form;
  #title;
  #fields;
  #error;
  #count;
  #limit;
  #schema = [];
  #recipe = "blog";
  #key = null;
  #keyOf = "";

  /** `nodes`: form, title, fields, error, count. `onSubmit(body, key)` creates the post; what it throws is shown. */
  constructor(nodes, onSubmit) {
    this.#form = nodes.form;
    this.#title = nodes.title;
    this.#fields = nodes.fields;
    this.#error = nodes.error;
    this.#count = nodes.count;
    this.#limit = Number(nodes.title.dataset.limit);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(onSubmit);
    });
    this.#title.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault(); // a title is one line
      this.#form.requestSubmit();
    });
    this.#title.addEventListener("input", () => {
      this.fail("");
      this.#changed();
    });
    this.#fields.replaceChildren(row(priorityField()));
  }

  /** Offer the options of a recipe. */
  offer(recipe) {
    this.#recipe = recipe.name;
    const { properties = {}, $defs = {} } = recipe.inputs;
    this.#schema = Object.entries(properties)
      .map(([name, schema]) => fieldOf(name, schema, $defs))
      .filter((field) => field !== null);
    this.#fields.replaceChildren(...this.#schema.map(row), row(priorityField()));
  }

  /** Fill the form from an earlier request. */
  fill(snapshot) {
    this.#title.value = snapshot.title;
    for (const field of this.#schema) {
      const value = snapshot.options[field.name];
      const input = this.#input(field.name);
      if (value === undefined || !input) continue;
      if (field.kind === "switch") input.checked = value === true;
      else input.value = String(value);
    }
    this.#changed();
  }

  focus() {
    this.#title.focus({ preventScroll: true });
  }

  clear() {
    this.#title.value = "";
    this.fail("");
    this.#changed();
  }

  fail(message) {
    this.#error.textContent = message;
    this.#error.hidden = message === "";
    if (message) this.#title.setAttribute("aria-invalid", "true");
    else this.#title.removeAttribute("aria-invalid");
  }

  // A title is never cut: one that is too long is shown whole, with what to do.
  #changed() {
    grow(this.#title);
    const length = titleLength(this.#title.value);
    this.#count.hidden = length < this.#limit * COUNT_FROM;
    this.#count.textContent = `${length.toLocaleString("en")} of ${this.#limit} characters`;
    this.#count.dataset.over = String(length > this.#limit);
  }

  #input(name) {
    return this.#form.elements.namedItem(name);
  }

  #body() {
    const options = {};
    for (const field of this.#schema) {
      const value = valueOf(field, this.#input(field.name));
      if (value !== undefined && value !== field.fallback) options[field.name] = value;
    }
    return { title: oneLine(this.#title.value), recipe: this.#recipe, options, priority: this.#input("priority").value };
  }

  async #submit(onSubmit) {
    const body = this.#body();
    if (body.title === "") {
      this.fail("Type a title first.");
      this.focus();
      return;
    }
    if (titleLength(body.title) > this.#limit) {
      this.fail(`Shorten the title to ${this.#limit} characters first.`);
      this.focus();
      return;
    }
    const button = this.#form.querySelector("button[type=submit]");
    button.disabled = true;
    this.fail("");
    try {
      await onSubmit(body, this.#keyFor(body));
      this.#key = null;
      this.clear();
    } catch (error) {
      this.fail(error.message);
    } finally {
      button.disabled = false;
    }
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

// Browsers without `field-sizing` get the same by hand.
function grow(area) {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.blockSize = "auto";
  area.style.blockSize = `${area.scrollHeight}px`;
}

function priorityField() {
  const hint = "Urgent posts are written before others.";
  return { name: "priority", kind: "choice", label: "Priority", hint, choices: PRIORITIES, fallback: "normal" };
}
