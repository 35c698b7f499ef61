// What a compliance check has found, as a recipe stores it in the metadata: a status, findings and disclaimers.

import { el, setText } from "./dom.js";

const HEADINGS = { passed: "Compliance check passed", failed: "Compliance check not passed" };

/** The check of a post's metadata as `{ status, findings, disclaimers }`, or null where there is none. */
export function complianceOf({ compliance }) {
  if (!Object.hasOwn(HEADINGS, compliance?.status ?? "")) return null;
  const listed = (value) => (Array.isArray(value) ? value : []);
  return {
    status: compliance.status,
    findings: listed(compliance.findings).map(({ rule, quote, severity }) => ({
      rule: String(rule ?? ""),
      quote: String(quote ?? ""),
      blocker: severity === "blocker",
    })),
    disclaimers: listed(compliance.disclaimers).map(String),
  };
}

/** What the result means to who wants to publish the text. */
export function verdict({ status, findings }) {
  const count = findings.filter(({ blocker }) => blocker === (status === "failed")).length;
  const things = count === 1 ? "one thing" : `${count} things`;
  if (status === "failed") return `The last draft still has ${things} in it that must not be published like this.`;
  return count === 0 ? "Nothing was found to object to." : `It may be published; ${things} should be considered.`;
}

export class ComplianceView {
  #nodes;
  #shown = "";

  /** `nodes`: panel, heading, text. */
  constructor(nodes) {
    this.#nodes = nodes;
  }

  draw(snapshot) {
    const found = complianceOf(snapshot.metadata);
    const key = JSON.stringify(found);
    if (key === this.#shown) return;
    this.#shown = key;
    const { panel, heading, text } = this.#nodes;
    panel.hidden = found === null;
    if (found === null) return;
    panel.dataset.status = found.status;
    setText(heading, HEADINGS[found.status]);
    text.replaceChildren(el("p", {}, verdict(found)));
    if (found.findings.length > 0) text.append(el("ul", { class: "findings" }, ...found.findings.map(finding)));
    if (found.disclaimers.length === 0) return;
    const lines = found.disclaimers.map((line) => el("li", { dir: "auto" }, line));
    text.append(el("h3", {}, "Disclaimers"), el("ul", { class: "disclaimers" }, ...lines));
  }
}

function finding({ rule, quote, blocker }) {
  const severity = el("span", { class: "severity" }, blocker ? "Must change" : "Consider");
  const words = quote ? el("q", { dir: "auto" }, quote) : null;
  return el("li", { "data-blocker": String(blocker) }, severity, el("span", { class: "rule", dir: "auto" }, rule), words);
}
