/* Requests to the service, and its problems (RFC 9457) as errors. */

const KEY = "gancodec-key";
const LARGE = 20e6; // bytes
const MOST_WAIT_S = 60; // whatever a server says
let key = recall();

function recall() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return ""; // storage is off: the key lives as long as the page
  }
}

export function useKey(given) {
  key = given.trim();
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // As above.
  }
}

/** What the service, or the way to it, refused. */
export class ServiceProblem extends Error {
  constructor({ title, detail = "", hint = "", status = 0, code = "", retryAfter = null }) {
    super(title);
    Object.assign(this, { title, detail, hint, status, code, retryAfter });
  }

  /** Whether the same request may succeed later. */
  get passing() {
    return [0, 408, 429, 500, 502, 503, 504].includes(this.status);
  }
}

/** The response to a request that succeeded.  Raises ServiceProblem, or AbortError for a superseded one. */
export async function call(path, { query = {}, body, accept, signal } = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  const headers = {};
  if (accept) headers.Accept = accept;
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/octet-stream"; // the service looks into the file itself
  let response;
  try {
    response = await fetch(url, { method: body ? "POST" : "GET", body, headers, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable(body?.size ?? 0);
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** The whole body of a response; a connection that breaks off is a ServiceProblem too. */
export async function bodyOf(response, kind = "blob") {
  try {
    return await response[kind]();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw unreachable();
  }
}

function unreachable(size = 0) {
  if (!navigator.onLine) {
    return new ServiceProblem({ title: "You are offline", detail: "Nothing was sent.", hint: "This page goes on when you are back online." });
  }
  return new ServiceProblem({
    title: "The server cannot be reached",
    detail: "It did not answer, or the connection broke off.",
    // Some servers close the connection on a body that is too large before they say so.
    hint: size > LARGE ? "The file may be larger than the server takes." : "Check the connection, then try again.",
  });
}

async function problemOf(response) {
  let told = {};
  try {
    told = await response.json();
  } catch {
    // Something between here and the service answered.
  }
  const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  return new ServiceProblem({
    title: told.title || `The server answered ${response.status}`,
    detail: told.detail,
    hint: told.hint,
    status: response.status,
    code: told.code,
    retryAfter: Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), MOST_WAIT_S) : null,
  });
}

/** Runs one task at a time: a new one aborts the one before. */
export class Latest {
  #controller = null;

  /** The task's result, or undefined if it was aborted. */
  async run(task) {
    this.stop();
    const controller = (this.#controller = new AbortController());
    try {
      return await task(controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) throw error;
    } finally {
      if (this.#controller === controller) this.#controller = null;
    }
    return undefined;
  }

  stop() {
    this.#controller?.abort();
    this.#controller = null;
  }
}
