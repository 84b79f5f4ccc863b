"""The one-stage detector's geometry in closed form, by a network that is told what to say."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.ops import box_iou

from data.errors import ArgumentError, ImageError, WeightsError
from data.tensors import read_tensors, write_tensors
from recognition.detection.detector import DetectorOptions, detector_spec, make_detector
from recognition.detection.methods.registry import load
from recognition.detection.one_stage import (
    OneStageDetector,
    metadata_of,
)
from recognition.detection.one_stage_network import (
    STRIDES,
    OneStageNetwork,
    cells,
    decode_boxes,
    decode_landmarks,
    encode,
    flattened,
)
from recognition.detection.search import overlaps

Places = Sequence[tuple[float, float]]
FIVE = ((-0.2, -0.1), (0.2, -0.1), (0.0, 0.05), (-0.15, 0.2), (0.15, 0.2))
"""Landmarks from a face's middle, in sides of its box."""


class Marks(nn.Module):
    """Finds squares painted in pure red: says of the cell in the middle what the square is.

    Faces stand upright where the square's top left pixel is white, in the photograph as it is
    looked at.
    """

    def forward(self, pictures: Tensor) -> list[Tensor]:
        _, _, height, width = pictures.shape
        middles, strides = cells(height, width)
        told = torch.full((len(pictures), len(middles), 15), -9.0)
        for picture, said in zip(pictures, told, strict=True):
            red = (picture[0] > 0.8) & (picture[1] < 0.3) & (picture[2] < 0.3)
            if not red.any():
                continue
            ys, xs = red.nonzero(as_tuple=True)
            box = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()
            upright = float(picture[:, ys.min() + 1 : ys.min() + 3, xs.min() + 1 :][..., :2].mean())
            sides, centre = box[2:] - box[:2], (box[:2] + box[2:]) / 2
            points = centre + torch.tensor(FIVE) * sides
            mine = (strides[:, 0] == 8).nonzero()[:, 0]
            nearest = mine[(middles[mine] - centre).square().sum(1).argmin()]
            said[nearest, 1:] = encode(box, points, middles[nearest], strides[nearest])
            said[nearest, 0] = 4.0 if upright > 0.8 else 0.0
        maps, start = [], 0
        for stride in STRIDES:
            count = (height // stride) * (width // stride)
            part = told[:, start : start + count].transpose(1, 2)
            maps.append(part.reshape(len(pictures), 15, height // stride, width // stride))
            start += count
        return maps


def photograph(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    """Grey, with a red square that has a white corner inside it."""
    pixels = np.full((size[1], size[0], 3), 128, np.uint8)
    x1, y1, x2, y2 = box
    pixels[y1:y2, x1:x2] = (255, 0, 0)
    corner = max(2, (x2 - x1) // 6)
    pixels[y1 + 1 : y1 + 1 + corner, x1 + 1 : x1 + 1 + corner] = 255
    return Image.fromarray(pixels)


def marks(**options: float) -> OneStageDetector:
    return OneStageDetector(Marks(), **options)  # type: ignore[arg-type]


def test_cells_lie_in_the_order_of_the_maps() -> None:
    middles, strides = cells(64, 96)
    maps = [torch.zeros(1, 15, 64 // s, 96 // s) for s in STRIDES]
    for values, stride in zip(maps, STRIDES, strict=True):
        ys, xs = torch.meshgrid(
            torch.arange(64 // stride), torch.arange(96 // stride), indexing="ij"
        )
        values[0, 1], values[0, 2] = (xs + 0.5) * stride, (ys + 0.5) * stride
        values[0, 3] = stride
    flat = flattened(maps)[0]
    torch.testing.assert_close(flat[:, 1:3], middles)
    torch.testing.assert_close(flat[:, 3:4], strides)


def test_what_is_encoded_is_decoded_again() -> None:
    middles, strides = cells(64, 64)
    source = torch.Generator().manual_seed(3)
    corner = torch.rand(len(middles), 2, generator=source) * 60
    boxes = torch.cat([corner, corner + 1 + 200 * torch.rand(len(middles), 2, generator=source)], 1)
    points = torch.rand(len(middles), 5, 2, generator=source) * 100
    told = encode(boxes, points, middles, strides)
    values = torch.cat([torch.zeros(len(middles), 1), told], 1)
    torch.testing.assert_close(decode_boxes(values, middles, strides), boxes, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(
        decode_landmarks(values, middles, strides), points, atol=1e-3, rtol=1e-4
    )


def test_a_box_in_closed_form() -> None:
    values = torch.zeros(15)
    values[1:5] = torch.tensor([0.5, -1.0, math.log(2), math.log(3)])
    values[5:7] = torch.tensor([1.0, 2.0])
    middle, stride = torch.tensor([20.0, 12.0]), torch.tensor([8.0])
    assert decode_boxes(values, middle, stride).tolist() == pytest.approx([16, -8, 32, 16])
    assert decode_landmarks(values, middle, stride)[0].tolist() == pytest.approx([28, 28])


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((64, 64), (10, 20, 34, 44)),
        ((250, 250), (90, 80, 160, 150)),
        ((97, 133), (30, 60, 61, 91)),
        ((33, 31), (2, 3, 29, 30)),
        ((640, 480), (600, 440, 630, 470)),
    ],
)
def test_a_face_is_told_in_pixels_of_the_photograph(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    [[face]] = marks().detect([photograph(size, box)])
    assert face.box == pytest.approx(box, abs=1e-3)
    side, middle = box[2] - box[0], ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    wanted = [(middle[0] + x * side, middle[1] + y * side) for x, y in FIVE]
    for point, expected in zip(face.landmarks, wanted, strict=True):
        assert point == pytest.approx(expected, abs=1e-3)


def test_a_large_photograph_is_searched_small_and_told_large() -> None:
    size, box = (4000, 3000), (1000, 800, 1600, 1400)
    for smallest in (10, 60):
        faces = marks(minimum_face=smallest).detect([photograph(size, box)])[0]
        assert len(faces) == 1
        assert faces[0].box == pytest.approx(box, abs=16)  # two pixels of the shrunk one


@pytest.mark.parametrize(
    ("size", "smallest", "seen"),
    [
        ((90, 70), 10, [(96, 96)]),
        ((400, 300), 10, [(320, 416), (160, 224), (96, 128)]),  # halved until 100 px are left
        ((400, 300), 60, [(320, 416), (160, 224), (96, 128)]),  # never shrunk at first
        ((400, 300), 5, [(608, 800), (320, 416), (160, 224), (96, 128)]),  # but enlarged
        ((400, 300), 1, [(608, 800), (320, 416), (160, 224), (96, 128)]),  # at most twice
        ((4000, 3000), 60, [(512, 672), (256, 352), (128, 192), (64, 96)]),  # 12 megapixels
        (
            (4000, 3000),
            10,  # 1.6 megapixels at most
            [(1120, 1472), (576, 736), (288, 384), (160, 192), (96, 96)],
        ),
    ],
)
def test_how_large_a_photograph_is_looked_at(
    size: tuple[int, int], smallest: float, seen: list[tuple[int, int]]
) -> None:
    looked: list[tuple[int, int]] = []

    class Counted(Marks):
        def forward(self, pictures: Tensor) -> list[Tensor]:
            looked.append((pictures.shape[2], pictures.shape[3]))
            return super().forward(pictures)

    detector = OneStageDetector(Counted(), minimum_face=smallest, turned=False)  # type: ignore[arg-type]
    detector.detect([Image.new("RGB", size)])
    assert sorted(looked, reverse=True) == seen


@pytest.mark.parametrize("photograph_side", [60, 101, 250, 999])
@pytest.mark.parametrize("share", [0.15, 0.3, 0.6, 0.95])
def test_faces_of_all_sizes_are_found_by_a_network_that_knows_those_of_some(
    photograph_side: int, share: float
) -> None:
    """Of 9 to 950 px, by one that overlooks what is not of 9 to 150 px."""

    class OfUsualSize(Marks):
        def forward(self, pictures: Tensor) -> list[Tensor]:
            red = (pictures[:, 0] > 0.8) & (pictures[:, 1] < 0.3)
            side = red.any(1).sum(1)
            return super().forward(pictures * ((side >= 9) & (side <= 150))[:, None, None, None])

    side = round(share * photograph_side)
    start = (photograph_side - side) // 2
    box = (start, start, start + side, start + side)
    image = photograph((photograph_side, photograph_side), box)
    [[face]] = OneStageDetector(OfUsualSize(), minimum_face=5).detect([image])  # type: ignore[arg-type]
    assert face.box == pytest.approx(box, abs=max(1.0, side / 25))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_photograph_is_turned_back(quarters: int) -> None:
    upright, box = photograph((120, 80), (30, 20, 70, 60)), (30, 20, 70, 60)
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(np.array(upright), quarters)))
    [[face]] = marks().detect([turned])
    x1, y1, x2, y2 = box
    places: dict[int, tuple[float, float, float, float]] = {
        1: (y1, 120 - x2, y2, 120 - x1),
        2: (120 - x2, 80 - y2, 120 - x1, 80 - y1),
        3: (80 - y2, x1, 80 - y1, x2),
    }
    assert face.box == pytest.approx(places[quarters], abs=1e-3)
    assert face.detection_score > 0.9
    left, right = np.array(face.landmarks[0]), np.array(face.landmarks[1])
    mouth = np.array(face.landmarks[3])
    across, down = right - left, mouth - left
    assert (
        abs(across @ (mouth + np.array(face.landmarks[4]) - left - right)) < 1e-2 * across @ across
    )
    assert across[0] * down[1] - across[1] * down[0] > 0  # not mirrored


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_large_turned_photograph_is_turned_back_after_a_small_look(quarters: int) -> None:
    looked: list[tuple[int, int]] = []

    class Counted(Marks):
        def forward(self, pictures: Tensor) -> list[Tensor]:
            looked.append((pictures.shape[2], pictures.shape[3]))
            return super().forward(pictures)

    upright, (x1, y1, x2, y2) = photograph((600, 448), (130, 120, 290, 280)), (130, 120, 290, 280)
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(np.array(upright), quarters)))
    [[face]] = OneStageDetector(Counted()).detect([turned])  # type: ignore[arg-type]
    places = {
        1: (y1, 600 - x2, y2, 600 - x1),
        2: (600 - x2, 448 - y2, 600 - x1, 448 - y1),
        3: (448 - y2, x1, 448 - y1, x2),
    }
    assert face.box == pytest.approx(places[quarters], abs=2)
    assert face.detection_score > 0.9
    large = [size for size in looked if max(size) > 320]
    assert len(large) == 2  # as it is, and by the right turn
    assert len(looked) == 3 + 2 * 4  # three small pictures, and four sizes of either


def test_a_large_photograph_without_a_face_is_seen_once_and_turned_only_in_small() -> None:
    looked: list[tuple[int, int]] = []

    class Counted(Marks):
        def forward(self, pictures: Tensor) -> list[Tensor]:
            looked.append((pictures.shape[2], pictures.shape[3]))
            return super().forward(pictures)

    assert OneStageDetector(Counted()).detect([Image.new("RGB", (900, 700))]) == [[]]  # type: ignore[arg-type]
    assert sum(max(size) > 700 for size in looked) == 1
    assert sum(600 < max(size) <= 700 for size in looked) == 3
    assert looked.count((192, 224)) + looked.count((224, 192)) == 3


@pytest.mark.parametrize("quarters", [1, 2, 3])
@pytest.mark.parametrize("least", [0.5, 0.9])
def test_small_faces_of_a_large_photograph_on_its_side_are_found(
    quarters: int, least: float
) -> None:
    """Too small for the first small picture, in which a network sees nobody."""

    class Sharp(Marks):
        """Which sees no face below ten pixels."""

        def forward(self, pictures: Tensor) -> list[Tensor]:
            red = (pictures[:, 0] > 0.8) & (pictures[:, 1] < 0.3)
            large = red.sum((1, 2)) >= 80
            return super().forward(pictures * large[:, None, None, None])

    upright = np.array(photograph((900, 700), (430, 320, 454, 344)))
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(upright, quarters)))
    [[face]] = OneStageDetector(Sharp(), minimum_score=least).detect([turned])  # type: ignore[arg-type]
    assert face.area == pytest.approx(24**2, rel=0.1)


def test_cells_that_a_search_made_serve_training() -> None:
    with torch.inference_mode():
        middles, strides = cells(352, 416)
    values = torch.zeros(len(middles), 15, requires_grad=True)
    decode_boxes(values, middles, strides).square().sum().backward()
    assert cells(352, 416)[0] is middles
    assert values.grad is not None


def test_overlaps_are_those_of_torchvision() -> None:
    source = torch.Generator().manual_seed(2)
    corners = torch.rand(300, 2, generator=source) * 100
    boxes = torch.cat([corners, corners + 0.1 + 60 * torch.rand(300, 2, generator=source)], 1)
    boxes = torch.cat([boxes, boxes[:5]])
    torch.testing.assert_close(overlaps(boxes[:70], boxes), box_iou(boxes[:70], boxes))
    assert overlaps(boxes[:0], boxes).shape == (0, 305)
    assert overlaps(boxes[:0], boxes[:0]).shape == (0, 0)


def test_what_is_found_does_not_depend_on_the_others() -> None:
    images = [
        photograph((64, 64), (10, 20, 34, 44)),
        Image.new("RGB", (1, 1)),
        photograph((250, 250), (90, 80, 160, 150)),
        Image.new("RGB", (64, 64), "blue"),
        photograph((90, 40), (10, 5, 40, 35)),
    ]
    together = marks().detect(images)
    assert [len(faces) for faces in together] == [1, 0, 1, 0, 1]
    assert together == [marks().detect([image])[0] for image in images]


def test_small_and_unsure_faces_are_left_out() -> None:
    image = photograph((64, 64), (10, 20, 34, 44))
    assert len(marks(minimum_face=24).detect([image])[0]) == 1
    assert marks(minimum_face=25).detect([image]) == [[]]
    assert marks(minimum_score=0.99).detect([image]) == [[]]
    assert marks().detect([]) == []


def test_modes_and_settings_that_are_refused() -> None:
    with pytest.raises(ImageError, match="expected RGB"):
        marks().detect([Image.new("L", (64, 64))])
    for options in ({"minimum_face": 0.0}, {"minimum_score": 1.0}, {"minimum_score": math.nan}):
        with pytest.raises(ArgumentError):
            marks(**options)


@pytest.fixture(scope="module")
def untrained() -> OneStageNetwork:
    torch.manual_seed(5)
    network = OneStageNetwork()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


@torch.no_grad()
def test_folding_changes_nothing_and_the_file_is_small(
    untrained: OneStageNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    write_tensors(path, untrained.state_dict(), metadata_of(1, ""))
    assert path.stat().st_size < 1_000_000
    pictures = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    _, read = load(path)
    assert isinstance(read, OneStageNetwork)
    for ours, theirs in zip(read.fold()(pictures), untrained(pictures), strict=True):
        assert ours.shape == theirs.shape
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("damage", ["nan", "missing", "extra", "shape", "architecture"])
def test_damaged_weights_are_refused_in_a_line(
    untrained: OneStageNetwork, tmp_path: Path, damage: str
) -> None:
    tensors, says = dict(untrained.state_dict()), metadata_of(1, "")
    name = "stem.weight"
    if damage == "nan":
        tensors[name] = torch.full_like(tensors[name], math.nan)
    elif damage == "missing":
        del tensors[name]
    elif damage == "extra":
        tensors["tail"] = torch.zeros(1)
    elif damage == "shape":
        tensors[name] = tensors[name].flatten()
    else:
        says["architecture"] = "mobilefacenet"
    path = tmp_path / "w.safetensors"
    write_tensors(path, tensors, says)
    with pytest.raises(WeightsError) as refused:
        load(path)
    assert "\n" not in str(refused.value)


def test_own_weights_have_an_identity_of_their_own(
    untrained: OneStageNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "w.safetensors"
    write_tensors(path, untrained.state_dict(), metadata_of(1, ""))
    made = make_detector("cpu", "one_stage", DetectorOptions(weights=path))
    name, _, version = made.identity.partition("/")
    assert name == "one_stage"
    assert made.identity != detector_spec("one_stage").identity
    assert len(version) == 12
    tensors = read_tensors(path).tensors
    tensors["stem.weight"] = tensors["stem.weight"] + 1
    write_tensors(path, tensors, metadata_of(1, ""))
    other = make_detector("cpu", "one_stage", DetectorOptions(weights=path))
    assert other.identity != made.identity
