"""Mosaics: the same by number, labels where they belong, and mirrors that agree."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.errors import AppError
from data.tensors import read_tensors
from recognition.detection.one_stage_network import (
    cells,
    decode_boxes,
    decode_landmarks,
    encode,
)
from recognition.detection.training.config import DetectorTrainingConfig
from recognition.detection.training.mosaics import Mosaics, faces_in, read_source, targets
from recognition.detection.training.objective import changed, losses, mirrored
from recognition.detection.training.teacher import Yunet


@pytest.fixture
def teacher(config: DetectorTrainingConfig) -> Yunet:
    return Yunet(config.teacher)


def made(config: DetectorTrainingConfig, teacher: Yunet) -> Mosaics:
    mosaics = Mosaics(config, teacher)
    mosaics.make()
    return mosaics


def files(config: DetectorTrainingConfig) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in (config.out / "mosaics").iterdir()}


def test_mosaics_are_the_same_again_and_a_longer_series_begins_alike(
    config: DetectorTrainingConfig, teacher: Yunet, tmp_path: Path
) -> None:
    first = made(config, teacher)
    again = made(replace(config, out=tmp_path / "again"), teacher)
    assert files(config) == files(replace(config, out=tmp_path / "again"))
    longer = replace(config.mosaics, count=14)
    more = made(replace(config, mosaics=longer, out=tmp_path / "more"), teacher)
    for one in (again, more):
        for ours, theirs in zip(one.batch(range(10)), first.batch(range(10)), strict=True):
            assert torch.equal(ours, theirs)
    other = made(replace(config, seed=4, out=tmp_path / "other"), teacher)
    assert not torch.equal(other.batch([0])[0], first.batch([0])[0])
    pictures, told = first.batch([0, 9])
    assert pictures.shape == (2, 3, 64, 64)
    assert told.shape == (2, 64 + 16 + 4, 16)


def test_a_file_that_is_not_of_these_settings_is_made_anew(
    config: DetectorTrainingConfig, teacher: Yunet
) -> None:
    made(config, teacher)
    path = config.out / "mosaics" / "mosaics-0000.safetensors"
    before, changed_at = path.read_bytes(), path.stat().st_mtime_ns
    made(config, teacher)
    assert path.stat().st_mtime_ns == changed_at  # nothing was done again
    made(replace(config, seed=9), teacher)
    assert path.read_bytes() != before
    assert read_tensors(path).metadata["digest"] != ""


def test_a_file_that_holds_too_few_or_is_cut_off_is_made_anew(
    config: DetectorTrainingConfig, teacher: Yunet, tmp_path: Path
) -> None:
    def of(count: int) -> DetectorTrainingConfig:
        return replace(config, mosaics=replace(config.mosaics, count=count))

    whole = made(replace(of(50), out=tmp_path / "whole"), teacher)
    wanted = whole.batch(range(50))
    for count in (1, 10, 48, 49, 50):  # the first file in part, whole, and the second in part
        mosaics = made(of(count), teacher)
        for ours, theirs in zip(mosaics.batch(range(count)), wanted, strict=True):
            assert torch.equal(ours, theirs[:count])
    before = files(config)
    made(of(10), teacher)  # what holds more serves a shorter series too
    assert files(config) == before
    for name, content in before.items():
        for length in (0, 5, 100, len(content) - 1):
            (config.out / "mosaics" / name).write_bytes(content[:length])
            made(of(50), teacher)
            assert files(config) == before


def test_progress_is_told_while_mosaics_are_made(
    config: DetectorTrainingConfig, teacher: Yunet
) -> None:
    told: list[tuple[int, int]] = []

    def make(count: int) -> list[tuple[int, int]]:
        told.clear()
        longer = replace(config, mosaics=replace(config.mosaics, count=count))
        Mosaics(longer, teacher).make(lambda done, all_: told.append((done, all_)))
        return told

    assert make(10) == [(10, 10)]
    assert make(10) == []
    assert make(60) == [(48, 60), (60, 60)]
    assert make(100) == [(96, 100), (100, 100)]


def test_an_overlooked_face_is_labelled_and_a_known_one_is_not() -> None:
    middles, strides = cells(64, 64)
    judged = torch.zeros(len(middles), 15)
    judged[:, 0] = 0.05
    seen, overlooked = torch.tensor([4.0, 4, 20, 20]), torch.tensor([36.0, 36, 56, 56])
    at = int((middles - 12).square().sum(1)[:64].argmin())
    points = torch.zeros(5, 2)
    judged[at] = torch.cat([torch.tensor([0.9]), encode(seen, points, middles[at], strides[at])])
    told = targets(judged, torch.stack([seen + 1, overlooked]), middles, strides, 0.8)
    labelled = told[:, 15] == 0
    assert int(labelled.sum()) >= 1
    assert set(strides[labelled, 0].tolist()) == {8.0}
    torch.testing.assert_close(told[labelled, 0], torch.full_like(told[labelled, 0], 0.8))
    boxes = decode_boxes(told[labelled], middles[labelled], strides[labelled])
    torch.testing.assert_close(boxes, overlooked.expand_as(boxes), atol=1e-3, rtol=0)
    torch.testing.assert_close(told[~labelled, :15], judged[~labelled])
    cut_off = torch.tensor([[50.0, 50, 90, 90]])
    assert bool((targets(judged, cut_off, middles, strides, 0.8)[:, 15] == 1).all())


def test_a_mirrored_mosaic_is_told_the_mirrored_faces() -> None:
    middles, strides = cells(64, 64)
    source = torch.Generator().manual_seed(1)
    told = torch.rand(1, len(middles), 16, generator=source)
    turned = mirrored(told, 64)
    flipped = torch.stack([64 - middles[:, 0], middles[:, 1]], 1)
    twin = torch.cdist(flipped, middles) + 1e3 * (strides != strides.T)
    there = twin.argmin(1)  # the cell in which each one's mirror image lies
    ours = decode_boxes(turned[0, there], middles[there], strides[there])
    theirs = decode_boxes(told[0], middles, strides)
    wanted = torch.stack([64 - theirs[:, 2], theirs[:, 1], 64 - theirs[:, 0], theirs[:, 3]], 1)
    torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=1e-4)
    points = decode_landmarks(told[0], middles, strides)[:, [1, 0, 2, 4, 3]]
    points = torch.stack([64 - points[..., 0], points[..., 1]], -1)
    torch.testing.assert_close(
        decode_landmarks(turned[0, there], middles[there], strides[there]), points
    )
    assert torch.equal(mirrored(turned, 64), told)
    assert torch.equal(turned[0, there][:, [0, 15]], told[0][:, [0, 15]])


def test_changes_follow_from_their_seed_and_mirror_some() -> None:
    source = torch.Generator().manual_seed(1)
    pictures = torch.randint(0, 256, (6, 3, 64, 64), generator=source, dtype=torch.uint8)
    told = torch.rand(6, 84, 16, generator=source)
    draws = [torch.Generator().manual_seed(8) for _ in range(2)]
    first, second = (changed(pictures, told, each) for each in draws)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    kept = [torch.equal(ours, theirs) for ours, theirs in zip(first[1], told, strict=True)]
    assert any(kept)
    assert not all(kept)
    assert 0 <= float(first[0].min()) <= float(first[0].max()) <= 1


def test_losses_are_nothing_where_the_network_says_what_it_is_told() -> None:
    source = torch.Generator().manual_seed(1)
    told = torch.rand(2, 84, 16, generator=source).clamp(0.01, 0.99)
    values = torch.cat([torch.logit(told[..., :1]), told[..., 1:15]], -1)
    for loss in losses(values, told).values():
        assert float(loss) == pytest.approx(0, abs=1e-5)
    shifted = values.clone()
    shifted[..., 1] += 1
    assert float(losses(shifted, told)["box"]) > 0.1
    assert float(losses(shifted, told)["landmarks"]) == pytest.approx(0, abs=1e-5)
    empty = told.clone()
    empty[..., 0] = 0
    for loss in losses(values, empty).values():
        assert bool(torch.isfinite(loss))


def test_lists_say_whose_photographs_are_taken(
    config: DetectorTrainingConfig, tmp_path: Path
) -> None:
    portraits = config.sources[0]
    only, out = tmp_path / "only.txt", tmp_path / "out.txt"
    only.write_text("Ann\nBen_4.png\n")
    out.write_text("Ann_1.png\n")
    taken = read_source(replace(portraits, only=(only,), excluded=(out,)))
    assert [each.path.name for each in taken.photographs] == [
        "Ann_0.png",
        "Ann_2.png",
        "Ben_4.png",
    ]
    assert len(read_source(replace(portraits, skip=2, count=3)).photographs) == 3
    only.write_text("Nobody\n")
    with pytest.raises(AppError, match="no photograph is left"):
        read_source(replace(portraits, only=(only,)))


def test_the_teacher_refuses_what_is_not_its_own(config: DetectorTrainingConfig) -> None:
    with pytest.raises(AppError, match="no file"):
        Yunet(config.teacher.parent / "absent.safetensors")
    with pytest.raises(AppError, match="YuNet"):
        Yunet(_without(config.teacher, "neck.lateral_convs.1.conv1.weight"))


def _without(path: Path, name: str) -> Path:
    from data.tensors import write_tensors

    tensors = read_tensors(path).tensors
    del tensors[name]
    other = path.with_name("other.safetensors")
    write_tensors(other, tensors, {})
    return other


@pytest.mark.shared
def test_the_teacher_says_of_the_astronaut_what_opencv_says(
    shared: Path, astronaut: object
) -> None:
    import numpy as np

    from recognition.detection.one_stage_network import flattened

    teacher = Yunet(shared / "weights" / "yunet_n.safetensors")
    pixels = torch.from_numpy(np.array(astronaut)).permute(2, 0, 1)[None].float() / 255
    judged = flattened(teacher(pixels))[0]
    middles, strides = cells(512, 512)
    boxes, points = faces_in(judged, middles, strides)
    # What OpenCV 5's FaceDetectorYN says of her, with the .onnx of the same weights.
    theirs = torch.tensor([[178.113, 64.952, 178.113 + 91.361, 64.952 + 111.415]])
    torch.testing.assert_close(boxes, theirs, atol=0.01, rtol=0)
    five = [(203.351, 103.621), (247.521, 104.448), (224.104, 127.689)]
    five += [(203.962, 143.137), (242.913, 143.672)]
    torch.testing.assert_close(points[0], torch.tensor(five), atol=0.01, rtol=0)
