"""The page as somebody meets it who has never seen it: on a telephone, by keyboard, in two windows.

One server for all of them, whose recognition service plays its part and whose painter paints at
once; one axe-core, which looks for what shuts people out.
"""

import io
import itertools
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from chromium import MINUTES, launched, served, settled, upload
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(900)]

PAGES = ("", "identify", "verify", "stylize", "models")
TITLES = ("People", "Identify", "Verify", "Stylize", "Models")
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}

# The page with the service of the pages' tests, some people in it, and a painter that needs no
# network: it says three steps and copies the photograph.
PROGRAM = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("played", os.environ["PLAYED"])
played = importlib.util.module_from_spec(spec)
sys.modules["played"] = played
spec.loader.exec_module(played)
from ui.cli import main
from ui.jobs import orders
from ui.page import resources
service = played.PlayedService(names=["Ann Example", "Bob Example"], faces=3, similarity=0.62)
service.deleted = ["Cyd Example"]
service.done = ["'Cyd Example' deleted"]
service.groups = {"Ann Example": ("family",)}
resources.recognition = lambda: service
orders.likeness = lambda *_: [sys.executable, "-c", os.environ["PAINTER"]]
sys.exit(main.main(sys.argv[1:]))
"""
PAINTER = """
import json, shutil, sys, time
given = dict(word[2:].split("=", 1) for word in sys.argv if word.startswith("--") and "=" in word)
content = next(word for word in sys.argv if word.endswith("content.png"))
from PIL import Image
picture = Image.open(content).resize((400, 300))
for step in range(1, 4):
    picture.save(given["preview"], "JPEG")
    print(json.dumps({"step": step, "total": 3, "losses": {}, "elapsed": step}), flush=True)
    time.sleep(0.7)
picture.save(given["output"])
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as started:
        yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the page is served."""
    home = tmp_path_factory.mktemp("page") / "home"
    played = Path(__file__).parent / "pages" / "conftest.py"
    with served(
        home,
        "-c",
        PROGRAM,
        LIKENESS_HOME=str(home),
        PLAYED=str(played),
        PAINTER=PAINTER,
    ) as where:
        yield where


@pytest.fixture(scope="module")
def profile(browser: Any, address: str) -> Iterator[tuple[Any, str]]:
    """One browser profile for all the windows, which keeps what it has loaded; the page's place."""
    with browser.new_context() as context:
        context.set_default_timeout(MINUTES)
        page = context.new_page()
        page.goto(address)
        settled(page)
        base = page.url.rstrip("/")
        page.close()
        yield context, base


@pytest.fixture
def visit(profile: tuple[Any, str]) -> Iterator[Callable[..., tuple[Any, str]]]:
    """Opens a page in a window of its own; no script of it may fail."""
    context, base = profile
    windows, failed = [], []

    def open_one(
        name: str = "", viewport: Any = WIDE, color_scheme: str = "light"
    ) -> tuple[Any, str]:
        page = context.new_page()
        windows.append(page)
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.set_viewport_size(viewport)
        page.emulate_media(color_scheme=color_scheme)
        page.goto(f"{base}/{name}")
        settled(page)
        return page, base

    yield open_one
    for page in windows:
        # Streamlit keeps there whether the menu is open; the next test is another visitor.
        page.evaluate("localStorage.clear()")
        page.close()
    assert failed == []


