// The messages of a room as they are shown: days, authors, what is still being sent, and where the reader is.

import { colour, made } from "./elements.js";

const MOST_SHOWN = 500;
/** Messages of one author that follow each other within it stand below one name. */
const TOGETHER_MS = 5 * 60000;
/** What still counts as reading the newest message, in pixels. */
const NEAR_THE_END = 80;

/** In the element *log*, whose `data-` attributes are the texts; *newer* leads to messages out of sight. */
export class Messages {
  #log;
  #newer;
  #waiting = made("div", "waiting");
  #last = { userId: null, at: 0, day: "" };

  constructor(log, newer) {
    this.#log = log;
    this.#newer = newer;
    this.#waiting.setAttribute("aria-live", "off"); // each is read out when it is stored
    log.addEventListener("scroll", () => {
      if (this.#atEnd()) newer.hidden = true;
    });
    newer.addEventListener("click", () => this.toEnd());
  }

  clear() {
    this.#log.replaceChildren(made("p", "note empty", this.#log.dataset.empty), this.#waiting);
    this.#waiting.replaceChildren();
    this.#newer.hidden = true;
    this.#last = { userId: null, at: 0, day: "" };
  }

  show(message, own) {
    const sentAt = new Date(message.timestamp);
    const following = this.#atEnd();
    this.#newDay(sentAt);
    this.#log.querySelector(".empty")?.remove();
    const together = this.#last.userId === message.userId && sentAt - this.#last.at < TOGETHER_MS;
    this.#last = { ...this.#last, userId: message.userId, at: sentAt };
    this.#add(shown(message, sentAt, own, together));
    if (own || following) this.toEnd();
    else this.#newer.hidden = false;
  }

  /** A line between the messages. */
  note(text) {
    const following = this.#atEnd();
    this.#add(made("p", "note", text));
    this.#last.userId = null;
    if (following) this.toEnd();
  }

  /** Show what the service has not stored yet, or has refused, below all others. */
  wait(messages) {
    const { sending, failed } = this.#log.dataset;
    this.#waiting.replaceChildren(
      ...messages.map((message) => {
        const article = made("article", message.failed ? "own failed" : "own");
        const remark = made("small", "", message.failed ? failed.replace("{reason}", () => message.failed) : sending);
        if (message.failed) remark.setAttribute("role", "alert");
        article.append(said(message.text), remark);
        return article;
      }),
    );
    if (messages.length) this.#log.querySelector(".empty")?.remove();
  }

  toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#newer.hidden = true;
  }

  #newDay(date) {
    const day = date.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
    if (day === this.#last.day) return;
    this.note(day);
    this.#last.day = day;
  }

  #add(node) {
    this.#log.insertBefore(node, this.#waiting);
    while (this.#log.childElementCount > MOST_SHOWN) this.#log.firstElementChild.remove();
  }

  #atEnd() {
    return this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < NEAR_THE_END;
  }
}

function shown(message, sentAt, own, together) {
  const article = made("article", own ? "own" : colour(message.userId));
  article.classList.toggle("together", together);
  article.dataset.id = message.id;
  const author = made("p", "author", message.username);
  author.dir = "auto";
  author.classList.toggle("unseen", own || together);
  const time = made("time", "", sentAt.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = message.timestamp;
  article.append(author, said(message.content), time);
  return article;
}

function said(words) {
  const text = made("p", "text", words);
  text.dir = "auto";
  return text;
}
