"""What is told of those enrolled, to set them right by hand: frozen values without torch."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from data import clock
from data.errors import ArgumentError

from .results import Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotographSummary:
    """One photograph that somebody is enrolled by.

    Attributes:
        number: Names it among all that are enrolled; never given twice.
        photograph_sha256: SHA-256 of the photograph's file.
        cosine_similarity: To the closest other photograph of the person; None where it is the only
            one.
        quality: How well its face can be recognised; None where that was not measured.
    """

    number: int
    photograph_sha256: str
    cosine_similarity: float | None
    quality: Quality | None


@dataclass(frozen=True, slots=True)
class Operation:
    """Something done to the people by hand, which can be undone.

    Attributes:
        what: In a few words.
        done_at: When: ISO 8601, UTC.
        number: Names it, to be undone while it is the latest; never given twice.
    """

    what: str
    done_at: str
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlikes:
    """Two people who are alike, or one person under two names.

    Attributes:
        person: One of them.
        other: The other.
        cosine_similarity: Of their two photographs that are most alike.
        photographs: The numbers of these two.
        share: The part of their pairs of photographs that reach the threshold: near 1 for one
            person under two names.
        above: Whether the similarity reaches the threshold.
        told_apart: Whether they are known to be two people.
        person_id: Names the one, whatever they are called meanwhile.
        other_id: Names the other.
        by_chance: Of the pairs told down to this one, which part is expected to be of two people
            who are alike by chance, among so many who are compared; None where nothing tells.
    """

    person: str
    other: str
    cosine_similarity: float
    photographs: tuple[int, int]
    share: float
    above: bool
    told_apart: bool = False
    by_chance: float | None = None
    person_id: int
    other_id: int


class State(StrEnum):
    """How things stand with somebody who is meant."""

    ENROLLED = "enrolled"
    DELETED = "deleted"
    """They can be restored."""

    KEPT = "kept"
    """Anything is kept of them: they are enrolled, deleted, or past their consent."""


LONGEST_NOTE = 1000
"""The most characters of a note of consent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What somebody agreed to.

    Attributes:
        note: In words, as "signed form 12, for the office door"; None leaves what was noted.
        until: The last day on which it holds, where the user is; None leaves what was noted.
        for_ever: Whether it holds without end, whatever was noted.

    Raises:
        ArgumentError: There is nothing to note, the note is too long or not one line, or the day
            is over.
    """

    note: str | None = None
    until: date | None = None
    for_ever: bool = False

    def __post_init__(self) -> None:
        if self.note is None and self.until is None and not self.for_ever:
            raise ArgumentError("nothing to note: give a note, or the last day that it holds")
        if self.note is not None and not (
            1 <= len(self.note) <= LONGEST_NOTE and self.note.isprintable()
        ):
            raise ArgumentError(
                f"a note of consent is one line of 1 to {LONGEST_NOTE} characters: "
                "keep the document elsewhere and say where"
            )
        if self.until is not None and self.for_ever:
            raise ArgumentError("a last day, or without end: choose one")
        if self.until is not None and self.until < today():
            raise ArgumentError(
                f"{self.until} is over: whoever's consent has ended is to be erased, "
                "`likeness people erase NAME`"
            )


def today() -> date:
    """The day where the user is, by which consent ends."""
    return clock.today()


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the audit log.

    Attributes:
        number: Of the line.
        done_at: When: ISO 8601, UTC.
        action: What was done.
        person_id: To whom; None: to the whole gallery. An id is never given twice.
        user_id: The number of the user whose process did it; None where users have none.
    """

    number: int
    done_at: str
    action: str
    person_id: int | None
    user_id: int | None
