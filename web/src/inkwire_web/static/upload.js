// A file to the API with progress: XMLHttpRequest, because fetch does not tell how much of a body has gone.

import { ApiError, Unreachable } from "./api_error.js";

/**
 * Send `file`; answers the stored document. `onProgress(stage, done, total)`: bytes while it is sent ("Sending"), then
 * what the server has read of it ("Reading", in pages or parts).
 */
export function upload({ file, token, onProgress, request = new XMLHttpRequest() }) {
  return new Promise((resolve, reject) => {
    const lines = new Lines((line) => line.type === "progress" && onProgress("Reading", line.done, line.total));
    request.open("POST", `/documents?name=${encodeURIComponent(file.name)}`);
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.setRequestHeader("Accept", "application/x-ndjson");
    request.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    request.upload.onprogress = ({ loaded, total }) => onProgress("Sending", loaded, total);
    request.upload.onload = () => onProgress("Reading", 0, 0);
    request.onprogress = () => lines.read(request.responseText);
    request.onerror = () => reject(new Unreachable());
    request.onload = () => {
      const last = lines.read(request.responseText);
      if (last?.type === "document") resolve(last.document);
      else reject(new ApiError(request.status, last?.problem ?? last ?? {}));
    };
    request.send(file);
  });
}

/** JSON lines of a text that grows: each is told once it is whole; `read` answers the last one. */
class Lines {
  #told = 0;
  #last = null;
  #onLine;

  constructor(onLine) {
    this.#onLine = onLine;
  }

  read(text) {
    const lines = text.split("\n");
    if (lines.at(-1) !== "") lines.push(""); // a problem document has no line's end
    for (const line of lines.slice(this.#told, -1)) {
      try {
        this.#last = JSON.parse(line);
      } catch {
        break; // the rest of it is still to come
      }
      this.#told += 1;
      this.#onLine(this.#last);
    }
    return this.#last;
  }
}
