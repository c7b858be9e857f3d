/** The server's data: requests that bear the key, and answers or a Failure with cause and next step. */

import { Failure } from "./failure.js";

export class Api {
  /** @param {() => string} key what to send as the key now; "" for none */
  constructor(key) {
    this.key = key;
    /** The server's address, without the page's own route and with a slash behind it. */
    this.root = new URL(".", document.baseURI);
  }

  /**
   * Return the JSON that a route below playground/api/ answers. Throws a Failure.
   * @param {string} path
   * @returns {Promise<any>}
   */
  async get(path) {
    return (await this.ask(`playground/api/${path}`)).json();
  }

  /**
   * Post JSON to a route below playground/api/ and return the JSON that it answers. Throws a Failure.
   * @param {string} path
   * @param {any} body
   * @returns {Promise<any>}
   */
  async post(path, body) {
    const headers = { "content-type": "application/json" };
    return (await this.ask(`playground/api/${path}`, { method: "POST", headers, body: JSON.stringify(body) })).json();
  }

  /** Return the text of /metrics. Throws a Failure. */
  async metrics() {
    return (await this.ask("metrics")).text();
  }

  /**
   * Return the response of an address below the server's root. Throws a Failure, or the signal's AbortError.
   * @param {string} path
   * @param {RequestInit} [init]
   */
  async ask(path, init = {}) {
    const headers = new Headers(init.headers);
    const key = this.key();
    if (key) headers.set("authorization", `Bearer ${key}`);
    let response;
    try {
      response = await fetch(new URL(path, this.root), {
        ...init,
        headers,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
    } catch (error) {
      if (init.signal?.aborted) throw error;
      throw Failure.unreachable();
    }
    if (!response.ok) throw await Failure.ofResponse(response);
    return response;
  }
}
