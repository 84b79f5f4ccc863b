"""Writes that fail, power that goes, disks that are full: what the gallery is afterwards."""

import random
from collections.abc import Callable
from pathlib import Path

from files import Faults, after_a_power_cut, faulty, fresh
from people import State, open_gallery, photographs, query_of, state_in, state_of, templates_of
from trial import Outcome

from data.errors import AppError
from recognition.gallery.gallery import Gallery

Change = tuple[str, Callable[[Gallery], object], Callable[[State], State]]
"""What it is called, how it is made, and what it makes of who is enrolled."""


def changes() -> list[Change]:
    """A short life of a gallery: every kind of change, and a search that keeps the index."""

    def enrolment(name: str) -> Change:
        return (
            f"enrol {name}",
            lambda gallery: gallery.enrol(name, templates_of(name)),
            lambda state: state | {name: photographs(name)},
        )

    def without(state: State, name: str) -> State:
        return {other: count for other, count in state.items() if other != name}

    return [
        enrolment("Ann"),
        enrolment("Bob"),
        ("search", lambda gallery: gallery.search(query_of("Ann"), 1), dict),
        (
            "rename Bob",
            lambda gallery: gallery.edit.rename("Bob", "Rob"),
            lambda state: without(state, "Bob") | {"Rob": photographs("Bob")},
        ),
        (
            "delete Ann",
            lambda gallery: gallery.edit.delete("Ann"),
            lambda state: without(state, "Ann"),
        ),
        enrolment("Cleo"),
        (
            "restore Ann",
            lambda gallery: gallery.edit.restore("Ann"),
            lambda state: state | {"Ann": photographs("Ann")},
        ),
        ("erase Rob", lambda gallery: gallery.erase("Rob"), lambda state: without(state, "Rob")),
        enrolment("Dora"),
    ]


def live(folder: Path, faults: Faults, outcome: Outcome, where: str) -> None:
    """Make every change; after each the gallery must be as before it or as after it.

    A change that raises nothing is done; one that fails says so in one line. Those that follow are
    tried on whatever there is.
    """
    done: State = {}
    for name, make, expected in changes():
        then = expected(done)
        told = False
        with faulty(faults):
            try:
                with open_gallery(folder) as gallery:
                    make(gallery)
                    told = True
            except AppError as error:
                outcome.expect("\n" not in str(error), f"{where}: {name}: more than one line")
            except OSError as error:
                outcome.expect(False, f"{where}: {name}: not told in one line: {error!r}")
        now = state_in(folder)
        may_be = (then,) if told else (done, then)
        outcome.expect(now in may_be, f"{where}: after {name} ({told=}) there is {now}")
        done = now


def retried(folder: Path, outcome: Outcome, where: str) -> None:
    """With the fault gone, an enrolment succeeds and is found, and all others are found too."""
    with open_gallery(folder) as gallery:
        gallery.enrol("Zoe", templates_of("Zoe"))
        people = state_of(gallery)
        for name in people:
            of = {"Rob": "Bob"}.get(name, name)
            found = gallery.search(query_of(of), 1)[0][0].person
            outcome.expect(found == name, f"{where}: {name} is taken for {found}")
    outcome.expect("Zoe" in people, f"{where}: no enrolment after the fault was gone")


def fail_each_write(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Let each write, sync, rename and the like fail: once, and from then on.

    Args:
        trials: How many to try, of those that there are; 0 for all.
        folder: Where.
        rng: Chooses them.
    """
    outcome, all_pass = Outcome(), Faults()
    live(fresh(folder), all_pass, outcome, "no fault")
    cases = [
        Faults(at=point, lasting=lasting, full=full, torn=torn)
        for point in range(all_pass.points)
        for lasting, full, torn in ((0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 0))
    ]
    for faults in rng.sample(cases, trials) if trials else cases:
        where = f"point {faults.at}{' and later' * bool(faults.lasting)}"
        live(fresh(folder), faults, outcome, where)
        retried(folder, outcome, where)
        outcome.trials += 1
    outcome.notes.append(f"{all_pass.points} points, four ways each")
    return outcome


def cut_the_power(trials: int, folder: Path, rng: random.Random) -> Outcome:
    """Open what a power cut may have left, at any moment of a gallery's life."""
    outcome = Outcome()
    begun = folder / "life"
    with open_gallery(begun) as gallery:
        gallery.enrol("Eve", templates_of("Eve"))  # making the file is not what is tried here
        gallery.search(query_of("Eve"), 1)
    index = (begun / "index" / "templates.faiss").read_bytes()
    before = {file.name: file.read_bytes() for file in begun.iterdir() if file.is_file()}
    promised: list[tuple[int, State, State]] = []  # from this event on; done for sure; or begun
    faults, done = Faults(), {"Eve": photographs("Eve")}
    with faulty(faults):
        for _, make, expected in changes():
            promised.append((len(faults.events), done, expected(done)))
            with open_gallery(begun) as gallery:
                make(gallery)
                acknowledged = len(faults.events)
            done = expected(done)
            promised.append((acknowledged, done, done))
    for trial in range(trials):
        cut = rng.randrange(len(faults.events) + 1)
        home = fresh(folder / "cut")
        for name, content in after_a_power_cut(before, faults.events, cut, rng).items():
            (home / name).write_bytes(content)
        if rng.random() < 0.5:  # an index of any age, whole or not
            (home / "index").mkdir()
            cut_off = index[: rng.choice([len(index), rng.randrange(len(index))])]
            (home / "index" / "templates.faiss").write_bytes(cut_off)
        (_, sure, begun_state) = [one for one in promised if one[0] <= cut][-1]
        where = f"cut {trial} after {cut} writes"
        try:
            now = state_in(home)
            outcome.expect(now in (sure, begun_state), f"{where}: {now}, expected {sure}")
            retried(home, outcome, where)
        except AppError as error:
            outcome.expect(False, f"{where}: {error}")
        outcome.trials += 1
    outcome.notes.append(f"{len(faults.events)} recorded writes and syncs")
    return outcome
