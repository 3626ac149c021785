/* The queue before the worker that measures: one pair at a time, and of one version only the newest. */

export class Measurer {
  #worker = null;
  #busy = null;
  #waiting = new Map();
  #count = 0;

  /** Calls told() with {psnr}, then {msSsim}, or {differs} or {failed}.  key: of the version; replaces its older one. */
  ask(key, original, made, told) {
    this.drop(key);
    this.#waiting.set(key, { id: ++this.#count, key, original, made, told });
    this.#next();
  }

  drop(key) {
    this.#waiting.delete(key);
    if (this.#busy?.key === key) this.#restart();
    this.#next();
  }

  clear() {
    this.#waiting.clear();
    if (this.#busy) this.#restart();
  }

  #restart() {
    this.#worker?.terminate();
    this.#worker = this.#busy = null;
  }

  #next() {
    if (this.#busy || !this.#waiting.size) return;
    const [job] = this.#waiting.values();
    this.#waiting.delete(job.key);
    this.#busy = job;
    try {
      this.#worker ??= this.#start();
    } catch {
      this.#finish({ failed: "no worker" });
      return;
    }
    this.#worker.postMessage({ id: job.id, original: job.original, made: job.made });
  }

  #start() {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.addEventListener("message", ({ data }) => {
      if (data.id !== this.#busy?.id) return;
      if ("psnr" in data) this.#busy.told(data);
      else this.#finish(data);
    });
    worker.addEventListener("error", () => {
      this.#worker = null;
      this.#finish({ failed: "the worker stopped" });
    });
    return worker;
  }

  #finish(answer) {
    const job = this.#busy;
    this.#busy = null;
    job?.told(answer);
    this.#next();
  }
}
