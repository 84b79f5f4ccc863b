import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from data.errors import ArgumentError, DatasetError
from recognition.learning.config import DataConfig, SourceConfig
from recognition.learning.dataset import NOBODY, Aligner, Photographs, TrainingData, load_data

OTHERS = ("other_0", "other_2")


def load(tmp_path: Path, config: DataConfig, seed: int = 0) -> TrainingData:
    return load_data(config, Aligner(tmp_path / "cache"), seed=seed)


def copy(people: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(people, tmp_path / "copy"))


def test_the_parts_share_nobody(people: Path, tmp_path: Path) -> None:
    data = load(tmp_path, DataConfig(folder=people))
    parts = [set(part.people) for part in (data.training, data.validation, data.test)]
    assert [len(part) for part in parts] == [7, 3, 2]
    assert set.union(*parts) == {f"person_{i:02}" for i in range(12)}
    assert data.training.labels.tolist() == [i for i in range(7) for _ in range(4)]
    assert data.missed == ()
    assert data.doubts == ()


def test_a_list_of_people_and_photographs_without_names(people: Path, tmp_path: Path) -> None:
    listing = tmp_path / "people.txt"
    listing.write_text("".join(f"person_{i:02} 4\n" for i in range(8)) + "\nabsent 1\n")
    data = load(
        tmp_path,
        DataConfig(
            folder=people,
            identities=listing,
            unlabelled=people / "person_11",
            split=(3.0, 1.0, 0.0),
        ),
    )
    assert (len(data.training.people), len(data.validation.people)) == (6, 2)
    assert data.training.labels.tolist()[-5:] == [5, *[NOBODY] * 4]
    assert len(data.test) == 0


def test_further_folders_follow_with_people_of_their_own(people: Path, tmp_path: Path) -> None:
    others, unnamed = tmp_path / "others", tmp_path / "unnamed"
    for number in range(3):
        shutil.copytree(people / f"person_0{number}", others / f"other_{number}")
    shutil.copytree(people / "person_09", unnamed / "deep" / "er")
    listing, out = tmp_path / "people.txt", tmp_path / "out.txt"
    listing.write_text("other_0\nother_2\n")
    out.write_text("other_2/0001.png\nperson_00/0000.png\nperson_01\ndeep/er/0002.png\n")
    config = DataConfig(
        folder=people,
        excluded=(out,),
        split=(1.0, 1.0, 0.0),
        validation=others,
        validation_identities=listing,
        more=(
            SourceConfig(folder=others, identities=listing, excluded=(out,)),
            SourceConfig(folder=unnamed, named=False, excluded=(out,)),
        ),
    )
    data = load(tmp_path, config)
    assert data.training.people == ("person_00", *(f"person_{i:02}" for i in range(2, 12)), *OTHERS)
    of_people = [*[0] * 3, *(i for i in range(1, 11) for _ in range(4)), *[11] * 4, *[12] * 3]
    assert data.training.labels.tolist() == of_people + [NOBODY] * 3
    assert data.validation.people == OTHERS


def test_people_of_two_folders_with_one_name_are_refused(people: Path, tmp_path: Path) -> None:
    again = copy(people, tmp_path)
    config = DataConfig(folder=people, more=(SourceConfig(folder=again),))
    with pytest.raises(DatasetError, match="person_00 is a person of two folders"):
        load(tmp_path, config)
    with pytest.raises(ArgumentError, match="which has no names"):
        SourceConfig(folder=again, named=False, identities=tmp_path / "people.txt")


def test_few_photographs_of_somebody_are_spread_over_all() -> None:
    labels = torch.tensor([0] * 14 + [1] * 2)
    pixels = torch.arange(16, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 112, 112)
    everyone = Photographs(pixels, labels, ("a", "b"))
    for most, rows in ((4, [0, 4, 9, 13, 14, 15]), (1, [0, 14]), (99, list(range(16)))):
        assert everyone.some_of_each(most).pixels[:, 0, 0, 0].tolist() == rows


def test_a_corrupt_tenth_is_left_out_and_listed(people: Path, tmp_path: Path) -> None:
    folder = copy(people, tmp_path)
    broken = sorted(folder.glob("*/0000.png"))[:5]
    for path in broken:
        path.write_bytes(b"")
    data = load(tmp_path, DataConfig(folder=folder))
    assert {item.path for item in data.missed} == set(broken)
    assert len(data.training) + len(data.validation) + len(data.test) == 43


