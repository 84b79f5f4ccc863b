import sys
from pathlib import Path
from types import ModuleType

import pytest

from data.distribution import install_command
from data.errors import ArgumentError, GalleryError
from recognition.gallery.locations import Folder, Server, folder_of, index_of, place_of
from recognition.gallery.search import milvus
from recognition.gallery.search.milvus import MilvusAddress, MilvusVectors
from recognition.gallery.templates import EmbeddingModel

MODEL = EmbeddingModel("net", "ab" * 32, 8)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIKENESS_GALLERY", raising=False)
    monkeypatch.delenv("LIKENESS_INDEX", raising=False)
    monkeypatch.delenv("LIKENESS_MILVUS_TOKEN", raising=False)


def test_a_server_s_address() -> None:
    found = MilvusAddress.parse(
        "milvus://ann:p%40ss@db.example:1953/team?index=HNSW&metric=COSINE&consistency=Bounded"
        "&M=16&efConstruction=200&ef=64&tls=yes&database=faces"
    )
    assert found == MilvusAddress(
        uri="https://db.example:1953", name="team", token="ann:p@ss", database="faces",
        index="HNSW", metric="COSINE", consistency="Bounded",
        building={"M": 16, "efConstruction": 200}, searching={"ef": 64},
    )  # fmt: skip
    assert str(found) == "milvus://db.example:1953/team"
    assert "p@ss" not in repr(found)


def test_what_is_left_out_has_a_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIKENESS_MILVUS_TOKEN", "secret")
    found = MilvusAddress.parse("milvus://db")
    assert (found.uri, found.name, found.token) == ("http://db:19530", "likeness", "secret")
    assert (found.index, found.metric, found.consistency) == ("FLAT", "IP", "Strong")
    assert not found.is_local
    lite = MilvusAddress.parse(f"milvus://{tmp_path}/people.db?name=team")
    assert (lite.uri, lite.name, lite.is_local) == (f"{tmp_path}/people.db", "team", True)
    assert MilvusAddress.parse(str(lite)) == lite


@pytest.mark.parametrize(
    "text",
    [
        "milvus://",
        "milvus:///no/such/folder/x.db",
        "milvus:///tmp/x.sqlite",
        "milvus://db:port/x",
        "milvus://db/../x",
        "milvus://db/a%22%20or%201",
        "milvus://db/1st",
        "milvus://db/x?index=BEST",
        "milvus://db/x?metric=L2",
        "milvus://db/x?consistency=none",
        "milvus://db/x?ef=-1",
        "milvus://db/x?ef=many",
        "milvus://db/x?colour=red",
        "milvus://[::1/x",
        "https://db/x",
    ],
)
def test_what_is_no_address_is_told_in_one_line(text: str, tmp_path: Path) -> None:
    for read in (index_of, lambda text: place_of(text, tmp_path)):
        with pytest.raises(ArgumentError) as caught:
            read(text)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "faces", "postgresql://ann:secret@db/x", "/tmp/x.db"])
def test_an_index_elsewhere_is_in_milvus_or_nowhere(text: str) -> None:
    with pytest.raises(ArgumentError, match="no address milvus://") as caught:
        index_of(text)
    assert "secret" not in str(caught.value)


def test_an_index_that_is_named_goes_before_the_environment_and_none_is_this_machine_s(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert index_of(None) is None
    monkeypatch.setenv("LIKENESS_INDEX", "milvus://db/team")
    assert index_of(None) == MilvusAddress(uri="http://db:19530", name="team")
    found = index_of("milvus://other/theirs")
    assert found == MilvusAddress(uri="http://other:19530", name="theirs")
    for named in (None, str(tmp_path), "postgresql:///faces"):
        assert place_of(named, tmp_path, index=found).index is found
        assert place_of(named, tmp_path).index is None


def test_what_is_named_goes_before_the_environment_and_that_before_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert place_of(None, tmp_path) == Folder(tmp_path / "gallery")
    monkeypatch.setenv("LIKENESS_GALLERY", "postgresql://db/team")
    place = place_of(None, tmp_path)
    assert isinstance(place, Server)
    with pytest.raises(GalleryError, match="a backup is for galleries in a folder"):
        folder_of(place, "a backup")
    assert place_of(str(tmp_path), tmp_path) == Folder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentError, match="is a file"):
        place_of(str(tmp_path / "file"), tmp_path)


def test_without_pymilvus_one_line_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(milvus.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GalleryError, match="needs pymilvus") as caught:
        MilvusVectors(MilvusAddress.parse("milvus://db/team"))
    assert install_command("milvus") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "collection not loaded[collection=446]",
            "Milvus has not loaded the collections that begin with team",
        ),
        ("Collection 'team_vectors' is NOT LOADED", "Milvus has not loaded the collections"),
        ("no quorum", "Milvus says 'no quorum'"),
    ],
)
def test_what_milvus_refuses_is_one_line_that_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, said: str, told: str
) -> None:
    class Refusal(Exception):  # noqa: N818  (pymilvus's own is called MilvusException)
        message = said

    class Client:
        def __init__(self, **_: object) -> None: ...

        def has_collection(self, name: str, timeout: float) -> bool:
            return True

        def load_collection(self, name: str, timeout: float) -> None: ...

        def query(self, *_: object, **__: object) -> list[object]:
            raise Refusal

        def close(self) -> None: ...

    module = ModuleType("pymilvus")
    module.MilvusClient, module.MilvusException = Client, Refusal  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pymilvus", module)
    monkeypatch.setattr(milvus.importlib.util, "find_spec", lambda name: True)
    with pytest.raises(GalleryError, match=told) as caught:
        MilvusVectors(MilvusAddress.parse("milvus://db/team")).state()
    assert "\n" not in str(caught.value)


def test_a_folder_of_something_else_is_no_gallery(tmp_path: Path) -> None:
    for name in ("photographs", "papers", "code"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.jpg").touch()
        place = place_of(str(folder), tmp_path)
        with pytest.raises(ArgumentError, match=f"no gallery is in .*{name}.jpg"):
            _ = place.exists
        with pytest.raises(ArgumentError, match="name a gallery's folder, or a new one"):
            place.open(model=MODEL, create=True)
        assert [path.name for path in folder.iterdir()] == [f"{name}.jpg"]
    for name in ("absent", "empty", "hidden"):
        if name != "absent":
            (tmp_path / name).mkdir()
        if name == "hidden":
            (tmp_path / name / ".keep").touch()
        place = place_of(str(tmp_path / name), tmp_path)
        assert not place.exists
        place.open(model=MODEL, create=True).close()
        assert place.exists
    with pytest.raises(ArgumentError, match="empty"):
        place_of("", tmp_path)
