"""What the page runs in the browser: a few small pieces of HTML, CSS and JavaScript.

All text and pictures come as data and are put in as `textContent` and `src`, never as HTML, so a
person's name stays a name whatever it contains.
"""

from pathlib import Path
from typing import Final

MAKE: Final = """
function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
function percent(fraction) {
  return `${Math.min(100, Math.max(0, 100 * fraction))}%`;
}
"""

# A bar from 0 to 1 with a mark at the threshold; what reaches the mark takes the accent colour.
_SCALE = """
function scale(value, threshold) {
  const bar = make("div", value >= threshold ? "scale reached" : "scale");
  const fill = bar.appendChild(make("div", "fill"));
  fill.style.width = percent(value);
  const mark = bar.appendChild(make("div", "mark"));
  mark.style.left = percent(threshold);
  return bar;
}
"""

_SCALE_CSS = """
.scale { position: relative; height: 0.5rem; border-radius: 0.25rem;
  background: var(--st-border-color); }
.scale .fill { height: 100%; border-radius: inherit; background: var(--st-text-color);
  opacity: 0.35; }
.scale.reached .fill { background: var(--st-primary-color); opacity: 1; }
.scale .mark { position: absolute; top: -0.2rem; bottom: -0.2rem; width: 2px;
  background: var(--st-text-color); }
"""

FACES_HTML: Final = '<figure><img><div class="boxes"></div></figure>'
FACES_CSS: Final = """
figure { position: relative; margin: 0; line-height: 0; }
img { width: 100%; border-radius: var(--st-base-radius); }
.box { all: unset; position: absolute; box-sizing: border-box; border: 2px solid #fff;
  border-radius: 4px; outline: 1px solid rgb(0 0 0 / 0.55); }
button.box { cursor: pointer; }
.box.faint { border-style: dashed; }
.box.known { border-color: #2fc4a2; }
.label { position: absolute; box-sizing: border-box; max-width: 14rem; width: max-content;
  padding: 0.15rem 0.45rem; border-radius: 4px; background: rgb(20 26 24 / 0.82); color: #fff;
  font: 600 0.8rem/1.25 var(--st-font); white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; unicode-bidi: isolate; pointer-events: none; }
.label.known { background: #17695a; }
button.box:hover { background: rgb(255 255 255 / 0.12); }
button.box:focus-visible { outline: 3px solid #fff; box-shadow: 0 0 0 6px #17695a; }
"""
FACES_JS: Final = (
    MAKE
    + """
// Where a label may stand: above its box, below it, inside it, beside it.
function places(box, label, width, height) {
  const x = Math.max(0, Math.min(box.left, width - label.width));
  const end = Math.max(0, Math.min(box.right - label.width, width - label.width));
  const [above, below] = [box.top - label.height - 3, box.bottom + 3];
  const [upper, lower] = [box.top + 4, box.bottom - label.height - 4];
  return [[x, above], [x, below], [end, above], [end, below], [x, upper], [x, lower],
    [box.right + 3, upper], [box.left - label.width - 3, upper]]
    .filter(([left, top]) => left >= 0 && left + label.width <= width &&
      top >= 0 && top + label.height <= height)
    .map(([left, top]) => ({ left, top, right: left + label.width, bottom: top + label.height }));
}
function overlap(a, b) {
  return a.left < b.right + 1 && b.left < a.right + 1 && a.top < b.bottom + 1 &&
    b.top < a.bottom + 1;
}
// One that finds no room is tried with its number alone, and left out where even that has none:
// the face can still be clicked, and its card has the name.
function lay(labels, width, height) {
  const taken = [];
  for (const { element, box, long, short } of labels) {
    element.style.visibility = "hidden";
    for (const text of [long, short]) {
      element.textContent = text;
      const label = { width: element.offsetWidth, height: element.offsetHeight };
      const place = places(box, label, width, height)
        .find((one) => !taken.some((other) => overlap(one, other)));
      if (!place) continue;
      taken.push(place);
      element.style.left = `${place.left}px`;
      element.style.top = `${place.top}px`;
      element.style.visibility = "visible";
      break;
    }
  }
}
export default function ({ data, parentElement, setTriggerValue }) {
  const figure = parentElement.querySelector("figure");
  const image = figure.querySelector("img");
  image.src = data.picture;
  image.alt = data.description;
  const [width, height] = data.size;
  // Never larger than it is: enlarged, a photograph shows nothing more and takes a screen.
  figure.style.maxWidth = `min(100%, ${Math.max(width, 160)}px, calc(72vh * ${width / height}))`;
  image.style.aspectRatio = `${width} / ${height}`;
  const place = figure.querySelector(".boxes");
  const labels = [];
  place.replaceChildren(...data.boxes.flatMap((face, number) => {
    const [x1, y1, x2, y2] = face.box;
    const box = make(data.pick ? "button" : "div", `box ${face.tone}`);
    box.style.left = percent(x1 / width);
    box.style.top = percent(y1 / height);
    box.style.right = percent(1 - x2 / width);
    box.style.bottom = percent(1 - y2 / height);
    if (data.pick) {
      box.type = "button";
      box.title = data.pick;
      box.setAttribute("aria-label", `${face.label || number + 1}: ${data.pick}`);
      box.onclick = () => setTriggerValue("face", number);
    }
    if (!face.label) return [box];
    const element = make("div", `label ${face.tone}`, face.label);
    element.setAttribute("aria-hidden", "true");
    labels.push({ element, face, long: face.label, short: face.short });
    return [box, element];
  }));
  function arrange() {
    const [w, h] = [figure.clientWidth, figure.clientHeight];
    if (!w || !h) return;
    for (const label of labels) {
      const [x1, y1, x2, y2] = label.face.box;
      label.box = { left: (x1 / width) * w, right: (x2 / width) * w,
        top: (y1 / height) * h, bottom: (y2 / height) * h };
    }
    lay(labels, w, h);
  }
  parentElement.watching?.disconnect();
  parentElement.watching = new ResizeObserver(arrange);
  parentElement.watching.observe(figure);
  document.fonts?.ready.then(arrange);
  return () => parentElement.watching?.disconnect();
}
"""
)

