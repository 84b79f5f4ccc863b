"""What a weights file says about itself, in the text fields of its safetensors header.

- `architecture`: a registered name, `mobilefacenet`; or `arch`, a dotted name that ends in one,
  `torchvision.models.squeezenet1_0`. Prose under `arch` names nothing.
- `input_size`: height × width, `112x96`; prose may follow.
- `embedding`: D, `128`; prose may follow, as in `128; concatenated with the mirrored image: 256`.
- `mirror`: `yes` or `no`, whether the threshold holds for embeddings with the mirrored image's
  appended; where it is absent, whether `embedding` speaks of a mirrored image.
- `alignment`: a value of `Alignment`, `five-point-112`, or prose that begins with `five-point`,
  `box` or `none`.
- `normalisation`: `RGB, (x - 127.5) / 128` on bytes, or, on 0 … 1,
  `RGB, mean 0.485 0.456 0.406, std 0.229 0.224 0.225`.
- `norm`: a value of `Norm`, `group`: what the network has in the place of batch norm.
- `attention`, `activation`, `head_pooling`, `conv`: values of `Attention`, `Activation`,
  `HeadPooling`, `Convolution`, where the network has others than those it was published with.
  Behind which stages attention stands is told by the names of its tensors alone.
- `stn`: `yes` where a spatial transformer comes first; `width` and `resolution`: multipliers, where
  they are not 1; `cardinality`: a count, where it is not the network's own.
- `threshold`: the cosine similarity from which on two faces are one person's, `0.267`.
- `threshold_provenance`: what the threshold was measured on.
- `impostor_tail`: how alike the network finds people whom it never saw, as JSON, which
  `recognition.evaluation.impostor_tail` understands.
- `source`, `training_data`, `licence` and anything else: prose for the reader.

What is absent is as the network's own spec says. What is there and not understood is an error:
guessing would give embeddings that look right and are not.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeVar

from data.errors import WeightsError

from .registry import available
from .shelf import widened
from .spec import (
    LEAST_RESOLUTION,
    LEAST_WIDTH,
    MOST_GROUPS,
    MOST_WIDTH,
    Activation,
    Alignment,
    Attention,
    BackboneSpec,
    Convolution,
    HeadPooling,
    Norm,
    Normalisation,
)

_Choice = TypeVar("_Choice", bound=StrEnum)

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_SIZE = re.compile(r"\s*([1-9]\d{0,3})\s*[x×]\s*([1-9]\d{0,3})\b")
_COUNT = re.compile(r"\s*([1-9]\d{0,4})\b")
_ON_BYTES = re.compile(rf"\(x\s*-\s*({_NUMBER})\)\s*/\s*({_NUMBER})")
_ON_UNIT = re.compile(rf"mean((?:\s+{_NUMBER}){{3}}),\s*std((?:\s+{_NUMBER}){{3}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsMetadata:
    """What a weights file says, understood; None where it says nothing.

    Attributes:
        architecture: A registered name.
        input_size: (H, W) in pixels.
        embedding_size: D of one image's embedding, before the mirrored one's is appended.
        mirror: Whether the threshold holds for embeddings with the mirrored image's appended.
        alignment: How a face must lie in the input.
        normalisation: What is done to RGB in 0 … 1 first.
        norm: What stands in the place of batch norm.
        attention: What stands behind each stage.
        activation: What stands in the place of the network's own activations.
        head_pooling: What stands in the place of its last average.
        conv: What stands in the place of its dense convolutions.
        stn: Whether a spatial transformer comes first.
        width: How many times as wide as registered.
        resolution: The share of each side that images are scaled to inside.
        cardinality: Groups of its bottlenecks.
        threshold: Cosine similarity from which on two faces count as one person's, -1 … 1.
        threshold_provenance: What the threshold was measured on.
    """

    architecture: str | None = None
    input_size: tuple[int, int] | None = None
    embedding_size: int | None = None
    mirror: bool = False
    alignment: Alignment | None = None
    normalisation: Normalisation | None = None
    norm: Norm | None = None
    attention: Attention | None = None
    activation: Activation | None = None
    head_pooling: HeadPooling | None = None
    conv: Convolution | None = None
    stn: bool = False
    width: float = 1.0
    resolution: float = 1.0
    cardinality: int | None = None
    threshold: float | None = None
    threshold_provenance: str | None = None

    def adapt(self, spec: BackboneSpec) -> BackboneSpec:
        """The spec of the very network that the weights were trained for.

        Args:
            spec: The registered spec of that architecture.

        Returns:
            The same with whatever the weights file says otherwise.

        Raises:
            ArgumentError: It says what there is not, such as another width of a network of one.
        """
        if self.width != 1:
            spec = widened(spec, self.width)
        return replace(
            spec,
            input_size=self.input_size or spec.input_size,
            embedding_size=self.embedding_size or spec.embedding_size,
            alignment=self.alignment or spec.alignment,
            normalisation=self.normalisation or spec.normalisation,
            norm=self.norm or spec.norm,
            attention=self.attention or spec.attention,
            activation=self.activation or spec.activation,
            head_pooling=self.head_pooling or spec.head_pooling,
            conv=self.conv or spec.conv,
            stn=self.stn or spec.stn,
            resolution=self.resolution,
            cardinality=self.cardinality or spec.cardinality,
        )


def parse_metadata(metadata: Mapping[str, str]) -> WeightsMetadata:
    """Understand a header's text fields, as the table above has it.

    Args:
        metadata: Of a safetensors file; keys that nobody knows are passed over.

    Returns:
        What the file says about itself.

    Raises:
        WeightsError: A known key holds a text that cannot be understood.
    """
    embedding = metadata.get("embedding", "")
    mirror = _yes(metadata, "mirror")
    return WeightsMetadata(
        architecture=_architecture(metadata),
        input_size=_input_size(metadata.get("input_size")),
        embedding_size=_embedding_size(embedding),
        mirror="mirror" in embedding if mirror is None else mirror,
        alignment=_alignment(metadata.get("alignment")),
        normalisation=_normalisation(metadata.get("normalisation")),
        norm=_choice(metadata, "norm", Norm),
        attention=_choice(metadata, "attention", Attention),
        activation=_choice(metadata, "activation", Activation),
        head_pooling=_choice(metadata, "head_pooling", HeadPooling),
        conv=_choice(metadata, "conv", Convolution),
        stn=_yes(metadata, "stn") or False,
        width=_multiplier(metadata, "width", LEAST_WIDTH, MOST_WIDTH),
        resolution=_multiplier(metadata, "resolution", LEAST_RESOLUTION, 1),
        cardinality=_cardinality(metadata.get("cardinality")),
        threshold=_threshold(metadata.get("threshold")),
        threshold_provenance=metadata.get("threshold_provenance"),
    )


def weights_metadata(
    spec: BackboneSpec,
    *,
    mirror: bool = False,
    threshold: float | None = None,
    threshold_provenance: str | None = None,
    **prose: str,
) -> dict[str, str]:
    """The text fields that let a weights file alone say what it is.

    Args:
        spec: Of the network whose weights are written.
        mirror: Whether the threshold holds with the mirrored image's embedding appended.
        threshold: Cosine similarity from which on two faces count as one person's; None: unknown.
        threshold_provenance: What the threshold was measured on; needed with one.
        **prose: Further fields for the reader, such as `source`, `training_data`, `licence`.

    Returns:
        Keys and texts that `parse_metadata` understands.

    Raises:
        ValueError: A threshold comes without its provenance.
    """
    fields = dict(prose) | {
        "architecture": spec.name,
        "input_size": f"{spec.input_size[0]}x{spec.input_size[1]}",
        "alignment": spec.alignment.value,
        "normalisation": _describe_normalisation(spec.normalisation),
        "mirror": "yes" if mirror else "no",
    }
    if spec.norm is not Norm.BATCH:
        fields["norm"] = spec.norm.value
    if spec.attention is not Attention.NONE:
        fields["attention"] = spec.attention.value
    if spec.activation is not Activation.OWN:
        fields["activation"] = spec.activation.value
    if spec.head_pooling is not HeadPooling.OWN:
        fields["head_pooling"] = spec.head_pooling.value
    if spec.conv is not Convolution.STANDARD:
        fields["conv"] = spec.conv.value
    if spec.stn:
        fields["stn"] = "yes"
    if spec.width != 1:
        fields["width"] = repr(spec.width)
    if spec.resolution != 1:
        fields["resolution"] = repr(spec.resolution)
    if spec.cardinality is not None:
        fields["cardinality"] = str(spec.cardinality)
    if spec.embedding_size is not None:
        fields["embedding"] = str(spec.embedding_size)
    if threshold is not None:
        if not threshold_provenance:
            raise ValueError("a threshold must say on what it was measured")
        fields["threshold"] = repr(float(threshold))
        fields["threshold_provenance"] = threshold_provenance
    return fields


def _architecture(metadata: Mapping[str, str]) -> str | None:
    """A registered name; None where the text is prose, which somebody must then put a name to."""
    if name := metadata.get("architecture"):
        return name
    last = metadata.get("arch", "").rpartition(".")[2]
    return last if last in available() else None


def _input_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    found = _SIZE.match(text)
    if not found:
        raise _not_understood("input_size", text, "height x width, such as 112x112")
    return int(found[1]), int(found[2])


def _embedding_size(text: str) -> int | None:
    if not text:
        return None
    found = _COUNT.match(text)
    if not found:
        raise _not_understood("embedding", text, "how many numbers, such as 128")
    return int(found[1])


def _alignment(text: str | None) -> Alignment | None:
    if text is None:
        return None
    for alignment in Alignment:
        family = re.split(r"-\d", alignment.value)[0]
        if text == alignment.value or text.startswith(f"{family} ") or text == family:
            return alignment
    raise _not_understood("alignment", text, " or ".join(Alignment))


def _normalisation(text: str | None) -> Normalisation | None:
    if text is None:
        return None
    try:
        if found := _ON_BYTES.search(text):
            mean, std = float(found[1]) / 255, float(found[2]) / 255
            return Normalisation(mean=(mean, mean, mean), std=(std, std, std))
        if found := _ON_UNIT.search(text):
            red, green, blue = map(float, found[1].split())
            red_std, green_std, blue_std = map(float, found[2].split())
            return Normalisation(mean=(red, green, blue), std=(red_std, green_std, blue_std))
    except ValueError:
        pass  # a deviation of 0 or below
    raise _not_understood("normalisation", text, "RGB, (x - 127.5) / 128, or RGB, mean …, std …")


def _choice(metadata: Mapping[str, str], key: str, kind: type[_Choice]) -> _Choice | None:
    if (text := metadata.get(key)) is None:
        return None
    if text not in set(kind):
        raise _not_understood(key, text, " or ".join(kind))
    return kind(text)


def _yes(metadata: Mapping[str, str], key: str) -> bool | None:
    text = metadata.get(key)
    if text not in (None, "yes", "no"):
        raise _not_understood(key, text, "yes or no")
    return None if text is None else text == "yes"


def _multiplier(metadata: Mapping[str, str], key: str, low: float, high: float) -> float:
    if (text := metadata.get(key)) is None:
        return 1.0
    found = re.fullmatch(_NUMBER, text)
    if not found or not low <= float(text) <= high:
        raise _not_understood(key, text, f"a number, {low:g} to {high:g}")
    return float(text)


def _cardinality(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[1-9]\d{0,3}", text) or int(text) > MOST_GROUPS:
        raise _not_understood("cardinality", text, f"how many groups, 1 to {MOST_GROUPS}")
    return int(text)


def _describe_normalisation(normalisation: Normalisation) -> str:
    mean = " ".join(map(repr, normalisation.mean))
    std = " ".join(map(repr, normalisation.std))
    return f"RGB, mean {mean}, std {std}"


def _threshold(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        threshold = float(text)
    except ValueError:
        threshold = math.nan
    if not -1 <= threshold <= 1:
        raise _not_understood("threshold", text, "a cosine similarity, -1 to 1")
    return threshold


def _not_understood(key: str, text: str, expected: str) -> WeightsError:
    return WeightsError(f"the weights file's {key} is {text[:80]!r}, expected {expected}")
