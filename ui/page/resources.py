"""What all sessions of the page share: settings, the recognition service, the list of networks."""

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from data.decoder_sandbox import decoding_apart
from data.errors import AppError
from data.files import data_home
from ui.settings import Device, Settings

from ..audience import serves_others
from ..jobs import store
from .language import say
from .limits import MOST_A_MINUTE, Allowance
from .preloading import Loading, freeze, libraries
from .server import LOCK_AFTER, is_served
from .unlocking import IdleLock, require_open
from .unlocking import lock_bar as lock_bar_of

if TYPE_CHECKING:
    from backbones.catalogue import BackboneDescription
    from recognition.results import Enrolment
    from recognition.service import RecognitionService


_A_DAY = 24 * 3600  # seconds
_SETTLING = 1.5  # seconds that a page which opens has for itself: what imports, holds up the rest
_RECHECKED = 60  # seconds after which weights that somebody put into a folder are noticed


def settings() -> Settings:
    """What `likeness app` was told, which it hands on through the environment.

    `LIKENESS_HOME`, `LIKENESS_GALLERY`, `LIKENESS_INDEX`, `LIKENESS_MODEL`,
    `LIKENESS_WEIGHTS_FILE` and `LIKENESS_DEVICE` stand for the options of the same names.
    """
    weights = os.environ.get("LIKENESS_WEIGHTS_FILE")
    return Settings(
        home=data_home(),
        gallery=os.environ.get("LIKENESS_GALLERY"),
        index=os.environ.get("LIKENESS_INDEX"),
        model=os.environ.get("LIKENESS_MODEL"),
        weights=Path(weights) if weights else None,
        device=Device(os.environ.get("LIKENESS_DEVICE", Device.AUTO)),
    )


def recognition() -> "RecognitionService":
    """The one recognition service of this server; it loads its networks when they are needed.

    Where the gallery is encrypted, and the key is not in the environment, the page asks for it.
    """
    service, idle = _recognition(settings())
    idle.used()
    st.session_state["reads-gallery"] = True
    require_open(service)
    return service


def lock_bar() -> None:
    """At the end of a page: a way to lock the gallery, if this session reads an encrypted one."""
    if "reads-gallery" not in st.session_state:
        return
    service, _ = _recognition(settings())
    if not service.gallery.is_locked:
        lock_bar_of(service)


@st.cache_resource(show_spinner=False)
def decode_apart() -> ExitStack:
    """Have every picture that this server is given decoded by processes with a limit.

    None of them is there before the first picture. Whoever closes what this returns ends it.
    """
    until_the_end = ExitStack()
    until_the_end.enter_context(decoding_apart())
    atexit.register(until_the_end.close)
    return until_the_end


def note_search(service: "RecognitionService", people: Iterable[int | None]) -> None:
    """Where others are served, write a search into the audit log, in ids."""
    if serves_others():
        service.gallery.note_search(sorted({who for who in people if who is not None}))


def note_enrolment(service: "RecognitionService", enrolment: "Enrolment") -> None:
    """The same for an enrolment, which compares each photograph with everybody enrolled."""
    if serves_others() and enrolment.kept:
        names = {one.person for one in enrolment.enrolled}
        note_search(
            service,
            [
                *(one.person_id for one in service.people.summaries() if one.name in names),
                *(who for kept in enrolment.kept for who in kept.named),
            ],
        )


def allow_search(photographs: int) -> None:
    """Where others are served, refuse more photographs than may be compared in a minute.

    Whatever tells somebody who is like whom is such a comparison: a search, an enrolment that warns
    of others who are alike, and a comparison of everybody enrolled.

    Raises:
        AppError: There have been too many.
    """
    if serves_others() and not _allowance().take(photographs):
        raise AppError(
            say(
                "more than {most} photographs in a minute, by all visitors: wait a little, "
                "and give fewer at once",
                most=MOST_A_MINUTE,
            )
        )


