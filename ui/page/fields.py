"""Fields that several pages have: pictures by upload or by camera, and a threshold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from data.errors import AppError
from data.formats import disguised
from recognition.results import PersonSummary

from .. import wording
from ..audience import serves_others
from . import session
from .language import say

_STILL = ("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "webp", "avif", "avifs", "bmp", "tif")
_OTHERS = ("tiff", "gif", "jp2", "j2k", "jpx", "jpf", "j2c")
_PORTABLE = ("ppm", "pgm", "pbm", "pnm")
_TELEPHONE = ("heic", "heif") if find_spec("pi_heif") else ()  # their reader is an extra

# Spelt out, for `data.images` brings torch, for which a page that opens need not wait.
PICTURE_KINDS = (*_STILL, *_OTHERS, *_PORTABLE, *_TELEPHONE)
"""The suffixes of the pictures that can be read here, without their dot."""

MOST_UPLOADS = 50
"""Pictures that are taken at once: about a minute of work, in which other visitors wait."""


MOST_LISTED = 100
"""People from whom one is chosen in one list."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that a visitor has handed over.

    Its bytes stay with Streamlit, which knows how many each session holds, and `ui.page.limits`
    bounds them; what a session remembers of a file is this.

    Attributes:
        id: Another one for every upload.
        name: What the visitor's browser calls it: shown, and never used as a path.
    """

    id: str
    name: str

    @property
    def content(self) -> bytes:
        """Its bytes, not yet looked at.

        Raises:
            AppError: They are not there any more.
        """
        found = _held(self.id)
        if found is None:
            raise AppError(
                say("{name} is not here any more: add it again", name=wording.shorten(self.name))
            )
        return found

    @property
    def is_there(self) -> bool:
        """Whether its bytes are."""
        return _held(self.id) is not None


def _held(identity: str) -> bytes | None:
    """The bytes of an upload of this session."""
    context = get_script_run_ctx()
    if context is None:
        return None
    files = context.uploaded_file_mgr.get_files(context.session_id, [identity])
    return files[0].data if files else None


def drop(given: Iterable[Upload]) -> None:
    """Let the bytes of uploads go, which nobody needs any more."""
    context = get_script_run_ctx()
    if context is not None:
        remove = getattr(context.uploaded_file_mgr, "remove_file", None)
        if remove is not None:
            for upload in given:
                remove(context.session_id, upload.id)


def uploads(
    label: str, *, key: str, several: bool = False, help: str | None = None
) -> list[Upload]:
    """A field to drop pictures on; returns what is on it, of very many the first."""
    given = st.file_uploader(
        label, type=PICTURE_KINDS, accept_multiple_files=several, key=key, help=help
    )
    files = given if isinstance(given, list) else [given] if given else []
    now = [Upload(file.file_id, file.name) for file in files]
    taken = _with_those_before(key, now, several=several)
    if len(taken) > MOST_UPLOADS:
        st.warning(
            say(
                "{count} at once: only the first {most_uploads} are taken. Remove them "
                "afterwards, and add the others.",
                count=wording.count(len(taken), "picture"),
                most_uploads=MOST_UPLOADS,
            ),
            icon=":material/info:",
        )
    return [upload for upload in taken[:MOST_UPLOADS] if _is_what_it_says(upload)]


def is_filled(key: str) -> bool:
    """Whether something is on a field, also of what was there when its page was left.

    Args:
        key: The field's, which is shown later in this run.
    """
    slot = _slots().get(key, {"before": [], "now": []})
    earlier = [*slot["before"], *(slot["now"] if session.page_was_entered() else [])]
    return bool(st.session_state.get(key)) or any(upload.is_there for upload in earlier)


def forget(key: str, *, but: Iterable[Upload] = ()) -> None:
    """Forget what was handed over in a field that is not shown any more.

    Args:
        key: The field's.
        but: Of which uploads the bytes are needed still.
    """
    needed = {upload.id for upload in but}
    slot = _slots().pop(key, {})
    drop(upload for part in slot.values() for upload in part if upload.id not in needed)


def _slots() -> dict[str, dict[str, list[Upload]]]:
    """What was handed over in each field: when its page was left, and now."""
    slots: dict[str, dict[str, list[Upload]]] = st.session_state.setdefault("handed-over", {})
    return slots


def _with_those_before(key: str, now: list[Upload], *, several: bool) -> list[Upload]:
    """What is on a field, with what was on it when its page was left, which is shown below it."""
    slot = _slots().setdefault(key, {"before": [], "now": []})
    if session.page_was_entered():
        slot["before"] += slot["now"]
    slot["now"] = now
    if now and not several:
        drop(slot["before"])
        slot["before"] = []
    slot["before"] = [upload for upload in slot["before"] if upload.is_there]
    if slot["before"]:
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
            for upload in slot["before"]:
                st.button(
                    wording.plain(upload.name),
                    key=f"take-away-{key}-{upload.id}",
                    icon=":material/close:",
                    help=say("Added before; a click takes it away."),
                    on_click=partial(_take_away, slot, upload),
                )
    return [*slot["before"], *now]


def _take_away(slot: dict[str, list[Upload]], upload: Upload) -> None:
    slot["before"] = [one for one in slot["before"] if one.id != upload.id]
    drop([upload])


def _is_what_it_says(upload: Upload) -> bool:
    """Whether a file has a format that its name promises; a line is shown about one that has not.

    A path's name is held to that where it is read; what comes to the page is handed on without one.
    """
    hidden = disguised(upload.name, upload.content)
    if hidden is not None:
        name = wording.plain(upload.name)
        st.error(
            say(
                "{name} is left out: it is {hidden}, not what its name says. Save it as "
                "PNG or JPEG.",
                name=name,
                hidden=hidden,
            ),
            icon=":material/error:",
        )
    return hidden is None


def photographs(*, key: str, several: bool = True) -> list[Upload]:
    """Photographs by upload or, on request, by camera; returns what has been given so far."""
    label = say("Photographs") if several else say("Photograph")
    source = st.segmented_control(
        say("Source"),
        [say("Upload"), say("Camera")],
        default=session.begins_with(f"{key}-source", say("Upload")),
        key=f"{key}-source",
        label_visibility="collapsed",
    )
    if source != say("Camera"):
        return uploads(label, key=f"{key}-files", several=several)
    shot = st.camera_input(say("Camera"), key=f"{key}-camera", label_visibility="collapsed")
    shots = [Upload(shot.file_id, say("from the camera"))] if shot else []
    return _with_those_before(f"{key}-camera", shots, several=False)


def threshold(measured: float | None, *, key: str, origin: str = "") -> float | None:
    """A field for the cosine similarity from which on two faces count as one person's.

    Args:
        measured: What is decided by unless another is chosen; None where nothing tells.
        key: Tells this field from those of other pages.
        origin: Where the measured one comes from, in words.

    Returns:
        What was chosen; None where nothing was, which the field says if nothing is measured either.
    """
    if serves_others():  # who tries one threshold after another learns the similarity
        if measured is None:
            st.info(say("Nothing tells how alike strangers are."), icon=":material/tune:")
        return None
    chosen = st.number_input(
        say("Threshold"),
        min_value=-1.0,
        max_value=1.0,
        value=session.begins_with(key, None),
        step=0.01,
        placeholder=say("between −1 and 1")
        if measured is None
        else f"{wording.number(measured)}, {origin}",
        key=key,
        help=say(
            "The cosine similarity from which on two faces count as one person's. A "
            "higher one takes fewer strangers for one another, and misses more of "
            "those who are the same."
        ),
    )
    if measured is None and chosen is None:
        st.info(say("Nothing tells how alike strangers are: choose one."), icon=":material/tune:")
    return chosen


def groups_of(people: Iterable[PersonSummary]) -> list[str]:
    """All groups that somebody is in, by name."""
    return sorted({group for person in people for group in person.groups})


def groups(people: Iterable[PersonSummary], *, key: str, label: str) -> list[str]:
    """A field to choose groups in; none where nobody is in one."""
    known = groups_of(people)
    return st.multiselect(label, known, key=key, placeholder=say("everybody")) if known else []


def somebody(
    label: str, people: Sequence[PersonSummary], *, key: str, besides: int | None = None
) -> int | None:
    """Let one of some people be chosen by name; their id, which the page is to pass on.

    Of very many, only those are sent to the browser whose name has a part that is asked for: a page
    may have this field two dozen times, and is sent anew at each click.
    """
    names = {one.person_id: one.name for one in people if one.person_id != besides}
    if len(names) > MOST_LISTED:
        part = st.text_input(label, key=f"{key}-part", placeholder=say("part of a name")).casefold()
        found = [who for who, name in names.items() if part and part in name.casefold()]
        if not found:
            return None
        label = f"{label}: {wording.count(len(found), 'person', 'people')}"
        names = {who: names[who] for who in found[:MOST_LISTED]}

    def shown(who: int | str) -> str:  # Streamlit's test driver hands over what is shown already
        known = names.get(who, say("somebody who is gone")) if isinstance(who, int) else who
        return wording.shorten(known)

    return st.selectbox(
        label,
        list(names),
        index=None,
        format_func=shown,
        key=key,
        placeholder=say("somebody"),
    )
