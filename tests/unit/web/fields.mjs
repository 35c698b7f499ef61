import assert from "node:assert/strict";
import { test } from "node:test";
import { faultsByField, fieldOf, fieldsOf } from "../../../web/src/inkwire_web/static/fields.js";

test("a field of a schema becomes a control of its kind", () => {
  assert.equal(fieldOf("length", { enum: ["short", "long"], default: "long", type: "string" }).kind, "choice");
  assert.equal(fieldOf("tone", { type: "string", maxLength: 80 }).maxLength, 80);
  assert.deepEqual([fieldOf("n", { type: "integer", minimum: 1 }).step, fieldOf("n", { type: "number" }).step], [1, "any"]);
  assert.equal(fieldOf("faq", { type: "boolean" }).kind, "switch");
  assert.equal(fieldOf("tags", { type: "array", items: {} }), null);
});

test("references and optional fields of a schema are looked through", () => {
  const defs = { Tone: { enum: ["dry", "warm"], title: "Tone", type: "string" } };
  assert.deepEqual(fieldOf("tone", { $ref: "#/$defs/Tone", default: "dry" }, defs).choices, ["dry", "warm"]);
  const optional = fieldOf("topic", { anyOf: [{ type: "string", maxLength: 9 }, { type: "null" }], default: null });
  assert.deepEqual([optional.kind, optional.maxLength], ["text", 9]);
});

test("a text with room for sentences gets several lines", () => {
  const kindOf = (maxLength) => fieldOf("query", { type: "string", maxLength }).kind;
  assert.deepEqual([kindOf(200), kindOf(1_000), kindOf(undefined)], ["text", "long", "text"]);
});

test("labels are sentences, numbers say their bounds", () => {
  const level = fieldOf("difficulty_level", { type: "string", title: "Difficulty Level" });
  const faq = fieldOf("faq", { type: "boolean", title: "Add FAQ" });
  const modules = fieldOf("modules", { type: "integer", minimum: 1, maximum: 20, description: "How many modules" });
  assert.deepEqual([level.label, faq.label, modules.label], ["Difficulty level", "Add FAQ", "Modules"]);
  assert.equal(modules.hint, "How many modules, 1 to 20");
  assert.equal(fieldOf("n", { type: "integer", minimum: 1 }).hint, "");
});

test("a recipe's fields are those that have a form, in their order", () => {
  const properties = { tone: { type: "string" }, tags: { type: "array" }, length: { enum: ["short", "long"] } };
  assert.deepEqual(fieldsOf({ properties }).map(({ name }) => name), ["tone", "length"]);
  assert.deepEqual(fieldsOf({}), []);
});

test("faults go to the fields they name, the first of each, and the rest is not lost", () => {
  const errors = [
    { pointer: "#/options/modules", detail: "must be at most 20" },
    { pointer: "#/options/modules", detail: "a second one" },
    { pointer: "#/options/a~1b~0", detail: "No." },
    { pointer: "#/options/unknown", detail: "there is no such field" },
    { pointer: "#/title", detail: "must not be empty" },
    { parameter: "limit", detail: "odd" },
  ];
  const found = faultsByField(errors, ["modules", "a/b~", "priority"]);
  assert.deepEqual([...found.options], [["modules", "Must be at most 20."], ["a/b~", "No."]]);
  assert.equal(found.title, "Must not be empty.");
  assert.deepEqual(found.rest, ["There is no such field.", "Odd."]);
});

test("an error without a list of faults belongs to no field", () => {
  const found = faultsByField(undefined, ["modules"]);
  assert.deepEqual([found.title, found.options.size, found.rest], [null, 0, []]);
});
