"""One call for the command line and the page."""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Protocol, TypedDict

import torch
from PIL.Image import Image

from backbones.weights import LoadedBackbone, load_backbone, resolve_device
from data.errors import ArgumentError, ImageError
from data.images import MAX_BYTES, load_picture, to_image, to_tensor
from data.sources import Source, check_source, content_of, image_of, is_decoded, several

from .checkpoint import Unfinished
from .color import luminance
from .config import InitialImage, Region, RegionManner, StyleConfig
from .draft import Draft, Drafter, draft
from .network import StyleNetwork
from .planning import ResourcePlan, Room
from .portraits import Care, Portrait, care_for
from .results import PaintingProgress, Resemblance
from .scales import fit, resize, size_of
from .stylize import plan_painting, stylize

# A portrait takes several sittings: paint, judge, and paint on while it is not the person.


class Paint(Protocol):
    """Paints the photograph as a config says, over a draft where one is handed in."""

    def __call__(
        self, config: StyleConfig, care: Care, draft: Image | None
    ) -> Generator[PaintingProgress, None, None]:
        """Check everything at once, and paint as the generator is asked for steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How firmly faces are held, and how much more firmly from sitting to sitting.

    Attributes:
        weight: Weight of a face's identity loss in the first sitting.
        relief: Share of the strength that is taken away in a face in the first sitting, 0 … 1.
        raised: By what the weight of a face that failed is multiplied.
        lowered: By what the strength that is left in it is multiplied.
        more: Sittings after the first, at most.
        steps: Of each of them, as a share of the first one's.
    """

    weight: float = 0.3
    relief: float = 0.3
    raised: float = 3.0
    lowered: float = 0.6
    more: int = 4
    steps: float = 0.2


def sit(
    portrait: Portrait, config: StyleConfig, paint: Paint, terms: Terms | None = None
) -> Generator[PaintingProgress, None, None]:
    """Paint a portrait until each face is judged to be the person's, or the sittings are over.

    A later sitting goes on from the picture as it is, in its full size, and holds the faces that
    failed more firmly, in place and by identity.

    Args:
        portrait: The faces of the photograph.
        config: What to paint; its steps are those of the first sitting.
        paint: Paints.
        terms: How firmly.

    Returns:
        A generator of one `PaintingProgress` a step. Its total grows with each sitting that is
        needed, and the last one carries what was found of each face.

    Raises:
        What `paint` raises, in the call or while painting.
    """
    hold = _Hold(portrait, terms or Terms())
    return _sit(config, paint, hold, paint(config, hold.care(), None))


class _Hold:
    """How firmly each face is held at the moment."""

    def __init__(self, portrait: Portrait, terms: Terms) -> None:
        self.portrait = portrait
        self.terms = terms
        self._weights = [terms.weight] * len(portrait.faces)
        self._reliefs = [terms.relief] * len(portrait.faces)

    def care(self) -> Care:
        """What this asks of a painting."""
        return care_for(self.portrait, self._weights, self._reliefs)

    def tighten(self, faces: Sequence[Resemblance]) -> None:
        """Hold those that failed more firmly."""
        for number, face in enumerate(faces):
            if not face.same_person:
                self._weights[number] *= self.terms.raised
                left = (1 - self._reliefs[number]) * self.terms.lowered
                self._reliefs[number] = 1 - left


def _sit(
    config: StyleConfig,
    paint: Paint,
    hold: _Hold,
    painting: Generator[PaintingProgress, None, None],
) -> Generator[PaintingProgress, None, None]:
    """All sittings; `painting` is the first, which has been checked."""
    started = time.perf_counter()
    steps = max(1, round(config.steps * hold.terms.steps))
    later = replace(config, steps=steps, first_scale=config.size, initial_image=InitialImage.DRAFT)
    done = 0
    faces: tuple[Resemblance, ...] = ()
    for left in range(hold.terms.more, -1, -1):
        with closing(painting):
            for progress in painting:
                again = False
                if progress.step == progress.total:
                    picture = progress.image or progress.render()
                    faces = tuple(hold.portrait.judge(picture))
                    again = left > 0 and not all(face.same_person for face in faces)
                yield replace(
                    progress,
                    step=done + progress.step,
                    total=done + progress.total + (steps if again else 0),
                    elapsed=time.perf_counter() - started,
                    faces=faces,
                )
        if not again:
            return
        done += progress.total
        hold.tighten(faces)
        painting = paint(later, hold.care(), picture)


