from dataclasses import replace

import pytest
import torch

from data.errors import ArgumentError, DatasetError
from style.presets.registry import PRESETS
from style.training.dataset import (
    cut,
    drawn_styles,
    estrange,
    generator,
    held_out_batches,
    read_photographs,
)


def test_photographs_are_read_and_some_are_kept_out(config):
    read = read_photographs(config.data)
    assert (len(read.training), len(read.held_out), read.missed) == (4, 2, ())
    kept_out = {each.numpy().tobytes() for each in read.held_out}
    assert not kept_out & {each.numpy().tobytes() for each in read.training}
    assert all(each.shape == (3, 72, 96) for each in read.training)


def test_a_batch_follows_from_its_number(config):
    read = read_photographs(config.data)
    first, again = (cut(read.training, config.data, generator(1, "step", 5)) for _ in range(2))
    assert first.shape == (2, 3, 64, 64)
    assert torch.equal(first, again)
    assert not torch.equal(first, cut(read.training, config.data, generator(1, "step", 6)))
    assert not torch.equal(first, cut(read.training, config.data, generator(2, "step", 5)))


def test_a_square_keeps_its_photographs_colours(config):
    flat = torch.full((3, 72, 96), 51, dtype=torch.uint8)
    squares = cut((flat,), config.data, generator(0))
    torch.testing.assert_close(squares, torch.full((2, 3, 64, 64), 0.2))


def test_strange_pictures_stay_pictures_and_leave_the_given_ones_alone(config):
    squares = torch.rand(32, 3, 24, 24, generator=generator(0))
    before = squares.clone()
    changed = estrange(squares, generator(1))
    assert torch.equal(squares, before)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(changed, estrange(squares, generator(1)))
    moved = (changed - squares).abs().mean(dim=(1, 2, 3))
    assert (moved > 0).all()
    assert moved.max() > 0.1


def test_validation_sees_the_same_squares_whatever_the_seed(config):
    read = read_photographs(config.data)
    first, second = (held_out_batches(read, config.data) for _ in range(2))
    assert sum(map(len, first)) == 2
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_drawn_styles_are_kept_in_the_runs_folder(config, monkeypatch):
    monkeypatch.setattr("style.training.dataset._DRAWN_SIZE", 64)
    monkeypatch.setattr("style.training.dataset.PRESETS", PRESETS[:1])
    two = replace(config, data=replace(config.data, drawn=2))
    drawn = drawn_styles(two)
    assert [each.shape for each in drawn] == [(3, 64, 64)] * 2
    assert not torch.equal(*drawn)
    assert len(list((config.out / "styles").iterdir())) == 2
    assert torch.equal(drawn_styles(two)[1], drawn[1])


def test_unusable_folders_are_refused(config, tmp_path):
    with pytest.raises(ArgumentError, match="no file or folder"):
        read_photographs(replace(config.data, photographs=tmp_path / "nowhere"))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DatasetError, match="has 0 usable photographs"):
        read_photographs(replace(config.data, photographs=empty))
    with pytest.raises(DatasetError, match="has 6 usable photographs: expected more than the 6"):
        read_photographs(replace(config.data, held_out=6))
    with pytest.raises(DatasetError, match=r"6 of the 6 photographs .* cannot be used"):
        read_photographs(replace(config.data, crop=256))


def test_a_few_damaged_photographs_are_passed_over(config, tmp_path, photographs):
    for path in photographs.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "damaged.jpg").write_bytes(b"no picture")
    read = read_photographs(replace(config.data, photographs=tmp_path))
    assert len(read.training) == 4
    [(path, reason)] = read.missed
    assert path.name == "damaged.jpg"
    assert "cannot read" in reason
