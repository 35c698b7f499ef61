// The proof at the end: the text of this page, the stored document and the log's last event have one SHA-256.

const TRIES = 6;
const FIRST_WAIT_MS = 400;

/** SHA-256 of a string's UTF-8 bytes, or of bytes, in hex; null where the browser offers none (no secure context). */
export async function sha256(subtle, content) {
  if (!subtle) return null;
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const hash = new Uint8Array(await subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Compare the page's text with the log's digest and with what the API serves.
 * Returns `{ state: "verified" | "mismatch" | "unchecked" | "partly", page, stored, log }`.
 */
export async function verify({ subtle, text, log, fetchStored, wait }) {
  const page = await sha256(subtle, text);
  if (page === null) return { state: "unchecked", page, stored: null, log };
  if (page !== log) return { state: "mismatch", page, stored: null, log };
  const bytes = await patiently(fetchStored, wait);
  if (bytes === null) return { state: "partly", page, stored: null, log };
  const stored = await sha256(subtle, bytes);
  return { state: stored === log ? "verified" : "mismatch", page, stored, log };
}

// The store may be a moment behind the log; what cannot be read at all is said so, not guessed.
async function patiently(fetchStored, wait) {
  for (let attempt = 0; attempt < TRIES; attempt += 1) {
    try {
      return await fetchStored();
    } catch {
      if (attempt < TRIES - 1) await wait(FIRST_WAIT_MS * 2 ** attempt);
    }
  }
  return null;
}
