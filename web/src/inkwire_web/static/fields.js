// Form fields from a JSON Schema, so that a recipe brings its own form. The api validates; what it objects to is shown
// at the field it names.

import { el, setText } from "./dom.js";

const LONG_TEXT_FROM = 300; // characters allowed, from where a text gets room for several lines
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
    label: sentence(resolved.title || name.replaceAll("_", " ")),
    hint: resolved.description || "",
    fallback: resolved.default,
    min: resolved.minimum,
    max: resolved.maximum,
    maxLength: resolved.maxLength,
  };
  if (Array.isArray(resolved.enum)) return { ...field, kind: "choice", choices: resolved.enum };
  switch (resolved.type) {
    case "string":
      return { ...field, kind: resolved.maxLength >= LONG_TEXT_FROM ? "long" : "text" };
    case "integer":
    case "number":
      return { ...field, hint: withBounds(field), kind: "number", step: resolved.type === "integer" ? 1 : "any" };
    case "boolean":
      return { ...field, kind: "switch" };
    default:
      return null;
  }
}

/** All fields of a recipe's inputs that have a form, in the schema's order. */
export function fieldsOf({ properties = {}, $defs = {} }) {
  return Object.entries(properties)
    .map(([name, schema]) => fieldOf(name, schema, $defs))
    .filter((field) => field !== null);
}

/**
 * What a problem document objects to, by place: `title`, names of options, and `rest` for what has no place in a form.
 * `errors` are faults with a JSON pointer each; the first fault of a field is the one that is shown.
 */
export function faultsByField(errors, names) {
  const found = { title: null, options: new Map(), rest: [] };
  for (const fault of errors ?? []) {
    const [top, name] = faultPath(fault);
    const said = asSentence(fault.detail);
    if (top === "title") found.title ??= said;
    else if (top === "options" && names.includes(name)) {
      if (!found.options.has(name)) found.options.set(name, said);
    } else if (top === "priority" && names.includes(top)) found.options.set(top, said);
    else found.rest.push(said);
  }
  return found;
}

/** The steps of a fault's JSON pointer; none where it has no place in the body. */
export function faultPath({ pointer = "" }) {
  return pointer.replace(/^#\//, "").split("/").map(unescape);
}

function unescape(part) {
  return part.replaceAll("~1", "/").replaceAll("~0", "~");
}

/** What an api says, as a sentence of its own. */
export function asSentence(text) {
  return capitalised(/[.!?]$/.test(text) ? text : `${text}.`);
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

function withBounds({ hint, min, max }) {
  const bounds = min !== undefined && max !== undefined ? `${min} to ${max}` : "";
  return [hint, bounds].filter(Boolean).join(", ");
}

// "Difficulty Level", as schemas have it, is "Difficulty level" in a form; "FAQ" stays.
function sentence(title) {
  const [first, ...others] = title.split(" ");
  return [capitalised(first), ...others.map((word) => (/^\p{Lu}\p{Ll}+$/u.test(word) ? word.toLowerCase() : word))].join(" ");
}

function capitalised(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A field on the page: its control with label, hint, and room for what is wrong with it. */
export class Field {
  #schema;
  #control;
  #error;

  /** `schema` as `fieldOf` makes it. */
  constructor(schema) {
    this.#schema = schema;
    this.#control = control(schema);
    const { id } = this.#control;
    const hint = schema.hint ? el("small", { id: `${id}-hint` }, schema.hint) : null;
    this.#error = el("p", { class: "field-error", id: `${id}-error`, hidden: true });
    this.#control.setAttribute("aria-describedby", [hint?.id, this.#error.id].filter(Boolean).join(" "));
    this.#control.addEventListener("input", () => this.fail(""));
    const label = el("label", { for: id }, schema.label);
    const classes = `field ${schema.kind}`;
    this.node = el("div", { class: classes }, label, this.#control, hint, suggestions(schema, id), this.#error);
  }

  get name() {
    return this.#schema.name;
  }

  /** The control of a longer text, in which a document may be named; else null. */
  get prose() {
    return this.#schema.kind === "long" ? this.#control : null;
  }

  /** What a request says of it; undefined where the recipe's own default is meant. */
  get value() {
    const { kind, choices, fallback } = this.#schema;
    const value = kind === "switch" ? this.#control.checked : this.#control.value;
    if (kind === "choice") return unlessDefault(choices.find((choice) => String(choice) === value), fallback);
    if (kind === "switch") return unlessDefault(value, fallback);
    if (value.trim() === "") return undefined;
    return unlessDefault(kind === "number" ? Number(value) : value, fallback);
  }

  set value(value) {
    if (this.#schema.kind === "switch") this.#control.checked = value === true;
    else this.#control.value = String(value ?? "");
  }

  /** What the browser could not even read as a value, in words, else "". */
  get unreadable() {
    return this.#control.validity.badInput ? "Type a number." : "";
  }

  /** Show what is wrong with it; nothing where `message` is "". */
  fail(message) {
    this.#error.hidden = message === "";
    setText(this.#error, message);
    if (message) this.#control.setAttribute("aria-invalid", "true");
    else this.#control.removeAttribute("aria-invalid");
  }

  get failed() {
    return !this.#error.hidden;
  }

  focus() {
    this.#control.focus();
  }
}

function unlessDefault(value, fallback) {
  return value === fallback ? undefined : value;
}

function control(field) {
  const { kind, fallback } = field;
  const common = { id: `option-${field.name}`, name: field.name };
  if (kind === "choice") {
    const options = field.choices.map((value) =>
      el("option", { value, selected: value === fallback }, capitalised(String(value).replaceAll("_", " "))),
    );
    return el("select", common, ...options);
  }
  if (kind === "switch") return el("input", { ...common, type: "checkbox", checked: fallback === true });
  if (kind === "number") {
    const { min, max, step } = field;
    return el("input", { ...common, type: "number", min, max, step, value: fallback });
  }
  const placeholder = fallback || null;
  if (kind === "long") return el("textarea", { ...common, rows: 2, placeholder }, fallback ?? "");
  const list = SUGGESTIONS[field.name] ? `${common.id}-list` : null;
  return el("input", { ...common, type: "text", value: fallback, placeholder, list, autocomplete: "off" });
}

function suggestions(field, id) {
  const values = field.kind === "text" ? SUGGESTIONS[field.name] : null;
  return values ? el("datalist", { id: `${id}-list` }, ...values.map((value) => el("option", { value }))) : null;
}
