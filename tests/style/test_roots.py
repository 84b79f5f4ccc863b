"""Matrix roots against eigenvalues in float64."""

import numpy as np
import pytest
import torch
from torch import Tensor

from style.losses import eigenvalues, newton_schulz, root, trace_of_root

WAYS = [eigenvalues, newton_schulz]


def _matrix(seed: int, size: int, decades: float) -> Tensor:
    """Positive definite, with eigenvalues that fall by so many decades."""
    source = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(size, size, generator=source, dtype=torch.float64))
    return axes * torch.logspace(0, -decades, size, dtype=torch.float64) @ axes.T


def _exact(matrix: Tensor) -> tuple[float, np.ndarray]:
    values, vectors = np.linalg.eigh(matrix.numpy())
    return float(np.sqrt(values).sum()), (vectors / np.sqrt(values)) @ vectors.T


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [3, 40])
@pytest.mark.parametrize("decades", [0, 3, 7])
def test_trace_and_inverse_equal_those_by_eigenvalues(way, size, decades) -> None:  # type: ignore[no-untyped-def]
    matrix = 5 * _matrix(0, size, decades)
    trace, inverse = way(matrix)
    wanted, inverted = _exact(matrix)
    assert trace.item() == pytest.approx(wanted, rel=1e-3)
    assert np.linalg.norm(inverse.numpy() - inverted) < 5e-3 * np.linalg.norm(inverted)


@pytest.mark.parametrize("way", WAYS)
def test_float32_is_good_for_roots_that_span_three_decades(way) -> None:  # type: ignore[no-untyped-def]
    matrix = _matrix(1, 64, 6)
    trace, _ = way(matrix.float())
    assert trace.item() == pytest.approx(_exact(matrix)[0], rel=1e-3)


def test_a_root_times_itself_is_the_matrix() -> None:
    matrix = _matrix(2, 20, 4)
    torch.testing.assert_close(root(matrix) @ root(matrix), matrix)
    singular = matrix.clone()
    singular[:, 0] = singular[0] = 0
    torch.testing.assert_close(root(singular) @ root(singular), singular)


def test_the_gradient_equals_two_sided_differences() -> None:
    def score(factor: Tensor) -> Tensor:
        return trace_of_root(factor @ factor.T + torch.eye(4, dtype=torch.float64))

    source = torch.Generator().manual_seed(3)
    factor = torch.randn(4, 6, generator=source, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(score, factor)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_not_finite_gives_nan_and_does_not_raise(way) -> None:  # type: ignore[no-untyped-def]
    trace, inverse = way(torch.full((3, 3), torch.nan))
    assert trace.isnan()
    assert inverse.isnan().all()
