// A bar from 0 to 1 with a mark at the threshold; what reaches the mark takes the accent colour.
function scale(value, threshold) {
  const bar = make("div", value >= threshold ? "scale reached" : "scale");
  const fill = bar.appendChild(make("div", "fill"));
  fill.style.width = percent(value);
  const mark = bar.appendChild(make("div", "mark"));
  mark.style.left = percent(threshold);
  return bar;
}
