"""From which similarity on two faces are one person's, and how many strangers pass."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import AppError, ArgumentError
from data.progress import Progress

from .access import GalleryAccess
from .calibration import THEMSELVES, calibrate, check_wanted, embed_strangers, still_holds
from .evaluation.error_rate_thresholds import check_rate, rate_among
from .evaluation.impostor_tail import ImpostorTail, Searched
from .evaluation.metrics import EXPECTED_ERRORS
from .evaluation.probability import PRIOR
from .gallery.gallery import nobody_enrolled
from .gallery.storage.snapshot import FALSE_DISCOVERIES, by_chance, look_alikes, require_few
from .matching import Matching
from .models import Engine
from .results import Calibration, Decision, LookAlikes, Origin, PersonSummary, StrangerRate, Use

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from backbones.pair_unit import PairUnit

    from .calibration import Calibrated


# Which threshold is in force, and how many strangers it lets pass.
#
# A threshold given by hand counts before all else; then the gallery's own, which was measured on
# the very people enrolled; then what the weights say of people whom they never saw, for as many
# people and photographs as are searched. What it means is said of each, where anything tells.

OF_PAIRS = 0.01
"""The rate of false accepts that the threshold of weights without a tail stands for."""

DEFAULT_FPIR = 0.01
"""The part of strangers who may be given a name, unless it is said."""

DEFAULT_FAR = 0.001
"""The part of pairs of two people who may pass for one, unless it is said."""

WORTH_A_LOOK = 0.01
"""At the threshold of which part of pairs two photographs are odd, for one person or for two."""

RATE_OPTIONS: Mapping[Use, str] = {Use.IDENTIFY: "--fpir", Use.VERIFY: "--far"}

_MOST_OFF = 1000.0  # how far a gallery's own rate may be from what its weights say, to be believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a decision rests on.

    Attributes:
        use: What is decided.
        tail: What the weights say of strangers; None where they say nothing.
        calibration: The gallery's own; None where it has none.
        searched: Among whom a search looks, or whose photographs another is compared with; None
            for a comparison of two photographs.
        weights: The network, to be named in messages.
        of_pairs: A threshold that weights without a tail have for two photographs.
    """

    use: Use
    tail: ImpostorTail | None
    calibration: Calibration | None
    searched: Searched | None
    weights: str
    of_pairs: float | None = None


def decide(
    grounds: Grounds, *, threshold: float | None = None, rate: float | None = None
) -> Decision:
    """Say by which threshold, and what it means.

    Args:
        grounds: What it rests on.
        threshold: The cosine similarity given by hand; None derives it.
        rate: Of strangers who may be named, or of pairs of two people who may pass for one; None
            takes the gallery's, or else the default.

    Raises:
        ArgumentError: The threshold or the rate is out of range, both are given, or nothing tells
            from where on two faces are one person's.
    """
    option = RATE_OPTIONS[grounds.use]
    check_rate(option, rate)
    if threshold is not None and rate is not None:
        raise ArgumentError(f"give either --threshold or {option}")
    own, tail = grounds.calibration, grounds.tail
    if threshold is not None:
        if not -1 <= threshold <= 1:
            raise ArgumentError(
                f"a threshold of {threshold:g}: a cosine similarity lies between -1 and 1"
            )
        return _decision(grounds, threshold, Origin.GIVEN, None)
    if own is not None and rate in (None, own.rate):
        return _decision(grounds, own.threshold, Origin.GALLERY, own.rate)
    wanted = rate if rate is not None else default_rate(grounds.use)
    if tail is not None:
        origin = Origin.WEIGHTS if own is None else Origin.GALLERY
        asked = min(wanted / _off(grounds), 0.5)
        return _decision(grounds, threshold_for(tail, asked, grounds.searched), origin, wanted)
    if own is None and grounds.of_pairs is not None and rate is None:
        return _decision(grounds, grounds.of_pairs, Origin.WEIGHTS, None)
    raise ArgumentError(
        f"the weights of {grounds.weights} do not say how alike strangers are, or not for faces "
        f"found as here: give --threshold, or let `likeness calibrate {option}` find one"
    )


def pair_limit(pair: "PairUnit | None", decision: Decision) -> float | None:
    """The value from which on a pair is one person's by the weights' own unit.

    Args:
        pair: The unit; None where the weights have none.
        decision: What cosines would be decided by.

    Returns:
        None where cosines decide: the threshold is the user's or the gallery's own, or the unit
        knows no value for the rate.
    """
    if pair is None or decision.origin is not Origin.WEIGHTS:
        return None
    wanted = OF_PAIRS if decision.wanted is None else decision.wanted
    return next((v for rate, v in pair.limits.items() if math.isclose(rate, wanted)), None)


