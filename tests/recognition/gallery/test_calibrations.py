from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.results import Calibration, Use


@pytest.fixture
def calibration(model: EmbeddingModel) -> Calibration:
    return Calibration(
        use=Use.IDENTIFY,
        rate=0.01,
        threshold=0.31,
        threshold_low=0.29,
        threshold_high=0.33,
        rate_low=0.006,
        rate_high=0.017,
        comparisons=812,
        rise=1.5,
        fall=20.25,
        offset=-18.5,
        prior=0.5,
        calibration_error=0.012,
        weights_digest=model.weights_digest,
        data="690 people in 1,212 photographs of others",
        calibrated_at="2026-03-01T10:00:00+00:00",
        people=2,
        templates=3,
    )


def test_a_calibration_is_kept_for_its_use_and_replaced_by_the_next(
    gallery: Gallery, folder: Path, calibration: Calibration
) -> None:
    assert gallery.calibration(Use.IDENTIFY) is None
    other = replace(calibration, use=Use.VERIFY, rise=None, fall=None, offset=None)
    gallery.calibrate([calibration, other])
    with Gallery.open(folder) as reopened:
        assert reopened.calibration(Use.IDENTIFY) == calibration
        assert reopened.calibration(Use.VERIFY) == other
        reopened.calibrate([replace(calibration, threshold=0.4)])
    found = gallery.calibration(Use.IDENTIFY)
    assert found == replace(calibration, threshold=0.4)
    assert gallery.calibration(Use.VERIFY) == other


def test_another_model_s_calibration_is_neither_kept_nor_believed(
    gallery: Gallery, model: EmbeddingModel, calibration: Calibration
) -> None:
    foreign = replace(calibration, use=Use.VERIFY, weights_digest="cd" * 32)
    with pytest.raises(GalleryError, match="calibrate it again"):
        gallery.calibrate([calibration, foreign])
    assert gallery.calibration(Use.IDENTIFY) is None
    gallery.calibrate([calibration])
    gallery.require(replace(model, weights_digest="cd" * 32), adopt=True)
    assert gallery.calibration(Use.IDENTIFY) is None


def test_calibrating_changes_nobody(
    gallery: Gallery, calibration: Calibration, make_template: Callable[..., Template]
) -> None:
    gallery.enrol("Ann", [make_template(1), make_template(2)])
    gallery.enrol("Bob", [make_template(3)])
    gallery.enrol("Cyd", [make_template(4)])
    gallery.edit.delete("Cyd")
    before = gallery.search(make_template(3).embedding[None], 3)
    gallery.calibrate([calibration])
    assert gallery.search(make_template(3).embedding[None], 3) == before
    assert gallery.size == (2, 3)
    roll, templates = gallery.templates()
    assert sorted(roll.names.values()) == ["Ann", "Bob"]
    assert templates.shape == (3, 16)
