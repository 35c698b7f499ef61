// The page: puts the parts together and turns addresses into views.

import { Api } from "./api.js";
import { ChatList } from "./chat_list.js";
import { Chats } from "./chats.js";
import { Compose } from "./compose.js";
import { DeleteDialog } from "./deleting.js";
import { el, setText } from "./dom.js";
import { asSentence } from "./fields.js";
import { Library } from "./library.js";
import { PostList } from "./list.js";
import { MentionList } from "./mentions.js";
import { PostFeed } from "./post_feed.js";
import { PostView, tabTitle } from "./post_view.js";
import { Connection } from "./socket.js";
import { UserFeed } from "./user_feed.js";

const CONNECTION = {
  connecting: "Connecting",
  live: "Live",
  reconnecting: "Reconnecting",
  offline: "Offline",
  refused: "Not connected",
  closed: "Closed",
};
const ENDED = {
  not_found: ["There is no such post", "The address may be mistyped, or the post belongs to somebody else."],
  gone: ["This post was deleted", "Its text is gone for good."],
  forbidden_channel: ["Not yours to read", "This token may not follow that post. Sign in with another one."],
};
const CHAT_ENDED = {
  not_found: ["There is no such conversation", "The address may be mistyped, or you are not a member of it."],
  gone: ["This conversation was deleted", "Its messages are gone for good."],
  conversation_gone: ["This conversation was deleted", "Its messages are gone for good."],
  left: ["You have left this conversation", "Only its owner can add you again."],
  not_a_member: ["You are not a member any more", "Ask the conversation's owner to add you again."],
};
const LOG_LOST = [
  "The broker's log was lost.",
  "This is what had been saved of the post. If it was not finished, it is being written on from here.",
];
const POST_LOST = [
  "This post was lost with the broker's log",
  "Nothing of it had been saved yet. Ask for it again; the form keeps your title.",
];
const REDRAW_LIST_MS = 30_000;

const nodes = new Proxy({}, { get: (_target, id) => document.getElementById(id) });
const api = new Api({ fetch: (...all) => fetch(...all), storage: sessionStorage, now: Date.now });

let owner = "";
let userFeed = null;
let postFeed = null;
let cursor = null;
let hasMore = false;

