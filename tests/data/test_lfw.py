from pathlib import Path

import pytest

from data.datasets import photograph_path as same_function
from data.errors import ArgumentError, DatasetError
from data.lfw import LfwProtocol, Pair, photograph_path, read_lfw_pairs

_TWO_FOLDS = """2\t2
Ann\t1\t2
Bo\t3\t1
Ann\t1\tBo\t1
Ann\t2\tBo\t2
Cy\t1\t2
Cy\t1\t3
Cy\t1\tDi\t1
Di\t1\tCy\t2
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    return path


def test_pairs_are_read_in_their_folds(tmp_path: Path):
    protocol = read_lfw_pairs(write(tmp_path, _TWO_FOLDS))
    assert [len(fold) for fold in protocol.folds] == [4, 4]
    assert protocol.folds[0][1] == Pair(("Bo", 3), ("Bo", 1), same=True)
    assert protocol.folds[1][3] == Pair(("Di", 1), ("Cy", 2), same=False)
    assert protocol.photographs() == [
        *(("Ann", 1), ("Ann", 2), ("Bo", 1), ("Bo", 2), ("Bo", 3)),
        *(("Cy", 1), ("Cy", 2), ("Cy", 3), ("Di", 1)),
    ]


def test_a_single_number_means_one_fold(tmp_path: Path):
    protocol = read_lfw_pairs(write(tmp_path, "1\nAnn\t1\t2\nAnn\t1\tBo\t1\n\n"))
    assert [len(fold) for fold in protocol.folds] == [2]


def test_folds_are_selected_by_number(tmp_path: Path):
    protocol = read_lfw_pairs(write(tmp_path, _TWO_FOLDS))
    assert protocol.select([2]) == LfwProtocol((protocol.folds[1],))
    assert protocol.select([2, 1]).folds == protocol.folds[::-1]
    for numbers in ([0], [3], [], [1, 1]):
        with pytest.raises(ArgumentError, match="different numbers from 1 to 2"):
            protocol.select(numbers)


@pytest.mark.parametrize(
    ("line", "replacement", "message"),
    [
        (1, "two\t2", "line 1: expected the number of folds"),
        (1, "0\t2", "line 1"),
        (1, "2\t99999999", "has 9 lines; its first line announces 399999997"),
        (1, "2\t3", "has 9 lines; its first line announces 13"),
        (2, "Ann\t1", "line 2: expected 'name 1 2'"),
        (3, "Bo\t3\tAnn\t1", "line 3: expected 'name 1 2'"),
        (4, "Ann\t1\t2", "line 4: expected 'name 1 other 2'"),
        (5, "Ann 2 Bo 2", "line 5: .* separated by tabs"),
        (6, "Cy\t0\t2", "line 6"),
        (6, "Cy\t-1\t2", "line 6"),
        (6, "Cy\t1\t²", "line 6"),
        (7, "../../etc\t1\t2", "line 7: '../../etc' cannot be a person's folder"),
        (7, "..\t1\t2", "cannot be a person's folder"),
        (8, "C:\\x\t1\tDi\t1", "cannot be a person's folder"),
        (9, "Di\t1\tC\u202ey\t2", r"'C\\u202ey' cannot be a person's folder"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: int, replacement: str, message: str):
    lines = _TWO_FOLDS.splitlines()
    lines[line - 1] = replacement
    with pytest.raises(DatasetError, match=message) as refusal:
        read_lfw_pairs(write(tmp_path, "\n".join(lines)))
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00", b"\x00" * 99])
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "pairs.txt").write_bytes(content)
    with pytest.raises(DatasetError):
        read_lfw_pairs(tmp_path / "pairs.txt")


def test_a_missing_list_is_a_bad_argument(tmp_path: Path):
    with pytest.raises(ArgumentError):
        read_lfw_pairs(tmp_path / "missing.txt")
    with pytest.raises(DatasetError):
        read_lfw_pairs(tmp_path)


def test_a_photograph_lies_where_lfw_keeps_it():
    expected = Path("lfw/Ann_Lee/Ann_Lee_0012.jpg")
    assert photograph_path(Path("lfw"), "Ann_Lee", 12) == expected
    assert same_function is photograph_path


def test_the_official_list_has_nine_folds_that_share_no_person(shared: Path):
    protocol = read_lfw_pairs(shared / "datasets" / "lfw" / "pairs.txt")
    people = [{name for p in fold for name in (p.first[0], p.second[0])} for fold in protocol.folds]
    assert len(people) == 9
    for fold in protocol.folds:
        assert [p.same for p in fold] == [True] * 300 + [False] * 300
    assert sum(map(len, people)) == len(set().union(*people))
