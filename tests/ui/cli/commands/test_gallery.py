"""`gallery …` on the command line; what the gallery does with it is tried beside the gallery."""

import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import EmbeddingModel, Template
from ui.cli.main import main

MODEL = EmbeddingModel("net", "ab" * 32, 8)


def enrol(folder: Path, *names: str) -> None:
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        for number, name in enumerate(names):
            vector = np.eye(8, dtype=np.float32)[number]
            gallery.enrol(name, [Template(vector, f"{number:064x}", crop=b"crop")])


def names(folder: Path) -> list[str]:
    with Gallery.open(folder) as gallery:
        return [person.name for person in gallery.people()]


def test_a_gallery_goes_out_and_comes_back(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrol(home / "gallery", "Ann", "Bob")
    kept, zipped = tmp_path / "kept.sqlite", tmp_path / "people.zip"
    assert main(["gallery", "backup", str(kept)]) == 0
    assert main(["gallery", "export", str(zipped)]) == 0
    assert "exported 2 people, 2 photographs" in capsys.readouterr().out
    enrol(home / "gallery", "Ann", "Bob", "Cyd")
    assert main(["gallery", "restore", str(kept), "--yes"]) == 0
    assert names(home / "gallery") == ["Ann", "Bob"]
    other = str(tmp_path / "other")
    assert main(["gallery", "import", str(zipped), "--gallery", other]) == 0
    assert names(tmp_path / "other") == ["Ann", "Bob"]
    assert main(["gallery", "check", "--gallery", other]) == 0
    capsys.readouterr()
    assert main(["gallery", "copy", other, str(tmp_path / "third"), "--json"]) == 0
    copied = json.loads(capsys.readouterr().out)
    assert (copied["lacking"], copied["things"], copied["added"]["new"]) == (0, 4, 2)


def test_the_gallery_that_is_named_counts_in_every_command(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(home / "gallery", "Ann")
    enrol(tmp_path / "named", "Bob")
    enrol(tmp_path / "told", "Cyd")
    monkeypatch.setenv("LIKENESS_GALLERY", str(tmp_path / "told"))
    for options, person in (([], "Cyd"), (["--gallery", str(tmp_path / "named")], "Bob")):
        for place in (
            ["people", "list", "--json", *options],
            [*options, "people", "list", "--json"],
        ):
            assert main(place) == 0
            assert [one["name"] for one in json.loads(capsys.readouterr().out)] == [person]
    assert main(["gallery", "info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["people"], found["place"]) == (1, str(tmp_path / "told"))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["info"], 1),
        (["backup", "x.sqlite"], 1),
        (["restore", "missing"], 2),
        (["restore", "noise"], 1),
        (["import", "missing"], 2),
        (["import", "noise"], 1),
        (["info", "--gallery", "noise"], 2),
        (["info", "--gallery", "http://db/x"], 2),
        (["info", "--gallery", "milvus://db/x?index=BEST"], 2),
        (["copy", "a", "a"], 2),
        (["copy", "a", "b"], 1),
        (["info", "--gallery", "milvus://db/x"], 2),
        (["info", "--index", "postgresql://db/x"], 2),
        (["info", "--index", "milvus://db/x?index=BEST"], 2),
        (["backup", "x.sqlite", "--gallery", "postgresql://db/x"], 1),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line_and_leaves_nothing(
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noise").write_bytes(b"noise" * 999)
    assert main(["gallery", *words]) == code
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"noise"}


def test_damage_is_listed(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    enrol(home / "gallery", "Ann")
    connection = sqlite3.connect(home / "gallery" / "gallery.sqlite")
    with connection:
        connection.execute("UPDATE template SET embedding = zeroblob(32)")
    connection.close()
    assert main(["gallery", "check"]) == 1
    told = capsys.readouterr()
    assert "template 1 of 'Ann' is damaged" in told.err
    assert "likeness gallery restore" in told.out
    assert main(["gallery", "backup", str(tmp_path / "x.sqlite")]) == 1
    assert not (tmp_path / "x.sqlite").exists()


def test_the_index_is_chosen_made_and_explained(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recognition.gallery.search.kinds.FEWEST_TRAINED", 20)
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with Gallery.open(home / "gallery", model=MODEL, create=True) as gallery:
        for number, vector in enumerate(vectors):
            gallery.enrol(f"P{number}", [Template(vector, f"{number:064x}")])

    def told() -> str:
        capsys.readouterr()
        assert main(["gallery", "info", "--json"]) == 0
        return str(json.loads(capsys.readouterr().out)["facts"]["index"])

    assert told() == "flat, at most 100,000 photographs: all are compared"
    assert main(["gallery", "index", "--kind", "pq"]) == 0
    assert "index: pq, as chosen: " in capsys.readouterr().out
    assert told().startswith("pq, as chosen: ")
    assert main(["gallery", "index"]) == 0  # anew, of the same kind
    assert told().startswith("pq, as chosen: ")
    assert main(["gallery", "index", "--kind", "auto"]) == 0
    assert told() == "flat, at most 100,000 photographs: all are compared"


@pytest.mark.parametrize(
    ("options", "code", "what"),
    [
        (["--kind", "hnsw"], 2, "is not one of 'auto', 'flat', 'int8', 'pq'"),
        (["--gallery", "milvus://host/name"], 2, "people are kept in milvus://host"),
        (["--index", "milvus://host/name"], 1, "nobody is enrolled"),
        (["--index", "host/name"], 2, "is no address milvus://HOST/NAME"),
        ([], 1, "nobody is enrolled"),
    ],
)
def test_an_index_that_cannot_be_made_is_refused(
    home: Path, capsys: pytest.CaptureFixture[str], options: list[str], code: int, what: str
) -> None:
    assert main(["gallery", "index", *options]) == code
    error = capsys.readouterr().err
    assert what in error
    assert error.count("\n") == 1
    assert not (home / "gallery").exists()


def test_a_restoration_says_first_who_goes_and_who_is_erased_once_more(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = tmp_path / "kept.sqlite"
    with Gallery.open(home / "gallery", model=MODEL, create=True) as gallery:
        vectors = np.eye(MODEL.dimension, dtype=np.float32)
        for number, name in enumerate(("Eve", "Fay")):
            gallery.enrol(name, [Template(vectors[number], f"{900 + number:064x}")])
    assert main(["gallery", "backup", str(backup)]) == 0
    assert main(["people", "erase", "Eve", "--yes"]) == 0
    with Gallery.open(home / "gallery") as gallery:
        gallery.enrol("Gil", [Template(vectors[2], "f" * 64)])
    capsys.readouterr()
    assert main(["gallery", "restore", str(backup), "--yes"]) == 0
    err = capsys.readouterr().err
    assert "Gil goes: not in the backup" in err
    assert "1 person of the backup were erased since" in err
    with Gallery.open(home / "gallery") as gallery:
        assert {"Eve", "Gil"}.isdisjoint(person.name for person in gallery.people())


def test_what_was_put_aside_is_listed_warned_of_and_removed_only_when_asked(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup, folder = tmp_path / "kept.sqlite", home / "gallery"
    with Gallery.open(folder, model=MODEL, create=True) as gallery:
        vectors = np.eye(MODEL.dimension, dtype=np.float32)
        gallery.enrol("Eve", [Template(vectors[0], "9" * 64)])
    assert main(["gallery", "backup", str(backup)]) == 0
    (folder / "gallery.sqlite").write_bytes(b"no database" * 500)
    for path in folder.glob("gallery.sqlite-*"):
        path.unlink()
    assert main(["gallery", "restore", str(backup), "--yes"]) == 0
    capsys.readouterr()
    assert main(["people", "erase", "Eve", "--yes"]) == 1
    err = capsys.readouterr().err
    assert "warning: " in err
    assert "likeness gallery put-aside --remove" in err
    assert main(["gallery", "put-aside"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 1
    assert Path(listed[0]).is_dir()
    assert main(["gallery", "put-aside", "--remove"]) == 2  # nobody is there to agree
    assert Path(listed[0]).is_dir()
    assert main(["gallery", "put-aside", "--remove", "--yes"]) == 0
    assert not Path(listed[0]).exists()
    assert main(["people", "erase", "Eve", "--yes"]) == 0


def test_re_embedding_is_told_confirmed_and_taken_back(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from recognition.maintenance import Moved, ReEmbedding

    asked: list[tuple[object, ...]] = []

    def move(_: ReEmbedding, model: str, **options: object) -> Moved:
        asked.append((model, options["photographs"], options["leave_out"]))
        return Moved(
            before="old",
            model="new",
            moved=3,
            from_photographs=1,
            left_out=2,
            exclusions_left_out=1,
            similarity=0.991,
            compared=1,
        )

    monkeypatch.setattr(ReEmbedding, "move", move)
    enrol(home / "gallery", "Ann")
    assert main(["gallery", "re-embed", "--model", "both", "--leave-out"]) == 0
    told = capsys.readouterr()
    assert "moved from old to new: 3 photographs, 1 of them" in told.out
    assert "0.991, measured on 1 photograph of this gallery" in told.out
    assert "--confirm" in told.out
    assert "2 photographs and 1 excluded face are left out" in told.err
    assert main(["gallery", "re-embed", "--model", "both", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["similarity"] == 0.991
    assert asked == [("both", None, True), ("both", None, False)]
    for way in ("--confirm", "--undo"):
        assert main(["gallery", "re-embed", way]) == 1
        assert "was not moved to another network" in capsys.readouterr().err
    assert main(["gallery", "re-embed", "--confirm", "--undo"]) == 2
