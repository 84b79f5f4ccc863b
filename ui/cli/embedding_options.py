"""How photographs become embeddings in an evaluation: its options, and what they ask for."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from data.errors import ArgumentError
from recognition.evaluation.choices import Whitening
from ui.settings import Settings

from . import output

if TYPE_CHECKING:
    from recognition.evaluation.embeddings import Finder

AlignedOption = Annotated[
    bool,
    typer.Option("--aligned", help="The photographs are faces aligned at five points, 112×112."),
]
IdentitiesOption = Annotated[
    list[Path] | None,
    typer.Option("--identities", metavar="FILE", help="Whom to use, one a line; may be repeated."),
]
WordsOption = Annotated[
    str | None,
    typer.Option("--words", metavar="TEXT", help="What these people are to the network."),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What is done with each photograph, and by which networks; every field is an option."""

    aligned: AlignedOption = False
    grey: Annotated[
        bool, typer.Option("--grey", help="Take the colours out of the photographs first.")
    ] = False
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            metavar="NAME",
            help="What finds the faces: a name, such as mtcnn, or a file of `train-detector`.",
        ),
    ] = None
    compare_detector: Annotated[
        str | None,
        typer.Option(
            "--compare-detector",
            metavar="NAME",
            help="Another detector to measure too, and the difference.",
        ),
    ] = None
    mirror: Annotated[
        bool | None,
        typer.Option(
            "--mirror/--no-mirror",
            help="Join each face's embedding with that of its mirror image; else as the weights "
            "say.",
        ),
    ] = None
    crops: Annotated[
        int,
        typer.Option(
            "--crops",
            metavar="N",
            min=1,
            max=15,
            help="Average so many crops of each face: 1; 5, with four corners; 15, these at three "
            "scales.",
        ),
    ] = 1
    ensemble: Annotated[
        list[str] | None,
        typer.Option(
            "--ensemble",
            metavar="NAME|FILE",
            help="Another model, or other weights, whose similarities are averaged with the first "
            "one's; may be repeated.",
        ),
    ] = None
    specialist: Annotated[
        list[str] | None,
        typer.Option(
            "--specialist",
            metavar="NAME|FILE",
            help="Another model, or other weights, averaged in only where the first ones are in "
            "doubt; may be repeated.",
        ),
    ] = None
    confusable: Annotated[
        float,
        typer.Option(
            "--confusable",
            metavar="SHARE",
            min=0,
            max=1,
            help="How many comparisons are in doubt: pairs nearest the threshold, people most like "
            "the probe.",
        ),
    ] = 0.1
    whiten: Annotated[
        Whitening | None,
        typer.Option("--whiten", help="Whiten the embeddings, as --whiten-on says."),
    ] = None
    whiten_on: Annotated[
        Path | None,
        typer.Option(
            "--whiten-on", metavar="DIR", help="Whom to fit the whitening on: nobody of the test."
        ),
    ] = None
    whiten_identities: Annotated[
        Path | None,
        typer.Option(
            "--whiten-identities", metavar="FILE", help="Whom of --whiten-on to use, one a line."
        ),
    ] = None
    whiten_dimension: Annotated[
        int | None,
        typer.Option(
            "--whiten-dimension",
            metavar="D",
            min=1,
            max=65_536,
            help="How many numbers pca keeps; else all.",
        ),
    ] = None

    def check(self) -> None:
        """Refuse options that do not go together, before anything is read.

        Raises:
            ArgumentError: They do not.
        """
        from recognition.evaluation.specialists import check_confusable
        from recognition.evaluation.whitening import check_dimension

        check_confusable(self.confusable)
        if self.aligned and (self.detector or self.compare_detector):
            raise ArgumentError("nothing is looked for with --aligned: leave the detector away")
        if (self.whiten is None) != (self.whiten_on is None):
            raise ArgumentError("give --whiten and --whiten-on together")
        if self.whiten is not None:
            check_dimension(self.whiten, self.whiten_dimension)
        elif self.whiten_identities is not None or self.whiten_dimension is not None:
            raise ArgumentError("--whiten-identities and --whiten-dimension go with --whiten")

    def finders(self, settings: Settings, *, tested: Collection[str]) -> "list[Finder]":
        """What finds and embeds the one face that counts: the first weights', then specialists'.

        Args:
            settings: What the shared options ask for.
            tested: Names of the people in the test, on whom nothing may be fitted.
        """
        return [
            self._averaged(settings, self.ensemble, tested),
            *(
                self.finder(other_network(settings, one), tested=tested)
                for one in self.specialist or ()
            ),
        ]

    def _averaged(
        self, settings: Settings, others: Sequence[str] | None, tested: Collection[str]
    ) -> "Finder":
        from recognition.evaluation.embeddings import averaged

        every = [settings, *(other_network(settings, one) for one in others or ())]
        return averaged([self.finder(one, tested=tested) for one in every])

    def finder(self, settings: Settings, *, tested: Collection[str]) -> "Finder":
        """The same for the first weights alone."""
        from recognition.evaluation.whitening import fit_on_folder, whitened

        find = plain_finder(self, settings)
        if self.whiten is None or self.whiten_on is None:
            return find
        with output.progress_bar("whitening") as progress:
            whitener = fit_on_folder(
                self.whiten_on,
                find,
                self.whiten,
                tested=tested,
                listing=self.whiten_identities,
                dimension=self.whiten_dimension,
                progress=progress,
            )
        if whitener.doubt is not None:
            output.print_warning(whitener.doubt)
        return whitened(find, whitener)


def plain_finder(way: Way, settings: Settings) -> "Finder":
    """What finds and embeds, before any whitening."""
    from recognition.detection.detector import DEFAULT_DETECTOR, DetectorOptions, make_detector
    from recognition.evaluation.embeddings import already_aligned, in_grey, in_the_middle
    from recognition.faces.pipeline import FacePipeline

    embedder = settings.face_embedder(mirror=way.mirror, crops=way.crops)
    if way.aligned:
        find = already_aligned(embedder, settings.chosen_device)
    else:
        options = DetectorOptions(home=settings.home)
        name = way.detector or DEFAULT_DETECTOR
        detector = make_detector(settings.chosen_device, name, options)
        find = in_the_middle(FacePipeline(detector, embedder))
    return in_grey(find) if way.grey else find


def other_network(settings: Settings, name_or_file: str) -> Settings:
    """The same settings for another model, with the weights at hand, or for a file of weights."""
    from backbones.registry import available
    from recognition.faces.embedding import network_names

    if set(network_names(name_or_file)) <= set(available()):
        return replace(settings, model=name_or_file, weights=None)
    return replace(settings, model=None, weights=Path(name_or_file))