def sigmoid(value: float) -> float:
    """The probability of which this is the logarithm of the odds."""
    return 1 / (1 + math.exp(-value)) if value >= 0 else 1 - 1 / (1 + math.exp(value))


def default_rate(use: Use) -> float:
    """The rate of strangers who may pass, unless it is said."""
    return DEFAULT_FPIR if use is Use.IDENTIFY else DEFAULT_FAR


def threshold_for(tail: ImpostorTail, rate: float, searched: Searched | None) -> float:
    """The threshold of a rate: of searches, or of comparisons of two photographs."""
    return tail.far_threshold(rate) if searched is None else tail.threshold(rate, searched)


def rate_at(tail: ImpostorTail, threshold: float, searched: Searched | None) -> StrangerRate:
    """The rate at a threshold: of searches, or of comparisons of two photographs."""
    if searched is None:
        return tail.pairs_rate(threshold)
    return tail.named_rate(threshold, searched)


def _decision(grounds: Grounds, threshold: float, origin: Origin, wanted: float | None) -> Decision:
    own = grounds.calibration
    return Decision(
        use=grounds.use,
        threshold=threshold,
        origin=origin,
        wanted=wanted,
        strangers=_strangers(grounds, threshold),
        doubt=own.doubt if own is not None and origin is Origin.GALLERY else None,
    )


def _strangers(grounds: Grounds, threshold: float) -> StrangerRate | None:
    """What a threshold means, from the weights, from the gallery, or from both."""
    own, tail = grounds.calibration, grounds.tail
    if tail is None:
        if own is None or threshold != own.threshold:
            return None
        return _grown(_as_measured(own), own, grounds.searched)
    said = rate_at(tail, threshold, grounds.searched)
    if own is None:
        return said
    if threshold == own.threshold and _is_as_measured(own, grounds.searched):
        return _as_measured(own)
    off, measured = _off(grounds), _as_measured(own)
    # What is uncertain about the gallery's own rate is so about everything brought to it.
    return StrangerRate(
        rate=min(1.0, said.rate * off),
        low=min(1.0, said.rate * off * measured.low / measured.rate),
        high=min(1.0, said.rate * off * measured.high / measured.rate),
        extrapolated=said.extrapolated or measured.extrapolated,
    )


def _as_measured(own: Calibration) -> StrangerRate:
    return StrangerRate(
        rate=own.rate,
        low=own.rate_low,
        high=own.rate_high,
        extrapolated=own.rate * own.comparisons < EXPECTED_ERRORS,
    )


def _is_as_measured(own: Calibration, searched: Searched | None) -> bool:
    """Whether a search looks among as many as it was measured with, or nothing is searched."""
    if searched is None:
        return True
    return (own.use, own.people, Matching.BEST) == (
        Use.IDENTIFY,
        searched.people,
        searched.matching,
    ) and (searched.photographs <= own.templates)


def _grown(rate: StrangerRate, own: Calibration, searched: Searched | None) -> StrangerRate:
    """What a rate has come to among as many photographs as there are now."""
    if searched is None:
        return rate
    enrolled = own.templates if own.use is Use.IDENTIFY else 1
    times = searched.photographs / enrolled
    ends: list[float] = [rate_among(end, times) for end in (rate.rate, rate.low, rate.high)]
    return replace(rate, rate=ends[0], low=ends[1], high=ends[2])


def _off(grounds: Grounds) -> float:
    """How many times as many strangers pass as the weights say, by the gallery's own measure."""
    own, tail = grounds.calibration, grounds.tail
    if own is None or tail is None:
        return 1.0
    searched = as_enrolled(own.people, own.templates) if own.use is Use.IDENTIFY else None
    said = rate_at(tail, own.threshold, searched).rate
    if said <= 0:
        return 1.0
    return min(max(own.rate / said, 1 / _MOST_OFF), _MOST_OFF)


def as_enrolled(people: int, templates: int) -> Searched:
    """So many people with so many photographs, spread as evenly as can be."""
    each, more = divmod(max(templates, people), people)
    spread = {each: people - more, each + 1: more}
    return Searched({count: number for count, number in spread.items() if number})


