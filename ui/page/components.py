"""What pages show: refusals, pictures with face boxes, cards, a before/after slider."""

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import streamlit as st
from PIL import Image

from data.errors import AppError, ArgumentError, WeightsError
from recognition.results import (
    Box,
    Decision,
    Identification,
    IdentifiedFace,
    PersonSummary,
    Use,
    Verification,
)
from recognition.service import RecognitionService
from recognition.thresholds import sigmoid

from .. import wording
from ..audience import serves_others
from ..jobs import store
from . import browser, fields, resources, session
from .language import say
from .preloading import Loading

_LONGEST_SIDE = 1280  # px of a picture that is sent to be looked at
_FACE_SIDE = 144  # px of a face on a card
_AT_ONCE, _EVERY, _LATER = 0.2, 0.1, 1.5  # seconds of waiting for what is being loaded

_faces = browser.component("faces", "elements")
_matches = browser.component("matches", "elements", "scale")
_verdict = browser.component("verdict", "elements", "scale")
_compare = browser.component("compare")
_arrival = browser.component("arrival")
_menu = browser.component("menu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A box to be drawn around a face.

    Attributes:
        box: Where, in pixels of the upright picture.
        label: What is written on it, or nothing.
        short: What is written on it where it is small.
        tone: `known`, `unknown` or `faint`.
    """

    box: Box
    label: str = ""
    short: str = ""
    tone: str = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture as browsers are sent it, which is made once and not at every click.

    Attributes:
        url: An address that holds the picture.
        size: Width and height of the picture itself, px.
        faces: The same for the squares around its faces.
        odd: What is odd about its file, a line each.
    """

    url: str
    size: tuple[int, int]
    faces: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()


def shown(content: bytes, boxes: Iterable[Box] = ()) -> Shown:
    """A picture file, and the faces in it, made ready for the browser.

    Raises:
        ImageError: It cannot be read.
    """
    wait_for(resources.load_libraries(), say("Loading what reads pictures"))
    from data.images import load_image  # brings torch, for which a page that opens need not wait

    odd: list[str] = []
    image = load_image(content, warn=odd.append)
    faces = tuple(data_url(_cut_out(image, box)) for box in boxes)
    return Shown(url=data_url(image), size=image.size, faces=faces, odd=tuple(odd))


def reading_order(boxes: Sequence[Box]) -> list[int]:
    """The places of faces in the order in which one reads: row by row, each from left to right.

    A face belongs to a row as long as its middle is within the height of the row's first face.
    """
    rows: list[list[int]] = []
    for place in sorted(range(len(boxes)), key=lambda number: boxes[number][1] + boxes[number][3]):
        _, top, _, bottom = boxes[place]
        first = boxes[rows[-1][0]] if rows else None
        if first is not None and (top + bottom) / 2 <= first[3]:
            rows[-1].append(place)
        else:
            rows.append([place])
    return [place for row in rows for place in sorted(row, key=lambda number: boxes[number][0])]


def frame() -> None:
    """What every page has: its style, the sign, and a menu that closes."""
    known = say("JPEG, PNG, WebP") + (say(", HEIC") if "heic" in fields.PICTURE_KINDS else "")
    kinds = say("{known} and other pictures, up to 50 MB each", known=known)
    st.html(browser.page_style(kinds))
    st.logo(browser.WORDMARK, size="large")
    with st.container(key="menu"):
        _menu(key="menu-closes")


def page_head(title: str, lead: str) -> None:
    """The title of a page, what it is for, and what was done just before."""
    st.title(title, anchor=False)
    st.caption(lead)
    messages()


def bring_into_sight(number: int, *, key: str) -> None:
    """Here is what has just come up: it is scrolled to, once, unless it is in sight already.

    Args:
        number: Another one each time that something comes up.
        key: Tells this place from others.
    """
    with st.container(key=f"place-{key}"):
        _arrival(key=key, data={"number": number})


def messages() -> None:
    """What was done or refused just before this run."""
    for message in _messages("done"):
        st.toast(message, icon=":material/check:")
    for message in _messages("refused"):
        refusal(message)


def done(message: str) -> None:
    """Say in the next run of the page that something is done.

    Args:
        message: One line, as it is.
    """
    st.session_state.setdefault("done", []).append(wording.literal(message))


def _messages(kind: str) -> list[str]:
    said: list[str] = st.session_state.pop(kind, [])
    return said


def action(do: Callable[[], object]) -> Callable[[], None]:
    """What a button's `on_click` does: something that the application may refuse.

    Such a callback is run before the page is drawn. So a click on a button of somebody who was
    deleted in another tab meanwhile is answered, although the button is drawn no more.
    """

    def act() -> None:
        try:
            do()
        except AppError as error:
            st.session_state.setdefault("refused", []).append(str(error))

    return act


@contextmanager
def refusals_shown() -> Iterator[None]:
    """Show what the application refuses within the block as one line, instead of stopping."""
    try:
        yield
    except AppError as error:
        refusal(str(error))


def refusal(message: str) -> None:
    """Show one line that says what was wrong."""
    st.error(wording.on_page(message), icon=":material/error:")


def unreadable_jobs() -> None:
    """Name the jobs whose record cannot be read, if there are any, and let them be removed."""
    home = resources.settings().home
    if not (names := store.unreadable(home)):
        return
    st.warning(
        say(
            "What {count} did cannot be read any more ({join}).",
            count=wording.count(len(names), "job"),
            join=wording.literal(wording.shorten(", ".join(names))),
        ),
        icon=":material/broken_image:",
    )
    if st.button(
        say("Discard what cannot be read"), icon=":material/delete:", key="discard-unreadable"
    ):
        store.discard_unreadable(home)
        st.rerun()


def oddity(warning: str) -> None:
    """Show one line on what is odd about a picture that is read all the same."""
    st.caption(f":material/info: {wording.sentence(warning)}")


@contextmanager
def at_work(doing: str) -> Iterator[Callable[[], None]]:
    """Say that something is being computed, and wait for the turn to do so.

    Nothing within the block may call Streamlit: a click in the meantime would end it half done.

    Yields:
        What lets others compute in between; see `resources.turn`.
    """
    with st.spinner(f"{doing} …", show_time=True), resources.turn() as let_others:
        yield let_others


def wait_for(loading: Loading, doing: str) -> None:
    """Say that something is being loaded until it is; a click elsewhere ends the wait.

    Raises:
        Exception: What the loading has raised.
    """
    if not loading.wait(_AT_ONCE):
        with st.spinner(f"{doing} …", show_time=True):
            tick = st.empty()
            while not loading.wait(_EVERY):
                tick.empty()  # here Streamlit ends this run if another one is asked for
    loading.result()


def weights_missed(service: RecognitionService) -> None:
    """Where the network's weights are not at hand, say what to do; nobody waits for the answer."""
    loading = session.remembered("loading", id(service), lambda: resources.load_network(service))
    if not loading.is_put_off and loading.wait(_AT_ONCE):
        weights_at_hand(service)
    else:
        st.fragment(_look_again, run_every=_LATER)(loading)


def _look_again(loading: Loading) -> None:
    """Draw the page anew once something is loaded."""
    if loading.has_ended:
        st.rerun()


def weights_at_hand(service: RecognitionService) -> bool:
    """Load the network for faces and, where its weights are not at hand, say what to do.

    Returns:
        Whether it is loaded.
    """

    def load() -> bool:
        wait_for(resources.load_network(service), say("Loading the network for faces"))
        return True

    try:
        # It stays loaded: a session that knows it need not wait for its turn again.
        return session.remembered("loaded", id(service), load)
    except WeightsError as error:
        with st.container(border=True, gap=None):
            st.markdown(say("**The network for faces has no weights yet.**"))
            st.caption(wording.literal(str(error)))
            st.page_link(
                "ui/page/pages/models.py",
                label=say("Get them on the Models page"),
                icon=":material/download:",
            )
    except AppError as error:
        refusal(str(error))
    return False


def decision(
    service: RecognitionService,
    use: Use,
    *,
    threshold: float | None = None,
    groups: Sequence[str] = (),
    person: PersonSummary | None = None,
) -> Decision | None:
    """The threshold in force and what it means; None where nothing tells.

    Where the gallery has outgrown its own, a line says so.
    """
    try:
        found = service.thresholds.decision(use, threshold=threshold, groups=groups, person=person)
    except ArgumentError:
        return None
    if found.doubt is not None:
        st.warning(wording.sentence(found.doubt), icon=":material/tune:")
    return found


def picture_with_faces(
    picture: Shown, frames: Sequence[Frame], *, key: str, description: str, pick: str = ""
) -> int | None:
    """A picture with a box around each face; labels are drawn by the browser, in any script.

    Args:
        picture: The upright picture.
        frames: The boxes.
        key: Tells this picture from others on the page.
        description: What to say to those who cannot see it.
        pick: What a click on a face does, in words; without any, the faces cannot be clicked.

    Returns:
        The frame that has just been clicked, by its place.
    """
    result = _faces(
        key=key,
        data={
            "picture": picture.url,
            "description": wording.shorten(description),
            "size": list(picture.size),
            "pick": pick,
            "boxes": [
                {
                    "box": list(frame.box),
                    "label": wording.shorten(frame.label),
                    "short": wording.shorten(frame.short),
                    "tone": frame.tone,
                }
                for frame in frames
            ],
        },
        on_face_change=_nothing,
    )
    for warning in picture.odd:
        oddity(warning)
    return _clicked(result, len(frames))


def _nothing() -> None:
    """A click is read from the component's result."""


def _clicked(result: Any, amount: int) -> int | None:
    """Which of so many faces a browser says was clicked, which may be anything."""
    face = result.get("face")
    return face if type(face) is int and 0 <= face < amount else None


def identified_picture(
    picture: Shown, result: Identification, order: Sequence[int], *, key: str
) -> int | None:
    """A picture with everybody's name on it; those not known are called so.

    Args:
        picture: The picture.
        result: Who is in it.
        order: The faces' places in the order of their numbers.
        key: Tells this picture from others on the page.

    Returns:
        The number of the face that has just been clicked, from 0.
    """
    faces = [result.faces[place] for place in order]
    frames = [
        Frame(
            box=face.face.box,
            label=f"{number} · {face.person or say('unknown')}",
            short=str(number),
            tone="known" if face.person else "unknown",
        )
        for number, face in enumerate(faces, start=1)
    ]
    names = ", ".join(face.person or say("somebody unknown") for face in faces)
    return picture_with_faces(
        picture,
        frames,
        key=key,
        description=names or say("a picture without faces"),
        pick=say("Say who this is"),
    )


def match_cards(
    picture: Shown, result: Identification, order: Sequence[int], threshold: float, *, key: str
) -> int | None:
    """A card for each face: who it is, how surely, the closest people, and a button to name it.

    Args:
        picture: The picture that the faces were found in.
        result: Who is in it.
        order: The faces' places in the order of their numbers.
        threshold: The cosine similarity that was decided by.
        key: Tells these cards from others on the page.

    Returns:
        The number of the face whose button has just been clicked, from 0.
    """
    cards = [
        _card(picture.faces[place], result.faces[place], threshold, number)
        for number, place in enumerate(order, start=1)
    ]
    shown = 0.5 if serves_others() else threshold
    found = _matches(key=key, data={"cards": cards, "threshold": shown}, on_face_change=_nothing)
    return _clicked(found, len(cards))


def verdict(result: Verification) -> None:
    """Whether it is one person, the number, and the mark that it is held against."""
    numbers = wording.judged(result)
    title, whose = say("The same person"), say("one person’s")
    if not result.same_person:
        title = say("Two different people")
    if result.person is not None:
        name = wording.shorten(result.person)
        title, whose = (
            name if result.same_person else say("Not {name}", name=name),
            say("{name}’s", name=name),
        )
    if result.probability is not None:
        numbers += say(
            "; {whose} with probability {likely}",
            whose=whose,
            likely=wording.likely(result.probability),
        )
    if result.excluded:
        numbers += say("; this face is known not to be theirs")
    value, needed = result.cosine_similarity, result.threshold
    if result.pair_value is not None and result.pair_limit is not None:
        value, needed = sigmoid(result.pair_value), sigmoid(result.pair_limit)
    if serves_others():
        value, needed = float(result.same_person), 0.5
    _verdict(
        key="verdict",
        data={
            "same": result.same_person,
            "title": title,
            "note": say("Similarity {numbers}", numbers=numbers),
            "value": value,
            "threshold": needed,
        },
    )


def before_and_after(before: Image.Image, after: Image.Image) -> None:
    """Two pictures of the same shape, one over the other, with a line to drag between them."""
    _compare(
        key="before-and-after",
        data={"before": data_url(before), "after": data_url(after), "size": list(after.size)},
    )


def data_url(image: Image.Image) -> str:
    """A picture as an address that holds it: JPEG, made smaller where it is large."""
    smaller = image.copy()
    smaller.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    file = io.BytesIO()
    smaller.save(file, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def closest_words(face: IdentifiedFace, threshold: float) -> str:
    """How close the closest person is to a face, and what speaks against naming it."""
    best = face.matches[0] if face.matches else None
    # Nobody is left where everybody who is enrolled is known not to be this face.
    numbers = wording.against(best.cosine_similarity, threshold) if best else say("nobody")
    if best and best.probability is not None:
        numbers += say(", {likely} likely", likely=wording.likely(best.probability))
    poor = wording.quality_words(face.quality)
    if face.quality is not None and poor != "good":
        numbers += f"; {poor}"
    if face.person is None and face.named_elsewhere is not None:
        numbers += say(
            "; {named_elsewhere} is another face here",
            named_elsewhere=wording.shorten(face.named_elsewhere),
        )
    return numbers if face.person else say("Closest: {numbers}", numbers=numbers)


def _card(picture: str, face: IdentifiedFace, threshold: float, number: int) -> dict[str, object]:
    """What the browser needs to know of one face."""
    return {
        "picture": picture,
        "known": face.person is not None,
        "title": f"{number} · {wording.shorten(face.person)}"
        if face.person
        else say("{number} · Unknown", number=number),
        "verdict": closest_words(face, threshold),
        "action": say("Not right?") if face.person else say("Name"),
        "matches": [
            {
                "person": wording.shorten(match.person),
                "value": match.cosine_similarity,
                "text": wording.number(match.cosine_similarity),
                "likely": "" if match.probability is None else wording.likely(match.probability),
            }
            for match in (() if serves_others() else face.matches)
        ],
    }


def _cut_out(image: Image.Image, box: Box) -> Image.Image:
    """The square around a face, with a little of what surrounds it."""
    x1, y1, x2, y2 = box
    half = 0.65 * max(x2 - x1, y2 - y1)
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    square = image.crop((round(x - half), round(y - half), round(x + half), round(y + half)))
    square.thumbnail((_FACE_SIDE, _FACE_SIDE))
    return square
