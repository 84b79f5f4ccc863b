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