# From which similarity on two faces are one person's: the weights' word, or the gallery's own.

NEAR = 0.05
"""How far below a threshold given by hand two people are still worth a look."""

MOST_MEASURED_ANEW = 20_000
"""Photographs up to which a gallery measures itself anew while somebody waits: a few seconds."""


class Thresholds:
    """What the similarities of a network mean in a gallery: what `service.thresholds` is.

    Args:
        access: The way to the gallery.
        engine: The network.
    """

    def __init__(self, access: GalleryAccess, engine: Engine) -> None:
        self._access = access
        self._engine = engine

    def decision(
        self,
        use: Use,
        *,
        threshold: float | None = None,
        rate: float | None = None,
        matching: Matching = Matching.BEST,
        groups: "Sequence[str]" = (),
        person: PersonSummary | None = None,
    ) -> Decision:
        """Say from which similarity on two faces are one person's, and how many strangers pass.

        Args:
            use: What is decided: a search of this gallery, or a comparison of two photographs.
            threshold: One given by hand; None derives it from what the gallery or the weights say.
            rate: The FPIR or the FAR wanted; None takes the gallery's, or else the default.
            matching: How a face is compared with a person of several photographs.
            groups: Among whom is searched; empty: everybody.
            person: Whose photographs, all of them, a photograph is compared with; None: another
                photograph.

        Raises:
            ArgumentError: The threshold or the rate is out of range, both are given, or nothing
                tells from where on two faces are one person's.
            WeightsError: No weights are at hand, or no attention is trained for them.
            GalleryError: Nobody is enrolled, or nobody is in one of the groups, or the gallery
                cannot be read.
        """
        searched = None
        if use is Use.IDENTIFY:
            among = (
                self._access.open().members(groups) if groups and self._access.is_there else None
            )
            searched = self._searched(matching, among)
        elif person is not None and person.person_id is not None:
            searched = self._searched(matching, [person.person_id])
        grounds = Grounds(
            use=use,
            tail=self._engine.tail,
            calibration=self.calibration(use),
            searched=searched,
            weights=str(self._engine.model),
            of_pairs=self._engine.pipeline.threshold if use is Use.VERIFY else None,
        )
        return decide(grounds, threshold=threshold, rate=rate)

    def _searched(self, matching: Matching, among: "Collection[int] | None") -> Searched:
        if not self._access.is_there or (gallery := self._access.open()).is_empty:
            raise nobody_enrolled(self._access.place)
        effective_counts = (
            gallery.photographs_a_person(among, self._engine.attention)
            if matching is Matching.ATTENTION
            else None
        )
        return Searched(gallery.photographs_a_person(among), matching, effective_counts)

    @property
    def odd_from(self) -> float | None:
        """From where on, for photographs of one person or of two, a similarity is worth a word.

        None: nothing tells.

        Raises:
            WeightsError: No weights are at hand.
            GalleryError: The gallery cannot be read.
        """
        calibration, tail = self.calibration(Use.VERIFY), self._engine.tail
        if calibration is not None:
            return calibration.threshold
        return self._engine.pipeline.threshold if tail is None else tail.far_threshold(WORTH_A_LOOK)

    def calibration(self, use: Use) -> Calibration | None:
        """The gallery's own threshold for a use; None if there is none for this network.

        Where the gallery has outgrown it, its `doubt` says so.

        Raises:
            WeightsError: No weights are at hand.
            GalleryError: The gallery cannot be read.
        """
        if not self._access.is_there:
            return None
        gallery = self._access.open()
        found = gallery.calibration(use)
        if found is None or found.weights_digest != self._engine.model.weights_digest:
            return None
        return still_holds(found, gallery.size[1])

    def calibrate(
        self,
        *,
        fpir: float | None = None,
        far: float | None = None,
        data: Path | None = None,
        identities: Path | None = None,
        aligned: bool = False,
        prior: float = PRIOR,
        progress: Progress | None = None,
    ) -> "Calibrated":
        """Give the gallery its own thresholds and probabilities.

        Args:
            fpir: The part of strangers who may be given a name; None leaves `identify` alone.
            far: The part of pairs of two people who may pass for one; None leaves `verify` alone.
            data: A folder of people whom the network was not trained on; None takes those who are
                enrolled.
            identities: A list of whom of them to take; None takes all.
            aligned: Whether they are aligned at five points already.
            prior: How likely it is before looking that a face is of somebody enrolled, or that two
                photographs show one person.
            progress: Called after each photograph.

        Raises:
            ArgumentError: A rate or the prior is out of range, or there is nothing to do.
            DatasetError: The people cannot support a rate.
            WeightsError: No weights are at hand.
            GalleryError: Nobody is enrolled, or the gallery is another model's.
        """
        wanted = check_wanted(fpir, far, prior)
        if data is None and (identities is not None or aligned):
            raise ArgumentError("--identities and --aligned say how to read --data DIR: give it")
        gallery = self._access.open()
        if gallery.is_empty:
            raise nobody_enrolled(self._access.place)
        gallery.require(self._engine.model)
        strangers = None
        if data is not None:
            from .evaluation.searches import people_to_draw_from  # brings torch

            people = people_to_draw_from(data, identities)
            find = self._engine.finder(aligned=aligned)
            strangers = embed_strangers(data, people, gallery, find, progress)
        return calibrate(gallery, wanted, strangers, prior, self._engine.tail)

    def measure_anew(self) -> tuple[str, ...]:
        """Calibrate again by those enrolled, where they were the measure and are more by far now.

        What has been enrolled is enrolled, so no trouble with this is told as one of that: the old
        threshold stays, and `identify` says that it is outgrown. It also stays where other people
        were the measure, who may not be at hand, and where measuring would keep waiting.

        Returns:
            A line that says so, if it was done.
        """
        try:
            old, pairs = self.calibration(Use.IDENTIFY), self.calibration(Use.VERIFY)
            if old is None or old.doubt is None or not old.data.startswith(THEMSELVES):
                return ()
            if self._access.open().size[1] > MOST_MEASURED_ANEW:
                return ()
            enough = (one for one in (old, pairs) if one and one.data.startswith(THEMSELVES))
            wanted = {one.use: one.rate for one in enough}
            tail = self._engine.tail
            found = calibrate(self._access.open(), wanted, None, old.prior, tail).calibrations
        except AppError:
            return ()
        new = next(one for one in found if one.use is Use.IDENTIFY)
        return (
            f"the gallery has grown from {old.templates:,} to {new.templates:,} photographs: its "
            f"threshold was measured anew, {new.threshold:.3f} in the place of {old.threshold:.3f}",
        )

    def look_alikes(
        self,
        *,
        threshold: float | None = None,
        margin: float | None = None,
        told_apart: bool = False,
    ) -> list[LookAlikes]:
        """Find people who may be enrolled under two names.

        All pairs of people are compared, so that some of them are alike by chance. By default those
        are told of whom a tenth at most is so expected to be (the false discovery rate of Benjamini
        and Hochberg, JRSS B 57, 1995), by what the weights say of different people.

        Args:
            threshold: Cosine similarity from which on two photographs are taken for one person's,
                however many are compared; None controls false discoveries, or takes the gallery's
                own where the weights say nothing.
            margin: How far below it to look, too; None: `NEAR` for a threshold, else nothing.
            told_apart: Whether to list those as well who are known to be two people.

        Returns:
            The most alike first.

        Raises:
            ArgumentError: `threshold` or `margin` is out of range, or nothing tells from where on
                two faces are one person's.
            WeightsError: No weights are at hand.
            GalleryError: Nobody is enrolled, or too many are, or the gallery is another model's.
        """
        if margin is not None and not 0 <= margin <= 2:
            raise ArgumentError(f"a margin of {margin:g}: give one between 0 and 2")
        gallery = self._access.open()
        if gallery.is_empty:
            raise nobody_enrolled(self._access.place)
        gallery.require(self._engine.model)
        tail = self._engine.tail
        if threshold is not None or tail is None:
            decision = self.decision(Use.IDENTIFY, threshold=threshold)
            limit, near = decision.threshold, NEAR if margin is None else margin
        else:
            people = gallery.size[0]
            pairs = max(people * (people - 1) / 2, 1)
            limit = tail.far_threshold(min(FALSE_DISCOVERIES * people / pairs, 0.5))
            near = margin or 0.0
        require_few(
            gallery.size[1],
            "each photograph is compared with everybody when it is enrolled, and the warnings of "
            "`likeness enroll` say the same",
        )
        roll, embeddings = gallery.templates()
        found = look_alikes(roll, embeddings, limit, near, gallery.told_apart())
        if tail is not None:
            found = by_chance(found, roll, tail.alike_by_chance)
            if threshold is None:
                found = [pair for pair in found if pair.above or margin]
        return [pair for pair in found if told_apart or not pair.told_apart]
