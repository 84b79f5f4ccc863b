"""The corpus of bad training folders and options, each through `likeness train` as a user would.

What is refused: exit code 2, one line, nothing made. What is accepted: the run ends, and says what
was odd.
"""

import importlib.util
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from ui.cli import main

_CONFTEST = Path(__file__).parents[1] / "recognition" / "learning" / "conftest.py"
_RECIPE = (
    'backbone = "tiny"\nembedding_size = 16\nepochs = 1\n[batch]\npeople = 2\nphotographs = 2\n'
)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people in four aligned photographs each; and a tiny network is registered."""
    spec = importlib.util.spec_from_file_location("tiny_network", _CONFTEST)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made: Path = module.make_people(tmp_path_factory.mktemp("corpus") / "people")
    return made


@pytest.fixture
def data(people: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(people, tmp_path / "people"))


def keep(count: int) -> Callable[[Path], None]:
    def spoil(data: Path) -> None:
        for person in sorted(data.iterdir())[count:]:
            shutil.rmtree(person)

    return spoil


def one_each(data: Path) -> None:
    for person in data.iterdir():
        for path in sorted(person.iterdir())[1:]:
            path.unlink()


def corrupt(share: float) -> Callable[[Path], None]:
    def spoil(data: Path) -> None:
        files = sorted(data.glob("*/*.png"))
        for path in files[:: round(1 / share)]:
            path.write_bytes(path.read_bytes()[:50])

    return spoil


def deeper(data: Path) -> None:
    shutil.move(data, data.with_name("moved"))
    (data / "team").mkdir(parents=True)
    shutil.move(data.with_name("moved"), data / "team" / "people")


def text_only(data: Path) -> None:
    for path in data.glob("*/*.png"):
        path.with_suffix(".txt").write_text("not a picture")
        path.unlink()


def no_faces(data: Path) -> None:
    for path in data.glob("*/*.png"):
        Image.new("RGB", (40, 40)).save(path)


def two_names(data: Path) -> None:
    (data / "person_01").rename(data / "Person_00")


def same_photograph(data: Path) -> None:
    shutil.copy(data / "person_02" / "0000.png", data / "person_03" / "again.png")


def odd_names(data: Path) -> None:
    for number, name in enumerate(["-rf", "CON", "a\u202eb", "é", "e\u0301x", "x" * 200]):
        (data / f"person_{number:02}").rename(data / name)


def odd_files(data: Path) -> None:
    (data / "person_00" / "a.jpg").mkdir()
    (data / "person_01" / "loop.jpg").symlink_to("loop.jpg")
    (data / "person_02" / "gone.jpg").symlink_to(data / "nowhere.jpg")


REFUSED_FOLDERS = {
    "empty": keep(0),
    "one person": keep(1),
    "too few for the split": keep(3),
    "missing": shutil.rmtree,
    "over a fifth corrupt": corrupt(0.25),
    "all corrupt": corrupt(1.0),
    "three levels deep": deeper,
    "text only": text_only,
    "no face in any": no_faces,
    "one photograph each, a loss of pairs": one_each,
}
ACCEPTED_FOLDERS: dict[str, tuple[Callable[[Path], None], tuple[str, ...], str]] = {
    "a tenth corrupt": (corrupt(0.1), (), "not used"),
    "a quarter corrupt, allowed": (corrupt(0.25), ("--allow-corrupt",), "not used"),
    "one photograph each, softmax": (one_each, ("--loss", "softmax"), "nobody kept out has two"),
    "two names of one spelling": (two_names, (), "Person_00 and person_00 may be one person"),
    "one photograph under two names": (same_photograph, (), "is the same photograph as"),
    "odd names": (odd_names, (), ""),
    "odd files": (odd_files, (), "not used"),
}
REFUSED_OPTIONS = (
    ("--epochs", "-1"),
    ("--epochs", "0"),
    ("--epochs", "1000000000000"),
    ("--rate", "nan"),
    ("--rate", "-1"),
    ("--rate", "inf"),
    ("--seed", "text"),
    ("--seed", "-1"),
    ("--loss", "hope"),
    ("--backbone", "no-such-network"),
    ("--device", "tpu"),
    ("--no-such-flag",),
    ("--data", "/no/such/folder"),
    ("--out", "/proc/run"),
    ("--out", "{data}"),
)
REFUSED_RECIPES = (
    "embedding_size = 0",
    "embedding_size = 1000000",
    "[batch]\npeople = 1000",
    "[batch]\npeople = 0",
    "[batch]\npeople = 2\nphotographs = 1000000",
    "[augment]\njpeg_quality = 0",
    "[augment]\nwarp = nan",
    "[augment]\nrotate = 5",
    '[data]\nsplit = [1, 0, 0]\nfolder = "{data}"',
    '[data]\nfolder = "{data}"\nvalidation = "{data}"',
    '[data]\nfolder = "{data}"\nvalidation = "/no/such/folder"',
    '[data]\nfolder = "{data}"\nidentities = "/no/such/list"',
    "no toml at all",
)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps({"fc.weight": [1.0]}))


def cut_off(path: Path) -> None:
    save_file({"fc.weight": np.zeros((9, 9), np.float32)}, path)
    path.write_bytes(path.read_bytes()[:-20])


def of_nothing(path: Path) -> None:
    save_file({"other": np.zeros(3, np.float32)}, path, metadata={"architecture": "mobilefacenet"})


def huge_header(path: Path) -> None:
    path.write_bytes((10**8).to_bytes(8, "little") + b"{" * 1000)


TEACHERS = {
    "absent": lambda path: None,
    "empty": lambda path: path.write_bytes(b""),
    "pickle": pickled,
    "cut off": cut_off,
    "missing keys": of_nothing,
    "a header of 100 MB": huge_header,
}


def train(data: Path, tmp_path: Path, *words: str, recipe: str = _RECIPE) -> int:
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.replace("{data}", str(data)))
    own = [] if "--out" in words else ["--out", str(tmp_path / "run")]
    words = tuple(word.replace("{data}", str(data)) for word in words)
    where = [] if "--data" in words else ["--data", str(data)]
    return main(["train", str(path), *where, *own, "--device", "cpu", *words])


def assert_refused(
    code: int, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = capsys.readouterr()
    assert code == 2, err
    assert (out, err.count("\n"), err[:7]) == ("", 1, "error: ")
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", REFUSED_FOLDERS)
def test_a_folder_that_cannot_be_used_is_refused(
    data: Path, tmp_path: Path, home: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    REFUSED_FOLDERS[name](data)
    assert_refused(train(data, tmp_path), tmp_path, home, capsys)


@pytest.mark.parametrize("name", ACCEPTED_FOLDERS)
def test_a_folder_with_faults_is_used_without_them(
    data: Path, tmp_path: Path, home: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, words, said = ACCEPTED_FOLDERS[name]
    spoil(data)
    assert train(data, tmp_path, *words) == 0
    err = capsys.readouterr().err
    assert said in err
    assert all(line.startswith("warning: ") for line in err.splitlines())
    assert (tmp_path / "run" / "best.safetensors").is_file()


@pytest.mark.parametrize("words", REFUSED_OPTIONS, ids=" ".join)
def test_an_option_out_of_range_is_refused(
    people: Path,
    tmp_path: Path,
    home: Path,
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(people.rglob("*"))
    assert_refused(train(people, tmp_path, *words), tmp_path, home, capsys)
    assert sorted(people.rglob("*")) == before


@pytest.mark.parametrize("text", REFUSED_RECIPES)
def test_a_recipe_out_of_range_is_refused(
    people: Path, tmp_path: Path, home: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = text if "[batch]" in text else f'backbone = "tiny"\n{text}'
    assert_refused(train(people, tmp_path, recipe=recipe), tmp_path, home, capsys)


@pytest.mark.parametrize("name", TEACHERS)
def test_a_bad_teacher_is_refused_and_nothing_is_made(
    people: Path, tmp_path: Path, home: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = tmp_path / "teacher.safetensors"
    TEACHERS[name](teacher)
    code = train(people, tmp_path, "--loss", "distill", "--teacher", str(teacher))
    out, err = capsys.readouterr()
    assert code in {1, 2}
    assert (out, err.count("\n"), err[:7]) == ("", 1, "error: ")
    assert not (tmp_path / "run").exists()
