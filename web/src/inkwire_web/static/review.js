// A post that waits for its author: the proposed outline in a form, to be changed and approved. Every change can be made
// with the keyboard alone, and is told to those who do not see it.

import { el, setText } from "./dom.js";
import { faultPath, asSentence } from "./fields.js";

const LEDE = "This is the outline. Change what you like: nothing more is written before you approve it.";
const NUMBER = { min: 0, step: 10, placeholder: "auto" }; // no number leaves the length to the recipe

/** The proposed outline of a post that waits for its author, or null where there is none to be changed. */
export function proposedOutline(snapshot) {
  const step = snapshot.sections.find((section) => !section.in_document && Array.isArray(section.data?.sections));
  if (snapshot.status !== "paused" || !step) return null;
  const { title = "", description = "", tags = [], sections, closing = "" } = step.data;
  return {
    title,
    description,
    tags,
    sections: sections.map((section) => ({
      title: section.title ?? "",
      target_words: section.target_words ?? 0,
      points: section.points ?? [],
    })),
    closing,
  };
}

/** The points of a text with one on each line. */
export function pointsOf(text) {
  return text
    .split("\n")
    .map((line) => line.replace(/^\s*[-*•]\s+/, "").trim())
    .filter((line) => line !== "");
}

/** Which control a fault of the api belongs to: `title`, `closing`, or a section's number and the name of its field. */
export function placeOf(fault) {
  const [top, name, index, field] = faultPath(fault);
  if (top !== "outline") return null;
  if (name === "title" || name === "closing") return { name };
  const known = ["title", "target_words", "points"].includes(field);
  return name === "sections" && known ? { index: Number(index), name: field } : null;
}

export class ReviewView {
  #nodes;
  #approve;
  #shown = "";
  #snapshot = null;
  #outline = null;
  #sent = "";
  #parts = [];
  #title = null;
  #closing = null;
  #busy = false;
  #made = 0;

  /**
   * `nodes`: panel, form, lede, before, sections, after, add, error, said, approve. `approve(snapshot, outline)` goes on
   * with the post; `outline` is null where the proposed one stands. What it throws is shown.
   */
  constructor(nodes, approve) {
    this.#nodes = nodes;
    this.#approve = approve;
    nodes.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    nodes.add.addEventListener("click", () => this.#add());
  }

  /** Draw the snapshot; true where the form has just come up. What was typed stays until the post goes on. */
  draw(snapshot) {
    const key = snapshot.status === "paused" ? `${snapshot.post}.${snapshot.run}` : "";
    if (key === this.#shown) return false;
    this.#shown = key;
    this.#nodes.panel.hidden = key === "";
    if (key === "") return false;
    this.#snapshot = snapshot;
    this.#build(proposedOutline(snapshot));
    return true;
  }

  #build(outline) {
    const { lede, before, after, add, error, sections } = this.#nodes;
    this.#outline = outline;
    this.#parts = [];
    error.hidden = true;
    before.replaceChildren();
    after.replaceChildren();
    add.hidden = sections.hidden = outline === null;
    setText(lede, outline === null ? "Nothing more is written before you approve it." : LEDE);
    if (outline !== null) {
      this.#title = this.#fieldOf("Title of the article", "text", outline.title);
      this.#closing = this.#fieldOf("Heading of the closing", "text", outline.closing);
      before.append(this.#title.node);
      after.append(this.#closing.node);
      this.#parts = outline.sections.map((section) => this.#part(section));
      this.#sent = JSON.stringify(this.#body());
    }
    this.#arrange();
    this.#settle(false);
  }

  #fieldOf(label, kind, value) {
    this.#made += 1;
    return control(`review-${this.#made}`, label, kind, value);
  }

  #part(section) {
    const part = {
      title: this.#fieldOf("Heading", "text", section.title),
      target_words: this.#fieldOf("Words", "number", section.target_words || ""),
      points: this.#fieldOf("Points, one on each line", "long", section.points.join("\n")),
      legend: el("legend", {}),
    };
    const button = (text, run) => el("button", { type: "button", onclick: run }, text);
    part.up = button("Move up", () => this.#move(part, -1));
    part.down = button("Move down", () => this.#move(part, 1));
    part.remove = button("Remove", () => this.#remove(part));
    const tools = el("div", { class: "review-tools" }, part.up, part.down, part.remove);
    const fields = el("div", { class: "review-fields" }, part.title.node, part.target_words.node, part.points.node);
    part.node = el("li", {}, el("fieldset", {}, part.legend, tools, fields));
    return part;
  }

  // Nodes that move lose the focus, and a button at the edge cannot have it.
  #arrange() {
    this.#nodes.sections.replaceChildren(...this.#parts.map((part) => part.node));
    this.#parts.forEach((part, index) => {
      setText(part.legend, `Section ${index + 1}`);
      part.up.disabled = index === 0;
      part.down.disabled = index === this.#parts.length - 1;
      part.remove.disabled = this.#parts.length === 1;
      const name = `section ${index + 1}`;
      part.up.setAttribute("aria-label", `Move ${name} up`);
      part.down.setAttribute("aria-label", `Move ${name} down`);
      part.remove.setAttribute("aria-label", `Remove ${name}`);
    });
  }

  #move(part, by) {
    const from = this.#parts.indexOf(part);
    this.#parts.splice(from, 1);
    this.#parts.splice(from + by, 0, part);
    this.#arrange();
    const [pressed, other] = by < 0 ? [part.up, part.down] : [part.down, part.up];
    (pressed.disabled ? other : pressed).focus();
    this.#say(`Moved to ${from + by + 1} of ${this.#parts.length}.`);
  }

