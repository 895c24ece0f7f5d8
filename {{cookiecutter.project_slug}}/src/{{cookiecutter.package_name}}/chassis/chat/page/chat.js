// The page: who joins, what is shown, and what is typed. Its texts are those of the document.

import { Login, Refused } from "./requests.js";
import { Room, newId } from "./room.js";

const MOST_SHOWN = 500;
const TYPING_SECONDS = 4;
/** Messages of one author that follow each other within it stand below one name. */
const TOGETHER_MS = 5 * 60000;
const COLOURS = 6;
/** What still counts as reading the newest message, in pixels. */
const NEAR_THE_END = 80;
const NARROW = matchMedia("(max-width: 719px)");

const element = (id) => document.getElementById(id);
const [entrance, enter, refusal] = ["entrance", "enter", "refusal"].map(element);
const [chat, title, status, leave, people, count, online] =
  ["chat", "title", "status", "leave", "people", "count", "online"].map(element);
const [log, newer, typing, compose, input] = ["log", "newer", "typing", "compose", "message"].map(element);
const waiting = made("div", "waiting");
const pageTitle = document.title;

let room = null;
let roomId = "";
let users = new Map();
let typists = new Map();
let shown = { userId: null, at: 0, day: "" };
let unread = 0;

waiting.setAttribute("aria-live", "off"); // each is read out when it is stored
if (location.hash.length > 1) enter.elements.room.value = fragment();
enter.addEventListener("submit", (event) => {
  event.preventDefault();
  join();
});
leave.addEventListener("click", () => {
  room.close();
  showEntrance("");
});
compose.addEventListener("submit", (event) => {
  event.preventDefault();
  say();
});
input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say();
});
input.addEventListener("input", () => {
  fit();
  room?.type(input.value.trim() !== "");
});
newer.addEventListener("click", () => {
  toEnd();
  input.focus();
});
log.addEventListener("scroll", () => {
  if (atEnd()) newer.hidden = true;
});
document.addEventListener("visibilitychange", read);
NARROW.addEventListener("change", () => {
  people.open = !NARROW.matches;
});
setInterval(() => {
  for (const [userId, { until }] of typists) if (until < Date.now()) typists.delete(userId);
  showTypists();
}, 1000);

async function join() {
  const { username, email, password, room: wanted } = enter.elements;
  refuse("");
  enter.elements.room.value = roomId = wanted.value.trim();
  waits(true);
  try {
    const login = enter.dataset.login && (await Login.of(enter.dataset, { email: email.value, password: password.value }));
    const who = login ? {} : { userId: `guest-${newId()}`, username: username.value };
    room = new Room({ path: new URL("socket.io/", document.baseURI).pathname, room: roomId, who, login, tell: told() });
    room.open();
  } catch (error) {
    showEntrance(reason(error));
  }
}

/** What one room says; of one that is left nothing is heard. */
function told() {
  let joined = false;
  clear();
  return {
    online() {
      if (!joined) showChat();
      joined = true;
      state("online");
    },
    offline() {
      state("offline");
      if (joined) return;
      room.close();
      showEntrance(refusal.dataset.unreachable);
    },
    ended: (error) => showEntrance(error ? reason(error) : refusal.dataset.ended),
    message: showMessage,
    cleared() {
      clear();
      note(log.dataset.skipped);
    },
    waiting: showWaiting,
    people: showPeople,
    typing({ userId, username, typing: active }) {
      if (active) typists.set(userId, { username, until: Date.now() + 1000 * TYPING_SECONDS });
      else typists.delete(userId);
      showTypists();
    },
  };
}

function say() {
  const text = input.value.trim();
  if (!text) return;
  room.type(false);
  room.say(text);
  input.value = "";
  fit();
  toEnd();
  input.focus();
}

function showChat() {
  waits(false);
  entrance.hidden = true;
  chat.hidden = false;
  title.textContent = roomId;
  people.open = !NARROW.matches;
  history.replaceState(null, "", `#${encodeURIComponent(roomId)}`);
  if (enter.elements.password) enter.elements.password.value = "";
  read();
  toEnd();
  input.focus();
}

function showEntrance(text) {
  waits(false);
  chat.hidden = true;
  entrance.hidden = false;
  document.title = pageTitle;
  refuse(text);
  enter.elements[0].focus();
}

function refuse(text) {
  refusal.textContent = text;
}

function reason(error) {
  return error instanceof Refused ? error.message : refusal.dataset.unreachable;
}

