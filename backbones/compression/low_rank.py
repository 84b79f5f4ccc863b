"""Tensors as products of two narrow matrices: the singular values that matter.

E. Denton et al.: Exploiting Linear Structure Within Convolutional Networks, 2014. Of all matrices
of a rank, the one that keeps the largest singular values lies nearest (Eckart and Young, 1936); the
square of what is missing is the sum of the squares of those left out.
"""

import torch
from torch import Tensor

from .forms import LowRankForm, rows_of


def low_rank_form(
    tensor: Tensor, *, energy: float | None = None, rank: int | None = None
) -> LowRankForm:
    """Find the nearest product of two narrow matrices.

    Args:
        tensor: (outputs, …), finite.
        energy: The part of the sum of squares that it keeps at least, above 0 … 1; the rank
            follows. None: `rank` says it.
        rank: Of the product; what is beyond the tensor's own is left out.

    Returns:
        The product, each matrix with the root of the singular values.
    """
    rows = rows_of(tensor)
    left, sizes, right = torch.linalg.svd(rows, full_matrices=False)
    kept = len(sizes)
    if energy is not None:
        shares = sizes.square().cumsum(0)
        if float(shares[-1]) > 0:
            kept = 1 + int(torch.searchsorted(shares, energy * shares[-1] * (1 - 1e-12)))
        else:
            kept = 1
    if rank is not None:
        kept = rank
    kept = max(1, min(kept, len(sizes)))
    roots = sizes[:kept].sqrt()
    return LowRankForm(
        shape=tuple(tensor.shape),
        left=(left[:, :kept] * roots).float(),
        right=(right[:kept] * roots[:, None]).float(),
    )
