"""Where items are tried: a data folder with one person in it, and the doors that lead to it.

A trial yields a line for each promise that was broken. What holds for all of them is looked after
here: nothing unforeseen is raised, and what is refused leaves the gallery, and every file that is
there, as it was, and is refused quickly.
"""

import hashlib
import io
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from unittest.mock import patch

from recognition.models import DEFAULT_MODEL, Choice, Engine, Pipeline
from recognition.service import RecognitionService
from style.service import StyleService
from ui.cli.main import main
from ui.page import resources
from ui.settings import Settings

from .item import Item
from .pictures import encode, portrait

PERSON = "Eileen"
MOST_SECONDS = 4.0
"""What a trial may compute in which something is refused, two to six times."""

_PASSED_OVER = ("pristine/", "home/aligned/", "home/presets/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command said.

    Attributes:
        code: Its exit code.
        out: What it wrote to stdout.
        err: What it wrote to stderr, but for the line about the threshold.
    """

    code: int
    out: str
    err: str


@dataclass(slots=True)
class Outcome:
    """What came of one trial.

    Attributes:
        broken: How each broken promise looked.
        unhandled: Errors that nobody had foreseen.
        changed: Whether something refused has changed the gallery or another file.
    """

    broken: list[str] = field(default_factory=list)
    unhandled: list[str] = field(default_factory=list)
    changed: bool = False


class UnforeseenError(Exception):
    """The application was surprised, as it says itself."""


class Bench:
    """A data folder of its own with one person enrolled, and one network for all trials.

    Used in a `with` statement: meanwhile the command line and the page use that folder too.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.out = folder / "home", folder / "out"
        self.handed_in = folder / "handed-in"
        self.photograph = folder / "good.png"
        self.other_photograph = folder / "other.png"
        self._pristine = folder / "pristine"
        self._open = ExitStack()
        self.style = StyleService(home=self.home, device="cpu")

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.photograph.write_bytes(encode(portrait(), "PNG"))
        turned = portrait().rotate(5).crop((10, 10, 150, 150))
        self.other_photograph.write_bytes(encode(turned, "PNG"))
        environment = {"LIKENESS_HOME": str(self.home), "OMP_NUM_THREADS": "1"}
        self._open.enter_context(patch.dict(os.environ, environment))
        for name in ("LIKENESS_WEIGHTS", "LIKENESS_WEIGHTS_FILE", "LIKENESS_GALLERY"):
            os.environ.pop(name, None)
        self.pipeline: Pipeline = Engine(
            Choice(home=self.home, model=DEFAULT_MODEL, device="cpu"), lambda: None
        ).pipeline
        self._open.enter_context(
            patch.object(
                Settings,
                "recognition_service",
                lambda settings, **_: self._service_with_settings(settings),
            )
        )
        with self.service() as service:
            service.enroll(PERSON, [self.photograph])
        shutil.copytree(self.home, self._pristine)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def service(self, **settings: object) -> RecognitionService:
        """A recognition service of the data folder; the network is there already."""
        return RecognitionService(home=self.home, pipeline=self.pipeline, **settings)

    def _service_with_settings(self, settings: Settings) -> RecognitionService:
        """What the doors are given, with the network that is there already if they want that."""
        if settings.model is None and settings.weights is None:
            home = settings.home or self.home
            return RecognitionService(home=home, gallery=settings.gallery, pipeline=self.pipeline)
        return RecognitionService(
            home=settings.home, model=settings.model, weights=settings.weights, device="cpu"
        )

    def photographs(self, number: int) -> bytes:
        """A good photograph, another one for each number, as a file's content."""
        marked = portrait().copy()
        marked.putpixel((number % 160, 0), (number // 160, 0, 0))
        return encode(marked, "PNG")

    def say(self, *words: str) -> Said:
        """Run a command line in this process.

        Raises:
            UnforeseenError: It ended with an error that nobody had foreseen.
        """
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = main(words)
        if "--debug shows where" in err.getvalue() or "Traceback" in err.getvalue():
            raise UnforeseenError(err.getvalue().strip())
        # By which threshold people were told apart is said beside answers: that is no complaint.
        lines = err.getvalue().splitlines(keepends=True)
        complaints = "".join(line for line in lines if not line.startswith("threshold "))
        return Said(code=code, out=out.getvalue(), err=complaints)

    def clear(self) -> None:
        """Make everything as it was at first."""
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self._pristine, self.home)
        for folder in (self.handed_in, self.out):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()

    def state(self) -> dict[str, str]:
        """Each file there is, and its content; of a database its rows, however they are kept.

        Caches are left out: they can be made again, and change nothing.
        """
        state = {}
        for path in sorted(self.folder.rglob("*")):
            name = path.relative_to(self.folder).as_posix()
            if "/index" in name or name.endswith(("-wal", "-shm")):
                continue
            if f"{name}/".startswith(_PASSED_OVER):
                continue
            state[name] = _digest(path)
        return state

    def attempt(self, items: Sequence[Item], trial: "Trial") -> Outcome:
        """Hand items in, all of one verdict, and look what becomes of it."""
        self.clear()
        places = []
        for number, item in enumerate(items):
            places.append(self.handed_in / str(number))
            places[-1].mkdir()
            item.write(places[-1])
        before, outcome = self.state(), Outcome()
        began = time.process_time()  # not the clock's, which runs on while others work
        try:
            outcome.broken += trial(self, items, places)
        except Exception as error:
            outcome.unhandled.append(f"{type(error).__name__}: {error}"[:500])
        seconds = time.process_time() - began
        if not any(item.accept for item in items):
            after = self.state()
            outcome.changed = after != before
            if outcome.changed:
                names = {name for name, _ in before.items() ^ after.items()}
                outcome.broken.append(f"changed: {', '.join(sorted(names))}"[:500])
            if seconds > MOST_SECONDS * len(items):
                outcome.broken.append(f"it took {seconds:.1f} s to refuse")
        return outcome


Trial = Callable[[Bench, Sequence[Item], Sequence[Path]], Iterator[str]]
"""Bench, items, the folder of each → a line for each promise that was broken."""


REFUSALS = (1, 2)
"""The exit codes of a command that refuses: a bad item, or bad arguments."""


def line_faults(said: Said, *, code: int | tuple[int, ...], lines: int = 1) -> Iterator[str]:
    """What is wrong with how a command refused something: so many lines, each an error's."""
    if said.code not in (code if isinstance(code, tuple) else (code,)):
        yield f"exit code {said.code} instead of {code}: {said.err or said.out}"
    given = said.err.splitlines()
    if len(given) != lines or not said.err.endswith("\n"):
        yield f"{len(given)} lines instead of {lines} on stderr: {said.err!r}"
    for line in given:
        if not line.startswith("error: ") or len(line) > 700:
            yield f"no line of an error: {line!r}"


def message_faults(message: str) -> Iterator[str]:
    """What is wrong with a refusal's message: one line, not too long, that says what to do."""
    if not message.isprintable() or len(message) > 600:
        yield f"no message of one line: {message!r}"
    if not any(mark in message for mark in (": ", "; ", "expected")):
        yield f"it does not say what to do: {message!r}"


def _digest(path: Path) -> str:
    """What is at a path."""
    if path.is_symlink() or not path.exists():
        return "link"
    if not path.is_file() or path.stat().st_size > 50_000_000:
        return f"{path.stat().st_mode} {path.stat().st_size if path.is_file() else 0}"
    if path.name == "gallery.sqlite":
        try:
            with closing(sqlite3.connect(path)) as connection:
                content = "\n".join(connection.iterdump()).encode()
        except (sqlite3.Error, UnicodeDecodeError):
            content = path.read_bytes()
    else:
        content = path.read_bytes() if os.access(path, os.R_OK) else b"may not be read"
    return hashlib.sha256(content).hexdigest()


def page_service(bench: Bench) -> "patch[RecognitionService]":
    """While this is entered, the page has a service of the bench."""
    service = bench.service()
    return patch.object(resources, "recognition", lambda: service)