MATCHES_HTML: Final = '<div class="cards"></div>'
MATCHES_CSS: Final = (
    _SCALE_CSS
    + """
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr));
  gap: 1.8rem 2.5rem; font-family: var(--st-font); color: var(--st-text-color); }
.card { display: grid; grid-template-columns: 4.5rem 1fr; gap: 0.25rem 0.9rem;
  align-content: start; }
.card img { width: 4.5rem; height: 4.5rem; object-fit: cover; grid-row: span 3;
  border-radius: var(--st-base-radius); }
.name { font: 600 1.1rem/1.3 var(--st-heading-font); overflow-wrap: anywhere; align-self: end;
  unicode-bidi: isolate; }
.unknown { opacity: 0.85; font-style: italic; }
.verdict { font-size: 0.9rem; opacity: 0.85; }
button { all: unset; box-sizing: border-box; cursor: pointer; grid-column: 2; justify-self: start;
  padding: 0.2rem 0.7rem; margin-top: 0.15rem; font: 0.875rem/1.5 var(--st-font);
  border: 1px solid color-mix(in srgb, var(--st-text-color) 45%, transparent);
  border-radius: var(--st-button-radius); color: var(--st-text-color); }
button:hover { border-color: var(--st-link-color); color: var(--st-link-color); }
button:focus-visible { outline: 2px solid var(--st-text-color); outline-offset: 2px; }
table { grid-column: 1 / -1; width: 100%; border-collapse: collapse; font-size: 0.9rem;
  margin-top: 0.35rem; table-layout: fixed; }
th { font-weight: 400; text-align: left; padding: 0.2rem 0.6rem 0.2rem 0; width: 45%;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; unicode-bidi: isolate; }
.number { width: 3.2rem; text-align: right; font-variant-numeric: tabular-nums; }
.likely { width: 5.4rem; opacity: 0.85; }
table:has(.likely) th { width: 36%; }
"""
)
MATCHES_JS: Final = (
    MAKE
    + _SCALE
    + """
export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.querySelector(".cards").replaceChildren(...data.cards.map((face, place) => {
    const card = make("div", "card");
    const image = card.appendChild(make("img"));
    image.src = face.picture;
    image.alt = "";
    card.append(make("div", face.known ? "name" : "name unknown", face.title));
    card.append(make("div", "verdict", face.verdict));
    const button = card.appendChild(make("button", "", face.action));
    button.type = "button";
    button.setAttribute("aria-label", `${face.action}: ${face.title}`);
    button.onclick = () => setTriggerValue("face", place);
    if (!face.matches.length) return card;
    const table = card.appendChild(make("table"));
    for (const match of face.matches) {
      const row = table.insertRow();
      row.append(make("th", "", match.person));
      row.insertCell().append(scale(match.value, data.threshold));
      const number = row.insertCell();
      number.className = "number";
      number.textContent = match.text;
      if (match.likely) {
        const likely = row.insertCell();
        likely.className = "number likely";
        likely.textContent = match.likely;
      }
    }
    return card;
  }));
}
"""
)

