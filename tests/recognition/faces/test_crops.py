import pytest
import torch

from data.errors import ArgumentError
from recognition.faces.embedding import CROP_COUNTS, check_crops, cut_several


def test_five_crops_are_the_face_and_four_corners():
    faces = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    first, *corners = cut_several(faces, 5)
    assert first is faces
    # By hand: four pixels on, and the edge repeated behind it.
    wide = torch.nn.functional.pad(faces, (4, 4, 4, 4), mode="replicate")
    starts = [(0, 0), (0, 8), (8, 0), (8, 8)]  # top and left
    for cut, (top, left) in zip(corners, starts, strict=True):
        expected = wide[:, :, top : top + 112, left : left + 112]
        torch.testing.assert_close(cut, expected, rtol=0, atol=1e-4)


def test_fifteen_crops_are_five_at_three_scales():
    ramp = torch.linspace(-1, 1, 160).expand(1, 3, 160, 160).contiguous()
    crops = list(cut_several(ramp, 15))
    assert len(crops) == 15
    slopes = [float(crop[0, 0, 80, 81] - crop[0, 0, 80, 80]) for crop in crops]
    unit = 2 / 159
    assert slopes[:5] == pytest.approx([unit] * 5, rel=1e-3)
    assert slopes[5:10] == pytest.approx([unit / 1.06] * 5, rel=1e-3)  # larger, so less steep
    assert slopes[10:] == pytest.approx([unit * 1.06] * 5, rel=1e-3)


def test_the_crops_of_a_mirrored_face_are_the_mirrored_crops():
    faces = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    plain = torch.stack(list(cut_several(faces, 15))).mean(0)
    mirrored = torch.stack(list(cut_several(faces.flip(3), 15))).mean(0)
    torch.testing.assert_close(mirrored, plain.flip(3), rtol=0, atol=1e-4)


@pytest.mark.parametrize("count", [-1, 0, 2, 3, 10])
def test_other_numbers_are_refused(count: int):
    with pytest.raises(ArgumentError, match="take one of 1, 5, 15"):
        check_crops(count)
    assert CROP_COUNTS == (1, 5, 15)
