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
