// Requests of one who may have to be known: a token where the service gives one, and server-sent events of a POST.

/** Says why the service has refused something, by its problem details. */
export class Refused extends Error {
  constructor(problem = {}) {
    const errors = (problem.errors ?? []).map(({ pointer, detail }) => `${pointer.slice(1)}: ${detail}`);
    super(errors.join("; ") || problem.detail || problem.title || "refused");
    this.status = problem.status ?? 0;
  }
}

/** Who asks: anyone, or the user of a pair of tokens, which are kept in memory only. */
export class Session {
  #addresses;
  #pair;

  constructor(addresses = {}, pair = null) {
    this.#addresses = addresses;
    this.#pair = pair;
  }

  /** Raises Refused, and what `fetch` raises if the service cannot be reached. */
  static async of(addresses, credentials) {
    return new Session(addresses, await (await post(addresses.login, credentials)).json());
  }

  /**
   * The events of the response to *body*, as `{name, data}`; ends after `done`. Raises as `of`, and at a broken end.
   * Where nothing can be streamed, the response is whole.
   */
  async *events(address, body, signal) {
    const response = await this.#post(address, body, signal);
    if (response.headers.get("content-type").startsWith("application/json")) {
      const { message, ...done } = await response.json();
      yield { name: "token", data: { text: message } };
      return yield { name: "done", data: done };
    }
    let last = "";
    for await (const event of parsed(response.body)) {
      last = event.name;
      yield event;
    }
    if (last !== "done" && last !== "error") throw new TypeError("the stream ended early");
  }

  /** With a token that has expired, once more with a new one. */
  async #post(address, body, signal) {
    const options = { signal, accept: "text/event-stream, application/json;q=0.5" };
    try {
      return await post(address, body, { ...options, token: this.#pair?.access_token });
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 401 || !this.#pair) throw error;
    }
    const renewed = await post(this.#addresses.refresh, { refresh_token: this.#pair.refresh_token });
    this.#pair = await renewed.json();
    return post(address, body, { ...options, token: this.#pair.access_token });
  }
}

async function post(address, body, { signal, accept, token } = {}) {
  const response = await fetch(address, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      ...(accept && { Accept: accept }),
      ...(token && { Authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify(body),
    signal,
  });
  if (response.ok) return response;
  throw new Refused(await response.json().catch(() => ({ status: response.status, title: response.statusText })));
}

/** Events as this service writes them: each field once, and data of one line. */
async function* parsed(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  while (true) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = new Map(block.split("\n").map((line) => line.split(/: (.*)/s)));
      if (fields.has("data")) yield { name: fields.get("event"), data: JSON.parse(fields.get("data")) };
    }
  }
}