class Turns:
    """Lets one session compute at a time, and the others in the order in which they came."""

    def __init__(self) -> None:
        self._changing = threading.Condition()
        self._waiting: deque[object] = deque()

    def begin(self) -> None:
        """Wait for the turn."""
        own = object()
        with self._changing:
            self._waiting.append(own)
            self._changing.wait_for(lambda: self._waiting[0] is own)

    def end(self) -> None:
        """Give it up."""
        with self._changing:
            self._waiting.popleft()
            self._changing.notify_all()

    def let_others(self) -> None:
        """Give it up to those who wait already, if anybody does, and wait for the next one."""
        with self._changing:
            if len(self._waiting) == 1:
                return
        self.end()
        self.begin()


@contextmanager
def turn() -> Iterator[Callable[[], None]]:
    """Wait until no other session computes: two at once would take as long and more memory.

    Yields:
        What long work calls between two photographs, so that nobody waits for the whole batch.
    """
    if is_served():
        load_libraries().result()  # no session imports them itself; see `preloading`
    turns = _turns()
    turns.begin()
    try:
        yield turns.let_others
    finally:
        turns.end()


def networks() -> "tuple[BackboneDescription, ...]":
    """Every network: those with weights at hand first, and among equals those made for pictures."""
    return _networks(settings().home)


def forget_networks() -> None:
    """Look for weights anew the next time."""
    _networks.clear()


@st.cache_resource(show_spinner=False, hash_funcs={Settings: repr})
def _recognition(chosen: Settings) -> "tuple[RecognitionService, IdleLock]":
    service = chosen.recognition_service(on_terminal=False)

    def lock() -> None:
        with turn():  # not in the middle of somebody's work
            service.gallery.lock()

    minutes = os.environ.get(LOCK_AFTER, "")
    idle = IdleLock(lock, 60 * int(minutes) if minutes.isdigit() else 0)
    idle.start()
    return service, idle


@st.cache_resource(show_spinner=False)
def tidy_daily() -> threading.Thread:
    """Now and once a day, as long as this server runs, remove what is kept for a time that is over.

    That are people whose consent has ended or who were deleted, and jobs; listing either does the
    same. An encrypted gallery, whose key a session has typed, is left to its listings.
    """
    from recognition.access import GalleryAccess

    chosen = settings()

    def tidy() -> None:
        with suppress(AppError, OSError):
            store.tidy(chosen.home)
        with (
            suppress(AppError, OSError),
            GalleryAccess(chosen.home, chosen.gallery, index=chosen.index) as access,
        ):
            access.tidy()

    def go_on() -> None:
        while True:
            tidy()
            time.sleep(_A_DAY)

    thread = threading.Thread(target=go_on, name="tidying", daemon=True)
    thread.start()
    return thread


def load_libraries() -> Loading:
    """The libraries that take seconds, which are begun with if nobody has done so.

    After them a server looks for weights, so that nobody has to wait for that either.
    """
    if not is_served():
        return libraries()
    return libraries(then=partial(_look_ahead, settings()), after=_SETTLING)


def load_network(service: "RecognitionService") -> Loading:
    """Begin to load the network for faces, which does nothing where it is loaded already."""

    def load() -> None:
        load_libraries().result()
        with turn():
            service.models.load()

    is_first = is_served() and not load_libraries().has_ended
    return Loading(load, _SETTLING if is_first else 0.0)


def _look_ahead(chosen: Settings) -> None:
    with suppress(AppError):
        _networks(chosen.home)
    freeze()


@st.cache_resource(show_spinner=False)
def _allowance() -> Allowance:
    return Allowance(MOST_A_MINUTE, 60.0)


@st.cache_resource(show_spinner=False)
def _turns() -> Turns:
    return Turns()


@st.cache_resource(show_spinner=say("Looking for weights …"), ttl=_RECHECKED)
def _networks(home: Path | None) -> "tuple[BackboneDescription, ...]":
    from backbones.catalogue import describe
    from backbones.registry import available
    from backbones.spec import Alignment
    from style.config import StyleConfig

    def rank(network: "BackboneDescription") -> tuple[bool, bool, bool]:
        spec = network.spec
        for_faces = spec.alignment is not Alignment.NONE
        return network.weights is None, for_faces, spec.name != StyleConfig().backbone

    return tuple(sorted((describe(name, home) for name in available()), key=rank))
