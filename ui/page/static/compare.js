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
