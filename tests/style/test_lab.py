"""L*a*b* against published values, and there and back."""

import pytest
import torch

from style.color import from_lab, to_lab

PUBLISHED = {  # scikit-image 0.25, rgb2lab, D65 2°
    (1.0, 1.0, 1.0): (100.0, 0.0, 0.0),
    (0.0, 0.0, 0.0): (0.0, 0.0, 0.0),
    (1.0, 0.0, 0.0): (53.24, 80.09, 67.20),
    (0.0, 1.0, 0.0): (87.73, -86.18, 83.18),
    (0.0, 0.0, 1.0): (32.30, 79.19, -107.86),
}


@pytest.mark.parametrize(("rgb", "lab"), list(PUBLISHED.items()))
def test_known_colours(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    seen = to_lab(torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(seen, torch.tensor(lab, dtype=torch.float64), atol=0.03, rtol=0)


def test_random_pictures_equal_another_library_and_come_back() -> None:
    from skimage.color import rgb2lab

    picture = torch.rand(1, 3, 9, 7, generator=torch.Generator().manual_seed(0)).double()
    expected = torch.from_numpy(rgb2lab(picture[0].permute(1, 2, 0).numpy())).permute(2, 0, 1)
    torch.testing.assert_close(to_lab(picture)[0], expected, atol=0.05, rtol=0)
    torch.testing.assert_close(from_lab(to_lab(picture)), picture, atol=1e-6, rtol=0)
