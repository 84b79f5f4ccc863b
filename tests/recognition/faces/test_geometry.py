"""Transforms against least squares, closed forms and facenet-pytorch's arithmetic."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from data.errors import ImageError
from recognition.faces.alignment import (
    box_transforms,
    inverted,
    of_parts,
    shrinkage,
    similarity_transforms,
    template,
)

angles = st.floats(-math.pi, math.pi)
scales = st.floats(0.05, 20)
shifts = st.floats(-500, 500)


def _applied(transforms: Tensor, points: Tensor) -> Tensor:
    """(F, 2, 3) on (F, N, 2)."""
    return points @ transforms[:, :, :2].mT + transforms[:, None, :, 2]


def _similarity(angle: float, scale: float, x: float, y: float) -> Tensor:
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return torch.tensor([[[cos, -sin, x], [sin, cos, y]]], dtype=torch.float64)


@given(angle=angles, scale=scales, x=shifts, y=shifts)
def test_a_moved_template_is_brought_back(angle: float, scale: float, x: float, y: float) -> None:
    moved = _applied(_similarity(angle, scale, x, y), template().double()[None])
    transform = similarity_transforms(moved)
    torch.testing.assert_close(
        _applied(transform, moved), template().double()[None], atol=1e-6, rtol=0
    )
    assert shrinkage(transform).item() == pytest.approx(scale)


def test_it_is_the_least_squares_solution() -> None:
    generator = torch.Generator().manual_seed(1)
    landmarks = torch.rand(20, 5, 2, generator=generator, dtype=torch.float64) * 200
    target = template().double()
    fitted = similarity_transforms(landmarks)
    for points, transform in zip(landmarks.numpy(), fitted.numpy(), strict=True):
        x, y = points.T
        one, zero = np.ones(5), np.zeros(5)
        rows = np.concatenate([np.stack([x, -y, one, zero], 1), np.stack([y, x, zero, one], 1)])
        (a, b, c, d), *_ = np.linalg.lstsq(rows, target.numpy().T.ravel(), rcond=None)
        np.testing.assert_allclose(transform, [[a, -b, c], [b, a, d]], atol=1e-8)


def test_it_never_mirrors() -> None:
    mirrored = template()[None] * torch.tensor([-1.0, 1.0])
    assert torch.linalg.det(similarity_transforms(mirrored)[:, :, :2]).item() > 0


def test_the_template_scales_with_the_crop() -> None:
    torch.testing.assert_close(template(224), template() * 2)
    transform = similarity_transforms(template()[None], template(224))
    expected = torch.tensor([[[2.0, 0, 0], [0, 2, 0]]])
    torch.testing.assert_close(transform, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("value", [3.0, math.nan, math.inf])
def test_landmarks_that_say_nothing_are_refused(value: float) -> None:
    with pytest.raises(ImageError, match="cannot be aligned"):
        similarity_transforms(torch.full((1, 5, 2), value))


def test_no_faces_no_transforms() -> None:
    assert similarity_transforms(torch.zeros(0, 5, 2)).shape == (0, 2, 3)


def test_gradients_reach_the_landmarks() -> None:
    landmarks = (template().double()[None] * 1.3).requires_grad_()
    assert torch.autograd.gradcheck(similarity_transforms, (landmarks,))


@given(angle=angles, scale=scales, x=shifts, y=shifts)
def test_inverted_undoes(angle: float, scale: float, x: float, y: float) -> None:
    transform = _similarity(angle, scale, x, y)
    points = template().double()[None]
    back = _applied(inverted(transform), _applied(transform, points))
    torch.testing.assert_close(back, points, atol=1e-6, rtol=0)


def test_a_part_goes_where_the_whole_goes() -> None:
    transform = _similarity(0.4, 0.3, 12, -7)
    origin, factor = torch.tensor([[64.0, 32.0]], dtype=torch.float64), torch.tensor([4])
    in_image = torch.tensor([[[100.0, 80.0], [64.0, 32.0]]], dtype=torch.float64)
    in_part = (in_image - origin) / 4
    part_transform = of_parts(transform, origin, factor)
    torch.testing.assert_close(_applied(part_transform, in_part), _applied(transform, in_image))


def _upright_face(x1: float, y1: float, x2: float, y2: float) -> tuple[Tensor, Tensor]:
    box = torch.tensor([[x1, y1, x2, y2]])
    low, side = box[:, None, :2], (box[:, 2:] - box[:, :2])[:, None]
    return box, low + template()[None] / 112 * side


def _facenets_box(box: list[float], width: int, height: int) -> list[float]:
    """The rectangle that facenet-pytorch resizes to 160×160, before it drops the fractions."""
    x_margin = 14 * (box[2] - box[0]) / (160 - 14)
    y_margin = 14 * (box[3] - box[1]) / (160 - 14)
    return [
        max(box[0] - x_margin / 2, 0),
        max(box[1] - y_margin / 2, 0),
        min(box[2] + x_margin / 2, width),
        min(box[3] + y_margin / 2, height),
    ]


@pytest.mark.parametrize("box", [[50.0, 60, 110, 150], [-4.0, 2, 70, 90], [150.0, 120, 203, 160]])
def test_box_transform_maps_facenets_rectangle_to_the_crop(box: list[float]) -> None:
    boxes, landmarks = _upright_face(*box)
    transform = box_transforms(boxes, landmarks, torch.tensor([[200, 160]]))
    x1, y1, x2, y2 = _facenets_box(box, 200, 160)
    corners = torch.tensor([[[x1, y1], [x2, y1], [x1, y2], [x2, y2]]])
    expected = torch.tensor([[[0.0, 0], [160, 0], [0, 160], [160, 160]]])
    torch.testing.assert_close(_applied(transform, corners), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_box_transform_turns_a_lying_face_upright(quarters: int) -> None:
    boxes, landmarks = _upright_face(80, 70, 120, 130)
    upright = box_transforms(boxes, landmarks, torch.tensor([[200, 200]]))
    expected = _applied(upright, landmarks)
    middle = torch.tensor([100.0, 100.0])
    angle = quarters * math.pi / 2
    cos, sin = round(math.cos(angle)), round(math.sin(angle))
    turn = torch.tensor([[cos, -sin], [sin, cos]]).float()
    corners = (boxes.view(1, 2, 2) - middle) @ turn.T + middle
    turned_box = torch.cat([corners.amin(1), corners.amax(1)], 1)
    turned_landmarks = (landmarks - middle) @ turn.T + middle
    transform = box_transforms(turned_box, turned_landmarks, torch.tensor([[200, 200]]))
    torch.testing.assert_close(_applied(transform, turned_landmarks), expected, atol=1e-3, rtol=0)
