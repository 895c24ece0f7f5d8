// The page: who asks, what is said, and what comes back, part by part. Its texts are those of the document.

import { Refused, Session } from "./requests.js";

/** What still counts as reading the end, in pixels. */
const NEAR_THE_END = 80;
const MOST_SHOWN = 200;
/** The second click on what was Send is none on Stop. */
const DOUBLE_CLICK_MS = 500;

const element = (id) => document.getElementById(id);
const [entrance, enter, refusal, assistant, log] = ["entrance", "enter", "refusal", "assistant", "log"].map(element);
const [compose, input, send, stop, again] = ["compose", "message", "send", "stop", "again"].map(element);

let session = new Session();
let conversationId = null;
let running = null;
let askedAt = 0;

if (enter) enter.addEventListener("submit", logIn);
else begin();
compose.addEventListener("submit", (event) => {
  event.preventDefault();
  ask();
});
input.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  ask();
});
input.addEventListener("input", fit);
stop.addEventListener("click", () => {
  if (performance.now() - askedAt > DOUBLE_CLICK_MS) running?.abort();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
again.addEventListener("click", begin);

async function logIn(event) {
  event.preventDefault();
  const { email, password } = enter.elements;
  refusal.textContent = "";
  enter.querySelector("button").disabled = true;
  try {
    session = await Session.of(enter.dataset, { email: email.value, password: password.value });
    password.value = "";
    begin();
  } catch (error) {
    refusal.textContent = reason(error);
  } finally {
    enter.querySelector("button").disabled = false;
  }
}

/** Show an empty conversation. */
function begin() {
  running?.abort();
  running = conversationId = null;
  if (entrance) entrance.hidden = true;
  assistant.hidden = false;
  log.replaceChildren(made("p", "note", log.dataset.empty));
  wait(false);
  input.focus();
}

async function ask() {
  const text = input.value.trim();
  if (!text || running) return;
  const asked = (running = new AbortController());
  askedAt = performance.now();
  input.value = "";
  fit();
  log.querySelector(":scope > .note")?.remove();
  const question = said("own", log.dataset.you, text);
  const response = said("reply", log.dataset.assistant, "");
  response.append(made("p", "note pending", log.dataset.waiting));
  log.append(question, response);
  while (log.childElementCount > MOST_SHOWN) log.firstElementChild.remove();
  wait(true);
  log.scrollTop = log.scrollHeight;
  try {
    await read(asked, text, response);
  } catch (error) {
    response.querySelector(".pending")?.remove();
    if (asked.signal.aborted) remark(response, "note", log.dataset.stopped);
    else if (error instanceof Refused && error.status === 401 && enter) leave();
    else {
      remark(response, "error", reason(error));
      if (!input.value && !response.querySelector(".text").textContent) restore(text, question, response);
    }
  } finally {
    if (running === asked) {
      running = null;
      wait(false);
    }
  }
}

/** Show each part as it comes. */
async function read(asked, message, response) {
  const body = { message, ...(conversationId && { conversation_id: conversationId }) };
  const text = response.querySelector(".text");
  for await (const { name, data } of session.events(assistant.dataset.ask, body, asked.signal)) {
    const following = isAtEnd();
    if (name === "token") {
      response.querySelector(".pending")?.remove();
      text.append(data.text);
    } else if (name === "error") throw new Refused(data);
    else if (name === "done") {
      conversationId = data.conversation_id;
      const { length, cut } = log.dataset;
      if (data.finish_reason !== "stop") remark(response, "note", data.finish_reason === "length" ? length : cut);
    }
    if (following) log.scrollTop = log.scrollHeight;
  }
}

/** Put a text that got no response back where it can be sent again. */
function restore(text, question, response) {
  input.value = text;
  fit();
  question.remove();
  response.querySelector(".author").remove();
}

function isAtEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_THE_END;
}

function leave() {
  session = new Session();
  assistant.hidden = true;
  entrance.hidden = false;
  refusal.textContent = log.dataset.ended;
  enter.elements[0].focus();
}

function wait(busy) {
  const focused = document.activeElement;
  log.setAttribute("aria-busy", String(busy));
  send.hidden = busy;
  stop.hidden = !busy;
  log.querySelector(".waiting")?.classList.remove("waiting");
  if (busy) log.lastElementChild.classList.add("waiting");
  if (busy && focused === send) stop.focus();
  if (!busy && [document.body, send, stop].includes(focused)) input.focus();
}

function remark(response, classes, text) {
  const line = made("p", classes, text);
  if (classes === "error") line.setAttribute("role", "alert");
  const following = isAtEnd();
  response.append(line);
  if (following) log.scrollTop = log.scrollHeight;
}

function said(classes, author, words) {
  const article = made("article", classes);
  const text = made("p", "text", words);
  text.dir = "auto";
  article.append(made("p", "author", author), text);
  return article;
}

function reason(error) {
  return error instanceof Refused ? error.message : log.dataset.unreachable;
}

function fit() {
  const following = isAtEnd();
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight + 2}px`;
  if (following) log.scrollTop = log.scrollHeight;
}

/** A new element; its text is never markup. */
function made(tag, classes, text = "") {
  const node = document.createElement(tag);
  node.className = classes;
  node.textContent = text;
  return node;
}
