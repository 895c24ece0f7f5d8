// What the service refuses, and the tokens that it gives for an e-mail and a password.

const EARLY_SECONDS = 60;
const RETRY_MS = 5000;

/** Says why the service has refused something, by its problem details. */
export class Refused extends Error {
  constructor(problem = {}) {
    const errors = (problem.errors ?? []).map(({ pointer, detail }) => `${pointer.slice(1)}: ${detail}`);
    super(errors.join("; ") || problem.detail || problem.title || "refused");
    this.status = problem.status ?? 0;
    this.retryAfterMs = 1000 * (problem.retryAfterSeconds ?? 1);
  }

  /** Whether the same may be accepted a little later. */
  get passing() {
    return this.status === 429 || this.status >= 500;
  }
}

/** A login: its access token is renewed before it expires. Kept in memory only, so that it ends with the page. */
export class Login {
  #addresses;
  #pair;
  #timer;
  #renewal = null;

  /** Raises Refused, and what `fetch` raises if the service cannot be reached. */
  static async of(addresses, credentials) {
    return new Login(addresses, await post(addresses.login, credentials));
  }

  constructor(addresses, pair) {
    this.#addresses = addresses;
    this.#pair = pair;
  }

  get token() {
    return this.#pair.access_token;
  }

  /** Renew the token before it expires, again and again, and call *onToken* with each, or *onEnd* with what it met. */
  keep(onToken, onEnd) {
    clearTimeout(this.#timer);
    const left = this.#pair.expires_in;
    const wait = Math.max(1, left - Math.min(EARLY_SECONDS, left / 3));
    this.#timer = setTimeout(() => this.#keep(onToken, onEnd), 1000 * wait);
  }

  /** Exchange the refresh token; everybody who asks meanwhile waits for the same answer. */
  renew() {
    this.#renewal ??= post(this.#addresses.refresh, { refresh_token: this.#pair.refresh_token })
      .then((pair) => {
        this.#pair = pair;
      })
      .finally(() => {
        this.#renewal = null;
      });
    return this.#renewal;
  }

  end() {
    clearTimeout(this.#timer);
    post(this.#addresses.logout, undefined, this.token).catch(() => {});
  }

  async #keep(onToken, onEnd) {
    try {
      await this.renew();
      onToken(this.token);
      this.keep(onToken, onEnd);
    } catch (error) {
      if (error instanceof Refused && !error.passing) return onEnd(error);
      this.#timer = setTimeout(() => this.#keep(onToken, onEnd), RETRY_MS);
    }
  }
}

async function post(address, body, token) {
  const response = await fetch(address, {
    method: "POST",
    headers: {
      ...(body && { "Content-Type": "application/json" }),
      ...(token && { Authorization: `Bearer ${token}` }),
    },
    body: body && JSON.stringify(body),
    keepalive: true,
  });
  const answer = await response.json().catch(() => ({ status: response.status, title: response.statusText }));
  if (!response.ok) throw new Refused(answer);
  return answer;
}
