"""Loading what takes seconds in a thread of its own, while the page can be used.

Libraries above all. Two sessions that begin to import torchvision at the same moment may each hold
a module that the other waits for: Python then raises an exception in one of them. So no session
imports anything of that size: it waits for the one thread that does.
"""

import atexit
import gc
import importlib
import threading
from collections.abc import Callable, Iterable
from functools import partial

_LIBRARIES = (
    "data.images",
    "recognition.faces.pipeline",
    "recognition.detection.mtcnn",
    "recognition.faces.embedding",
    "recognition.tail_cards",
    "backbones.catalogue",
    "style.presets.registry",
    "ui.page.style_fields",
    "ui.jobs.tasks",
    "ui.portraits",
)
"""What brings torch, by the names of those of ours that do."""


_PAGE = (
    "recognition.service",
    "streamlit.material_icon_names",
    "ui.page.resources",
    "ui.page.components",
    "ui.page.corrections",
    "ui.page.enrolment_report",
    "ui.page.face_dialog",
)
"""What the first page needs before it shows anything, none of which brings torch."""


class Loading:
    """Something that is being loaded.

    Args:
        load: Loads it, in a thread that is started here and ends with the process.
        after: Seconds until it begins with that, unless somebody waits for it before.
    """

    def __init__(self, load: Callable[[], object], after: float = 0.0) -> None:
        self._load, self._after = load, after
        self._is_wanted = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="loading", daemon=True)
        self._thread.start()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is loaded, or for some time; whether it has come to its end."""
        self._is_wanted.set()
        self._thread.join(seconds)
        return self.has_ended

    @property
    def is_put_off(self) -> bool:
        """Whether it has yet to begin, and nobody waits for it."""
        return not self._is_wanted.is_set()

    @property
    def has_ended(self) -> bool:
        """Whether it has come to its end; asking does not hasten it."""
        return not self._thread.is_alive()

    def result(self) -> None:
        """Wait until it is loaded.

        Raises:
            Exception: What the loading has raised.
        """
        self.wait()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        self._is_wanted.wait(self._after)
        self._is_wanted.set()
        try:
            self._load()
        except BaseException as error:
            self._error = error


_beginning = threading.Lock()
_libraries: Loading | None = None


def first_page() -> None:
    """Import what the first page needs."""
    _import(_PAGE)


def libraries(then: Callable[[], object] = lambda: None, after: float = 0.0) -> Loading:
    """The libraries that take seconds, whose import begins with the first call.

    Args:
        then: Called by the first call's thread after that; other callers do not wait for it.
        after: Seconds until the first call begins, unless somebody waits for them before.
    """
    global _libraries
    with _beginning:
        if _libraries is None:
            imported = _libraries = Loading(partial(_import, _LIBRARIES), after)
            Loading(lambda: (imported.wait(), then()), after)
        return _libraries


def _import(names: Iterable[str]) -> None:
    for name in names:
        importlib.import_module(name)


def freeze() -> None:
    """Spare the collector what stays for good.

    Streamlit collects after each run of a script, which takes 0.4 s with all the objects of torch.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries complain of what is left at the end
