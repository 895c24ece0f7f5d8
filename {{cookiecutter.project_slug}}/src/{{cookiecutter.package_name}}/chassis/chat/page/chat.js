// The page: who joins, what is shown, and what is typed. Its texts are those of the document.

import { colour, made } from "./elements.js";
import { Messages } from "./messages.js";
import { Login, Refused } from "./requests.js";
import { Room, newId } from "./room.js";

const TYPING_SECONDS = 4;
const NARROW = matchMedia("(max-width: 719px)");

const element = (id) => document.getElementById(id);
const [entrance, enter, refusal] = ["entrance", "enter", "refusal"].map(element);
const [chat, title, status, leave, people, count, online] =
  ["chat", "title", "status", "leave", "people", "count", "online"].map(element);
const [log, newer, typing, compose, input] = ["log", "newer", "typing", "compose", "message"].map(element);
const messages = new Messages(log, newer);
const pageTitle = document.title;

let room = null;
let roomId = "";
const typists = new Map();
let users = new Map();
let unread = 0;

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
newer.addEventListener("click", () => input.focus());
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
  typists.clear();
  messages.clear();
  return {
    online() {
      if (!joined) showChat();
      joined = true;
      state("online");
    },
    offline() {
      state("offline");
      typists.clear();
      showTypists();
      if (joined) return;
      room.close();
      showEntrance(refusal.dataset.unreachable);
    },
    ended: (error) => showEntrance(error ? reason(error) : refusal.dataset.ended),
    message: showMessage,
    cleared() {
      messages.clear();
      messages.note(log.dataset.skipped);
    },
    waiting: (unsent) => messages.wait(unsent),
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
  messages.toEnd();
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
  messages.toEnd();
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
  const own = message.userId === room.userId;
  messages.show(message, own);
  typists.delete(message.userId);
  showTypists();
  if (document.hidden && !own) unread += 1;
  read();
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
  messages.note((came ? log.dataset.joined : log.dataset.left).replace("{name}", () => data.username));
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

function read() {
  if (!document.hidden) unread = 0;
  document.title = chat.hidden ? pageTitle : `${unread ? `(${unread}) ` : ""}${roomId} · ${pageTitle}`;
}

/** Let the field be as high as its text, up to what the style sheet allows. */
function fit() {
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight}px`;
}

function fragment() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return "";
  }
}
