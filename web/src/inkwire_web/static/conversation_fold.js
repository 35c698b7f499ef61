// The meaning of a conversation's events, the same as inkwire_contracts/conversations.py: both pass
// tests/contract/conversation_vectors. A conversation is a plain object with the field names of the wire.

import { APPLIED, DUPLICATE, GAP, INVALID } from "./fold.js";

const MAX_MEMBERS = 50;
const MAX_EMOJIS = 20;

/** A conversation of which nothing is known yet. */
export function emptyConversation(conversation) {
  return {
    conversation,
    owner: "",
    seq: 0,
    status: "unknown",
    title: "",
    title_generated: false,
    recipe: "",
    options: {},
    created_at: "",
    updated_at: "",
    members: [],
    messages: [],
  };
}

/** The messages as a reader sees them: without superseded ones. */
export function standing(conversation) {
  return conversation.messages.filter((message) => message.superseded_by === null);
}

/** That member, or undefined. */
export function memberOf(conversation, user) {
  return conversation.members.find((member) => member.user === user);
}

/** That message, superseded or not, or undefined. */
export function messageOf(conversation, message) {
  return conversation.messages.find((known) => known.message === message);
}

/**
 * Apply the event stored at `seq`, in place; `prev` is the sequence before it on the same subject where it is known.
 * Returns APPLIED, or why the conversation stayed as it was.
 */
export function foldConversation(conversation, event, seq, prev = null) {
  if (seq <= conversation.seq) return DUPLICATE;
  if (event.conversation !== conversation.conversation) return INVALID;
  if (prev !== null && prev > conversation.seq) return GAP;
  const known = Object.hasOwn(HANDLERS, event.type);
  if (known && (conversation.status === "active" || event.type === "created")) {
    HANDLERS[event.type](conversation, event, seq);
  }
  conversation.seq = seq;
  return APPLIED;
}

const HANDLERS = { created, message_created, reaction_changed, member_changed, title_changed, deleted };

function created(conversation, event) {
  if (conversation.status !== "unknown") return;
  const { title = "", recipe = "chat", options = {}, name = "", avatar = "" } = event.data ?? {};
  Object.assign(conversation, { status: "active", owner: event.by, title, recipe, options });
  conversation.created_at = conversation.updated_at = event.time;
  conversation.members = [{ user: event.by, name, avatar, role: "owner", joined_at: event.time }];
}

function message_created(conversation, event, seq) {
  const { data } = event;
  if (messageOf(conversation, data.message)) return;
  const replaces = data.replaces ?? null;
  // An answer that comes when its question is superseded already is so from the first, and takes nothing's place.
  const late = messageOf(conversation, data.reply_to)?.superseded_by ?? null;
  if (replaces !== null && late === null) supersede(conversation, replaces, data.message);
  conversation.messages.push({
    message: data.message,
    seq,
    role: data.role,
    author: data.author ?? null,
    content: data.content ?? "",
    documents: (data.documents ?? []).map(({ document, owner, number, name }) => ({ document, owner, number, name })),
    reply_to: data.reply_to ?? null,
    post: data.post ?? null,
    replaces,
    superseded_by: late,
    reactions: {},
    created_at: event.time,
  });
  conversation.updated_at = event.time;
}

// That message and all after it.
function supersede(conversation, first, by) {
  let reached = false;
  for (const message of conversation.messages) {
    reached ||= message.message === first;
    if (reached && message.superseded_by === null) message.superseded_by = by;
  }
}

function reaction_changed(conversation, { data }) {
  const message = messageOf(conversation, data.message);
  if (!message) return;
  const { reactions } = message;
  const known = Object.hasOwn(reactions, data.emoji);
  const users = (known ? reactions[data.emoji] : []).filter((user) => user !== data.user);
  if (data.present) users.push(data.user);
  if (users.length === 0) delete reactions[data.emoji];
  else if (known || Object.keys(reactions).length < MAX_EMOJIS) reactions[data.emoji] = users;
}

function member_changed(conversation, { data, time }) {
  if (data.user === conversation.owner) return;
  const known = memberOf(conversation, data.user);
  if (known && data.present) {
    known.name = data.name || known.name;
    known.avatar = data.avatar || known.avatar;
  } else if (known) {
    conversation.members.splice(conversation.members.indexOf(known), 1);
  } else if (data.present && conversation.members.length < MAX_MEMBERS) {
    const { user, name = "", avatar = "" } = data;
    conversation.members.push({ user, name, avatar, role: "member", joined_at: time });
  }
}

function title_changed(conversation, { data }) {
  const generated = data.generated ?? false;
  if (generated && conversation.title !== "" && !conversation.title_generated) return;
  conversation.title = data.title;
  conversation.title_generated = generated;
}

function deleted(conversation, { time }) {
  Object.assign(conversation, { status: "deleted", title: "", options: {}, messages: [], updated_at: time });
}
