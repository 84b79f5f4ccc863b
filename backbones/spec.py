"""What a backbone says about itself: its taps, its input, its weights. No torch here."""

import math
from dataclasses import dataclass
from enum import StrEnum

from data.errors import ArgumentError


class Alignment(StrEnum):
    """How a face must lie in the image before a network may embed it."""

    FIVE_POINT = "five-point-112"
    """A similarity brings five landmarks to the 112×112 template of ArcFace (Deng et al. 2019)."""
    EYES = "two-eyes-96"
    """A similarity brings the centres of the eyes, and nothing else, to two points of 96×96."""
    DLIB = "dlib-chip-150"
    """A similarity brings five landmarks to where they lie in the 150×150 chips of dlib."""
    BOX = "box-160-margin-14"
    """The detector's box, 14 pixels wider and higher once scaled to 160×160, as FaceNet had it."""
    NONE = "none"
    """Any image: the network was not trained on faces."""


class Norm(StrEnum):
    """Over what the layers inside a network normalise; `blocks.normalisation` tells them apart."""

    BATCH = "batch"
    GROUP = "group"
    LAYER = "layer"
    INSTANCE = "instance"
    SWITCHABLE = "switchable"


class Attention(StrEnum):
    """What stands behind each stage but the first; `blocks.attention` tells them apart."""

    NONE = "none"
    SE = "se"
    SK = "sk"
    ECA = "eca"
    CBAM = "cbam"
    DANET = "danet"
    NON_LOCAL = "non_local"
    SELF = "self"


class Convolution(StrEnum):
    """What stands in the place of dense convolutions; `blocks.convolutions` tells them apart.

    standard: as the network was published.
    """

    STANDARD = "standard"
    GROUPED = "grouped"
    SEPARABLE = "depthwise_separable"
    DILATED = "dilated"


class Activation(StrEnum):
    """What bends each layer's output; own: as the network was published."""

    OWN = "own"
    RELU = "relu"
    LEAKY_RELU = "leaky_relu"
    PRELU = "prelu"
    TANH = "tanh"
    SIGMOID = "sigmoid"


class HeadPooling(StrEnum):
    """How a last feature map becomes one vector; own: as the network was published."""

    OWN = "own"
    AVERAGE = "average"
    GENERALISED_MEAN = "generalised_mean"
    GLOBAL_DEPTHWISE = "global_depthwise"
    ATTENTION = "attention"


class WeightInit(StrEnum):
    """What random weights are drawn from; `blocks.initialisation` tells them apart."""

    OWN = "own"
    KAIMING = "kaiming"
    XAVIER = "xavier"
    UNIFORM = "uniform"


class Pooling(StrEnum):
    """What a window of cells becomes; `blocks.pooling` tells them apart."""

    MAX = "max"
    AVERAGE = "average"
    L2 = "l2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """What a network does first to RGB in 0 … 1: `(x - mean) / std`, a number a channel.

    Attributes:
        mean: Taken away from red, green and blue.
        std: What the rest is divided by; above 0.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Check that nothing is divided by zero.

        Raises:
            ValueError: A deviation is not above 0, or a number is not finite.
        """
        if not all(map(math.isfinite, self.mean + self.std)) or min(self.std) <= 0:
            raise ValueError(f"normalisation needs finite means and deviations above 0: {self}")


IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""Mean and deviation of ImageNet's photographs, which torchvision's networks expect."""

HALF = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
"""-1 … 1, as the Inception family expects, and Transformers."""

