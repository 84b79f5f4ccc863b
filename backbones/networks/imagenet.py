"""Weights that torchvision publishes, trained on ImageNet."""

from ..spec import WeightsSource


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
