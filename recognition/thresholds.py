"""From which similarity on two faces are one person's: the weights' word, or the gallery's own."""

from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import AppError, ArgumentError

from .calibrating import THEMSELVES, calibrate, check_wanted, embed_strangers, still_holds
from .engine import Choice, Engine, Pipeline
from .evaluation.probability import PRIOR
from .gallery.alike import look_alikes, require_few
from .gallery.protocol import nobody_enrolled
from .inventory import LookAlikes
from .keeper import PeopleKeeper
from .photographs import ProgressCallback
from .results import Calibration, Use
from .secrets import Ask

if TYPE_CHECKING:
    from .calibrating import Calibrated

NEAR = 0.05
"""How far below the threshold two people are still worth a look."""

MOST_MEASURED_ANEW = 20_000
"""Photographs up to which a gallery measures itself anew while somebody waits: a few seconds."""


class ThresholdKeeper(PeopleKeeper):
    """Knows which network embeds, and what its similarities mean in this gallery.

    Args:
        home: The data folder; None takes LIKENESS_HOME or the user's own.
        gallery: A folder or an address of Milvus; None takes LIKENESS_GALLERY, or else the data
            folder's own.
        model: The network's name. None takes the gallery's; without a gallery, the weights' or the
            default one.
        weights: A file of weights; None looks in the known places.
        device: `auto`, `cpu` or `cuda`.
        pipeline: Takes the place of detector and network.
        ask: See `PeopleKeeper`.
    """

    def __init__(
        self,
        *,
        home: Path | None = None,
        gallery: str | None = None,
        model: str | None = None,
        weights: Path | None = None,
        device: str = "auto",
        pipeline: Pipeline | None = None,
        ask: Ask = lambda: None,
    ) -> None:
        super().__init__(home, gallery, ask)
        choice = Choice(home=self._home, model=model, weights=weights, device=device)
        self._engine = Engine(choice, self._remembered_model, pipeline)

    @property
    def threshold(self) -> float | None:
        """From which cosine similarity on two faces are one person's, as the weights say.

        None: they have none. A calibrated gallery has its own; see `calibration`.

        Raises:
            WeightsError: No weights are at hand.
        """
        return self._engine.pipeline.threshold

    def calibration(self, use: Use) -> Calibration | None:
        """The gallery's own threshold for a use; None if there is none for this network.

        Where the gallery has outgrown it, its `doubt` says so.

        Raises:
            WeightsError: No weights are at hand.
            GalleryError: The gallery cannot be read.
        """
        if not self._is_there:
            return None
        gallery = self._gallery()
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
        progress: ProgressCallback | None = None,
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
        gallery = self._gallery()
        if gallery.is_empty:
            raise nobody_enrolled(self._place)
        gallery.require(self._engine.model)
        strangers = None
        if data is not None:
            from .evaluation.people import people_to_draw_from  # brings torch

            people = people_to_draw_from(data, identities)
            find = self._engine.finder(aligned=aligned)
            strangers = embed_strangers(data, people, gallery, find, progress)
        return calibrate(gallery, wanted, strangers, prior)

    def _measure_anew(self) -> tuple[str, ...]:
        """Calibrate again by those enrolled, where they were the measure and are more by far now.

        What has been enrolled is enrolled, so no trouble with this is told as one of that: the old
        threshold stays, and `identify` says that it is outgrown. It also stays where other people
        were the measure, who may not be at hand, and where measuring would keep waiting.

        Returns:
            A line that says so, if it was done.
        """
        try:
            old, pairs = self.calibration(Use.IDENTIFY), self.calibration(Use.VERIFY)
            if old is None or old.doubt is None or old.data != THEMSELVES:
                return ()
            if self._gallery().size[1] > MOST_MEASURED_ANEW:
                return ()
            wanted = {one.use: one.rate for one in (old, pairs) if one and one.data == THEMSELVES}
            found = calibrate(self._gallery(), wanted, None, old.prior).calibrations
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
        margin: float = NEAR,
        told_apart: bool = False,
    ) -> list[LookAlikes]:
        """Find people who look alike, and people who may be enrolled under two names.

        Args:
            threshold: Cosine similarity from which on two photographs are taken for one person's;
                None takes the gallery's own, or else the weights'.
            margin: How far below it to look, too.
            told_apart: Whether to list those as well who are known to be two people.

        Returns:
            The most alike first.

        Raises:
            ArgumentError: `threshold` or `margin` is out of range, or the weights have none.
            WeightsError: No weights are at hand.
            GalleryError: Nobody is enrolled, or too many are, or the gallery is another model's.
        """
        if not 0 <= margin <= 2:
            raise ArgumentError(f"a margin of {margin:g}: give one between 0 and 2")
        gallery = self._gallery()
        if gallery.is_empty:
            raise nobody_enrolled(self._place)
        gallery.require(self._engine.model)
        limit = self._limit(threshold, self.calibration(Use.IDENTIFY))
        require_few(
            gallery.size[1],
            "each photograph is compared with everybody when it is enrolled, and the warnings of "
            "`likeness enroll` say the same",
        )
        found = look_alikes(*gallery.templates(), limit, margin, gallery.told_apart())
        return [pair for pair in found if told_apart or not pair.told_apart]

    def _limit(self, threshold: float | None, calibration: Calibration | None) -> float:
        """What to decide by: what is asked for, the gallery's own, or else the weights'."""
        if threshold is None and calibration is not None:
            threshold = calibration.threshold
        return self._engine.threshold(threshold)
