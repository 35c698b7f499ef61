// Reads {"post", "events"} lines from stdin, folds each with the page's fold.js, answers one JSON line for each.
// An argument names fold.js. An outcome other than "applied" must leave the snapshot as it was.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { emptySnapshot, fold, documentText, codePoints } = await import(pathToFileURL(process.argv[2]).href);

for await (const line of createInterface({ input: process.stdin })) {
  const { post, events } = JSON.parse(line);
  const snapshot = emptySnapshot(post);
  const outcomes = [];
  const touched = [];
  for (const event of events) {
    const before = JSON.stringify(snapshot);
    const outcome = fold(snapshot, event);
    if (outcome !== "applied" && JSON.stringify(snapshot) !== before) touched.push(event.seq);
    outcomes.push(outcome);
  }
  const lengths = snapshot.sections.every((section) => section.length === codePoints(section.text));
  console.log(JSON.stringify({ outcomes, snapshot, document: documentText(snapshot), touched, lengths }));
}