function waits(busy) {
  enter.querySelector("button").disabled = busy;
  enter.setAttribute("aria-busy", String(busy));
}

function state(name) {
  if (chat.dataset.state === name) return;
  chat.dataset.state = name;
  status.textContent = status.dataset[name];
}

function showMessage(message) {
  const following = atEnd();
  const sentAt = new Date(message.timestamp);
  const own = message.userId === room.userId;
  newDay(sentAt);
  log.querySelector(".empty")?.remove();
  const together = shown.userId === message.userId && sentAt - shown.at < TOGETHER_MS;
  shown = { ...shown, userId: message.userId, at: sentAt };

  const article = made("article", own ? "own" : colour(message.userId));
  article.classList.toggle("together", together);
  article.dataset.id = message.id;
  const head = made("p", "author", message.username);
  if (together) head.classList.add("unseen");
  const text = made("p", "text", message.content);
  text.dir = "auto";
  const time = made("time", "", sentAt.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = message.timestamp;
  article.append(head, text, time);
  add(article);
  typists.delete(message.userId);
  showTypists();
  if (own || following) toEnd();
  else newer.hidden = false;
  if (document.hidden && !own) unread += 1;
  read();
}

function newDay(date) {
  const day = date.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
  if (day === shown.day) return;
  shown = { userId: null, at: 0, day };
  note(day);
}

/** A line between the messages. */
function note(text) {
  const following = atEnd();
  add(made("p", "note", text));
  shown.userId = null;
  if (following) toEnd();
}

function add(node) {
  log.insertBefore(node, waiting);
  while (log.childElementCount > MOST_SHOWN) log.firstElementChild.remove();
}

function showWaiting(messages) {
  waiting.replaceChildren(
    ...messages.map(({ text, failed }) => {
      const article = made("article", failed ? "own failed" : "own");
      const said = made("p", "text", text);
      said.dir = "auto";
      const remark = failed ? log.dataset.failed.replace("{reason}", () => failed) : log.dataset.sending;
      const small = made("small", "", remark);
      if (failed) small.setAttribute("role", "alert");
      article.append(said, small);
      return article;
    }),
  );
  if (messages.length) log.querySelector(".empty")?.remove();
}

function showPeople(event, data) {
  if (event === "online-users") {
    users = new Map(data.users.map(({ userId, username }) => [userId, username]));
    return setUsers(users, data.total);
  }
  const came = event === "user-joined";
  if (came) users.set(data.userId, data.username);
  else users.delete(data.userId);
  typists.delete(data.userId);
  setUsers(users);
  note((came ? log.dataset.joined : log.dataset.left).replace("{name}", () => data.username));
}

function setUsers(known, total = known.size) {
  users = known;
  count.textContent = total;
  const you = room?.userId;
  const listed = [...known].sort(([one, a], [other, b]) => (other === you) - (one === you) || a.localeCompare(b));
  online.replaceChildren(
    ...listed.map(([userId, username]) => {
      const item = made("li", colour(userId));
      const name = made("span", "name", username);
      name.dir = "auto";
      item.append(name);
      if (userId === you) item.append(" ", made("span", "you", `(${online.dataset.you})`));
      return item;
    }),
  );
}

function showTypists() {
  const [first, ...others] = [...typists.values()];
  const text = first ? (others.length ? typing.dataset.more : typing.dataset.one) : "";
  const full = text.replace("{name}", () => first.username);
  if (typing.textContent !== full) typing.textContent = full;
}

function clear() {
  log.replaceChildren(made("p", "note empty", log.dataset.empty), waiting);
  waiting.replaceChildren();
  newer.hidden = true;
  shown = { userId: null, at: 0, day: "" };
  typists = new Map();
}

function read() {
  if (!document.hidden) unread = 0;
  document.title = chat.hidden ? pageTitle : `${unread ? `(${unread}) ` : ""}${roomId} · ${pageTitle}`;
}

function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_THE_END;
}

function toEnd() {
  log.scrollTop = log.scrollHeight;
  newer.hidden = true;
}

/** Let the field be as high as its text, up to what the style sheet allows. */
function fit() {
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight}px`;
}

function colour(userId) {
  let sum = 0;
  for (const letter of userId) sum = (31 * sum + letter.codePointAt(0)) % 65521;
  return `colour-${sum % COLOURS}`;
}

function made(tag, classes, text = "") {
  const node = document.createElement(tag);
  node.className = classes;
  node.textContent = text;
  return node;
}

function fragment() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}
