import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.schema import MIGRATIONS, VERSION
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


def make_old(folder: Path) -> Path:
    """Turn a gallery back into one of the first version."""
    path = folder / "gallery.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        for table in ("calibration", "quality", "exclusion", "reversal", "operation"):
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    return path


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


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
    gallery.delete("Cyd")
    before = gallery.search(make_template(3).embedding[None], 3)
    gallery.calibrate([calibration])
    assert gallery.search(make_template(3).embedding[None], 3) == before
    assert gallery.size == (2, 3)
    roll, templates = gallery.templates()
    assert sorted(roll.names.values()) == ["Ann", "Bob"]
    assert templates.shape == (3, 16)


def test_every_older_version_has_a_way_up() -> None:
    assert sorted(MIGRATIONS) == list(range(1, VERSION))


def test_an_older_gallery_is_brought_up_with_everybody_in_it(
    gallery: Gallery,
    folder: Path,
    calibration: Calibration,
    make_template: Callable[..., Template],
) -> None:
    gallery.enrol("Ann", [make_template(1)])
    gallery.close()
    path = make_old(folder)
    with Gallery.open(folder) as opened:
        assert version_of(path) == VERSION
        assert [person.name for person in opened.people()] == ["Ann"]
        assert opened.calibration(Use.IDENTIFY) is None
        opened.calibrate([calibration])
        assert opened.calibration(Use.IDENTIFY) == calibration


def test_an_older_gallery_that_cannot_be_written_is_read_as_it_is(
    gallery: Gallery, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.close()
    path = make_old(folder)
    monkeypatch.setattr("recognition.gallery.database.os.access", lambda *_: False)
    with Gallery.open(folder) as opened:
        assert opened.people() == ()
        assert opened.calibration(Use.IDENTIFY) is None
    assert version_of(path) == 1