VERDICT_HTML: Final = '<div class="verdict"></div>'
VERDICT_CSS: Final = (
    _SCALE_CSS
    + """
.verdict { font-family: var(--st-font); color: var(--st-text-color); max-width: 34rem;
  margin: 0.5rem auto; text-align: center; }
.title { font: 600 1.7rem/1.3 var(--st-heading-font); }
.reached .title { color: var(--st-primary-color); }
.note { margin: 0.2rem 0 1.2rem; opacity: 0.85; }
.scale { height: 0.7rem; border-radius: 0.35rem; }
"""
)
VERDICT_JS: Final = (
    MAKE
    + _SCALE
    + """
export default function ({ data, parentElement }) {
  const verdict = parentElement.querySelector(".verdict");
  verdict.classList.toggle("reached", data.same);
  verdict.replaceChildren(
    make("div", "title", data.title),
    make("div", "note", data.note),
    scale(data.value, data.threshold),
  );
}
"""
)

COMPARE_HTML: Final = """
<figure>
  <img class="after"><img class="before"><div class="line"><span></span></div>
  <span class="tag left">before</span><span class="tag right">after</span>
  <input type="range" min="0" max="100" step="0.5" value="50" aria-label="before or after">
</figure>
"""
COMPARE_CSS: Final = """
figure { position: relative; margin: 0 auto; line-height: 0; overflow: hidden;
  border-radius: var(--st-base-radius); --at: 50%; }
img { width: 100%; height: 100%; }
.before { position: absolute; inset: 0; clip-path: inset(0 calc(100% - var(--at)) 0 0); }
.line { position: absolute; top: 0; bottom: 0; left: var(--at); width: 2px; margin-left: -1px;
  background: #fff; box-shadow: 0 0 3px rgb(0 0 0 / 0.5); }
.line span { position: absolute; top: 50%; left: 50%; width: 1.8rem; height: 1.8rem;
  transform: translate(-50%, -50%); border-radius: 50%; background: #fff;
  box-shadow: 0 1px 5px rgb(0 0 0 / 0.45); }
.line span::after { content: "◂▸"; position: absolute; inset: 0; display: grid;
  place-items: center; font-size: 1.05rem; color: #1a2421; }
.tag { position: absolute; bottom: 0.6rem; padding: 0.15rem 0.5rem; border-radius: 4px;
  background: rgb(20 26 24 / 0.7); color: #fff; font: 0.78rem/1.3 var(--st-font); }
.tag.left { left: 0.6rem; } .tag.right { right: 0.6rem; }
input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize; touch-action: pan-y; }
figure:focus-within .line span { outline: 3px solid var(--st-primary-color); }
"""
COMPARE_JS: Final = """
export default function ({ data, parentElement }) {
  const figure = parentElement.querySelector("figure");
  const [before, after] = ["before", "after"].map((name) => figure.querySelector(`.${name}`));
  before.src = data.before;
  after.src = data.after;
  before.alt = "the photograph";
  after.alt = "the painted picture";
  const [width, height] = data.size;
  figure.style.maxWidth = `min(100%, calc(76vh * ${width / height}))`;
  const range = figure.querySelector("input");
  range.oninput = () => figure.style.setProperty("--at", `${range.value}%`);
}
"""

ARRIVAL_HTML: Final = "<span></span>"
ARRIVAL_JS: Final = """
// What has just come up is brought into sight, once.
export default function ({ data, parentElement }) {
  const place = parentElement.host ?? parentElement;
  if (place.arrived === data.number) return;
  place.arrived = data.number;
  place.style.scrollMarginTop = "6rem";
  // What stands below it has yet to come: as much of it as matters is in the upper half.
  requestAnimationFrame(() => {
    const { top } = place.getBoundingClientRect();
    if (top >= 0 && top < innerHeight / 2) return;
    place.scrollIntoView({ block: "start", behavior: "smooth" });
  });
}
"""

