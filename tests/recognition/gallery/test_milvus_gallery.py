"""A gallery that an earlier Likeness has kept in Milvus, copied: all of it, to the last bit.

`full/milvus.json.gz` is what such a gallery held, read out of Milvus Lite by the last version that
kept people there, and what that version made of it: with crops, groups, consent, an exclusion,
somebody deleted and somebody deleted too long ago, one name that two machines enrolled at once, and
what an interrupted enrolment and an erasure left.
"""

import base64
import gzip
import importlib.util
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from milvus_in_memory import RowsInMemory

from data.errors import ArgumentError, GalleryError
from recognition.gallery.locations import Folder, place_of
from recognition.gallery.search.milvus import MilvusAddress, MilvusConnection
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.gallery.transfer import milvus_gallery
from recognition.gallery.transfer.copies import copy_gallery
from recognition.gallery.transfer.milvus_gallery import MilvusGallery
from recognition.results import Calibration, Use

if TYPE_CHECKING:
    from clocks import Clock

KEPT: dict[str, Any] = json.loads(
    gzip.decompress((Path(__file__).parent / "full" / "milvus.json.gz").read_bytes())
)
needs_lite = pytest.mark.skipif(
    importlib.util.find_spec("milvus_lite") is None,
    reason="make test-milvus has an environment for it",
)


def collections() -> dict[str, list[dict[str, Any]]]:
    """The rows as Milvus returns them."""
    templates = [
        row | {"embedding": np.frombuffer(base64.b64decode(row["embedding"]), "<f4").tolist()}
        for row in KEPT["templates"]
    ]
    return {"team_rows": list(KEPT["rows"]), "team_templates": templates}


def put_into_milvus(address: MilvusAddress) -> None:
    """Make the collections as the version did that kept people in them."""
    with closing(MilvusConnection(address)) as connection:
        client, types = connection.client, connection.pymilvus.DataType
        for name, rows in collections().items():
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            index = client.prepare_index_params()
            for field, value in rows[0].items():
                key = field in ("key", "id")
                if isinstance(value, list):
                    schema.add_field(field, types.FLOAT_VECTOR, dim=len(value))
                    index.add_index(field, index_type="FLAT", metric_type="IP")
                elif isinstance(value, int):
                    schema.add_field(field, types.INT64, is_primary=key)
                else:
                    schema.add_field(field, types.VARCHAR, max_length=65_535, is_primary=key)
            if name == "team_rows":
                schema.add_field("unused", types.FLOAT_VECTOR, dim=2)
                index.add_index("unused", index_type="FLAT", metric_type="IP")
                rows = [row | {"unused": [1.0, 0.0]} for row in rows]
            client.create_collection(name, schema=schema, index_params=index)
            client.upsert(name, rows)


@pytest.fixture
def then(clock: "Clock") -> None:
    """The day on which it was made: whoever was deleted can still be restored."""
    made = datetime.fromisoformat(KEPT["made_at"])
    clock.forward(seconds=(made - clock.read()).total_seconds() + 60)


@pytest.fixture(params=["memory", pytest.param("lite", marks=needs_lite)])
def former(
    request: pytest.FixtureRequest, then: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MilvusGallery]:
    address = MilvusAddress(uri=str(tmp_path / "gallery.db"), name="team")
    if request.param == "memory":
        monkeypatch.setattr(
            milvus_gallery, "MilvusConnection", lambda _: RowsInMemory(collections())
        )
    else:
        put_into_milvus(address)
    with closing(MilvusGallery(address)) as opened:
        yield opened


def face(template: Template) -> list[object]:
    crop = None if template.crop is None else base64.b64encode(template.crop).decode()
    quality = None if template.quality is None else asdict(template.quality)
    bits = base64.b64encode(template.embedding.tobytes()).decode()
    return [template.photograph_sha256, bits, crop, quality]


def everything(gallery: Any) -> list[dict[str, object]]:
    with gallery.records() as records:
        return [
            {
                "name": one.name,
                "enrolled_at": one.enrolled_at,
                "deleted_at": one.deleted_at,
                "consent": one.consent,
                "consented_at": one.consented_at,
                "expires_on": one.expires_on,
                "groups": list(one.groups),
                "templates": [face(template) for template in one.templates],
                "exclusions": [face(template) for template in one.exclusions],
            }
            for one in records
        ]


def test_it_is_read_as_the_version_read_it_that_kept_it(former: MilvusGallery) -> None:
    assert everything(former) == KEPT["expected"]
    assert former.model == EmbeddingModel(**KEPT["model"])
    assert [asdict(one) for one in map(former.calibration, Use) if one] == KEPT["calibrations"]
    assert former.size[0] == 3
    assert len(former.people(deleted=True)) == 1


def test_a_copy_lacks_nothing_and_a_second_one_brings_nothing(
    former: MilvusGallery, tmp_path: Path
) -> None:
    with Folder(tmp_path / "copy").open(model=former.model, create=True) as copy:
        copied = copy_gallery(former, copy)
        assert (copied.added.people, copied.added.new, copied.lacking) == (4, 6, 0)
        assert everything(copy) == KEPT["expected"]
        assert copy.calibration(Use.VERIFY) == Calibration(**KEPT["calibrations"][0])
        again = copy_gallery(former, copy)
        assert (again.added.new, again.added.known, again.lacking) == (0, 6, 0)
        assert copy.faults() == []


def test_whoever_is_out_of_time_is_not_copied(former: MilvusGallery, clock: "Clock") -> None:
    clock.forward(days=31)
    assert [one["name"] for one in everything(former)] == [
        one["name"] for one in KEPT["expected"] if one["name"] != "Gone"
    ]
    clock.forward(days=4 * 365)  # past Ann's consent
    assert "Ann" not in [one["name"] for one in everything(former)]


def test_other_bits_than_were_put_in_are_never_handed_on(
    then: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = collections()
    rows["team_templates"][0]["embedding"][0] += 1e-4
    monkeypatch.setattr(milvus_gallery, "MilvusConnection", lambda _: RowsInMemory(rows))
    address = MilvusAddress(uri="http://db:19530", name="team")
    with pytest.raises(GalleryError, match="other bits of a template"):
        everything(MilvusGallery(address))
    with pytest.raises(GalleryError, match="no gallery is in milvus://db:19530/others"):
        MilvusGallery(MilvusAddress(uri="http://db:19530", name="others"))


def test_people_are_kept_there_no_more(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="likeness gallery copy milvus://db:19530/team") as told:
        place_of("milvus://ann:secret@db/team", tmp_path)
    assert "--index milvus://" in str(told.value)
    assert "secret" not in str(told.value)