def test_a_corrupt_quarter_is_refused_unless_allowed(people: Path, tmp_path: Path) -> None:
    folder = copy(people, tmp_path)
    for path in sorted(folder.glob("*/0000.png")):
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match="cannot be read"):
        load(tmp_path, DataConfig(folder=folder))
    assert len(load(tmp_path, DataConfig(folder=folder, allow_corrupt=True)).missed) == 12


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_too_few_people_are_refused(people: Path, tmp_path: Path, kept: int) -> None:
    folder = copy(people, tmp_path)
    for person in sorted(folder.iterdir())[kept:]:
        shutil.rmtree(person)
    with pytest.raises(DatasetError):
        load(tmp_path, DataConfig(folder=folder))


def test_bad_lists_and_empty_folders_are_refused(people: Path, tmp_path: Path) -> None:
    listing = tmp_path / "people.txt"
    with pytest.raises(ArgumentError, match=r"people\.txt"):
        load(tmp_path, DataConfig(folder=people, identities=listing))
    listing.write_text("nobody\n")
    with pytest.raises(DatasetError, match="nobody listed"):
        load(tmp_path, DataConfig(folder=people, identities=listing))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no photograph"):
        load(tmp_path, DataConfig(folder=people, unlabelled=tmp_path / "empty"))


def test_what_is_rarely_meant_is_said(people: Path, tmp_path: Path) -> None:
    folder = copy(people, tmp_path)
    (folder / "person_01").rename(folder / "Person_00")
    shutil.copy(folder / "person_02" / "0000.png", folder / "person_03" / "again.png")
    doubts = " ".join(load(tmp_path, DataConfig(folder=folder)).doubts)
    assert "Person_00 and person_00" in doubts
    assert "again.png is the same photograph as" in doubts


def test_one_photograph_each_is_allowed_and_said(people: Path, tmp_path: Path) -> None:
    folder = copy(people, tmp_path)
    for person in folder.iterdir():
        for path in sorted(person.iterdir())[1:]:
            path.unlink()
    (doubt,) = load(tmp_path, DataConfig(folder=folder)).doubts
    assert "nobody kept out has two photographs" in doubt


def test_a_person_whose_photographs_all_fail_is_dropped(people: Path, tmp_path: Path) -> None:
    folder = copy(people, tmp_path)
    for path in (folder / "person_00").iterdir():
        Image.new("RGB", (60, 60)).save(path)  # no face, and not aligned
    data = load(tmp_path, DataConfig(folder=folder))
    everyone = data.training.people + data.validation.people + data.test.people
    assert len(everyone) == 11
    assert "person_00" not in everyone
    assert len(data.missed) == 4


def test_selections_keep_people_and_photographs_together() -> None:
    labels = torch.tensor([0, 0, 0, 1, 2, 2, NOBODY])
    pixels = torch.arange(7, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 112, 112)
    everyone = Photographs(pixels, labels, ("a", "b", "c"))
    some = everyone.some_people(2)
    assert some.people == ("a", "b")
    assert some.labels.tolist() == [0, 0, 0, 1]
    few = some.some_of_each(2)
    assert few.labels.tolist() == [0, 0, 1]
    assert few.pixels[:, 0, 0, 0].tolist() == [0, 2, 3]
    assert everyone.some_people(9).labels.tolist() == labels.tolist()[:-1]


def test_validation_and_test_may_have_folders_of_their_own(people: Path, tmp_path: Path) -> None:
    others, third = copy(people, tmp_path / "a"), copy(people, tmp_path / "b")
    for number, folder in ((8, others), (4, third)):
        for person in sorted(folder.iterdir())[:number]:
            shutil.rmtree(person)
    for person in list(others.iterdir()):
        person.rename(others / f"other_{person.name}")
    own = load(tmp_path, DataConfig(folder=people, validation=others, split=(6.0, 0.0, 2.0)))
    assert [len(p.people) for p in (own.training, own.validation, own.test)] == [9, 4, 3]
    assert set(own.validation.people) == {f"other_person_{i:02}" for i in range(8, 12)}
    assert own.doubts == ()
    both = load(tmp_path, DataConfig(folder=people, validation=others, test=third))
    assert [len(p.people) for p in (both.training, both.validation, both.test)] == [12, 4, 8]
    [doubt] = both.doubts
    assert doubt.startswith("8 people kept out have the name of one in training, such as person_04")


def test_parts_from_different_sources_are_said(people: Path, tmp_path: Path) -> None:
    folder = copy(people, tmp_path)
    for path in folder.glob("*/*.png"):
        Image.open(path).convert("L").point(lambda value: value // 3).save(path)
    doubts = load(tmp_path, DataConfig(folder=people, validation=folder, test=None)).doubts
    assert any(
        line.startswith("validation photographs are darker than training") for line in doubts
    )
    assert any("less colourful" in line for line in doubts)
