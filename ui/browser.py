"""What the page runs in the browser: four small pieces of HTML, CSS and JavaScript.

All text and pictures come as data and are put in as `textContent` and `src`, never as HTML, so a
person's name stays a name whatever it contains.
"""

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
.box { position: absolute; box-sizing: border-box; border: 2px solid #fff; border-radius: 4px;
  outline: 1px solid rgb(0 0 0 / 0.55); }
.box.faint { border-style: dashed; }
.box.known { border-color: #2fc4a2; }
.label { position: absolute; left: -2px; bottom: calc(100% + 3px); max-width: 14rem;
  padding: 0.15rem 0.45rem; border-radius: 4px; background: rgb(20 26 24 / 0.82); color: #fff;
  font: 600 0.8rem/1.25 var(--st-font); white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; unicode-bidi: isolate; }
.known .label { background: #17695a; }
.box.low .label { bottom: auto; top: calc(100% + 3px); }
.box.right .label { left: auto; right: -2px; }
.box:hover { z-index: 1; }
"""
FACES_JS: Final = (
    MAKE
    + """
export default function ({ data, parentElement }) {
  const figure = parentElement.querySelector("figure");
  const image = figure.querySelector("img");
  image.src = data.picture;
  image.alt = data.description;
  const [width, height] = data.size;
  figure.style.maxWidth = `min(100%, ${2 * width}px, calc(72vh * ${width / height}))`;
  figure.querySelector(".boxes").replaceChildren(...data.boxes.map((face) => {
    const [x1, y1, x2, y2] = face.box;
    const box = make("div", `box ${face.tone}`);
    box.classList.toggle("low", y1 < 0.09 * height);
    box.classList.toggle("right", x1 > 0.7 * width);
    box.style.left = percent(x1 / width);
    box.style.top = percent(y1 / height);
    box.style.right = percent(1 - x2 / width);
    box.style.bottom = percent(1 - y2 / height);
    const label = x2 - x1 < 0.1 * width ? face.short : face.label;
    if (label) box.append(make("div", "label", label));
    return box;
  }));
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
.card img { width: 4.5rem; height: 4.5rem; object-fit: cover; grid-row: span 2;
  border-radius: var(--st-base-radius); }
.name { font: 600 1.1rem/1.3 var(--st-heading-font); overflow-wrap: anywhere; align-self: end;
  unicode-bidi: isolate; }
.unknown { opacity: 0.7; font-style: italic; }
.verdict { font-size: 0.9rem; opacity: 0.75; }
table { grid-column: 1 / -1; width: 100%; border-collapse: collapse; font-size: 0.9rem;
  margin-top: 0.35rem; table-layout: fixed; }
th { font-weight: 400; text-align: left; padding: 0.2rem 0.6rem 0.2rem 0; width: 45%;
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; unicode-bidi: isolate; }
.number { width: 3.2rem; text-align: right; font-variant-numeric: tabular-nums; }
.likely { width: 5.4rem; opacity: 0.75; }
table:has(.likely) th { width: 36%; }
"""
)
MATCHES_JS: Final = (
    MAKE
    + _SCALE
    + """
export default function ({ data, parentElement }) {
  parentElement.querySelector(".cards").replaceChildren(...data.cards.map((face) => {
    const card = make("div", "card");
    const image = card.appendChild(make("img"));
    image.src = face.picture;
    image.alt = "";
    card.append(make("div", face.known ? "name" : "name unknown", face.title));
    card.append(make("div", "verdict", face.verdict));
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
.note { margin: 0.2rem 0 1.2rem; opacity: 0.8; }
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
  figure.style.maxWidth = `min(100%, ${1.5 * width}px, calc(76vh * ${width / height}))`;
  const range = figure.querySelector("input");
  range.oninput = () => figure.style.setProperty("--at", `${range.value}%`);
}
"""

PAGE_CSS: Final = """
<style>
.stMainBlockContainer { max-width: 76rem; padding-top: 5.5rem; }
.stMain h1 { padding-bottom: 0; }
[data-testid="stImage"] img { border-radius: 0.4rem; }
/* What is painted stays in sight beside a long form. */
.stMain [data-testid="stLayoutWrapper"]:has(> .st-key-easel) { position: sticky; top: 4.5rem; }
[data-testid="stText"] { overflow-wrap: anywhere; white-space: pre-wrap; }
</style>
"""

_FRAME = """
<rect x="2" y="2" width="28" height="28" rx="6" fill="#17695a"/>
<circle cx="16" cy="13" r="4.6" fill="#fff"/>
<path d="M7.5 25.5c1.2-5 4.6-7 8.5-7s7.3 2 8.5 7z" fill="#fff"/>
"""
MARK: Final = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32" viewBox="0 0 32 32">{_FRAME}'
    "</svg>"
)
"""A portrait in a frame: the sign of the application, drawn here so that none is fetched."""

WORDMARK: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="150" height="32" viewBox="0 0 150 32">'
    f"{_FRAME}"
    '<text x="40" y="22.5" font-family="Georgia, serif" font-size="20" font-weight="600" '
    'fill="#2c8a76">Likeness</text></svg>'
)
"""The sign with the name beside it, in a green that can be read on light and on dark."""
