"""What to paint: size, steps, weights; named qualities; refuses what makes no sense."""

import dataclasses
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Generic, TypeVar

from backbones.spec import Pooling
from data.config import Configuration, Flag, Within
from data.errors import ArgumentError

# Named settings: how much time a picture may take.


class PaintingQuality(StrEnum):
    """How well a picture is painted, and how long that takes."""

    DRAFT = "draft"
    BALANCED = "balanced"
    FINE = "fine"
    PRINT = "print"


_CHANGES: Mapping[PaintingQuality, Mapping[str, int]] = {
    PaintingQuality.DRAFT: {"size": 256, "steps": 100},
    PaintingQuality.BALANCED: {},
    PaintingQuality.FINE: {"size": 768, "steps": 400, "content_detail": True},
    PaintingQuality.PRINT: {"size": 2048, "steps": 800, "content_detail": True},
}
"""What each of them alters in the defaults of `StyleConfig`, which are the balanced ones."""


def settings_of(quality: PaintingQuality) -> dict[str, int]:
    """The fields of `StyleConfig` that a quality sets: size, steps, and the content's detail."""
    usual = StyleConfig()
    always = {name: getattr(usual, name) for name in ("size", "steps", "content_detail")}
    return always | dict(_CHANGES[quality])


# What to paint and how: one frozen configuration that refuses what makes no sense.

MIN_SIZE, MAX_SIZE = 64, 16_384  # px; beyond it the optimiser alone takes more than 40 GB
MAX_STEPS = 100_000
MAX_SEED = 2**63 - 1
MAX_WEIGHT = 1_000_000

_Weight = Annotated[float, Within(0, MAX_WEIGHT)]
_PositiveWeight = Annotated[float, Within(0, MAX_WEIGHT, above=True)]
Pixels_co = TypeVar("Pixels_co", covariant=True)
"""A picture as a `Region` holds it: a path, a file's bytes, an image, or a tensor."""


class Optimizer(StrEnum):
    """How the picture is moved towards lower loss."""

    ADAM = "adam"
    LBFGS = "lbfgs"


class StyleLossKind(StrEnum):
    """By which statistics of its taps a picture is compared with the style."""

    GRAM = "gram"
    MOMENTS = "moments"


class PaintingPrecision(StrEnum):
    """In what the network computes; statistics and the picture itself are float32 always."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class InitialImage(StrEnum):
    """What the picture starts from at the coarsest scale."""

    CONTENT = "content"
    """The photograph."""
    NOISE = "noise"
    """Seeded grey noise, which ends further from the photograph."""
    STATISTICS = "statistics"
    """The photograph in the mean and covariance of the style's colours."""
    DRAFT = "draft"
    """A draft (`style.draft`), or another picture that is handed in."""


class Colors(StrEnum):
    """Whose colours the picture has."""

    STYLE = "style"
    CONTENT = "content"


class ColorMethod(StrEnum):
    """How the content's colours are kept; `style.color` tells what each of them does."""

    LUMINANCE = "luminance"
    LAB = "lab"
    LINEAR = "linear"
    CHOLESKY = "cholesky"
    TRANSPORT = "transport"
    HISTOGRAM = "histogram"


