"""The model card that a run writes about its best weights, from what their header says."""

from collections.abc import Sequence
from pathlib import Path

from data.files import sha256_of, write_atomic
from data.tensors import read_metadata


def write_model_card(
    folder: Path, weights: Path, template: str, *, header: Sequence[str], **fields: object
) -> None:
    """Write `model-card.md`.

    Args:
        folder: The run's.
        weights: On disk.
        template: Markdown with places for `file`, `size` (MB), `digest`, and for all below.
        header: Keys of the weights' header that the template names.
        fields: Whatever else it names.
    """
    says = read_metadata(weights)
    text = template.format(
        file=weights.name,
        size=weights.stat().st_size / 1e6,
        digest=sha256_of(weights),
        **{key: says.get(key, "not recorded") for key in header},
        **fields,
    )
    write_atomic(folder / "model-card.md", text.encode())