PAGE_CSS: Final = """
<style>
.stMainBlockContainer { max-width: 76rem; padding-top: 5.5rem; }
.stMain h1 { padding-bottom: 0; }
[data-testid="stImage"] img { border-radius: 0.4rem; }
[data-testid="stText"] { overflow-wrap: anywhere; white-space: pre-wrap; }

/* What is written small is as easy to read: Streamlit's own grey has a contrast of 4.2 to 1. */
[data-testid="stCaptionContainer"] p { color: inherit !important; }
[data-testid="stCaptionContainer"], [data-testid="stFileUploaderFileData"] *,
[data-testid="stFileUploaderDropzoneInstructions"] * { color: inherit !important; }
[data-testid="stCaptionContainer"] { opacity: 0.82 !important; }
::placeholder { color: inherit !important; opacity: 0.75 !important; }

/* The dark theme's accent, bright enough for letters on its ground, is too bright below white ones:
   on this green they have a contrast of 5.5 to 1. */
[data-testid^="stBaseButton-primary"]:enabled { color: #fff !important;
  background-color: #1e7665 !important; border-color: #1e7665 !important; }
[data-testid^="stBaseButton-primary"]:enabled:is(:hover, :active) {
  background-color: #17695a !important; }

/* Whoever goes by keyboard sees where they are: an edge, and not a tint alone. */
:is(button, a, summary, input, textarea, [tabindex="0"], [role="slider"]):focus-visible,
:is([data-baseweb="input"], [data-baseweb="textarea"], [data-baseweb="select"] > div,
  [data-testid="stNumberInputContainer"]):focus-within,
label:has(input:focus-visible) {
  outline: 2px solid currentColor !important; outline-offset: 2px; }
:is([data-baseweb="input"], [data-baseweb="select"], [data-testid="stNumberInputContainer"])
  :is(input, button):focus-visible { outline: none !important; }

/* The uploader says in words what it takes, on as many lines as that needs. */
[data-testid="stFileUploaderDropzoneInstructions"] { white-space: normal; overflow: visible; }
[data-testid="stFileUploaderDropzoneInstructions"] > * { display: none; }
[data-testid="stFileUploaderDropzoneInstructions"]::after {
  content: "%(kinds)s"; font-size: 0.875rem; opacity: 0.85; }

[data-testid="stLayoutWrapper"]:has(> :is(.st-key-menu, [class*="st-key-place-"])) {
  position: absolute; width: 0; height: 0; overflow: hidden; }

/* Tiles of one size, whatever the shape of what they show. */
:is(.st-key-shelf, [class*="st-key-thumbnails"]) [data-testid="stImage"] img {
  aspect-ratio: 1; object-fit: cover; }
[class*="st-key-thumbnails"] [data-testid="stImage"] img { width: 6rem; }

/* What is painted stays in sight beside a long form, and so does the button below it. */
.stMain [data-testid="stLayoutWrapper"]:has(> .st-key-easel) { position: sticky; top: 4.5rem; }
.st-key-preview img { max-height: 76vh; object-fit: contain; }
[data-testid="stLayoutWrapper"]:has(> .st-key-paint-bar) { position: sticky; bottom: 0; z-index: 9;
  padding: 0.6rem 0; margin: -0.6rem 0; backdrop-filter: blur(10px); }
@media (max-width: 640px) {
  .stMain [data-testid="stLayoutWrapper"]:has(> .st-key-easel) { position: static; }
  .stMainBlockContainer { padding-top: 4.5rem; }
  /* Room to scroll to what has been asked for before it has its full height. */
  .st-key-easel:has([class*="st-key-place-"]) { min-height: 85vh; }
}
</style>
"""

MENU_HTML: Final = "<span></span>"
MENU_JS: Final = """
// On a narrow screen the menu lies over the page: choosing a page closes it, and a page that is
// loaded begins without it. Streamlit keeps in the browser whether it was open.
export default function () {
  if (window.likenessMenu) return;
  window.likenessMenu = true;
  const narrow = matchMedia("(max-width: 768px)");
  const close = () =>
    document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click();
  document.addEventListener("click", (event) => {
    if (narrow.matches && event.target.closest?.("[data-testid=stSidebarNavLink]"))
      setTimeout(close);
  });
  addEventListener("pagehide", () => {
    if (!narrow.matches) return;
    for (const name of Object.keys(localStorage))
      if (name.startsWith("stSidebarCollapsed-")) localStorage.removeItem(name);
  });
  document.documentElement.dataset.menuWatched = "";
}
"""

MARK: Final = """
<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32" viewBox="0 0 32 32">
<rect x="2" y="2" width="28" height="28" rx="6" fill="#17695a"/>
<circle cx="16" cy="13" r="4.6" fill="#fff"/>
<path d="M7.5 25.5c1.2-5 4.6-7 8.5-7s7.3 2 8.5 7z" fill="#fff"/>
</svg>
"""
"""A portrait in a frame: the sign of the application, drawn here so that none is fetched."""

WORDMARK: Final = Path(__file__).parent / "static" / "wordmark.svg"
"""The sign with the name beside it, in a green that can be read on light and on dark."""
