"""Files of an encrypted gallery are stolen, also after a kill while its key was changed."""

import os
import random
import select
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from erasure import pieces_of, traces
from people import MODEL, State, query_of, state_of, templates_of
from trial import Outcome

from data.errors import GalleryError, LockedError
from recognition.gallery.gallery import Gallery
from recognition.gallery.storage import encryption

SECRETS = ("tidal quartz nomad lantern", "f" * 64, "gravel orbit mitten plume")
WRONG = ("tidal quartz nomad lanterN", "e" * 64, "", None)
CHANGES = 8  # of one gallery

Secret = str | None


def opened(folder: Path, secret: Secret) -> Gallery:
    """The gallery of a folder, by a passphrase or key."""
    return Gallery.open(folder, model=MODEL, create=True, find_secret=lambda _: secret)


def live(gallery: Gallery, trial: int, rng: random.Random) -> list[str]:
    """Enrol, group, rename, delete, exclude, search and undo; all names that were used."""
    names = [f"Somebody {trial}.{number}" for number in range(3)]
    for name in names:
        gallery.enrol(name, templates_of(name))
    gallery.edit.rename(names[0], f"Renamed {trial}")
    gallery.edit.group(names[1:], add=[f"Group {trial}"])
    gallery.edit.exclude(names[1], templates_of(names[2])[0])
    if rng.random() < 0.5:
        gallery.edit.delete(names[2])
    if rng.random() < 0.5:
        gallery.edit.undo()
    gallery.search(query_of(names[1]), 1)
    return [*names, f"Renamed {trial}", f"Group {trial}"]


Change = Callable[[Gallery], None]


def next_change(secret: Secret, rng: random.Random) -> tuple[Change, Secret]:
    """A change of the key of a gallery that a secret opens, and what opens it after that."""
    new = rng.choice(SECRETS)
    if secret is None:
        return (lambda gallery: gallery.encrypt(new)), new
    if rng.random() < 0.2:
        return Gallery.decrypt, None
    data_key = rng.random() < 0.5
    return (lambda gallery: gallery.rotate(new, data_key=data_key)), new


def killed_within(home: Path, secret: Secret, change: Change, wait: float | None) -> float | None:
    """Let another process change the key, and kill it some seconds after it began.

    Returns:
        How long the change took, if it was not killed before its end.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.close(reading)
            with opened(home, secret) as gallery:
                os.write(writing, b"b")
                change(gallery)
                os.write(writing, b"e")
        os._exit(0)
    os.close(writing)
    os.read(reading, 1)
    began = time.monotonic()
    ended, _, _ = select.select([reading], [], [], wait)
    took = time.monotonic() - began if ended and os.read(reading, 1) else None
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reading)
    return took


def whichever_opens(folder: Path, secrets: tuple[Secret, Secret]) -> tuple[Secret, State] | None:
    """Which of two secrets opens the gallery, and who is in it."""
    for secret in secrets:
        with suppress(LockedError), opened(folder, secret) as gallery:
            return (secret if gallery.is_encrypted else None), state_of(gallery)
    return None


def refuse_wrong_secrets(folder: Path, secret: Secret, outcome: Outcome) -> None:
    """See that an encrypted gallery is opened by nothing else, and stays as it is."""
    if secret is None:
        return
    for wrong in (*WRONG, *(set(SECRETS) - {secret})):
        try:
            with opened(folder, wrong):
                outcome.broken.append("a wrong key opens the gallery")
        except GalleryError as error:
            outcome.expect("\n" not in str(error), "the refusal has more than one line")


def steal_files(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Kill changes of the key, and look through all files for what is known to be in them."""
    outcome = Outcome()
    before, encryption.SCRYPT = (
        encryption.SCRYPT,
        (2**4, 8, 1),
    )  # what takes its time is not what is tried
    encrypted = kept = 0
    longest = 0.0
    try:
        for trial in range(trials):
            home = folder / str(trial // CHANGES)
            if trial % CHANGES == 0:
                secret: Secret = None
                names: list[str] = []
            with opened(home, secret) as gallery:
                names += live(gallery, trial, rng)
                expected = state_of(gallery)
            change, new = next_change(secret, rng)

            # The first change of each gallery tells how long one takes on this machine now.
            wait = rng.uniform(0, longest) if trial % CHANGES else None
            longest = max(longest, killed_within(home, secret, change, wait) or 0)
            found = whichever_opens(home, (new, secret))
            outcome.trials += 1
            if found is None:
                outcome.broken.append(f"trial {trial}: neither the old nor the new key opens it")
                secret, names = None, []
                shutil.rmtree(home)
                continue
            kept += found[0] == secret
            secret, state = found
            outcome.expect(state == expected, f"trial {trial}: somebody else is enrolled")
            refuse_wrong_secrets(home, secret, outcome)
            if secret is not None:
                encrypted += 1
                left = traces(home, [piece for name in names for piece in pieces_of(name)])
                outcome.expect(not left, f"trial {trial}: {left} can be read")
    finally:
        encryption.SCRYPT = before
    outcome.notes.append(f"{encrypted} searched, {kept} killed before the change")
    return outcome
