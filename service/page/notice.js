/* The card that tells of a problem, and what can be done about it. */

import { useKey } from "./service.js";

const byId = (id) => document.getElementById(id);

export class Notice {
  #card = byId("notice");
  #retry = byId("retry");
  #again = null;
  #timer = 0;
  #before = null;

  constructor() {
    byId("dismiss").addEventListener("click", () => this.hide());
    addEventListener("keydown", (event) => event.key === "Escape" && this.hide());
    this.#retry.addEventListener("click", () => {
      if (this.#retry.getAttribute("aria-disabled") !== "true") this.#go();
    });
    byId("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      useKey(byId("key").value);
      byId("key").value = "";
      this.#go();
    });
    addEventListener("online", () => this.#card.dataset.kind === "offline" && this.#go());
  }

  /** again: runs what failed once more; offered where that may help. */
  show(problem, again = null) {
    clearInterval(this.#timer);
    if (this.#card.hidden) this.#before = document.activeElement;
    this.#again = again;
    const wantsKey = problem.status === 401;
    this.#card.dataset.kind = problem.status === 0 && !navigator.onLine ? "offline" : String(problem.status ?? "");
    byId("notice-title").textContent = problem.title || "Something went wrong";
    byId("notice-detail").textContent = problem.detail || "";
    byId("notice-hint").textContent = problem.hint || "";
    byId("key-form").hidden = !wantsKey;
    this.#retry.hidden = wantsKey || !again || !problem.passing;
    this.#card.hidden = false;
    document.body.classList.add("noticed");
    this.#count(problem.retryAfter ?? 0);
    if (wantsKey) byId("key").focus();
  }

  hide() {
    clearInterval(this.#timer);
    const held = this.#card.contains(document.activeElement);
    this.#card.hidden = true;
    document.body.classList.remove("noticed");
    if (held && this.#before?.isConnected) this.#before.focus({ preventScroll: true });
  }

  #go() {
    const again = this.#again;
    this.hide();
    again?.();
  }

  /* The button may be found by the keyboard while it counts, but does nothing yet. */
  #count(seconds) {
    const label = () => {
      this.#retry.textContent = seconds > 0 ? `Try again in ${seconds} s` : "Try again";
      this.#retry.setAttribute("aria-disabled", String(seconds > 0));
      if (seconds <= 0) clearInterval(this.#timer);
    };
    label();
    if (seconds <= 0) return;
    this.#timer = setInterval(() => {
      seconds -= 1;
      label();
    }, 1000);
  }
}
