"""Weights that torchvision publishes, trained on ImageNet."""

from ..spec import WeightsSource


def imagenet_weights(file: str, *, sha256: str, size: int) -> tuple[WeightsSource]:
    """The one source of a torchvision network's weights.

    Args:
        file: Its name at torchvision; it ends in the digest's first eight hexadecimal digits.
        sha256: The digest: those eight digits, or all 64 where several projects that pin the file
            agree on the others, which torchvision itself does not state.
        size: In bytes, right to a thousandth.
    """
    return (
        WeightsSource(
            name="imagenet",
            url=f"https://download.pytorch.org/models/{file}",
            sha256=sha256,
            size=size,
            trained_on="ImageNet-1K",
            licence="BSD-3-Clause (torchvision); ImageNet's own terms apply to its use",
        ),
    )
