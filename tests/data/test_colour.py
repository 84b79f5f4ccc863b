import numpy as np
import torch
from torch import Tensor

from data.augmentation import _AXES, _DEVIATIONS, Draws, recolour

LUMA = np.array([0.299, 0.587, 0.114])


def recoloured(images: Tensor, seed: int = 0, **strengths: float) -> Tensor:
    nothing = dict.fromkeys(("brightness", "contrast", "saturation", "grey", "pca_colour"), 0.0)
    draws = Draws(len(images), torch.Generator().manual_seed(seed))
    return recolour(images, draws, **nothing | strengths)


def test_one_matrix_does_what_one_change_after_another_does():
    images = torch.rand(20, 3, 6, 5, generator=torch.Generator().manual_seed(1))
    limits = {"brightness": 0.5, "contrast": 0.6, "saturation": 0.7, "pca_colour": 0.2}
    result = recoloured(images, grey=0.3, **limits).numpy()
    draws = Draws(20, torch.Generator().manual_seed(0))
    brightness, contrast, saturation = (
        1 + draws.around_zero(name, limits[name]).numpy()
        for name in ("brightness", "contrast", "saturation")
    )
    saturation[draws.chosen("grey", 0.3).numpy()] = 0
    assert 0 < (saturation == 0).sum() < 20
    shares = torch.randn((20, 3), generator=draws.stream("pca_colour")).numpy() * 0.2
    for i, image in enumerate(images.double().numpy()):
        changed = image * brightness[i]
        middle = np.tensordot(LUMA, changed, 1).mean()
        changed = middle + (changed - middle) * contrast[i]
        hue = sum(shares[i, k] * _DEVIATIONS[k] * np.array(_AXES[k]) for k in range(3))
        changed = changed + hue[:, None, None]
        grey = np.tensordot(LUMA, changed, 1)
        changed = grey + (changed - grey) * saturation[i]
        assert np.abs(result[i] - changed.clip(0, 1)).max() < 1e-5


def test_colours_move_along_the_axes_of_faces():
    """The covariance of the moves is the colours' own, scaled."""
    images = torch.full((20_000, 3, 1, 1), 0.5)
    moves = (recoloured(images, pca_colour=0.1) - 0.5).flatten(1).double().numpy()
    axes, deviations = np.array(_AXES), np.array(_DEVIATIONS)
    expected = 0.01 * axes.T @ np.diag(deviations**2) @ axes
    assert np.abs(np.cov(moves.T) - expected).max() < 0.03 * expected.max()


def test_the_axes_are_orthonormal():
    axes = np.array(_AXES)
    assert np.abs(axes @ axes.T - np.eye(3)).max() < 2e-3


def test_a_grey_image_stays_grey_whatever_the_hue():
    images = torch.rand(30, 3, 4, 4)
    changed = recoloured(images, grey=1.0, pca_colour=1.0, brightness=0.5)
    assert torch.allclose(changed[:, 0], changed[:, 2], atol=1e-6)
    assert torch.allclose(changed[:, 0], changed[:, 1], atol=1e-6)


def test_an_image_does_not_depend_on_its_neighbours():
    images = torch.rand(4, 3, 8, 8)
    others = torch.cat([images[:1], torch.zeros(3, 3, 8, 8)])
    strengths = {"brightness": 0.3, "contrast": 0.3, "pca_colour": 0.3}
    first, same = recoloured(images, **strengths)[0], recoloured(others, **strengths)[0]
    assert torch.allclose(first, same, atol=1e-6)
