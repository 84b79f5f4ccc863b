import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.datasets import (
    Identity,
    check_corrupt,
    find_doubts,
    only_listed,
    read_identities,
    split_identities,
)
from data.errors import ArgumentError, DatasetError


def plant(root: Path, *names: str) -> Path:
    """Create empty files below a folder."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return root


def test_people_and_photographs_are_sorted(tmp_path: Path):
    plant(tmp_path, "Bo/2.jpg", "Bo/1.PNG", "Ann/1.jpg", "Bo/notes.txt", "Bo/.x.jpg", ".git/1.jpg")
    plant(tmp_path, "readme.jpg", "Empty/text.txt")
    assert read_identities(tmp_path) == [
        Identity("Ann", (tmp_path / "Ann/1.jpg",)),
        Identity("Bo", (tmp_path / "Bo/1.PNG", tmp_path / "Bo/2.jpg")),
    ]


def test_people_with_too_few_photographs_are_left_out(tmp_path: Path):
    plant(tmp_path, "A/1.jpg", "B/1.jpg", "B/2.jpg", "C/1.jpg", "C/2.jpg")
    assert [p.name for p in read_identities(tmp_path, minimum_photographs=2)] == ["B", "C"]
    with pytest.raises(DatasetError, match="0 of the at least 2 people"):
        read_identities(tmp_path, minimum_photographs=3)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "holds no photographs"),
        (("A/notes.txt", "B/notes.txt"), "holds no photographs"),
        (("1.jpg", "2.jpg"), "holds no photographs"),
        (("A/1.jpg", "A/2.jpg"), "1 of the at least 2 people"),
        (("group/A/1.jpg", "group/B/1.jpg"), "lie too deep"),
    ],
    ids=["empty", "text only", "no folders", "one person", "three levels"],
)
def test_an_unusable_folder_is_refused(tmp_path: Path, files: tuple[str, ...], message: str):
    with pytest.raises(DatasetError, match=message) as refusal:
        read_identities(plant(tmp_path, *files))
    assert refusal.value.exit_code == 2
    assert str(refusal.value).isprintable()


def test_one_person_may_be_enough(tmp_path: Path):
    plant(tmp_path, "A/1.jpg")
    assert len(read_identities(tmp_path, minimum_people=1)) == 1


@pytest.mark.parametrize("name", ["missing", "a\0b", "file"])
def test_a_folder_that_is_none_is_refused(tmp_path: Path, name: str):
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="no readable folder"):
        read_identities(tmp_path / name)


def test_a_list_chooses_people_by_the_first_word_of_a_line(tmp_path: Path):
    people = read_identities(plant(tmp_path / "people", "Ann/1.jpg", "Bob/1.jpg", "Cy/1.jpg"))
    listing = tmp_path / "list.txt"
    listing.write_text("Cy 4\n\nAnn\nNobody\n")
    assert [person.name for person in only_listed(people, listing)] == ["Ann", "Cy"]
    listing.write_text("Nobody\n")
    with pytest.raises(DatasetError, match="nobody listed"):
        only_listed(people, listing)
    with pytest.raises(ArgumentError, match="there is no file"):
        only_listed(people, tmp_path / "absent.txt")


def test_odd_entries_neither_hang_nor_get_lost(tmp_path: Path):
    plant(tmp_path, "A/1.jpg", "B/1.jpg")
    os.mkfifo(tmp_path / "A" / "pipe.jpg")
    (tmp_path / "A" / "folder.jpg").mkdir()
    (tmp_path / "B" / "loop.jpg").symlink_to(tmp_path / "B" / "loop.jpg")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "linked").symlink_to(tmp_path / "A")
    found = {p.name: [f.name for f in p.photographs] for p in read_identities(tmp_path)}
    # What cannot be read is listed, so that reading it says why.
    assert found == {
        "A": ["1.jpg", "pipe.jpg"],
        "B": ["1.jpg", "loop.jpg"],
        "linked": ["1.jpg", "pipe.jpg"],
    }


def test_names_that_hardly_differ_are_doubted(tmp_path: Path):
    plant(tmp_path, "Ann/1.jpg", "ann/2.jpg", "Zo\u00eb/3.jpg", "Zoe\u0308/4.jpg", "Bo/5.jpg")
    doubts = find_doubts(read_identities(tmp_path))
    assert doubts[0] == "Ann and ann may be one person under two names"
    assert len(doubts) == 2


def test_one_photograph_under_two_names_is_doubted(tmp_path: Path):
    plant(tmp_path, "A/1.jpg", "B/2.jpg", "C/3.jpg")
    (tmp_path / "B" / "copy.jpg").write_bytes((tmp_path / "A" / "1.jpg").read_bytes())
    (tmp_path / "C" / "again.jpg").write_bytes((tmp_path / "C" / "3.jpg").read_bytes())
    os.mkfifo(tmp_path / "C" / "pipe.jpg")
    (doubt,) = find_doubts(read_identities(tmp_path))
    assert doubt == f"{tmp_path}/B/copy.jpg is the same photograph as {tmp_path}/A/1.jpg"


def test_a_tenth_may_be_corrupt_and_over_a_fifth_may_not():
    check_corrupt(10, 100, root=Path("set"))
    check_corrupt(20, 100, root=Path("set"))
    with pytest.raises(DatasetError, match="21 of the 100 photographs in set"):
        check_corrupt(21, 100, root=Path("set"))


@given(st.integers(0, 60), st.integers(0, 2**31), st.randoms())
def test_a_split_holds_everyone_once_whatever_the_order(count: int, seed: int, rng):
    people = [Identity(f"p{i:03}", (Path(f"{i}.jpg"),)) for i in range(count)]
    parts = split_identities(people, seed=seed)
    assert sorted(p.name for part in parts for p in part) == [p.name for p in people]
    for part, share in zip(parts, (0.6, 0.2, 0.2), strict=True):
        assert abs(len(part) - share * count) <= 1
        assert [p.name for p in part] == sorted(p.name for p in part)
    shuffled = list(people)
    rng.shuffle(shuffled)
    assert split_identities(shuffled, seed=seed) == parts


def test_another_seed_splits_otherwise():
    people = [Identity(f"p{i:03}", ()) for i in range(50)]
    assert split_identities(people, seed=1) != split_identities(people, seed=2)


@pytest.mark.parametrize("fractions", [(0.5, 0.4), (1.5, -0.5)])
def test_shares_that_are_none_are_refused(fractions: tuple[float, ...]):
    with pytest.raises(ValueError, match="sum to 1"):
        split_identities([], fractions)