  #remove(part) {
    const at = this.#parts.indexOf(part);
    this.#parts.splice(at, 1);
    this.#arrange();
    this.#parts[Math.min(at, this.#parts.length - 1)].title.input.focus();
    this.#say(`Section ${at + 1} removed, ${this.#parts.length} left.`);
  }

  #add() {
    this.#parts.push(this.#part({ title: "", target_words: 0, points: [] }));
    this.#arrange();
    this.#parts.at(-1).title.input.focus();
    this.#say(`Section ${this.#parts.length} added.`);
  }

  #say(text) {
    setText(this.#nodes.said, text);
  }

  #body() {
    const { description, tags } = this.#outline;
    const sections = this.#parts.map(({ title, target_words, points }) => ({
      title: title.input.value.trim(),
      target_words: Number(target_words.input.value || 0),
      points: pointsOf(points.input.value),
    }));
    return { title: this.#title.input.value.trim(), description, tags, sections, closing: this.#closing.input.value.trim() };
  }

  #controls() {
    const inner = this.#parts.flatMap(({ title, target_words, points }) => [title, target_words, points]);
    return this.#outline === null ? [] : [this.#title, ...inner, this.#closing];
  }

  async #submit() {
    if (this.#busy) return;
    const controls = this.#controls();
    for (const field of controls) field.fail(field.input.validity.badInput ? "Type a number." : "");
    this.#fail("");
    if (controls.some((field) => field.failed)) {
      this.#focusFault();
      return;
    }
    const body = this.#outline === null ? null : this.#body();
    this.#settle(true);
    try {
      // As it was proposed, it needs no words of ours: then it stands, whatever bounds there are for changes.
      await this.#approve(this.#snapshot, JSON.stringify(body) === this.#sent ? null : body);
    } catch (error) {
      this.#settle(false);
      this.#objected(error);
    }
  }

  // Pressed once, it stays so until the next run comes as an event.
  #settle(busy) {
    this.#busy = busy;
    this.#nodes.approve.disabled = busy;
    setText(this.#nodes.approve, busy ? "Approved…" : "Approve and write");
  }

  #objected(error) {
    let rest = error.errors?.length ? "" : error.message;
    for (const fault of error.errors ?? []) {
      const place = placeOf(fault);
      const owner = place && (place.index === undefined ? { title: this.#title, closing: this.#closing } : this.#parts[place.index]);
      const field = owner?.[place.name];
      if (field) field.fail(asSentence(fault.detail));
      else rest ||= asSentence(fault.detail);
    }
    this.#fail(rest);
    this.#focusFault();
  }

  #fail(message) {
    const { error } = this.#nodes;
    error.hidden = message === "";
    setText(error, message);
  }

  #focusFault() {
    (this.#controls().find((field) => field.failed)?.input ?? this.#nodes.approve).focus();
  }
}

// A labelled control with room for what is wrong with it.
function control(id, label, kind, value) {
  const error = el("p", { class: "field-error", id: `${id}-error`, hidden: true });
  const common = { id, "aria-describedby": error.id, dir: kind === "number" ? null : "auto" };
  const input =
    kind === "long"
      ? el("textarea", { ...common, rows: 2 }, value)
      : el("input", { ...common, type: kind, value, ...(kind === "number" ? NUMBER : { autocomplete: "off" }) });
  const field = {
    input,
    node: el("div", { class: `field ${kind}` }, el("label", { for: id }, label), input, error),
    failed: false,
    fail(message) {
      field.failed = message !== "";
      error.hidden = !field.failed;
      setText(error, message);
      if (field.failed) input.setAttribute("aria-invalid", "true");
      else input.removeAttribute("aria-invalid");
    },
  };
  input.addEventListener("input", () => field.fail(""));
  return field;
}
