"""The figures of open-set identification, as values to be printed, drawn and compared."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..results import FailedImage
from . import searches
from .figures import Difference
from .intervals import Interval
from .promises import Promise
from .searches import Search

FPIR_POINTS = (0.1, 0.01, 0.001)
"""The false positive identification rates at which the FNIR is quoted, where supported."""

MOST_RANKS = 20
"""How far the cumulative match curve goes."""

SMALLEST = "fnir_at_smallest_supported_fpir"


def fnir_name(fpir: float) -> str:
    """Return the name of the FNIR at an FPIR among the rates, as `fnir_at_fpir_0.01`."""
    return f"fnir_at_fpir_{fpir:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentificationResult:
    """How a recogniser does at naming people, and at leaving strangers unnamed.

    All rates are means over the draws; a draw counts photographs.

    Attributes:
        rank_1: Share of known people's probes for which the right person ranks first.
        fnir_at_fpir: FNIR for each of `FPIR_POINTS`; None where the strangers' probes of a draw do
            not support that FPIR.
        smallest_supported_fpir: The smallest FPIR that the strangers of every draw can measure.
        fnir_at_smallest_supported_fpir: FNIR at that FPIR.
        cumulative_match: Share of known people's probes for which the right person is among the
            first one, two, … of those enrolled, up to `MOST_RANKS`; empty where nobody is known.
        intervals: 95 % intervals, bootstrapped by identity, of every rate that is not None, by its
            name; the FNIR at FPIR 0.01 is `fnir_at_fpir_0.01`. The enrolled are taken as given.
        draws: How often it was drawn who is enrolled; 1 where nothing is drawn.
        rank_1_deviation: Standard deviation of rank-1 over the draws; None for a single one.
        enrolled: People enrolled in a draw.
        known_probes: Probes of enrolled people in a draw, on average.
        stranger_probes: Probes of strangers in a draw, on average.
        missed: Number of photographs in which no face was found, or that could not be read. An
            enrolled person's counts as an error; a stranger's raises no alarm.
        error_curve: FPIR and FNIR, from the smallest FPIR that is supported up to 1; empty where
            none is.
        unreadable: Those that could not be read.
        searches: What was found in each draw.
        people: How many people there are, enrolled or not.
    """

    rank_1: float | None
    fnir_at_fpir: Mapping[float, float | None]
    smallest_supported_fpir: float | None
    fnir_at_smallest_supported_fpir: float | None
    cumulative_match: tuple[float, ...]
    intervals: Mapping[str, Interval]
    draws: int
    rank_1_deviation: float | None
    enrolled: int
    known_probes: float
    stranger_probes: float
    missed: int
    error_curve: tuple[tuple[float, float], ...]
    unreadable: tuple[FailedImage, ...] = field(default=())
    searches: tuple[Search, ...] = field(repr=False, compare=False)
    people: int = field(repr=False)
    promises: tuple[Promise, ...] = ()

    @property
    def fpirs(self) -> dict[str, float]:
        """The FPIR of each FNIR that is supported, by the name that its interval has."""
        supported = {
            fnir_name(fpir): fpir for fpir, fnir in self.fnir_at_fpir.items() if fnir is not None
        }
        if self.smallest_supported_fpir is not None and self.rank_1 is not None:
            supported[SMALLEST] = self.smallest_supported_fpir
        return supported

    def figure(self, name: str) -> float | None:
        """Return a rate by the name that its interval has; None where it is not supported."""
        if name == "rank_1":
            return self.rank_1
        if name == SMALLEST:
            return self.fnir_at_smallest_supported_fpir
        return {fnir_name(fpir): fnir for fpir, fnir in self.fnir_at_fpir.items()}[name]

    def differences(self, other: "IdentificationResult") -> dict[str, Difference]:
        """Return how far the rates are above another recogniser's by the same searches.

        Raises:
            ValueError: The searches are not of the same probes.
        """
        return searches.differences(self.searches, other.searches, self.people, self.fpirs)

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON's own types; rates are fractions, null is not supported."""
        return {
            "rank_1": self.rank_1,
            "fnir_at_fpir": {f"{fpir:g}": fnir for fpir, fnir in self.fnir_at_fpir.items()},
            "smallest_supported_fpir": self.smallest_supported_fpir,
            "fnir_at_smallest_supported_fpir": self.fnir_at_smallest_supported_fpir,
            "cumulative_match": list(self.cumulative_match),
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "draws": self.draws,
            "rank_1_deviation": self.rank_1_deviation,
            "enrolled": self.enrolled,
            "known_probes": self.known_probes,
            "stranger_probes": self.stranger_probes,
            "missed": self.missed,
            "error_curve": [list(point) for point in self.error_curve],
            "promises": [promise.to_json() for promise in self.promises],
            "unreadable": [{"image": f.image, "error": f.error} for f in self.unreadable],
        }