const connection = new Connection({
  url: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`,
  tokens: api,
  open: (url, protocols) => new WebSocket(url, protocols),
  clock: {
    now: () => performance.now(),
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (handle) => clearTimeout(handle),
  },
  random: Math.random,
  onState: showConnection,
});

const deleteDialog = new DeleteDialog({
  nodes: {
    dialog: nodes["delete-dialog"],
    heading: nodes["delete-heading"],
    text: nodes["delete-text"],
    error: nodes["delete-error"],
    confirm: nodes["delete-confirm"],
  },
  remove: (post) => api.remove(post),
  wait: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
});
const postView = new PostView({
  nodes,
  api,
  onAgain: writeAgain,
  onDelete: (snapshot) => deleteDialog.ask(snapshot),
  onDraw: drawn,
  onTrouble: notice,
});
const postList = new PostList(
  { list: nodes.posts, empty: nodes["posts-empty"], more: nodes["posts-more"] },
  loadMore,
  Date.now,
);
const chatList = new ChatList({ list: nodes.chats, heading: nodes["chats-heading"] }, api);
const chats = new Chats({
  nodes,
  api,
  connection,
  onTrouble: notice,
  onEnd: chatEnded,
  onDraw: chatDrawn,
});
const library = new Library(
  {
    list: nodes.documents,
    empty: nodes["documents-empty"],
    more: nodes["documents-more"],
    drop: nodes["library-drop"],
    input: nodes["library-input"],
  },
  api,
  { ask: (asked) => deleteDialog.askAbout(asked), onTrouble: notice },
);
const mentionable = (field) => new MentionList(field, () => library.documents, () => library.refresh());
for (const field of [nodes.title, nodes["chat-input"]]) mentionable(field);
// A browser may forbid storage; then nothing is remembered.
function remembering(storage) {
  const tried = (run) => {
    try {
      return run(storage());
    } catch {
      return null;
    }
  };
  return {
    get: (name) => tried((kept) => kept.getItem(name)),
    set: (name, value) => tried((kept) => kept.setItem(name, value)),
    remove: (name) => tried((kept) => kept.removeItem(name)),
  };
}
const compose = new Compose(
  {
    form: nodes.compose,
    recipes: nodes.recipes,
    kinds: nodes.kinds,
    chosen: nodes["kind-chosen"],
    title: nodes.title,
    titleLabel: nodes["title-label"],
    main: nodes["fields-main"],
    options: nodes.options,
    fields: nodes.fields,
    error: nodes["compose-error"],
    count: nodes["compose-count"],
    converse: nodes["as-conversation"],
  },
  { storage: remembering(() => localStorage), draft: remembering(() => sessionStorage) },
  { write: createPost, converse: createConversation, mentionable },
);

/** For tests and the curious; nothing of the page reads it. */
window.inkwire = {
  get post() {
    return postFeed?.snapshot.post ?? null;
  },
  get snapshot() {
    return postFeed ? structuredClone(postFeed.snapshot) : null;
  },
  get position() {
    return postFeed?.position() ?? null;
  },
  get status() {
    return postFeed?.snapshot.status ?? null;
  },
  get text() {
    return postView.text;
  },
  get digest() {
    return postView.digest;
  },
  get proof() {
    return postView.proof;
  },
  get connection() {
    return connection.state;
  },
  get conversation() {
    return chats.conversation ? structuredClone(chats.conversation) : null;
  },
  get replies() {
    return Object.fromEntries([...chats.replies].map(([post, reply]) => [post, structuredClone({ ...reply })]));
  },
  sha256: () => postView.sha256(),
};

function showConnection(state, detail) {
  const shown = ["connecting", "reconnecting"].includes(state) && !navigator.onLine ? "offline" : state;
  nodes.connection.dataset.state = shown;
  setText(nodes.connection.querySelector(".label"), CONNECTION[shown]);
  postView.connected(state === "live", shown === "offline");
  if (state !== "refused") return;
  if (detail.code === "unauthenticated" || detail.code === 4001) askForToken();
  else notice("The connection was refused.", "Reload the page. If it stays, ask the operator.");
}

function notice(title = "", text = "") {
  nodes.notice.hidden = title === "";
  nodes.notice.replaceChildren(el("strong", {}, title && asSentence(title)), ` ${text}`);
}

function view(name) {
  document.body.dataset.view = name;
  nodes.home.hidden = name !== "home";
  nodes.post.hidden = name !== "post";
  nodes.chat.hidden = name !== "chat";
  nodes.library.hidden = name !== "library";
  nodes["sign-in"].hidden = name !== "sign-in";
}

function askForToken() {
  view("sign-in");
  nodes.token.focus();
}

// Addresses

function route() {
  notice();
  const [, kind, id] = /^\/(p|c)\/([a-z2-7]{26})\/?$/.exec(location.pathname) ?? [];
  close();
  if (kind === "p") openPost(id);
  else if (kind === "c") openChat(id);
  else if (location.pathname === "/library") openLibrary();
  else openHome();
  if (!kind && !["/", "/library"].includes(location.pathname)) notice(...nothingAt(location.pathname));
  drawList();
}

function nothingAt(path) {
  if (path.startsWith("/p/")) return ENDED.not_found;
  return path.startsWith("/c/") ? CHAT_ENDED.not_found : ["There is nothing here", "The address may be mistyped."];
}

function go(path) {
  history.pushState(null, "", path);
  window.scrollTo(0, 0);
  route();
  if (document.body.dataset.view === "post") nodes.main.focus({ preventScroll: true });
}

function close() {
  deleteDialog.close();
  closePost();
  chats.close();
}

function openChat(id) {
  view("chat");
  chats.open(id, owner);
}

function openLibrary() {
  view("library");
  document.title = "Documents · Inkwire";
  loadLibrary();
}

async function loadLibrary() {
  try {
    await library.load();
  } catch (error) {
    if (document.body.dataset.view === "library") notice("Your documents could not be loaded.", error.message);
  }
}

function chatDrawn(conversation) {
  if (conversation.status === "deleted") {
    chatEnded("conversation_gone", "");
    return;
  }
  document.title = `${conversation.title || "Conversation"} · Inkwire`;
  chatList.update(conversation);
}

function chatEnded(code, message) {
  chatList.drop(chats.conversation);
  chats.close();
  chatList.load();
  view("home");
  notice(...(CHAT_ENDED[code] ?? ["This conversation cannot be followed", message]));
}

function openHome() {
  view("home");
  document.title = "Inkwire";
  if (matchMedia("(pointer: fine)").matches) compose.focus();
}

function openPost(post) {
  view("post");
  const feed = new PostFeed(
    post,
    (event) => feed === postFeed && changed(feed, event),
    (code, message) => feed === postFeed && postEnded(code, message),
    () => feed === postFeed && logLost(),
  );
  postFeed = feed;
  postView.show(feed);
  connection.follow(feed);
}

function logLost() {
  notice(...LOG_LOST);
  if (!userFeed) return;
  userFeed.startOver();
  connection.follow(userFeed);
}

function closePost() {
  if (!postFeed) return;
  connection.unfollow(postFeed.channel);
  postFeed = null;
  postView.show(null);
  deleteDialog.close();
}

function changed(feed, event) {
  if (event) postView.happened(event);
  postView.changed();
  deleteDialog.update(feed.snapshot);
  userFeed?.update(feed.snapshot);
}

function drawn(snapshot) {
  document.title = tabTitle(snapshot);
}

function postEnded(code, message) {
  const shown = postFeed.snapshot;
  const lost = code === "not_found" && shown.seq > 0;
  const [title, text] = lost ? POST_LOST : (ENDED[code] ?? ["This post cannot be followed", message]);
  closePost();
  view("home");
  if (lost) compose.fill(shown);
  notice(title, text);
}

function writeAgain(snapshot) {
  go("/");
  if (snapshot) compose.fill(snapshot);
}

async function createPost(body, key) {
  const accepted = await api.create(body, key);
  go(`/p/${accepted.id}`);
}

// A conversation is made once for a form, however often its first message has to be sent.
let begun = { key: null, id: null };

async function createConversation({ title, recipe, options, priority }, key) {
  if (begun.key !== key) begun = { key, id: (await api.converse({ recipe, options })).id };
  await api.say(begun.id, { content: title, priority }, key);
  chatList.load();
  go(`/c/${begun.id}`);
}

// The lists

function drawList() {
  chatList.draw(chats.id);
  postList.draw(userFeed?.posts ?? [], { current: postFeed?.snapshot.post ?? null, hasMore });
}

async function loadMore() {
  try {
    const page = await api.posts(cursor);
    cursor = page.next_cursor;
    hasMore = cursor !== null;
    userFeed.add(page.items);
    drawList();
  } catch (error) {
    notice("Older posts could not be loaded.", error.message);
  }
}

// Start

async function signInAndFollow() {
  try {
    ({ owner } = await api.get());
    userFeed = new UserFeed(owner, drawList);
    connection.follow(userFeed);
    connection.start();
    route();
    chatList.load();
    loadLibrary();
    await loadMore();
  } catch (error) {
    if (error.signIn) {
      askForToken();
      if (error.code !== "unauthenticated") notice(error.title, error.message); // it refused one; nobody is told to have none
      return;
    }
    showConnection("reconnecting", {});
    setTimeout(signInAndFollow, 2_000);
  }
}

async function describe() {
  try {
    const [config, recipes] = await Promise.all([api.config(), api.recipes()]);
    nodes.simulated.hidden = !config.simulated;
    compose.offer(recipes.items);
    postView.expect(new Map(recipes.items.map(({ name, steps }) => [name, steps])));
  } catch {
    setTimeout(describe, 2_000); // the form works without its options
  }
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-link]");
  const plain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  if (!link || !plain) return;
  event.preventDefault();
  go(new URL(link.href).pathname);
});
nodes["sign-in-form"].addEventListener("submit", (event) => {
  event.preventDefault();
  api.signIn(nodes.token.value);
  nodes.token.value = "";
  connection.stop();
  signInAndFollow();
});
const wide = matchMedia("(min-width: 64rem)");
const openOutline = () => {
  nodes.outline.open = wide.matches;
};
wide.addEventListener("change", openOutline);
openOutline();
window.addEventListener("popstate", route);
window.addEventListener("online", () => connection.wake());
window.addEventListener("offline", () => connection.interrupt());
document.addEventListener("visibilitychange", () => document.hidden || connection.wake());
window.addEventListener("pagehide", () => connection.stop());
window.addEventListener("pageshow", (event) => event.persisted && connection.start());
setInterval(drawList, REDRAW_LIST_MS);
describe();
signInAndFollow();
