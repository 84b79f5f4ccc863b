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
