"""What found the faces of a gallery and how they were aligned: remembered, and kept apart."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer.archive import VERSION
from recognition.gallery.transfer.backup import back_up, restore
from recognition.gallery.transfer.copies import copy_gallery
from recognition.gallery.transfer.exports import export
from recognition.gallery.transfer.imports import import_from
from recognition.gallery.transfer.replacement import NewEmbedding, Succession

NETWORK = EmbeddingModel(model_id="mobilefacenet", weights_digest="ab" * 32, dimension=16)
FIRST = replace(NETWORK, alignment="five-point-112/1")
OTHER = replace(NETWORK, detector="other/4", alignment="five-point-112/1")
JOINED = replace(NETWORK, alignment="five-point-112/1+two-eyes-96/1")


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        (FIRST, FIRST, True),
        (FIRST, replace(FIRST, weights_path="elsewhere"), True),
        (FIRST, replace(FIRST, detector="mtcnn/2"), False),
        (FIRST, replace(FIRST, alignment="five-point-112/2"), False),
        (FIRST, OTHER, False),
        (FIRST, replace(FIRST, weights_digest="cd" * 32), False),
        (NETWORK, NETWORK, True),  # neither says its alignment: that of the same weights
        (NETWORK, FIRST, True),
        (NETWORK, JOINED, True),
        (NETWORK, replace(JOINED, alignment="five-point-112/1+two-eyes-96/2"), False),
        (NETWORK, replace(FIRST, alignment="five-point-112/2"), False),
        (NETWORK, replace(FIRST, detector="mtcnn/2"), False),
        (NETWORK, OTHER, False),
        (NETWORK, replace(FIRST, weights_digest="cd" * 32), False),
        (NETWORK, replace(FIRST, model_id="x"), False),
        (NETWORK, replace(FIRST, dimension=32), False),
    ],
)
def test_which_embeddings_may_be_compared(
    one: EmbeddingModel, other: EmbeddingModel, fits: bool
) -> None:
    assert one.fits(other) is other.fits(one) is fits


def made(folder: Path, model: EmbeddingModel, *templates: Template) -> Path:
    with Gallery.open(folder, model=model, create=True) as gallery:
        gallery.enrol("Ann", templates)
    return folder


def test_a_gallery_remembers_them_and_says_so(
    folder: Path, make_template: Callable[..., Template]
) -> None:
    made(folder, OTHER, make_template(1))
    with Gallery.open(folder, model=OTHER) as again:
        assert again.model == OTHER
        facts = again.facts()
    assert (facts["detector"], facts["alignment"]) == ("other/4", "five-point-112/1")


@pytest.mark.parametrize(
    "changed",
    [
        {"detector": "mtcnn/1"},
        {"detector": "other/5"},
        {"alignment": "five-point-112/2"},
        {"alignment": "two-eyes-96/1"},
    ],
)
def test_another_detector_or_alignment_is_refused_in_a_line_that_names_both(
    folder: Path, make_template: Callable[..., Template], changed: dict[str, str]
) -> None:
    made(folder, OTHER, make_template(1))
    wanted = replace(OTHER, **changed)  # type: ignore[arg-type]
    with pytest.raises(GalleryError) as refused:
        Gallery.open(folder, model=wanted, create=True)
    told = str(refused.value)
    assert "\n" not in told
    assert "detector other/4, alignment five-point-112/1" in told
    assert f"detector {wanted.detector}, alignment {wanted.alignment}" in told
    assert "likeness gallery re-embed --model mobilefacenet" in told


def test_one_without_anybody_takes_up_another(folder: Path) -> None:
    made(folder, FIRST)
    with Gallery.open(folder, model=OTHER, create=True) as adopted:
        assert adopted.model == OTHER
    with Gallery.open(folder) as again:
        assert again.model == OTHER


def test_a_backup_brings_them_back(
    folder: Path, tmp_path: Path, make_template: Callable[..., Template]
) -> None:
    made(folder, OTHER, make_template(1))
    back_up(folder, tmp_path / "backup.sqlite")
    for place in (made(tmp_path / "first", FIRST, make_template(2)), tmp_path / "nowhere"):
        restore(tmp_path / "backup.sqlite", place)
        with Gallery.open(place) as restored:
            assert restored.model == OTHER


def test_an_export_and_a_copy_carry_them_and_go_nowhere_else(
    folder: Path, tmp_path: Path, make_template: Callable[..., Template]
) -> None:
    made(folder, OTHER, make_template(1))
    first = made(tmp_path / "first", FIRST, make_template(2))

    def into(place: Path) -> Callable[[EmbeddingModel], Gallery]:
        return lambda model: Gallery.open(place, model=model, create=True)

    with Gallery.open(folder) as gallery:
        export(gallery, tmp_path / "export")
        assert import_from(tmp_path / "export", into(tmp_path / "new")).new == 1
        with pytest.raises(GalleryError, match="detector other/4"):
            import_from(tmp_path / "export", into(first))
        with Gallery.open(first) as other, pytest.raises(GalleryError, match="detector other/4"):
            copy_gallery(gallery, other)
    with Gallery.open(tmp_path / "new") as new:
        assert new.model == OTHER
    assert json.loads((tmp_path / "export" / "manifest.json").read_text())["version"] == VERSION


def test_an_export_that_says_nothing_of_them_is_one_from_before(
    folder: Path, tmp_path: Path, make_template: Callable[..., Template]
) -> None:
    made(folder, FIRST, make_template(1))
    with Gallery.open(folder) as gallery:
        export(gallery, tmp_path / "export")
    path = tmp_path / "export" / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest["version"] == 1  # an earlier Likeness reads it
    del manifest["model"]["detector"], manifest["model"]["alignment"]
    path.write_text(json.dumps(manifest))

    def into(model: EmbeddingModel) -> Gallery:
        return Gallery.open(tmp_path / "new", model=model, create=True)

    assert import_from(tmp_path / "export", into).new == 1
    with Gallery.open(tmp_path / "new", model=FIRST) as new:
        assert new.model == NETWORK
    for wrong in (7, None, ["mtcnn/1"]):
        manifest["model"]["detector"] = wrong
        path.write_text(json.dumps(manifest))
        with pytest.raises(GalleryError, match="damaged, or no export's"):
            import_from(tmp_path / "export", into)


def test_a_move_to_another_network_takes_up_the_other_s(
    folder: Path, make_template: Callable[..., Template]
) -> None:
    made(folder, NETWORK, make_template(1))
    succession = Succession(folder, lambda _: None)
    with pytest.raises(GalleryError, match="already"):
        succession.begin(FIRST)
    succession.begin(OTHER)
    [[one]] = succession.waiting(8)
    embedding = make_template(2).embedding
    fresh = NewEmbedding(
        template=one.template, person=one.person, embedding=embedding, fresh=True, similarity=None,
        side=None,
    )  # fmt: skip
    succession.put([fresh], OTHER)
    succession.finish(OTHER)
    with Gallery.open(folder, model=OTHER) as moved:
        assert moved.model == OTHER
        assert moved.search(embedding[None], 1)[0][0].person == "Ann"
    succession.undo()
    with Gallery.open(folder, model=FIRST) as back:
        assert back.model == NETWORK


@pytest.mark.parametrize("changed", [{"detector": "other/9"}, {"model_id": "vgg_slim"}])
def test_a_refusal_tells_of_nothing_that_is_refused_where_the_gallery_is(
    gallery: Gallery, make_template: Callable[..., Template], changed: dict[str, str]
) -> None:
    """Only a gallery in a folder is embedded anew in its place."""
    gallery.enrol("Ann", [make_template(1)])
    with pytest.raises(GalleryError) as refused:
        gallery.require(replace(gallery.model, **changed))  # type: ignore[arg-type]
    told = str(refused.value)
    assert "likeness gallery re-embed" in told
    assert ("copy in a folder" in told) == ("://" in str(gallery))
