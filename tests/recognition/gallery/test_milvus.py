"""What is particular to a gallery in Milvus; what is not, the other tests try on it as well."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from data.errors import AppError, GalleryError
from recognition.gallery.locations import place_of
from recognition.gallery.milvus.connection import MilvusAddress
from recognition.gallery.templates import EmbeddingModel, Template

pytest.importorskip("milvus_lite", reason="make test-milvus has an environment for it")

from recognition.gallery.milvus.connection import label_of
from recognition.gallery.milvus.gallery import MilvusGallery
from recognition.gallery.milvus.working_copy import WorkingCopy

MakeTemplate = Callable[..., Template]


@pytest.fixture
def address(tmp_path: Path) -> MilvusAddress:
    return MilvusAddress(uri=str(tmp_path / "gallery.db"), name="team")


@pytest.fixture
def shared_gallery(
    address: MilvusAddress, model: EmbeddingModel, make_template: MakeTemplate
) -> Iterator[MilvusGallery]:
    """Ann by two photographs, of the first one a crop; Bob by one."""
    with MilvusGallery.open(address, model=model, create=True) as opened:
        opened.enrol("Ann", [make_template(0, crop=bytes(range(256)) * 600), make_template(1)])
        opened.enrol("Bob", [make_template(2)])
        yield opened


def counts(gallery: MilvusGallery) -> dict[str, int]:
    return {person.name: person.photographs for person in gallery.people()}


def test_it_is_there_for_the_next_process(
    shared_gallery: MilvusGallery, address: MilvusAddress, make_template: MakeTemplate
) -> None:
    shared_gallery.close()
    assert MilvusGallery.exists(address)
    assert not MilvusGallery.exists(replace(address, name="others"))
    with MilvusGallery.open(address) as again:
        assert counts(again) == {"Ann": 2, "Bob": 1}
        assert again.crop("Ann") == bytes(range(256)) * 600  # longer than one row of Milvus
        [match] = again.search(make_template(2).embedding[np.newaxis], 1)[0]
        assert (match.person, match.cosine_similarity) == ("Bob", pytest.approx(1))
        assert again.faults() == []
        assert again.size == (2, 3)
    with pytest.raises(GalleryError, match="nobody is enrolled in milvus://"):
        MilvusGallery.open(replace(address, name="others"))


def test_two_who_were_enrolled_under_one_name_at_once_are_one(
    shared_gallery: MilvusGallery, make_template: MakeTemplate
) -> None:
    collections = shared_gallery._collections
    first, second = WorkingCopy(collections), WorkingCopy(collections)
    for copy, seed in ((first, 10), (second, 11)):  # neither sees the other
        copy.load_named(["Eve"])
        copy.store.enrol("Eve", [make_template(seed)])
    first.put_back()
    second.put_back()
    assert counts(shared_gallery)["Eve"] == 2
    assert len(shared_gallery.photographs("Eve")) == 2
    for seed in (10, 11):
        [match] = shared_gallery.search(make_template(seed).embedding[np.newaxis], 1)[0]
        assert match.person == "Eve"
    roll, _ = shared_gallery.templates()
    assert sorted(roll.names.values()) == ["Ann", "Bob", "Eve"]
    shared_gallery.enrol("Eve", [make_template(12)])
    rows = collections.rows_in(["person"], "label", [label_of("Eve")])
    assert [json.loads(row.body)["name"] for row in rows] == ["Eve"]
    assert counts(shared_gallery)["Eve"] == 3


def test_what_an_interrupted_enrolment_leaves_names_nobody(
    shared_gallery: MilvusGallery, make_template: MakeTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    collections, put = shared_gallery._collections, shared_gallery._collections.put_rows
    monkeypatch.setattr(
        collections,
        "put_rows",
        lambda rows: put([r for r in rows if r.kind in ("crop", "quality")]),
    )  # as if the process had ended before it wrote whose the templates are
    shared_gallery.enrol("Eve", [make_template(10, crop=b"crop")])
    monkeypatch.undo()
    assert counts(shared_gallery) == {"Ann": 2, "Bob": 1}
    [match] = shared_gallery.search(make_template(10).embedding[np.newaxis], 1)[0]
    assert match.person != "Eve"
    assert ["is nobody's" in fault for fault in shared_gallery.faults()] == [True]
    assert shared_gallery.enrol("Eve", [make_template(10)]) == {}
    assert counts(shared_gallery)["Eve"] == 1


def test_an_erasure_takes_every_row_and_says_what_it_leaves(
    shared_gallery: MilvusGallery, make_template: MakeTemplate
) -> None:
    shared_gallery.edit.exclude("Ann", make_template(5))
    shared_gallery.erase("Ann")
    collections = shared_gallery._collections
    assert {row.kind for row in collections.rows('kind != ""')} == {"gallery", "person", "audit"}
    assert [template.photograph for template in collections.templates()] == [f"{2:064x}"]
    assert "until it has" in (shared_gallery.lingers or "")
    assert shared_gallery.operations() == ()


def test_whoever_was_deleted_long_ago_goes_with_the_next_change(
    shared_gallery: MilvusGallery, make_template: MakeTemplate
) -> None:
    shared_gallery.edit.delete("Ann")
    collections = shared_gallery._collections
    [row] = collections.rows_in(["person"], "label", [label_of("Ann")])
    long_ago = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    body = json.loads(row.body) | {"deleted_at": long_ago}
    collections.put_rows([replace(row, deleted=long_ago, body=json.dumps(body))])
    assert shared_gallery.people(deleted=True) == ()
    shared_gallery.edit.rename("Bob", "Rob")
    assert collections.count() == 1
    assert collections.rows_in(["person"], "label", [label_of("Ann")]) == []


def test_other_bits_than_were_put_in_are_never_handed_on(
    shared_gallery: MilvusGallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = shared_gallery._collections._client.upsert
    [template] = shared_gallery._collections.templates('photograph == "' + f"{2:064x}" + '"')
    rounded = template.embedding.astype(np.float16).astype(np.float32)
    put(
        "team_templates",
        [{"id": template.id, "person": template.person, "photograph": template.photograph,
          "digest": template.digest, "embedding": rounded}],
    )  # fmt: skip
    with (
        pytest.raises(GalleryError, match="other bits of a template"),
        shared_gallery.records() as records,
    ):
        list(records)
    [fault] = shared_gallery.faults()
    assert "of 'Bob' is damaged" in fault


def test_a_server_that_does_not_answer_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(AppError) as caught:
        _ = place_of("milvus://user:secret@127.0.0.1:1/team", tmp_path).exists
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
