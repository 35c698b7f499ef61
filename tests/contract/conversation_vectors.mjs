// Reads {"conversation", "events"} lines from stdin, folds each with the page's conversation_fold.js (an argument names
// it), answers one JSON line for each. An outcome other than "applied" must leave the conversation as it was.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const { emptyConversation, foldConversation } = await import(pathToFileURL(process.argv[2]).href);

for await (const line of createInterface({ input: process.stdin })) {
  const { conversation, events } = JSON.parse(line);
  const folded = emptyConversation(conversation);
  const outcomes = [];
  const touched = [];
  for (const { seq, prev, event } of events) {
    const before = JSON.stringify(folded);
    const outcome = foldConversation(folded, event, seq, prev ?? null);
    if (outcome !== "applied" && JSON.stringify(folded) !== before) touched.push(seq);
    outcomes.push(outcome);
  }
  console.log(JSON.stringify({ outcomes, conversation: folded, touched }));
}
