"use strict";

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/* Two versions of one picture on one stage, split by a line that can be moved; zoom and place are those of both. */
function compare(strip) {
  const stage = strip.querySelector(".stage");
  const layer = strip.querySelector(".layer");
  const split = strip.querySelector(".split");
  const shots = [...strip.querySelectorAll(".shot")];
  const rows = [null, ...strip.querySelectorAll(".versions tbody tr")]; // the original, first of the shots, has none
  const width = Number(stage.dataset.width);
  const height = Number(stage.dataset.height);
  const captions = { left: [], right: [] };
  const wanted = {};
  let share = 0.5; // of the stage that is left of the line
  let zoom = 0; // 0: as large as fits
  let scale = 1;
  let centre = { x: width / 2, y: height / 2 }; // in pixels of the picture

  function within(place, side, room) {
    const half = room / 2 / scale;
    return side <= 2 * half ? side / 2 : clamp(place, half, side - half);
  }

  function lay() {
    const room = { x: stage.clientWidth, y: stage.clientHeight };
    if (!room.x) return;
    scale = zoom || Math.min(1, room.x / width, room.y / height);
    centre = { x: within(centre.x, width, room.x), y: within(centre.y, height, room.y) };
    const left = Math.round(room.x / 2 - centre.x * scale);
    const top = Math.round(room.y / 2 - centre.y * scale);
    layer.style.width = `${width * scale}px`;
    layer.style.height = `${height * scale}px`;
    layer.style.transform = `translate(${left}px, ${top}px)`;
    layer.style.setProperty("--cut", `${share * room.x - left}px`);
    const pannable = width * scale > room.x + 1 || height * scale > room.y + 1;
    stage.classList.toggle("pannable", pannable);
    stage.classList.toggle("magnified", scale > 1);
    if (pannable) stage.tabIndex = 0;
    else stage.removeAttribute("tabindex");
  }

  function part(to) {
    share = clamp(to, 0, 1);
    const percent = Math.round(share * 100);
    stage.style.setProperty("--split", `${share * 100}%`);
    split.setAttribute("aria-valuenow", percent);
    split.setAttribute("aria-valuetext", `${percent} % is the left version, ${100 - percent} % the right one`);
    lay();
  }

  function pan(byX, byY) {
    centre = { x: centre.x - byX / scale, y: centre.y - byY / scale };
    lay();
  }

  function show(side, index) {
    for (const [place, shot] of shots.entries()) {
      shot.classList.toggle(`on-${side}`, place === index);
      rows[place]?.classList.toggle(`on-${side}`, place === index);
    }
    for (const [place, caption] of captions[side].entries()) caption.classList.toggle("shown", place === index);
  }

  for (const side of ["left", "right"]) {
    // All captions lie upon each other, as high as the highest, so that the stage stays where it is.
    for (const shot of shots) {
      const copy = document.createElement("div");
      copy.append(...[...shot.querySelector("figcaption").childNodes].map((node) => node.cloneNode(true)));
      captions[side].push(copy);
    }
    strip.querySelector(`.captions .${side}`).replaceChildren(...captions[side]);
    for (const radio of strip.querySelectorAll(`input[data-side="${side}"]`)) {
      const index = Number(radio.value);
      radio.addEventListener("change", async () => {
        wanted[side] = index;
        // Else the stage would be empty for as long as a picture that was never seen takes to decode.
        await shots[index].querySelector("img").decode().catch(() => {});
        if (wanted[side] === index) show(side, index);
      });
      if (radio.checked) show(side, index);
    }
  }
  for (const radio of strip.querySelectorAll("input[data-zoom]")) {
    radio.addEventListener("change", () => {
      zoom = Number(radio.value);
      lay();
    });
    if (radio.checked) zoom = Number(radio.value);
  }

  const steps = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
  const moves = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  stage.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target === split && event.key in steps) part(share + steps[event.key] * (event.shiftKey ? 5 : 1));
    else if (event.target === stage && event.key in moves) pan(...moves[event.key].map((way) => way * stage.clientWidth / 8));
    else return;
    event.preventDefault();
  });

  let last = null; // where the pointer that holds the line or the picture was
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || last) return;
    const onSplit = split.contains(event.target);
    const panning = !onSplit && stage.classList.contains("pannable");
    last = { id: event.pointerId, x: event.clientX, y: event.clientY, panning };
    stage.setPointerCapture(event.pointerId);
    stage.classList.add("moving");
    if (panning) return;
    // A finger may be about to scroll the page: the line follows it, but does not jump to it.
    if (!onSplit && event.pointerType === "mouse") {
      part((event.clientX - stage.getBoundingClientRect().left) / stage.clientWidth);
    }
    if (event.pointerType === "mouse") event.preventDefault();
    split.focus({ preventScroll: true });
  });
  stage.addEventListener("pointermove", (event) => {
    if (event.pointerId !== last?.id) return;
    const byX = event.clientX - last.x;
    const byY = event.clientY - last.y;
    last = { ...last, x: event.clientX, y: event.clientY };
    if (last.panning) pan(byX, byY);
    else part(share + byX / stage.clientWidth);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    stage.addEventListener(end, (event) => {
      if (event.pointerId !== last?.id) return;
      last = null;
      stage.classList.remove("moving");
    });
  }
  new ResizeObserver(lay).observe(stage);
  part(share);
}

