function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
function percent(fraction) {
  return `${Math.min(100, Math.max(0, 100 * fraction))}%`;
}
