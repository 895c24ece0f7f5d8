// One room: its messages in their order, each once, whatever happens to the connection meanwhile.

import { io } from "./socket.io.esm.min.js";
import { Refused } from "./requests.js";

const ACKNOWLEDGED_MS = 10000;
const TYPING_MS = 2000;
const RETRY_MS = 1000;
/** Who has missed more is shown the newest alone. */
const MOST_MISSED = 300;
const UNAUTHENTICATED = 401;

/**
 * Talks to the service at *path* as *who*, or with the token of *login*.
 *
 * *tell* has the functions online(joined), offline(), ended(error), message(message), cleared(), waiting(messages),
 * people(event, data) and typing(data).
 */
export class Room {
  #socket;
  #room;
  #who;
  #login;
  #tell;
  /** The id of the last message that was shown; null while none is known. */
  #last = null;
  /** Whether messages are missing, and the work that asks for them. */
  #behind = false;
  #fetching = null;
  #joined = false;
  #over = false;
  /** What is not shown as stored yet, in the order in which it was written. */
  #waiting = [];
  #sending = false;
  #ending = null;
  #typed = { active: false, at: 0 };
  userId = null;

  constructor({ path, room, who, login, tell }) {
    this.#room = room;
    this.#who = who;
    this.#login = login;
    this.#tell = tell;
    this.#socket = io({
      path,
      forceNew: true,
      autoConnect: false,
      // A service of several processes may take websockets alone; where those are blocked, polling may pass.
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      auth: (give) => give(login ? { token: login.token } : {}),
    });
    this.#listen();
  }

  open() {
    this.#socket.connect();
    this.#login?.keep(
      (token) => this.#socket.connected && this.#socket.emit("authenticate", { token }),
      (error) => this.#end(error),
    );
  }

  /** Leave for good. */
  close() {
    if (this.#joined) this.#socket.emit("leave-room", { roomId: this.#room });
    this.#stop();
  }

  /** Send *text* now, or when the connection is back; a second arrival changes nothing. */
  say(text) {
    this.#waiting.push({ clientMessageId: newId(), text, failed: null });
    this.#tell.waiting(this.#waiting);
    this.#send();
  }

  type(active) {
    const { active: before, at } = this.#typed;
    if (!this.#joined || (active === before && (!active || Date.now() - at < TYPING_MS))) return;
    this.#typed = { active, at: Date.now() };
    this.#socket.volatile.emit("typing", { roomId: this.#room, typing: active });
  }

  #listen() {
    const socket = this.#socket;
    const here = (handle) => (data) => data.roomId === this.#room && handle(data);
    socket.on("connect", () => this.#join());
    socket.on("disconnect", () => this.#lost(this.#ending));
    socket.on("connect_error", (error) => this.#lost(socket.active ? null : new Refused(error.data)));
    socket.on("session-ended", ({ error }) => {
      this.#ending = new Refused(error);
    });
    socket.on("new-message", here((message) => this.#receive(message)));
    socket.on("last-message", here(({ id }) => id > (this.#last ?? 0) && this.#catchUp()));
    socket.on("typing", here((data) => this.#tell.typing(data)));
    for (const event of ["online-users", "user-joined", "user-left"]) {
      socket.on(event, here((data) => this.#tell.people(event, data)));
    }
  }

  async #join() {
    try {
      const joined = await this.#ask("join-room", this.#who);
      this.userId = joined.userId;
      this.#joined = true;
      this.#ending = null;
      this.#tell.online(joined);
      const missed = joined.lastMessageId - (this.#last ?? 0);
      if (this.#last !== null && (missed < 0 || missed > MOST_MISSED)) this.#forget();
      await this.#catchUp();
      this.#send();
    } catch (error) {
      if (!this.#socket.connected) return; // it begins again with the next connection
      if (error instanceof Refused && !error.passing) return this.#end(error);
      await pause(error.retryAfterMs ?? RETRY_MS);
      if (this.#socket.connected) this.#join();
    }
  }

  /** The connection is gone. It comes back by itself unless the service has ended it, for which *error* may stand. */
  async #lost(error) {
    this.#joined = false;
    this.#typed.active = false;
    this.#tell.offline();
    if (this.#socket.active || this.#over) return;
    this.#ending = null;
    if (!this.#login || error?.status !== UNAUTHENTICATED) return this.#end(error);
    try {
      await this.#login.renew();
      if (!this.#over) this.#socket.connect();
    } catch (refusal) {
      if (refusal instanceof Refused && !refusal.passing) return this.#end(refusal);
      await pause(RETRY_MS);
      this.#lost(error);
    }
  }

  #end(error) {
    if (this.#over) return;
    this.#stop();
    this.#tell.ended(error);
  }

  #stop() {
    this.#over = true;
    this.#joined = false;
    this.#socket.off();
    this.#socket.disconnect();
    this.#login?.end();
  }

  #receive(message) {
    if (this.#last !== null && message.id <= this.#last) return;
    // What skips a number is dropped: it comes with the history, in its place.
    if (message.id === this.#last + 1 && this.#last !== null) return this.#show(message);
    this.#catchUp();
  }

  #show(message) {
    this.#last = message.id;
    if (message.userId === this.userId) this.#stored(message.clientMessageId);
    this.#tell.message(message);
  }

  #stored(clientMessageId) {
    const left = this.#waiting.filter((each) => each.clientMessageId !== clientMessageId);
    if (left.length === this.#waiting.length) return;
    this.#waiting = left;
    this.#tell.waiting(left);
  }

  #forget() {
    this.#last = null;
    this.#tell.cleared();
  }

  /** Ask for what came after the last message that is shown, until nothing is missing. */
  #catchUp() {
    this.#behind = true;
    this.#fetching ??= this.#fetchAll().finally(() => {
      this.#fetching = null;
    });
    return this.#fetching;
  }

  async #fetchAll() {
    try {
      while (this.#behind && this.#joined) {
        this.#behind = false;
        await this.#fetch();
      }
    } catch {
      // The next message, the next `last-message` or the next join asks again.
    }
  }

  async #fetch() {
    const since = this.#last === null ? {} : { since: this.#last };
    const { messages, more } = await this.#ask("history", since);
    for (const message of messages) {
      if (message.id > (this.#last ?? 0)) this.#show(message);
    }
    this.#last ??= 0;
    if (more) this.#behind = true;
  }

  async #send() {
    if (this.#sending) return;
    this.#sending = true;
    try {
      for (let next; this.#joined && (next = this.#waiting.find((each) => !each.failed)); ) await this.#sendOne(next);
    } finally {
      this.#sending = false;
    }
  }

  async #sendOne(message) {
    const { clientMessageId, text } = message;
    try {
      const { id } = await this.#ask("send-message", { message: text, clientMessageId });
      if (id > (this.#last ?? 0)) await this.#catchUp();
      if (id > (this.#last ?? 0)) return pause(RETRY_MS); // then it is sent again, and found
      this.#stored(clientMessageId);
    } catch (error) {
      if (!(error instanceof Refused)) return; // no acknowledgement: it is sent again
      if (error.passing) return pause(error.retryAfterMs);
      message.failed = error.message;
      this.#tell.waiting(this.#waiting);
    }
  }

  async #ask(event, members) {
    if (!this.#socket.connected) throw new Error("not connected");
    const data = { roomId: this.#room, ...members };
    const answer = await this.#socket.timeout(ACKNOWLEDGED_MS).emitWithAck(event, data);
    if (!answer.ok) throw new Refused(answer.error);
    return answer;
  }
}

/** Random, also on a page that came without TLS, where `crypto.randomUUID` is missing. */
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
