export default function ({ data, parentElement }) {
  const verdict = parentElement.querySelector(".verdict");
  verdict.classList.toggle("reached", data.same);
  verdict.replaceChildren(
    make("div", "title", data.title),
    make("div", "note", data.note),
    scale(data.value, data.threshold),
  );
}