/* The numbers of the point under the pointer; with the keyboard, arrow keys go along a curve and between curves. */
function readPoints(chart) {
  const plot = chart.querySelector(".plot");
  const tip = chart.querySelector(".tip");
  const near = 32; // pixels
  let active = null;
  const marks = [...plot.querySelectorAll(".mark")];
  for (const mark of marks) {
    const title = mark.querySelector("title");
    mark.dataset.tip = title.textContent;
    mark.setAttribute("aria-label", title.textContent.replaceAll("\n", ", "));
    mark.setAttribute("role", "img");
    mark.tabIndex = -1;
    title.remove(); // the browser would show it as well
  }
  if (marks.length) marks[0].tabIndex = 0;

  const shown = () => marks.filter((mark) => mark.getClientRects().length);
  const place = (mark) => {
    const box = mark.getBoundingClientRect();
    return { x: box.left + box.width / 2, y: box.top + box.height / 2 };
  };

  function point(mark) {
    active?.classList.remove("active");
    active = mark;
    tip.hidden = !mark;
    if (!mark) return;
    mark.classList.add("active");
    tip.textContent = mark.dataset.tip;
    const frame = chart.getBoundingClientRect();
    const { x, y } = place(mark);
    const left = clamp(x - frame.left - tip.offsetWidth / 2, 4, frame.width - tip.offsetWidth - 4);
    const above = y - frame.top - tip.offsetHeight - 12;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 0 ? above : y - frame.top + 14}px`;
  }

  for (const moved of ["pointermove", "pointerdown"]) {
    plot.addEventListener(moved, (event) => {
      const distance = (mark) => Math.hypot(place(mark).x - event.clientX, place(mark).y - event.clientY);
      const [nearest] = shown().sort((a, b) => distance(a) - distance(b));
      point(nearest && distance(nearest) < near ? nearest : null);
    });
  }
  plot.addEventListener("pointerleave", () => point(null));
  plot.addEventListener("focusin", (event) => {
    for (const mark of marks) mark.tabIndex = mark === event.target ? 0 : -1;
    point(event.target);
  });
  plot.addEventListener("focusout", () => point(null));
  plot.addEventListener("keydown", (event) => {
    const mark = event.target;
    const visible = shown();
    const curves = [...new Set(visible.map((each) => each.parentNode))];
    const of = (curve) => visible.filter((each) => each.parentNode === curve);
    const own = of(mark.parentNode);
    const along = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const across = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    let next = null;
    if (along) next = own[own.indexOf(mark) + along];
    else if (across) {
      const curve = curves[(curves.indexOf(mark.parentNode) + across + curves.length) % curves.length];
      const gap = (each) => Math.abs(place(each).x - place(mark).x);
      [next] = of(curve).sort((a, b) => gap(a) - gap(b));
    } else if (event.key === "Escape") point(null);
    else return;
    event.preventDefault();
    next?.focus();
  });
  // A curve that is switched off must not keep the only point that the tab key finds.
  document.addEventListener("change", () => {
    if (marks.some((mark) => mark.tabIndex === 0 && mark.getClientRects().length)) return;
    const [first] = shown();
    for (const mark of marks) mark.tabIndex = mark === first ? 0 : -1;
  });
}

document.querySelectorAll(".strip").forEach(compare);
document.querySelectorAll(".chart").forEach(readPoints);