IDENTITY = Normalisation(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
"""Leaves RGB in 0 … 1 as it is."""

SIGNED = Normalisation(mean=(0.5, 0.5, 0.5), std=(128 / 255, 128 / 255, 128 / 255))
"""(x - 127.5) / 128 on bytes: about -1 … 1, as face networks expect."""


@dataclass(frozen=True, slots=True)
class Tap:
    """A place inside a network where its feature map can be read.

    Attributes:
        name: Unique within its network.
        channels: C of the feature map.
        stride: Pixels of the input between neighbouring cells of the feature map.
        least: Shorter side of a picture, px, from which on the map has two cells each way; 0: twice
            the stride, which is enough where every convolution pads.
    """

    name: str
    channels: int
    stride: int
    least: int = 0

    @property
    def least_side(self) -> int:
        """Shorter side of a picture, px, from which on the map has two cells each way."""
        return max(self.least, 2 * self.stride)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSource:
    """A PyTorch file of weights that a publisher offers; it is kept as safetensors.

    Attributes:
        name: Short name of the set that they were trained on, for lists.
        url: Where the file is.
        sha256: Its digest in lower-case hexadecimal: 64 digits, or the leading ones (at least 8)
            where no more of it is known, which `short_digest` then has to say.
        size: The file's length in bytes, right to a thousandth: torchvision states no more.
        trained_on: What the network has seen, in words.
        licence: The terms of use, in words.
        short_digest: Why `sha256` is not whole, and what that leaves open: a sentence that users
            are shown before they agree to the download; None: it is whole.
    """

    name: str
    url: str
    sha256: str
    size: int
    trained_on: str
    licence: str
    short_digest: str | None = None

    def __post_init__(self) -> None:
        """Check that the digest can tell one file from another, or that it is said to be short.

        Raises:
            ValueError: `sha256` is not 8 … 64 hexadecimal digits; it has fewer than 64 and nothing
                says so, or has 64 and something says it is short; or `size` is not above 0.
        """
        if not 8 <= len(self.sha256) <= 64 or set(self.sha256) - set("0123456789abcdef"):
            raise ValueError(f"sha256 must be 8 to 64 hexadecimal digits, not {self.sha256!r}")
        if (len(self.sha256) < 64) is not bool(self.short_digest):
            raise ValueError(
                f"sha256 must be whole, 64 digits, or have a short_digest that says why it is not: "
                f"{self.sha256!r}, {self.short_digest!r}"
            )
        if self.size <= 0:
            raise ValueError(f"size must be above 0, not {self.size}")


LEAST_WIDTH, MOST_WIDTH = 0.1, 4.0
"""Between these, a width multiplier makes a network that is worth training."""
LEAST_RESOLUTION = 0.01
"""A resolution multiplier below it leaves one pixel of most images."""
MOST_GROUPS = 64
"""With so many in a bottleneck of ResNeXt, each has two channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneSpec:
    """Everything there is to know about a network before it is built.

    Attributes:
        name: What users and weights files call it.
        summary: What it is, in one line.
        taps: Where its feature maps can be read, in the order of computation.
        content_taps: Those that say what is in a picture.
        style_taps: Those whose statistics say how a picture is painted.
        style_tap_weights: A weight for each style tap; they sum to 1.
        input_size: (H, W) in pixels that `embedding` expects.
        alignment: How a face must lie in that input.
        normalisation: What the network does to its input first.
        embedding_size: D of `embedding`; None: the last tap's channels, averaged over the image.
        weights: What publishers offer for it, the best first.
        licence: The terms of the network's code.
        norm: What stands where the network was published with batch norm.
        attention: What stands behind each stage but the first.
        attention_taps: The stages that it stands behind; None: all whose maps it can afford, as
            `blocks.attention` has it.
        activation: What stands in the place of its own activations.
        head_pooling: What stands in the place of the average behind the last stage.
        conv: What stands in the place of its dense convolutions.
        stn: Whether a spatial transformer turns and cuts images first, as training teaches it.
        width: α of MobileNet: how many times as many channels each layer has as registered.
        resolution: ρ of MobileNet: the share of each side that images are scaled to inside.
        cardinality: Groups of a ResNeXt's bottlenecks; None: as registered.
        paper: Who described it, and where: authors, title, year.
        parameters: How many trained numbers the registered network has; None: nobody has counted.
        auxiliary_taps: Those behind which training has a second and third loss.
    """

    name: str
    summary: str
    taps: tuple[Tap, ...]
    content_taps: tuple[str, ...]
    style_taps: tuple[str, ...]
    style_tap_weights: tuple[float, ...]
    input_size: tuple[int, int]
    alignment: Alignment
    normalisation: Normalisation
    embedding_size: int | None
    weights: tuple[WeightsSource, ...]
    licence: str
    norm: Norm = Norm.BATCH
    attention: Attention = Attention.NONE
    attention_taps: tuple[str, ...] | None = None
    activation: Activation = Activation.OWN
    head_pooling: HeadPooling = HeadPooling.OWN
    conv: Convolution = Convolution.STANDARD
    stn: bool = False
    width: float = 1.0
    resolution: float = 1.0
    cardinality: int | None = None
    paper: str = ""
    parameters: int | None = None
    auxiliary_taps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that the parts fit together.

        Raises:
            ValueError: A tap's name is there twice, a content or style tap is none of the taps,
                the style weights are not one a tap or do not sum to 1, or a size is not above 0.
            ArgumentError: Width or resolution lies outside of what networks take.
        """
        names = [tap.name for tap in self.taps]
        if not names or len(set(names)) != len(names):
            raise ValueError(
                f"{self.name}: taps must be there and have names of their own: {names}"
            )
        used = self.content_taps + self.style_taps + self.auxiliary_taps
        if strangers := set(used) - set(names):
            raise ValueError(f"{self.name}: {sorted(strangers)} are none of its taps {names}")
        if len(self.style_taps) != len(self.style_tap_weights):
            raise ValueError(f"{self.name}: each style tap needs one weight")
        if not math.isclose(sum(self.style_tap_weights), 1.0):
            raise ValueError(
                f"{self.name}: style weights sum to {sum(self.style_tap_weights)}, not 1"
            )
        if min(self.input_size) <= 0 or (
            self.embedding_size is not None and self.embedding_size <= 0
        ):
            raise ValueError(f"{self.name}: sizes must be above 0")
        if not LEAST_WIDTH <= self.width <= MOST_WIDTH:
            raise ArgumentError(
                f"width is {self.width:g}: give at least {LEAST_WIDTH:g} and at most {MOST_WIDTH:g}"
            )
        if not LEAST_RESOLUTION <= self.resolution <= 1:
            raise ArgumentError(
                f"resolution is {self.resolution:g}: give at least {LEAST_RESOLUTION:g} and at "
                "most 1"
            )
        if strangers := set(self.attention_taps or ()) - set(names):
            raise ValueError(f"{self.name}: {sorted(strangers)} are none of its taps {names}")

    @property
    def seen_size(self) -> tuple[int, int]:
        """(H, W) in pixels that the first layer sees of the images to embed."""
        height, width = self.input_size
        return self.scaled(height), self.scaled(width)

    def scaled(self, side: int) -> int:
        """A side in pixels, once scaled by the resolution multiplier."""
        return max(1, round(self.resolution * side))

    @property
    def dimension(self) -> int:
        """D: how many numbers `embedding` gives for one image."""
        return self.taps[-1].channels if self.embedding_size is None else self.embedding_size

    def tap(self, name: str) -> Tap:
        """Find a tap by its name.

        Args:
            name: One of the names in `taps`.

        Returns:
            The tap.

        Raises:
            ArgumentError: There is no tap of that name; the message lists those there are.
        """
        for tap in self.taps:
            if tap.name == name:
                return tap
        known = ", ".join(tap.name for tap in self.taps)
        raise ArgumentError(f"{self.name} has no tap {name!r}; choose from {known}")


def falling_weights(count: int) -> tuple[float, ...]:
    """Weights that fall by four from tap to tap and sum to 1: 256:64:16:4:1 for five.

    Shallow layers, which hold brush strokes and palette, get most of it; the series is that of
    K. Crowson's style-transfer-pytorch, which is in turn a smooth version of Gatys et al. 2016.

    Args:
        count: How many weights, at least 1.

    Returns:
        `count` weights, the largest first.
    """
    powers = [4.0**-step for step in range(count)]
    return tuple(power / sum(powers) for power in powers)
