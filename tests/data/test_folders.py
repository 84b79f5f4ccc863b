"""Folders as people, cameras and storage systems leave them: what is taken, and what is counted."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import folders
from data.datasets import read_people
from data.errors import ArgumentError, DatasetError
from data.folders import AGAIN, DEEPER, HIDDEN, LOOSE, OUTSIDE, SIDECAR, TOO_DEEP, sift, sift_all
from data.images import find_images


def put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def kinds(root: Path) -> dict[str, str]:
    """What was not taken, by its path in the root."""
    return {str(one.path.relative_to(root)): one.kind for one in sift(root).account.left}


def taken(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in sift(root).pictures]


@pytest.mark.parametrize(
    "name",
    [
        "@eaDir", "#recycle", "__MACOSX", "$RECYCLE.BIN", "$Recycle.Bin", "lost+found",
        ".Trash-1000", ".Trashes", ".thumbnails", "System Volume Information", "@Recycle",
        "#snapshot", "RECYCLER", "found.000", "Network Trash Folder", ".@__thumb", "@EADIR",
    ],
)  # fmt: skip
def test_folders_that_systems_make_are_hidden_at_every_depth_and_counted(
    tmp_path: Path, name: str
) -> None:
    put(tmp_path, "a.jpg", f"{name}/b.jpg", f"2019/Rome/{name}/deep/c.jpg", "2019/Rome/d.jpg")
    assert taken(tmp_path) == ["2019/Rome/d.jpg", "a.jpg"]
    assert kinds(tmp_path) == {name: HIDDEN, f"2019/Rome/{name}": HIDDEN}
    account = sift(tmp_path).account
    assert not account.matters
    assert account.as_json()["passed_over"] == {HIDDEN: 2}
    assert account.line().endswith("passed over: 2 hidden")
    assert taken(tmp_path / name) == ["b.jpg"]  # unless it is named itself


@pytest.mark.parametrize(
    "name", ["Thumbs.db", "desktop.ini", "._a.jpg", ".DS_Store", ".hidden.png", "ehthumbs.db"]
)
def test_files_that_systems_make_are_hidden_and_counted(tmp_path: Path, name: str) -> None:
    put(tmp_path, "a.jpg", name, f"deep/{name}")
    assert taken(tmp_path) == ["a.jpg"]
    assert set(kinds(tmp_path).values()) == {HIDDEN}


@pytest.mark.parametrize("name", ["a.xmp", "a.jpg.json", "notes.txt", "LICENSE.md", "a.AAE"])
def test_texts_beside_photographs_are_counted_and_no_reason_to_fail(
    tmp_path: Path, name: str
) -> None:
    put(tmp_path, "a.jpg", name)
    assert kinds(tmp_path) == {name: SIDECAR}
    assert not sift(tmp_path).account.matters


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.dng", ".dng"),
        ("a.CR2", ".cr2"),
        ("clip.mp4", ".mp4"),
        ("IMG_0001", folders.NO_SUFFIX),
        ("a.jpg.part", ".part"),
        ("archive.tar.gz", ".gz"),
    ],
)
def test_what_may_be_a_photograph_and_is_not_read_is_named(
    tmp_path: Path, name: str, kind: str
) -> None:
    put(tmp_path, "a.jpg", f"deep/{name}")
    account = sift(tmp_path).account
    assert account.matters
    assert account.as_json()["not_taken"] == {kind: 1}
    assert account.as_json()["examples"] == [f"deep/{name}"]
    assert f"1 {kind} (deep/{name})" in account.line()


def test_of_many_of_a_kind_the_first_are_named_and_all_are_counted(tmp_path: Path) -> None:
    put(tmp_path, *(f"{number:02}.dng" for number in range(40)))
    line = sift(tmp_path).account.line()
    assert "40 .dng (00.dng, 01.dng, 02.dng, …)" in line
    assert "\n" not in line


def test_links_are_followed_inside_the_root_only_and_each_folder_is_walked_once(
    tmp_path: Path,
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    put(root, "a/1.jpg", "b/2.jpg")
    put(outside, "3.jpg", "4.jpg")
    links = {
        "a/again": root / "b",
        "circle": root,
        "a/up": root.parent,
        "slash": Path("/"),
        "out": outside,
    }
    for name, target in links.items():
        (root / name).symlink_to(target, target_is_directory=True)
    (root / "photograph.jpg").symlink_to(outside / "3.jpg")  # a link to a file is the file
    names = taken(root)
    assert sorted(Path(name).name for name in names) == ["1.jpg", "2.jpg", "photograph.jpg"]
    left = kinds(root)
    assert left.pop("out") == OUTSIDE
    assert set(left.values()) == {AGAIN}
    assert {"circle", "a/up", "slash"} <= set(left)
    assert sift(root).account.matters


def test_a_link_out_that_is_a_circle_of_its_own_ends(tmp_path: Path) -> None:
    put(tmp_path, "root/a.jpg", "other/b.jpg")
    (tmp_path / "root" / "other").symlink_to("../other", target_is_directory=True)
    (tmp_path / "other" / "root").symlink_to("../root", target_is_directory=True)
    (tmp_path / "root" / "self").symlink_to("self")
    assert taken(tmp_path / "root") == ["a.jpg"]


def test_what_is_too_deep_is_named_and_stops_nothing(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "z/b.jpg")
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(40):  # 40 × 200 characters: longer than a path may be
            os.mkdir("x" * 200, dir_fd=here)
            deeper = os.open("x" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = deeper
    finally:
        os.close(here)
    assert taken(tmp_path) == ["a.jpg", "z/b.jpg"]
    assert set(kinds(tmp_path).values()) == {TOO_DEEP}
    assert sift(tmp_path).account.matters


def test_hundreds_of_folders_in_one_another_are_cut_off(tmp_path: Path) -> None:
    put(tmp_path, "/".join("d" * 1 for _ in range(300)) + "/a.jpg", "b.jpg")
    assert taken(tmp_path) == ["b.jpg"]
    assert list(kinds(tmp_path).values()) == [TOO_DEEP]


NAMES = st.sampled_from(
    [
        "a.jpg",
        "b.PNG",
        "c.dng",
        "d",
        "e.txt",
        ".f.jpg",
        "@eaDir",
        "g/h.jpg",
        "g/i.mov",
        "j/@eaDir/k",
    ]
)


@given(st.sets(NAMES))
def test_every_file_is_taken_or_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, names: set[str]
) -> None:
    root = put(tmp_path_factory.mktemp("folder"), *names)
    sifted = sift(root)
    told = [*sifted.pictures, *(one.path for one in sifted.account.left)]
    assert len(told) == len(set(told))
    for name in names:
        path = root / name
        assert sum(path == one or one in path.parents for one in told) == 1
    assert find_images([root]) == list(sifted.pictures)


def test_an_empty_path_is_not_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "a.jpg")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match="a path is empty"):
        sift_all([""])  # type: ignore[list-item]
    assert len(find_images([Path()])) == 1  # which somebody has to say


def test_people_s_folders_give_an_account_of_everything_else(tmp_path: Path) -> None:
    put(
        tmp_path,
        "Ann/a.jpg", "Ann/a.xmp", "Ann/raw/a.dng", "Ann/more/b.jpg", "Ann/@eaDir/a.jpg/x.jpg",
        "Bea/b.dng", "Cyd/notes.txt", "#recycle/old.jpg", "loose.jpg", "list.csv", "index",
    )  # fmt: skip
    (tmp_path / "Dee").mkdir()
    found = read_people(tmp_path, minimum_people=1)
    assert [(one.name, len(one.photographs)) for one in found.identities] == [("Ann", 1)]
    assert [path.name for path in found.empty] == ["Bea", "Cyd", "Dee"]
    assert {str(one.path.relative_to(tmp_path)): one.kind for one in found.account.left} == {
        "Ann/a.xmp": SIDECAR,
        "Ann/raw/a.dng": ".dng",
        "Ann/more/b.jpg": DEEPER,
        "Ann/@eaDir": HIDDEN,
        "Bea/b.dng": ".dng",
        "Cyd/notes.txt": SIDECAR,
        "#recycle": HIDDEN,
        "loose.jpg": LOOSE,
        "list.csv": SIDECAR,
        "index": folders.NO_SUFFIX,
    }


def test_a_refusal_says_what_was_there_instead(tmp_path: Path) -> None:
    put(tmp_path, "Ann/a.dng", "Bob/b")
    with pytest.raises(DatasetError, match=r"1 \.dng \(Ann/a.dng\), 1 without a suffix \(Bob/b\)"):
        read_people(tmp_path)
