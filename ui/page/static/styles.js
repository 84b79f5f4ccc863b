export default function ({ data, parentElement, setStateValue }) {
  // The element remembers: what the server sends may be older than the last click.
  const chosen = (parentElement.chosen ??= [...data.chosen]);
  const rows = Math.ceil(data.styles.length / data.columns);
  const place = parentElement.querySelector(".styles");
  place.setAttribute("aria-label", data.label);
  parentElement.querySelector(".label").textContent = data.label;
  const buttons = data.styles.map((style, number) => {
    const button = make("button");
    button.type = "button";
    button.title = style.about;
    const picture = button.appendChild(make("span", "picture"));
    const [column, row] = [number % data.columns, Math.floor(number / data.columns)];
    picture.style.backgroundImage = `url(${data.sheet})`;
    picture.style.backgroundSize = `${100 * data.columns}% ${100 * rows}%`;
    picture.style.backgroundPosition =
      `${(100 * column) / (data.columns - 1)}% ${(100 * row) / (rows - 1)}%`;
    button.append(make("span", "name", style.name));
    button.onclick = () => {
      const place = chosen.indexOf(style.name);
      if (place < 0) chosen.push(style.name); else chosen.splice(place, 1);
      show();
      remember();
      setStateValue("chosen", [...chosen]);
    };
    return button;
  });
  function show() {
    data.styles.forEach((style, number) => {
      const taken = chosen.includes(style.name);
      buttons[number].setAttribute("aria-pressed", taken);
      buttons[number].disabled = !taken && chosen.length >= data.most;
    });
    parentElement.querySelector(".hint").textContent =
      chosen.length ? `${chosen.length} of ${data.most}` : data.hint;
  }
  // Kept in the address, as what the other fields hold is: a reload finds it there.
  function remember() {
    const address = new URL(location.href);
    address.searchParams.delete(data.parameter);
    for (const name of chosen) address.searchParams.append(data.parameter, name);
    history.replaceState(history.state, "", address);
  }
  place.replaceChildren(...buttons);
  show();
}
