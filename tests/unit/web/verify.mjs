import assert from "node:assert/strict";
import { createHash, webcrypto } from "node:crypto";
import { test } from "node:test";
import { sha256, verify } from "../../../web/src/inkwire_web/static/verify.js";

const TEXT = "# Cafe\u0301 👩‍🚀\r\n";
const DIGEST = createHash("sha256").update(TEXT, "utf-8").digest("hex");
const bytes = (text) => new TextEncoder().encode(text).buffer;

function check(changes = {}) {
  const waits = [];
  const all = {
    subtle: webcrypto.subtle,
    text: TEXT,
    log: DIGEST,
    fetchStored: async () => bytes(TEXT),
    wait: async (ms) => waits.push(ms),
    ...changes,
  };
  return verify(all).then((proof) => ({ ...proof, waits }));
}

test("the digest is over UTF-8, nothing normalised", async () => {
  assert.equal(await sha256(webcrypto.subtle, TEXT), DIGEST);
  assert.equal(await sha256(webcrypto.subtle, bytes(TEXT)), DIGEST);
  assert.equal(await sha256(undefined, TEXT), null);
});

test("three equal digests are verified", async () => {
  const { state, page, stored, log } = await check();
  assert.deepEqual([state, page, stored, log], ["verified", DIGEST, DIGEST, DIGEST]);
});

test("another text on the page, in the store or in the log is never verified", async () => {
  assert.equal((await check({ text: `${TEXT} ` })).state, "mismatch");
  assert.equal((await check({ fetchStored: async () => bytes("other") })).state, "mismatch");
  assert.equal((await check({ log: "0".repeat(64) })).state, "mismatch");
});

test("a store that is behind is asked again", async () => {
  let tries = 0;
  const fetchStored = async () => {
    tries += 1;
    if (tries < 3) throw new Error("not ready");
    return bytes(TEXT);
  };
  const { state, waits } = await check({ fetchStored });
  assert.deepEqual([state, tries, waits], ["verified", 3, [400, 800]]);
});

test("a store that never answers is said, not guessed", async () => {
  const { state, waits } = await check({
    fetchStored: async () => {
      throw new Error("away");
    },
  });
  assert.deepEqual([state, waits.length], ["partly", 5]);
});

test("without the browser's crypto nothing is claimed", async () => {
  assert.equal((await check({ subtle: undefined })).state, "unchecked");
});