def picture(name: str = "a.png", size: tuple[int, int] = (64, 64), seed: int = 0) -> dict[str, Any]:
    """A picture file, for an upload."""
    file = io.BytesIO()
    Image.effect_noise(size, 20 + seed).convert("RGB").save(file, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": file.getvalue()}


def turn_to(page: Any, title: str) -> None:
    """Go to another page by the menu, as a visitor does."""
    page.get_by_role("link", name=title).first.click()
    page.get_by_role("heading", name=title, level=1).wait_for()
    settled(page)


def job_of(address: str) -> str:
    """The picture that an address shows."""
    (job,) = parse_qs(urlsplit(address).query).get("job", [""])
    return job


def until(page: Any, condition: str, given: Any = None) -> None:
    """Wait until an expression is true in the page, whose policy forbids it to ask itself."""
    deadline = time.monotonic() + MINUTES / 1000
    while not page.evaluate(condition, given):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(100)


# What shuts people out


def serious(page: Any) -> list[str]:
    """What axe-core finds that is serious or worse, in what is in sight of a page at rest."""
    from axe_playwright_python.sync_playwright import Axe

    if not page.evaluate("Boolean(window.axe)"):  # it stays until the page is loaded anew
        page.evaluate(Axe().axe_script)
    found: list[str] = []
    for pause in (300, 700, 1500):  # what is being drawn anew fades, and has no contrast then
        settled(page)
        page.wait_for_timeout(pause)
        told = page.evaluate("axe.run(document, {runOnly: ['wcag2a', 'wcag2aa']})")
        found = [
            f"{one['id']}: {node['html'][:160]}"
            for one in told["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]
        if not found:
            break
    return found


def act(page: Any, name: str) -> None:
    """Something that brings up what a page has to show."""
    if name == "":
        page.get_by_role("button", name="Enrol", exact=True).click()
        page.get_by_text("No name yet").wait_for()
        page.get_by_role("button", name="Change").first.click()
        page.get_by_role("dialog").wait_for()
    elif name == "identify":
        upload(page, picture())
        page.get_by_role("button", name="Name:").first.click()
        page.get_by_role("dialog").wait_for()
    elif name == "verify":
        upload(page, picture("a.png"))
        upload(page, picture("b.png", seed=1), place=1)
        page.get_by_text("Similarity").wait_for()
    elif name == "stylize":
        page.get_by_role("button", name="mosaic", exact=True).click()
        page.get_by_text("Advanced").click()


def test_axe_finds_nothing_serious_on_any_page_in_either_theme_before_and_after_an_action(
    visit: Any,
) -> None:
    page, _base = visit()
    found, grounds = {}, {"light": set(), "dark": set()}

    def look(*place: str) -> None:
        for theme, seen in grounds.items():
            page.emulate_media(color_scheme=theme)
            until(page, f"matchMedia('(prefers-color-scheme: {theme})').matches")
            found[(theme, *place)] = serious(page)
            seen.add(page.evaluate("getComputedStyle(document.querySelector('.stApp')).background"))

    for name, title in zip(PAGES, TITLES, strict=True):
        turn_to(page, title)
        look(name, "before")
        act(page, name)
        settled(page)
        look(name, "after")
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="detached")
    assert {place: lines for place, lines in found.items() if lines} == {}
    assert len(found) == 4 * len(PAGES)
    assert not grounds["light"] & grounds["dark"]  # it was looked at in both themes indeed


def test_headings_go_down_one_level_at_a_time(visit: Any) -> None:
    page, _base = visit()
    for title in TITLES:
        turn_to(page, title)
        levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => +h.tagName[1])")
        assert levels[0] == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


_OURS = "rule => rule.selectorText?.includes('summary') && rule.cssText.includes('currentcolor')"
"""The rule that draws the edge; the page's style comes with its elements, after the heading."""


def test_whoever_goes_by_keyboard_sees_an_edge_wherever_they_are(visit: Any) -> None:
    page, _base = visit("stylize")
    until(
        page,
        "[...document.styleSheets].some(s => [...s.cssRules].some(OURS))".replace("OURS", _OURS),
    )
    seen = set()
    for _ in range(45):
        page.keyboard.press("Tab")
        name, edge = page.evaluate(
            """() => {
              let at = document.activeElement;
              while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
              const name = at.tagName + " " + (at.getAttribute("aria-label") ?? at.innerText);
              const parts = [at, ...at.querySelectorAll("*")];
              for (let up = at.parentElement; up && parts.length < 200; up = up.parentElement) {
                parts.push(up);
                if (up.matches("[data-testid=stElementContainer]")) break;
              }
              return [name.slice(0, 40), parts.some((part) => {
                const style = getComputedStyle(part);
                return style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
              })];
            }"""
        )
        if name.startswith("BODY"):
            break
        assert edge, name
        seen.add(name)
    assert len(seen) > 15


# A telephone


def test_on_a_telephone_the_menu_closes_and_nothing_is_wider_than_the_screen(visit: Any) -> None:
    page, _base = visit(viewport=NARROW)
    until(page, MENU_IS_WATCHED)
    for title in ("Identify", "Verify", "Stylize", "Models", "People"):
        page.get_by_test_id("stExpandSidebarButton").click()
        page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()
        page.get_by_role("heading", name=title, level=1).wait_for()
        settled(page)
        until(page, MENU_IS_CLOSED)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, title
        cut = page.get_by_test_id("stFileUploaderDropzone").evaluate_all(
            "all => all.filter(one => one.scrollWidth > one.clientWidth + 1).length"
        )
        assert cut == 0, title


MENU_IS_WATCHED = "'menuWatched' in document.documentElement.dataset"
"""Our script for it comes as an element of the page, perhaps after the heading."""

MENU_IS_CLOSED = """() => {
  const menu = document.querySelector("[data-testid=stSidebar]");
  return !menu || menu.getBoundingClientRect().right <= 1;
}"""


def test_on_a_telephone_a_page_that_is_loaded_again_begins_without_the_menu(visit: Any) -> None:
    page, base = visit(viewport=NARROW)
    for again in (page.reload, lambda: page.goto(f"{base}/verify"), page.reload):
        until(page, MENU_IS_WATCHED)
        page.get_by_test_id("stExpandSidebarButton").click()
        until(page, f"!({MENU_IS_CLOSED})()")
        again()
        settled(page)
        until(page, MENU_IS_CLOSED)


@pytest.mark.parametrize("viewport", [WIDE, NARROW])
def test_no_two_names_on_a_picture_overlap_wherever_the_faces_are(
    visit: Any, viewport: Any
) -> None:
    """Faces at random, drawn by the page's own script."""
    page, _ = visit("identify", viewport=viewport)
    upload(page, picture(size=(600, 400)))
    page.get_by_text("There is no liveness test").wait_for()
    from ui.page import browser, components

    faces = browser.piece("faces", "elements")

    draw = random.Random(5)
    shown = components.data_url(Image.new("RGB", (600, 400), "grey"))
    for amount in (2, 6, 12, 30):
        boxes = []
        for number in range(amount):
            x, y, side = draw.uniform(0, 560), draw.uniform(0, 360), draw.uniform(8, 120)
            label = f"{number} · {'Somebody with a long name'[: draw.randint(3, 25)]}"
            boxes.append(
                {
                    "box": [x, y, min(600, x + side), min(400, y + side)],
                    "label": label,
                    "short": str(number),
                    "tone": "known",
                }
            )
        data = {"picture": shown, "size": [600, 400], "boxes": boxes, "pick": "x"}
        rectangles = page.evaluate(
            """async ([script, style, markup, data]) => {
              const place = document.createElement("div");
              place.style.cssText = "position: fixed; inset: 0; background: white; z-index: 99999";
              place.innerHTML = `<style>${style}</style>${markup}`;
              document.body.append(place);
              const run = new Function(script.replace("export default", "return"))();
              run({ data, parentElement: place, setTriggerValue() {} });
              await new Promise((done) => setTimeout(done, 400));
              const labels = [...place.querySelectorAll(".label")]
                .filter((one) => one.style.visibility === "visible")
                .map((one) => one.getBoundingClientRect().toJSON());
              const frame = place.querySelector("figure").getBoundingClientRect().toJSON();
              place.remove();
              return [frame, ...labels];
            }""",
            [faces.js, faces.css, faces.html, data],
        )
        frame, *labels = rectangles
        assert len(labels) >= min(amount, 5)
        for place, one in enumerate(labels):
            assert one["left"] >= frame["left"] - 1
            assert one["right"] <= frame["right"] + 1
            for other in labels[:place]:
                apart = (
                    one["right"] <= other["left"]
                    or other["right"] <= one["left"]
                    or one["bottom"] <= other["top"]
                    or other["bottom"] <= one["top"]
                )
                assert apart


def test_everything_in_a_dialog_can_be_reached_in_a_small_window(visit: Any) -> None:
    for size in ((860, 600), (390, 500)):
        page, _ = visit(viewport={"width": size[0], "height": size[1]})
        page.get_by_role("button", name="Change").first.click()
        for label in ("Rename", "Merge", "Delete"):
            button = page.get_by_role("dialog").get_by_role("button", name=label, exact=True)
            button.scroll_into_view_if_needed()
            box = button.bounding_box()
            assert 0 <= box["y"] <= size[1] - box["height"]
            assert 0 <= box["x"] <= size[0] - box["width"]


# From a photograph to a name


def test_four_clicks_lead_from_the_first_page_to_a_named_face(visit: Any) -> None:
    page, _ = visit()
    clicks = 0

    def click(target: Any) -> None:
        nonlocal clicks
        target.click()
        clicks += 1

    click(page.get_by_role("link", name="Identify"))
    page.get_by_role("heading", name="Identify", level=1).wait_for()
    settled(page)
    with page.expect_file_chooser() as chooser:
        click(page.get_by_test_id("stFileUploaderDropzone").locator("button").first)
    chooser.value.set_files([picture("new.png")])
    click(page.get_by_role("button", name="Name:").first)
    page.get_by_role("combobox", name="Name").fill("Dan Example")
    page.keyboard.press("Enter")
    click(page.get_by_role("dialog").get_by_role("button", name="Enrol this face"))
    page.get_by_role("dialog").wait_for(state="detached")
    page.get_by_text("Dan Example is enrolled by that face").first.wait_for()
    assert clicks <= 4


def test_whose_face_is_meant_is_clicked_in_the_picture_and_the_receipt_comes_into_sight(
    visit: Any,
) -> None:
    page, _ = visit("identify", viewport=NARROW)
    upload(page, picture("b.png", seed=7))
    page.locator("button.box").first.focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.get_by_role("dialog").get_by_text("Enrol only people who agree").wait_for()


# Two windows, going back, another page, a reload


def test_somebody_deleted_in_another_window_is_not_passed_over_in_silence(visit: Any) -> None:
    first, _ = visit()
    second, _ = visit()
    names = first.get_by_role("button", name="Change")
    second.get_by_role("button", name="Change").nth(1).click()
    second.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    second.get_by_role("dialog").wait_for(state="detached")
    names.nth(1).click()
    first.get_by_text("is not enrolled any more").wait_for()
    second.get_by_role("button", name="Undo").click()


def test_a_group_holds_as_soon_as_it_is_chosen(visit: Any) -> None:
    page, _ = visit()
    page.get_by_role("button", name="Change").nth(1).click()
    field = page.get_by_role("dialog").get_by_role("combobox", name="Groups")
    field.fill("staff")
    page.keyboard.press("Enter")
    settled(page)
    page.wait_for_timeout(500)
    other, _ = visit()
    other.get_by_text("staff").first.wait_for()


def test_uploads_and_choices_outlive_another_page_and_choices_a_reload(visit: Any) -> None:
    from style.config import PaintingQuality, settings_of

    fine = f"{settings_of(PaintingQuality.FINE)['size']:,} pixels"
    page, _base = visit("stylize")
    page.get_by_role("button", name="mosaic", exact=True).click()
    page.get_by_text("Fine", exact=True).click()

    def chosen() -> list[str]:
        page.get_by_text(fine).wait_for()
        page.locator("button[aria-pressed=true]").wait_for()
        names: list[str] = page.locator("button[aria-pressed=true] .name").all_inner_texts()
        return names

    assert chosen() == ["mosaic"]
    settled(page)
    page.reload()
    settled(page)
    assert chosen() == ["mosaic"]
    upload(page, picture("harbour.png"))
    turn_to(page, "Verify")
    turn_to(page, "Stylize")
    page.locator("[class*=st-key-take-away]").get_by_role("button").wait_for()
    page.get_by_role("img", name="harbour.png").first.wait_for()
    assert chosen() == ["mosaic"]
    page.reload()  # once more, after another page was there
    settled(page)
    assert chosen() == ["mosaic"]


WIDTH = """width => {
  let found = null;
  const look = (root) => root.querySelectorAll("*").forEach((one) => {
    if (one.matches("img.after")) found = one.getBoundingClientRect().width;
    if (one.shadowRoot) look(one.shadowRoot);
  });
  look(document);
  return found !== null && Math.abs(found - width) <= 2;
}"""
"""Whether what was painted is as wide as its preview was, in whatever root the picture lies."""


def test_two_pictures_stay_in_view_going_back_shows_the_one_before_and_paint_is_in_sight(
    visit: Any,
) -> None:
    page, _base = visit("stylize")
    button = page.get_by_role("button", name="Paint", exact=True).bounding_box()
    assert button["y"] + button["height"] <= 800
    upload(page, picture("c.png", (400, 300)))
    page.get_by_role("button", name="mosaic", exact=True).click()
    settled(page)
    page.get_by_role("button", name="Paint", exact=True).click()
    preview = page.locator(".st-key-preview img")
    preview.wait_for()
    width = preview.bounding_box()["width"]
    page.get_by_role("button", name="Discard").wait_for()
    until(page, WIDTH, width)
    first = job_of(page.url)
    page.get_by_role("button", name="waves", exact=True).click()
    settled(page)
    page.get_by_role("button", name="Paint", exact=True).click()
    until(page, "job => new URL(location).searchParams.get('job') !== job", first)
    second = job_of(page.url)
    assert first
    assert second
    opens = page.get_by_role("button", name="Open", exact=True)
    opens.wait_for()  # the first one is still in view, and strict: it is one
    page.go_back()
    until(page, "job => new URL(location).searchParams.get('job') === job", first)
    page.get_by_role("button", name="Discard", exact=True).wait_for()
    opens.wait_for()
    tiles = page.locator(".st-key-shelf img").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(r => [r.width, r.height])"
    )
    assert all(abs(width - height) <= 1 for width, height in tiles)
    page.get_by_role("button", name="Discard", exact=True).click()
    page.get_by_role("button", name="Discard it").wait_for()  # nothing is gone yet
    page.keyboard.press("Escape")


