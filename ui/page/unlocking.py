"""The page asks once for the passphrase of an encrypted gallery, and forgets it again.

Whoever reaches the page reads an open gallery. So it is locked by a click, for all sessions, and
by itself when nobody has used the page for a while.
"""

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import streamlit as st

from data.errors import AppError

from .. import wording
from .language import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from recognition.service import RecognitionService


_EVERY = 20.0  # seconds between two looks of an open page at whether it has been locked
_LOOKED_AT = 5.0  # and of the server at whether it is time to lock it
_FOUND_OUT = ("memory", "each", "alike", "desk", "person-wanted")
"""What a session has of a gallery that was open: it is forgotten once that is locked."""


class IdleLock:
    """Locks a gallery when nobody has used it for some time.

    Args:
        lock: Locks it.
        seconds: The time; 0: never.
        clock: Tells the time.
    """

    def __init__(
        self,
        lock: "Callable[[], object]",
        seconds: float,
        clock: "Callable[[], float]" = time.monotonic,
    ) -> None:
        self._lock, self._seconds, self._clock = lock, seconds, clock
        self._used_at = clock()
        self._changing = threading.Lock()

    def start(self) -> None:
        """Look from time to time, in a thread that ends with the process."""
        if self._seconds:
            threading.Thread(target=self._watch, name="idle-lock", daemon=True).start()

    def used(self) -> None:
        """Somebody uses the gallery now."""
        with self._changing:
            self._used_at = self._clock()

    def look(self) -> bool:
        """Lock it if it is time to; whether it was."""
        with self._changing:
            if not self._seconds or self._clock() - self._used_at < self._seconds:
                return False
        self._lock()
        return True

    def _watch(self) -> None:
        while True:
            time.sleep(min(self._seconds, _LOOKED_AT))
            with suppress(AppError):  # a gallery that is in use is locked a little later
                self.look()


def require_open(service: "RecognitionService") -> None:
    """Go on if the gallery can be read; otherwise show a form for its passphrase, and stop here."""
    if not service.gallery.is_locked:
        return
    for found in _FOUND_OUT:
        st.session_state.pop(found, None)
    st.title(say("The gallery is encrypted"), anchor=False)
    st.caption(
        say(
            "What opens it is kept in this server's memory until it is locked, for "
            "everybody who can reach the page."
        )
    )
    with st.form("unlock", width=420):
        secret = st.text_input(say("Passphrase or key"), type="password", autocomplete="off")
        if st.form_submit_button(say("Open"), type="primary"):
            try:
                service.gallery.unlock(secret)
            except AppError as error:
                st.error(wording.literal(str(error)), icon=":material/error:")
            else:
                st.rerun()
    st.stop()


def lock_bar(service: "RecognitionService") -> None:
    """At the end of a page: a way to lock an encrypted gallery; nothing where it is not."""
    if not service.gallery.is_encrypted:
        return
    if weak := service.gallery.weak_secret:
        st.warning(wording.literal(weak), icon=":material/key:")
    if st.button(say("Lock the gallery"), icon=":material/lock:", type="tertiary", key="lock"):
        service.gallery.lock()
        st.rerun()
    _leave_when_locked(service)


@st.fragment(run_every=_EVERY)
def _leave_when_locked(service: "RecognitionService") -> None:
    """Take what an open page shows away once another session, or time, has locked the gallery."""
    if service.gallery.is_locked:
        st.rerun()