# One call that turns pictures on disk into a painting: for the command line and the page.


class _Pictures(TypedDict):
    """What a painting is made from, as `style.stylize.stylize` takes it."""

    content: torch.Tensor
    styles: list[torch.Tensor]
    regions: list[Region[torch.Tensor]]
    initial: torch.Tensor | None


class StyleService:
    """Paints photographs in the manner of other pictures."""

    def __init__(self, *, home: Path | None = None, device: str = "auto") -> None:
        """Choose the device; nothing is loaded yet.

        Args:
            home: The user's data folder, where weights are looked for; None for the usual one.
            device: "auto", "cpu" or "cuda".

        Raises:
            ArgumentError: The device is unknown or absent.
        """
        self._home = home
        self._device = resolve_device(device)
        self._loaded: tuple[tuple[str, Path | None], LoadedBackbone] | None = None

    def load(self, backbone: str, *, weights: Path | None = None) -> LoadedBackbone:
        """Get a network ready; it is kept for the pictures that follow.

        Args:
            backbone: Its name.
            weights: A file of its weights; None for where they usually are.

        Raises:
            ArgumentError: There is no such network, or no such file.
            WeightsError: No weights are at hand, or they are of another network.
        """
        asked_for = (backbone, weights)
        if self._loaded is None or self._loaded[0] != asked_for:
            loaded = load_backbone(backbone, weights=weights, home=self._home, device=self._device)
            self._loaded = asked_for, loaded
        return self._loaded[1]

    def stylize(
        self,
        content: Source,
        styles: Source | Iterable[Source],
        config: StyleConfig,
        *,
        regions: Sequence[Region[Source]] = (),
        initial: Source | None = None,
        weights: Path | None = None,
        portrait: Callable[[Image], Portrait] | None = None,
        terms: Terms | None = None,
        preview_every: int = 0,
        room: Room | None = None,
        planned: Callable[[ResourcePlan], None] | None = None,
        unfinished: Unfinished | None = None,
    ) -> Generator[PaintingProgress, None, None]:
        """Paint `content` in the manner of `styles`; see `style.stylize.stylize`.

        Everything is read and checked before this returns; the painting is done while the
        generator is asked for steps.

        Args:
            content: The photograph: anything that `data.sources.Source` names. What is
                transparent is painted as it is seen on white.
            styles: One or more pictures to take the manner from.
            config: What to paint.
            regions: Parts of the photograph that are painted in their own way.
            initial: The picture to begin from, where the configuration says draft; None: a draft
                of its own.
            weights: A weights file for `config.backbone`; None for where they usually are.
            portrait: Finds the faces of the photograph, handed over in the size of the picture, for
                a config that keeps identities; it may raise errors of its own.
            terms: How firmly faces are held then; None for what suits most pictures.
            preview_every: Every how many steps a `PaintingProgress` carries an image; 0 for the
                last only.
            room: What memory there is; None for most of what is at hand.
            planned: Told what the picture will take, before anything is painted.
            unfinished: Where a half-painted picture is kept, and gone on with; None keeps none.
                Where identities are kept none is kept either.

        Returns:
            A generator of one `PaintingProgress` a step; the last one carries the picture.

        Raises:
            ArgumentError: A missing file, an unknown backbone, a picture too small for it, a mask
                that cannot be read or does not suit the photograph; identities are to be kept
                without a `portrait`; a picture that does not fit the memory, another one half
                painted.
            ImageError: A picture that cannot be read.
            WeightsError: No weights are at hand, or they are of another network.
            StyleError: While painting, a loss became infinite or NaN.
        """
        pictures = self._pictures(content, styles, config, regions, initial)
        paint = partial(
            stylize,
            network=self._network(config, weights),
            preview_every=preview_every,
            room=room or Room(),
            **pictures,
        )
        if not config.keep_identity:
            return paint(config=config, planned=planned, unfinished=unfinished)
        if portrait is None:
            raise ArgumentError("identities cannot be kept without somebody who recognises faces")

        def sitting(
            config: StyleConfig, care: Care, draft: Image | None
        ) -> Generator[PaintingProgress, None, None]:
            if draft is None:
                return paint(config=config, care=care, planned=planned)
            return paint(config=config, care=care, initial=self._read(draft))

        photograph = pictures["content"]
        seen = resize(photograph.unsqueeze(0), fit(size_of(photograph), config.size))
        return sit(portrait(to_image(seen)), config, sitting, terms)

    def plan(
        self,
        content: Source,
        styles: Source | Iterable[Source],
        config: StyleConfig,
        *,
        regions: Sequence[Region[Source]] = (),
        initial: Source | None = None,
        weights: Path | None = None,
        room: Room | None = None,
    ) -> ResourcePlan:
        """What `stylize` would take with the same arguments; it raises the same errors."""
        pictures = self._pictures(content, styles, config, regions, initial)
        network = self._network(config, weights)
        return plan_painting(config=config, network=network, room=room or Room(), **pictures)

    def draft(
        self,
        content: Source,
        styles: Source | Iterable[Source],
        config: StyleConfig,
        *,
        regions: Sequence[Region[Source]] = (),
    ) -> torch.Tensor:
        """Paint `content` in the manner of `styles` at once; see `style.draft`.

        Args:
            content: As for `stylize`.
            styles: Likewise.
            config: Its size, strength, colours, and the mix and the scale of the styles count.
            regions: As for `stylize`.

        Returns:
            The picture, (1, 3, H, W) in [0, 1].

        Raises:
            ArgumentError: A missing file, a picture too small, a mask that cannot be read or does
                not suit the photograph.
            ImageError: A picture that cannot be read.
            WeightsError: The decoder's weights are missing, or do not fit those of the network.
        """
        return self._draft(content, styles, config, regions).picture

    def _draft(
        self,
        content: Source,
        styles: Source | Iterable[Source],
        config: StyleConfig,
        regions: Sequence[Region[Source]],
    ) -> Draft:
        given = [self._read_region(region) for region in regions]
        return draft(
            self._read(content).unsqueeze(0),
            [self._read(style).unsqueeze(0) for style in several(styles)],
            config,
            Drafter.load(home=self._home, device=self._device),
            regions=[
                replace(each, style=each.style.unsqueeze(0))
                if isinstance(each.style, torch.Tensor)
                else each
                for each in given
            ],
        )

    def _network(self, config: StyleConfig, weights: Path | None) -> StyleNetwork:
        """What looks at the picture."""
        return StyleNetwork.of(self.load(config.backbone, weights=weights).backbone, config)

    def _pictures(
        self,
        content: Source,
        styles: Source | Iterable[Source],
        config: StyleConfig,
        regions: Sequence[Region[Source]],
        initial: Source | None,
    ) -> _Pictures:
        """All pictures on the device; a draft is painted where one is asked for and none given."""
        first = None if initial is None else self._read(initial)
        if first is None and config.initial_image is InitialImage.DRAFT:
            first = self._draft(content, styles, config, regions).painted
        return {
            "content": self._read(content),
            "styles": [self._read(style) for style in several(styles)],
            "regions": [self._read_region(region) for region in regions],
            "initial": first,
        }

    def _read(self, picture: Source) -> torch.Tensor:
        """A picture as (3, H, W) in [0, 1] on the device."""
        check_source(picture)
        if (
            isinstance(picture, torch.Tensor)
            and picture.shape[0] == 3
            and picture.dtype.is_floating_point
        ):
            return picture.to(self._device)  # whatever its precision and its range
        if is_decoded(picture):
            return to_tensor(image_of(picture)).to(self._device)
        if not isinstance(picture, str | PathLike):
            picture = content_of(picture, most_bytes=MAX_BYTES)
        return load_picture(picture).colours.to(self._device)

    def _read_region(self, region: Region[Source]) -> Region[torch.Tensor]:
        """A region with its pictures on the device: the mask (1, 1, H, W), grey, in [0, 1]."""
        try:
            mask = self._read(region.mask)
        except ImageError as error:
            raise ArgumentError(f"a mask makes no sense: {error}") from error
        return Region(
            mask=luminance(mask.unsqueeze(0)),
            style=region.style
            if isinstance(region.style, RegionManner)
            else self._read(region.style),
            strength=region.strength,
        )