def test_on_a_telephone_what_is_asked_for_comes_into_sight_and_nothing_moves_by_itself(
    visit: Any,
) -> None:
    """The picture stands below a form of two screens."""
    page, base = visit("stylize", viewport=NARROW)
    upload(page, picture("d.png", (400, 300)))
    page.get_by_role("button", name="batik", exact=True).click()
    settled(page)
    top = "document.querySelector('.st-key-easel').getBoundingClientRect().top"
    assert page.evaluate(top) > NARROW["height"]
    page.get_by_role("button", name="Paint", exact=True).click()
    until(page, f"{top} >= 0 && {top} < innerHeight / 2")
    page.get_by_role("button", name="Discard").wait_for()
    until(page, f"{top} >= 0 && {top} < innerHeight / 2")
    scrolled = "document.querySelector('[data-testid=stMain]').scrollTop"
    page.goto(f"{base}/stylize?job={job_of(page.url)}")  # whoever comes back begins at the top
    page.get_by_role("button", name="Discard").wait_for()
    settled(page)
    page.wait_for_timeout(1500)
    assert page.evaluate(scrolled) == 0


def test_what_is_refused_is_a_sentence(visit: Any) -> None:
    page, _base = visit()
    page.get_by_role("button", name="Enrol", exact=True).click()
    page.get_by_text("No name yet").wait_for()
    turn_to(page, "Stylize")
    page.get_by_role("button", name="Paint", exact=True).click()
    page.get_by_test_id("stAlert").first.wait_for()
    turn_to(page, "Verify")
    page.get_by_test_id("stAlert").first.wait_for(state="detached")
    broken = picture("c.png") | {"buffer": b"no picture"}
    upload(page, broken)
    page.get_by_test_id("stAlert").first.wait_for()
    settled(page)
    lines = page.get_by_test_id("stAlert").all_inner_texts()
    assert len(lines) == 1
    for line in lines:
        text = line.strip().splitlines()[-1].strip()
        assert text[0].isupper() or not text[0].isalpha()
        assert text.endswith(".")
