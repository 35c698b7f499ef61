import assert from "node:assert/strict";
import { test } from "node:test";
import { ConversationFeed, PresenceFeed } from "../../../web/src/inkwire_web/static/conversation_feed.js";
import {
  emptyConversation,
  foldConversation,
  memberOf,
  standing,
} from "../../../web/src/inkwire_web/static/conversation_fold.js";

const ID = "c".repeat(26);
const event = (type, data, by = "ada") => ({ type, conversation: ID, id: `${type}.${Math.random()}`, by, time: "t", data });
const said = (message, more = {}) => event("message_created", { message, role: "user", author: "ada", content: message, ...more });
const frame = (seq, made, epoch = "e1") => ({
  type: "conversation_event",
  channel: `conversation:${ID}`,
  name: made.type,
  event: made,
  position: { epoch, seq },
});

function folded(...events) {
  const conversation = emptyConversation(ID);
  events.forEach((made, index) => foldConversation(conversation, made, index + 1));
  return conversation;
}

function feedAt(...events) {
  const seen = { events: [], refusals: [], changes: 0 };
  const feed = new ConversationFeed(
    ID,
    (made) => {
      seen.changes += 1;
      if (made) seen.events.push(made.type);
    },
    (code) => seen.refusals.push(code),
  );
  const conversation = folded(...events);
  feed.receive({ type: "conversation", conversation, position: { epoch: "e1", seq: conversation.seq } });
  return { feed, seen };
}

test("what is replaced is not read any more, nor what followed it", () => {
  const conversation = folded(event("created", {}), said("one"), said("two"), said("three", { replaces: "one" }));
  assert.deepEqual(standing(conversation).map(({ message }) => message), ["three"]);
});

test("an event that is told twice counts once", () => {
  const conversation = folded(event("created", {}), said("one"), said("one"));
  assert.equal(conversation.messages.length, 1);
  assert.equal(foldConversation(conversation, said("late"), 2), "duplicate");
});

test("members and reactions come and go; the owner stays", () => {
  const conversation = folded(
    event("created", { name: "Ada" }),
    event("member_changed", { user: "bob", name: "Bob", present: true }),
    event("member_changed", { user: "ada", present: false }),
    said("one"),
    event("reaction_changed", { message: "one", emoji: "👍", user: "bob", present: true }),
    event("reaction_changed", { message: "one", emoji: "👍", user: "bob", present: true }),
    event("reaction_changed", { message: "one", emoji: "❤️", user: "bob", present: true }),
    event("reaction_changed", { message: "one", emoji: "❤️", user: "bob", present: false }),
  );
  assert.equal(memberOf(conversation, "ada").role, "owner");
  assert.equal(memberOf(conversation, "bob").name, "Bob");
  assert.deepEqual(conversation.messages[0].reactions, { "👍": ["bob"] });
});

test("a generated title never replaces a person's", () => {
  const named = folded(event("created", {}), event("title_changed", { title: "Mine" }), event("title_changed", { title: "Its", generated: true }));
  assert.equal(named.title, "Mine");
});

test("a feed goes on from its position and tells each event once", () => {
  const { feed, seen } = feedAt(event("created", {}), said("one"));
  assert.deepEqual(feed.position(), { epoch: "e1", seq: 2 });
  assert.equal(feed.receive(frame(5, said("two"))), undefined);
  assert.equal(feed.receive(frame(5, said("two"))), undefined);
  assert.deepEqual(seen.events, ["message_created"]);
  assert.deepEqual(feed.position(), { epoch: "e1", seq: 5 });
});

test("events of another log begin with the whole again", () => {
  const { feed } = feedAt(event("created", {}));
  assert.equal(feed.receive(frame(2, said("one"), "e2")), "resubscribe");
  assert.equal(feed.position(), null);
});

test("where a message is replaced that is not here, the whole is asked for again", () => {
  const { feed } = feedAt(event("created", {}), said("one"));
  assert.equal(feed.receive(frame(3, said("two", { replaces: "elsewhere" }))), "resubscribe");
  assert.equal(feed.position(), null);
});

test("older messages that were fetched stay when the newest are told again", () => {
  const { feed } = feedAt(event("created", {}), said("one"), said("two"));
  feed.prepend([{ message: "zero", seq: 1, superseded_by: null }]);
  const { conversation } = feed;
  const newest = { ...structuredClone(conversation), messages: conversation.messages.slice(-1), seq: 9 };
  feed.receive({ type: "conversation", conversation: newest, position: { epoch: "e1", seq: 9 } });
  assert.deepEqual(feed.conversation.messages.map(({ message }) => message), ["zero", "one", "two"]);
});

test("older messages go when newer ones may be missing behind them", () => {
  for (const [epoch, seq] of [["e1", 40], ["e2", 3]]) {
    let shortened = 0;
    const feed = new ConversationFeed(ID, () => {}, () => {}, () => (shortened += 1));
    const conversation = folded(event("created", {}), said("one"), said("two"));
    feed.receive({ type: "conversation", conversation, position: { epoch: "e1", seq: 3 } });
    const newest = { ...structuredClone(conversation), messages: [{ message: "ten", seq, superseded_by: null }] };
    if (epoch === "e2") assert.equal(feed.receive(frame(4, said("two"), epoch)), "resubscribe");
    feed.receive({ type: "conversation", conversation: newest, older: true, position: { epoch, seq } });
    assert.deepEqual(feed.conversation.messages.map(({ message }) => message), ["ten"]);
    assert.deepEqual(feed.position(), { epoch, seq });
    assert.equal(shortened, 1);
  }
});

test("who loses the conversation is told", () => {
  const { feed, seen } = feedAt(event("created", {}));
  feed.refused("not_a_member", "…");
  assert.deepEqual(seen.refusals, ["not_a_member"]);
});

test("members are there once, and leave; typing ends by itself, with a message, or with its member", () => {
  let now = 0;
  let changes = 0;
  const bob = { user: "bob", name: "Bob", avatar: "" };
  const feed = new PresenceFeed(ID, () => (changes += 1), () => now, () => {});
  feed.receive({ type: "here", members: [{ user: "ada" }] });
  feed.receive({ type: "joined", member: bob });
  feed.receive({ type: "whispered", name: "typing", member: bob });
  assert.deepEqual(feed.members.map(({ user }) => user), ["ada", "bob"]);
  assert.deepEqual(feed.typing, [bob]);
  now = 3_001;
  assert.deepEqual(feed.typing, []);
  feed.receive({ type: "whispered", name: "typing", member: bob });
  feed.said("bob");
  assert.deepEqual(feed.typing, []);
  feed.receive({ type: "whispered", name: "typing", member: bob });
  feed.receive({ type: "left", member: bob });
  assert.deepEqual([feed.members.length, feed.typing.length], [1, 0]);
  assert.equal(changes, 7);
});