class RegionManner(StrEnum):
    """What a region may take instead of a style picture of its own."""

    NONE = "none"
    MAIN = "main"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Region(Generic[Pixels_co]):
    """A part of the photograph that is painted in its own way.

    Attributes:
        mask: Grey picture of the photograph's proportions, of any size: white belongs to the
            region, black does not, and grey is a soft edge. Where regions overlap, the later one
            covers the earlier one.
        style: The style picture of the region; or none, and the photograph stays as it is; or
            that of everything outside of the regions.
        strength: As in `StyleConfig`; None takes the strength of the whole picture.

    Raises:
        ArgumentError: The strength is out of its range, or there is one although the photograph
            stays.
    """

    mask: Pixels_co
    style: Pixels_co | RegionManner
    strength: float | None = None

    def __post_init__(self) -> None:
        """Check the strength."""
        if self.strength is None:
            return
        Within(0, 1).check("the strength of a region", self.strength)
        if self.style is RegionManner.NONE:
            raise ArgumentError(
                "a region without a style has no strength: leave it out, or give the region a style"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StyleConfig(Configuration):
    """The settings of one picture.

    The losses are relative to their own targets (see `style.losses`), so the same weights serve
    every backbone and every size. At weights of 1 photograph and style are in balance; only the
    ratios of the three weights matter.

    Attributes:
        size: Longer side of the picture, px, 64 to 16,384. The content is scaled to it, up or down.
        steps: Optimiser steps in all, shared out among the scales, the coarse ones taking more,
            1 to 100,000.
        backbone: Name of the network that looks at the picture.
        strength: How far the picture goes from the photograph to the style, 0 to 1: the share of
            the style in the sum of both, so 0.5 leaves them in balance, 0 leaves the photograph,
            and 1 asks for nothing but the style. It multiplies the weights below.
        content_weight: Weight of the content loss, at least 0. More of it keeps more of the
            photograph.
        style_weight: Weight of the style loss, above 0.
        tv_weight: Weight of total variation, at least 0. More of it gives a smoother picture.
        style_scale: Longer side of each style picture as a share of `size`, 0.1 to 4. Larger
            gives larger strokes. A style picture is never enlarged beyond its own pixels, for
            that would teach the picture to be blurred; nor shrunk below what the network needs.
        style_mix: One weight above 0 for each style picture, or empty for equal shares.
        colors: Whether the picture takes the style's colours or keeps the content's.
        color_method: How the content's colours are kept.
        style_loss: Gram matrices, or the Wasserstein-2 distance of means and covariances.
        style_taps: Names of the taps at which the style is compared; none: the network's own.
        style_tap_weights: A weight above 0 for each of them; none: the network's own, or equal
            ones for taps that the network does not call for.
        content_taps: Names of the taps at which the content is compared; none: the network's own.
        content_tap_weights: A weight above 0 for each of them; none: equal ones.
        content_detail: Whether the photograph is compared at several depths, at the style taps
            from the second up to the depth of the network's own content taps, instead of at those
            alone. It does nothing beside `content_taps`.
        pooling: What stands in the place of the network's max pooling, rescaled.
        precision: In what the network computes; `auto`: bfloat16 where the processor has it.
        optimizer: Adam or L-BFGS.
        learning_rate: Step length of Adam at the beginning of each scale, on pixels in [0, 1],
            above 0, at most 1; it falls in a line to a twentieth. L-BFGS finds its own.
        averaging: Decay of the moving average of Adam's iterates that becomes the picture,
            0 (the last iterate) to below 1.
        initial_image: The content, seeded grey noise, the content in the style's colours, or a
            draft that is handed in.
        first_scale: Longer side of the coarsest scale, px, at least 32. As large as `size`: a
            single scale.
        scale_factor: How much each scale is larger than the one before, 1.1 to 4.
        keep_identity: Whether faces are painted more gently, and held until they are judged to be
            still those people's. It takes somebody who can recognise them (`style.portraits`).
        seed: Seed of the noise, 0 to 2⁶³ − 1.

    Raises:
        ArgumentError: A value is out of its range, or not a number where one is expected.
    """

    size: Annotated[int, Within(MIN_SIZE, MAX_SIZE)] = 512
    steps: Annotated[int, Within(1, MAX_STEPS)] = 300
    backbone: str = "vgg_slim"
    strength: Annotated[float, Within(0, 1)] = 0.5
    content_weight: _Weight = 1.0
    style_weight: _PositiveWeight = 1.0
    tv_weight: _Weight = 1.0
    style_scale: Annotated[float, Within(0.1, 4)] = 1.0
    style_mix: tuple[_PositiveWeight, ...] = ()
    colors: Colors = Colors.STYLE
    color_method: ColorMethod = ColorMethod.LUMINANCE
    style_loss: StyleLossKind = StyleLossKind.MOMENTS
    style_taps: tuple[str, ...] = ()
    style_tap_weights: tuple[_PositiveWeight, ...] = ()
    content_taps: tuple[str, ...] = ()
    content_tap_weights: tuple[_PositiveWeight, ...] = ()
    content_detail: Flag = False
    pooling: Pooling = Pooling.MAX
    precision: PaintingPrecision = PaintingPrecision.AUTO
    optimizer: Optimizer = Optimizer.ADAM
    learning_rate: Annotated[float, Within(0, 1, above=True)] = 0.05
    averaging: Annotated[float, Within(0, 0.9999)] = 0.9
    initial_image: InitialImage = InitialImage.CONTENT
    first_scale: Annotated[int, Within(32, MAX_SIZE)] = 128
    scale_factor: Annotated[float, Within(1.1, 4)] = math.sqrt(2)
    keep_identity: Flag = False
    seed: Annotated[int, Within(0, MAX_SEED)] = 0

    @property
    def compares_detail(self) -> bool:
        """Whether the photograph is compared at several depths that the network chooses."""
        return self.content_detail and not self.content_taps

    def mix_of(self, styles: int) -> tuple[float, ...]:
        """The weight of each of so many style pictures.

        Raises:
            ArgumentError: There is none, or `style_mix` is of another number.
        """
        if not styles:
            raise ArgumentError("there is no style picture: give at least one")
        if self.style_mix and len(self.style_mix) != styles:
            raise ArgumentError(
                f"style_mix has {len(self.style_mix)} weights for {styles} style picture(s): "
                "give one for each, or none"
            )
        return self.style_mix or (1.0,) * styles

    def settings(self) -> dict[str, object]:
        """Every value as plain JSON (numbers, text, lists), to be written into the picture."""
        told = dataclasses.asdict(self)
        for name, value in told.items():
            if isinstance(value, tuple):
                told[name] = list(value)
            elif isinstance(value, StrEnum):
                told[name] = value.value
        return told
