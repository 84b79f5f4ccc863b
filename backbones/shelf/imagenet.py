"""What networks that were made to classify photographs have in common: input, taps, weights."""

from collections.abc import Sequence

from ..spec import (
    IMAGENET,
    Alignment,
    BackboneSpec,
    Normalisation,
    Tap,
    WeightsSource,
    falling_weights,
)

TORCHVISION = "BSD-3-Clause (torchvision)"
OWN = "MIT (own implementation)"


def classifier(
    name: str,
    summary: str,
    taps: Sequence[Tap],
    *,
    content: str,
    style: Sequence[str],
    paper: str,
    parameters: int,
    weights: tuple[WeightsSource, ...] = (),
    normalisation: Normalisation = IMAGENET,
    side: int = 224,
    embedding_size: int | None = None,
    auxiliary: Sequence[str] = (),
    licence: str = TORCHVISION,
) -> BackboneSpec:
    """The spec of a network that classifies photographs of any content.

    Args:
        name: What users and weights files call it.
        summary: What it is, in one line.
        taps: Where its feature maps can be read.
        content: The tap that says what is in a picture.
        style: The taps that say how it is painted, the shallow ones first.
        paper: Who described it.
        parameters: How many trained numbers it has without its classifier.
        weights: What publishers offer.
        normalisation: What it does to its input first.
        side: Of the square images that it was made for.
        embedding_size: D; None: the last tap's channels, averaged over the image.
        auxiliary: The taps behind which training has further losses.
        licence: The terms of its code.
    """
    return BackboneSpec(
        name=name,
        summary=summary,
        taps=tuple(taps),
        content_taps=(content,),
        style_taps=tuple(style),
        style_tap_weights=falling_weights(len(style)),
        input_size=(side, side),
        alignment=Alignment.NONE,
        normalisation=normalisation,
        embedding_size=embedding_size,
        weights=weights,
        licence=licence,
        paper=paper,
        parameters=parameters,
        auxiliary_taps=tuple(auxiliary),
    )


def imagenet_weights(
    file: str, *, sha256: str, size: int, short_digest: str | None = None
) -> tuple[WeightsSource]:
    """The one source of a torchvision network's weights.

    Args:
        file: Its name at torchvision; it ends in the digest's first eight hexadecimal digits.
        sha256: The digest: all 64 digits, on which several projects that pin the file agree, since
            torchvision itself does not state them; or those eight, with a `short_digest`.
        size: In bytes, right to a thousandth.
        short_digest: See `WeightsSource`.
    """
    return (
        WeightsSource(
            name="imagenet",
            url=f"https://download.pytorch.org/models/{file}",
            sha256=sha256,
            size=size,
            trained_on="ImageNet-1K",
            licence="BSD-3-Clause (torchvision); ImageNet's own terms apply to its use",
            short_digest=short_digest,
        ),
    )
