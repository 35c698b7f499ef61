import assert from "node:assert/strict";
import { test } from "node:test";
import { matching, mentionAt } from "../../../web/src/inkwire_web/static/mentions.js";
import { upload } from "../../../web/src/inkwire_web/static/upload.js";
import { settled } from "../../../web/src/inkwire_web/static/chats.js";

const DOCUMENTS = [
  { number: 12, name: "Handbook.pdf" },
  { number: 3, name: "Security policy.pdf" },
  { number: 1, name: "Notes.md" },
];

test("a mention begins with @ after a blank or a bracket, and ends at the caret", () => {
  assert.deepEqual(mentionAt("training from @sec", 18), { start: 14, query: "sec" });
  assert.deepEqual(mentionAt("@", 1), { start: 0, query: "" });
  assert.deepEqual(mentionAt("(@1", 3), { start: 1, query: "1" });
  assert.equal(mentionAt("ada@example", 11), null);
  assert.equal(mentionAt("@1 is done", 10), null);
});

test("documents are found by number, the very one first, and by any part of the name", () => {
  const named = [{ number: 14, name: "Plan of week 1.md" }, { number: 5, name: "Week 1.md" }, ...DOCUMENTS];
  assert.deepEqual(matching(named, "1").map(({ number }) => number), [1, 14, 12, 5]);
  assert.deepEqual(matching(DOCUMENTS, "policy").map(({ number }) => number), [3]);
  assert.equal(matching(DOCUMENTS, "").length, 3);
  assert.equal(matching(DOCUMENTS, "nothing").length, 0);
});

class Request {
  upload = {};
  headers = {};
  responseText = "";
  open(method, path) {
    this.asked = `${method} ${path}`;
  }
  setRequestHeader(name, value) {
    this.headers[name] = value;
  }
  send(body) {
    this.body = body;
  }
  answer(text) {
    this.responseText += text;
    this.onprogress();
  }
}

function sending() {
  const request = new Request();
  const told = [];
  const file = { name: "a b.pdf", type: "application/pdf" };
  const done = upload({ file, token: "t", onProgress: (...all) => told.push(all), request });
  return { request, told, done };
}

test("an upload tells what has gone and what was read, and answers the document", async () => {
  const { request, told, done } = sending();
  assert.equal(request.asked, "POST /documents?name=a%20b.pdf");
  request.upload.onprogress({ loaded: 5, total: 10 });
  request.upload.onload();
  request.answer('{"type":"progress","done":1,"total":3}\n{"type":"prog');
  request.answer('ress","done":2,"total":3}\n');
  request.answer('{"type":"document","document":{"id":"d"}}\n');
  request.onload();
  assert.deepEqual(await done, { id: "d" });
  assert.deepEqual(told, [["Sending", 5, 10], ["Reading", 0, 0], ["Reading", 1, 3], ["Reading", 2, 3]]);
});

test("a file that cannot be read is refused in the api's words", async () => {
  const { request, done } = sending();
  request.status = 200;
  request.answer('{"type":"error","problem":{"code":"document_unreadable","detail":"It is encrypted."}}\n');
  request.onload();
  await assert.rejects(done, { code: "document_unreadable", message: "It is encrypted." });
});

test("a refusal before anything was read is a problem document of its own", async () => {
  const { request, done } = sending();
  request.status = 413;
  request.responseText = '{"code":"document_too_large","detail":"Upload at most 20 bytes."}';
  request.onload();
  await assert.rejects(done, { status: 413, code: "document_too_large" });
});

test("a network that fails says so", async () => {
  const { request, done } = sending();
  request.onerror();
  await assert.rejects(done, { code: "unreachable" });
});

test("a finished answer of the API is drawn like a folded one", () => {
  const reply = settled("p", { status: "published", text: "Hello.", sha256: "ab" });
  assert.deepEqual(reply.sections.map(({ text, in_document }) => [text, in_document]), [["Hello.", true]]);
  assert.equal(reply.sha256, "ab");
  assert.deepEqual(settled("p", { status: "failed", text: "", error: { message: "No." } }).sections, []);
});
