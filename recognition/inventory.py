"""What is told of those enrolled, to set them right by hand: frozen values without torch."""

from dataclasses import dataclass

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
    """

    what: str
    done_at: str


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
    """

    person: str
    other: str
    cosine_similarity: float
    photographs: tuple[int, int]
    share: float
    above: bool
