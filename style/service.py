"""One call that turns pictures on disk into a painting: for the command line and the page."""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from os import PathLike
from pathlib import Path

import torch
from PIL.Image import Image

from backbones.weights import LoadedBackbone, load_backbone, resolve_device
from data.errors import ArgumentError, ImageError
from data.images import load_picture, to_image, to_tensor

from .color import luminance
from .config import Manner, Region, StyleConfig
from .network import StyleNetwork
from .optimize import stylize
from .portraits import Care, Portrait
from .pyramid import fit, resize, size_of
from .results import Progress
from .sittings import Terms, sit

Picture = str | PathLike[str] | bytes | Image | torch.Tensor


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
        content: Picture,
        styles: Sequence[Picture],
        config: StyleConfig,
        *,
        regions: Sequence[Region[Picture]] = (),
        initial: Picture | None = None,
        weights: Path | None = None,
        portrait: Callable[[Image], Portrait] | None = None,
        terms: Terms | None = None,
        preview_every: int = 0,
    ) -> Generator[Progress, None, None]:
        """Paint `content` in the manner of `styles`; see `style.optimize.stylize`.

        Everything is read and checked before this returns; the painting is done while the
        generator is asked for steps.

        Args:
            content: The photograph: a path, the bytes of a file, a decoded RGB image, or its
                pixels (3, H, W) in [0, 1]. What is transparent is painted as it is seen on white.
            styles: One or more pictures to take the manner from.
            config: What to paint.
            regions: Parts of the photograph that are painted in their own way.
            initial: The draft to begin from, where the configuration says so.
            weights: A weights file for `config.backbone`; None for where they usually are.
            portrait: Finds the faces of the photograph, handed over in the size of the picture, for
                a config that keeps identities; it may raise errors of its own.
            terms: How firmly faces are held then; None for what suits most pictures.
            preview_every: Every how many steps a `Progress` carries an image; 0 for the last
                only.

        Returns:
            A generator of one `Progress` a step; the last one carries the picture.

        Raises:
            ArgumentError: A missing file, an unknown backbone, a picture too small for it, a mask
                that cannot be read or does not suit the photograph; identities are to be kept
                without a `portrait`.
            ImageError: A picture that cannot be read.
            WeightsError: No weights are at hand, or they are of another network.
            StyleError: While painting, a loss became infinite or NaN.
        """
        loaded = self.load(config.backbone, weights=weights)
        photograph = self._read(content)
        paint = partial(
            stylize,
            photograph,
            [self._read(style) for style in styles],
            network=StyleNetwork.of(loaded.backbone, config),
            regions=[self._read_region(region) for region in regions],
            preview_every=preview_every,
        )
        first = None if initial is None else self._read(initial)
        if not config.keep_identity:
            return paint(config=config, initial=first)
        if portrait is None:
            raise ArgumentError("identities cannot be kept without somebody who recognises faces")

        def sitting(
            config: StyleConfig, care: Care, draft: Image | None
        ) -> Generator[Progress, None, None]:
            over = first if draft is None else self._read(draft)
            return paint(config=config, care=care, initial=over)

        seen = resize(photograph.unsqueeze(0), fit(size_of(photograph), config.size))
        return sit(portrait(to_image(seen)), config, sitting, terms)

    def _read(self, picture: Picture) -> torch.Tensor:
        """A picture as (3, H, W) in [0, 1] on the device."""
        if isinstance(picture, torch.Tensor):
            return picture.to(self._device)
        if isinstance(picture, Image):
            return to_tensor(picture).to(self._device)
        return load_picture(picture).colours.to(self._device)

    def _read_region(self, region: Region[Picture]) -> Region[torch.Tensor]:
        """A region with its pictures on the device: the mask (1, 1, H, W), grey, in [0, 1]."""
        try:
            mask = self._read(region.mask)
        except ImageError as error:
            raise ArgumentError(f"a mask makes no sense: {error}") from error
        return Region(
            mask=luminance(mask.unsqueeze(0)),
            style=region.style if isinstance(region.style, Manner) else self._read(region.style),
            strength=region.strength,
        )
