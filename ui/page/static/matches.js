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
