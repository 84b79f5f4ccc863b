"""`stylize --like`: a picture painted again, for real, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.metadata import weights_metadata
from backbones.registry import create
from data.files import sha256_of
from data.images import load_picture, read_settings, save_image
from data.tensors import write_tensors
from style.config import StyleConfig
from ui.cli.main import main

NETWORK = "squeezenet1_0"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of random weights for SqueezeNet."""
    path = tmp_path_factory.mktemp("weights") / f"{NETWORK}.safetensors"
    network = create(NETWORK, seed=0)
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    return path


@pytest.fixture
def place(
    tmp_path: Path,
    home: Path,
    weights: Path,
    astronaut: Image.Image,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with a photograph, a style picture and a mask, where the user is."""
    monkeypatch.setenv("LIKENESS_WEIGHTS", str(weights.parent))
    folder = tmp_path / "place"
    folder.mkdir()
    astronaut.resize((96, 72)).save(folder / "photo.png")
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "style.png")
    mask = Image.new("L", (96, 72))
    mask.paste(255, (0, 0, 30, 72))
    mask.save(folder / "mask.png")
    monkeypatch.chdir(folder)
    return folder


SMALL = ["--model", NETWORK, "--device", "cpu", "--size", "64", "--steps", "3"]
LIKE = ["stylize", "--device", "cpu", "--like"]


def paint(*words: str) -> None:
    assert main(["stylize", "photo.png", "style.png", *SMALL, *words]) == 0


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", ["--seed", "3", "--initial-image", "noise"]),
        ("a.png", ["--depth", "16", "--strength", "0.7"]),
        ("a.tif", ["--region", "mask.png=none"]),
        ("a.webp", ["--region", "mask.png=style.png:0.2", "--colors", "content"]),
        ("a.jpg", ["--style-scale", "2"]),
    ],
)
def test_a_picture_is_repeated_to_the_byte(place: Path, name: str, options: list[str]) -> None:
    paint("-o", name, *options)
    again = f"again{Path(name).suffix}"
    assert main([*LIKE, name, "-o", again]) == 0
    assert (place / again).read_bytes() == (place / name).read_bytes()


def test_what_it_was_painted_from_is_found_beside_it_under_any_name(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paint("-o", "a.png")
    (place / "photo.png").rename(place / "photograph.png")
    monkeypatch.chdir(tmp_path)
    assert main([*LIKE, str(place / "a.png"), "-o", "again.png"]) == 0
    one, other = load_picture(place / "a.png"), load_picture(tmp_path / "again.png")
    assert (one.colours == other.colours).all()


def test_options_win_and_another_photograph_takes_the_same_settings(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint("-o", "a.png", "--strength", "0.7", "--seed", "3", "--region", "mask.png=none")
    shutil.copy("style.png", "other.png")
    capsys.readouterr()
    words = [*LIKE, "a.png", "other.png", "-o", "b.tif", "--steps", "2", "--strength", "0.5"]
    assert main(words) == 0
    err = capsys.readouterr().err
    assert "regions of a.png belong to another photograph and are left out" in err
    written = read_settings(place / "b.tif")
    assert written is not None
    expected = {"strength": 0.5, "seed": 3, "steps": 2, "size": 64, "depth": 8}
    assert {name: written[name] for name in expected} == expected
    assert written["content"]["name"] == "other.png"  # type: ignore[index]
    assert "regions" not in written


def test_no_folder_is_told(place: Path) -> None:
    options = [*SMALL, "--region", f"{place / 'mask.png'}=none"]
    assert (
        main(["stylize", str(place / "photo.png"), "../place/style.png", "-o", "a.tif", *options])
        == 0
    )
    told = json.dumps(read_settings(place / "a.tif"))
    assert "place" not in told
    assert sha256_of(place / "mask.png") in told


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("photo.png", "photo.png, from which a.png was painted, is neither.*: give it as CONTENT"),
        ("style.png", "style.png, from .*, is neither .*: give CONTENT and every STYLE"),
        ("mask.png", "mask.png, from .*, is neither .*: give every --region"),
    ],
)
def test_what_is_gone_or_changed_is_asked_for(
    place: Path, capsys: pytest.CaptureFixture[str], name: str, says: str
) -> None:
    import re

    paint("-o", "a.png", "--region", "mask.png=none")
    capsys.readouterr()
    (place / name).unlink()
    assert main([*LIKE, "a.png", "-o", "again.png"]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert re.search(says, line)
    Image.new("L", (96, 72), 255).save(place / name)
    assert main([*LIKE, "a.png", "-o", "again.png"]) == 2
    assert f"{name}, from which a.png was painted, has changed since" in capsys.readouterr().err
    assert not (place / "again.png").exists()


def test_pictures_that_cannot_be_repeated_are_refused_in_one_line(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = Image.new("RGB", (64, 64))
    config = StyleConfig(backbone=NETWORK).settings()
    save_image(image, place / "newer.png", settings=config | {"wind": 1})
    save_image(image, place / "odd.png", settings=config | {"steps": -1})
    save_image(image, place / "old.png", settings=config)
    for name, says in (
        ("photo.png", "photo.png does not say how it was painted"),
        ("newer.png", "cannot repeat newer.png: it was painted by a newer version"),
        ("odd.png", "cannot repeat odd.png: its settings make no sense"),
        ("old.png", "old.png does not name its photograph: give CONTENT"),
        ("missing.png", "missing.png"),
    ):
        assert main([*LIKE, name, "-o", "again.png"]) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert says in line
    assert not (place / "again.png").exists()


def test_other_weights_are_told(
    place: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint("-o", "a.png")
    told = read_settings(place / "a.png")
    assert told is not None
    assert told["weights"] == sha256_of(weights)
    save_image(Image.open("a.png"), place / "b.png", settings=told | {"weights": "0" * 64})
    capsys.readouterr()
    assert main([*LIKE, "b.png", "-o", "c.png"]) == 0
    assert "others than those of the picture that is repeated" in capsys.readouterr().err


def test_a_contact_sheet_is_painted_and_repeated(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paint("-o", "sheet.png", "--grid", "strength=0.2:0.8,colors")
    assert capsys.readouterr().out == "sheet.png: 4 cells, 12 steps\n"
    told = read_settings(place / "sheet.png")
    assert told is not None
    assert told["grid"] == [
        {"setting": "strength", "values": [0.2, 0.8]},
        {"setting": "colors", "values": ["style", "content"]},
    ]
    paint("-o", "one.png", "--strength", "0.8", "--colors", "content")
    sheet, one = (np.asarray(Image.open(place / name)) for name in ("sheet.png", "one.png"))
    height, width, _ = one.shape
    begins = np.argwhere((sheet[:-height, :-width] == one[0, 0]).all(axis=2))
    [[y, x]] = [
        (y, x) for y, x in begins if np.array_equal(sheet[y : y + height, x : x + width], one)
    ]
    assert x + width / 2 > sheet.shape[1] / 2  # the last of the columns
    assert y + height / 2 > sheet.shape[0] / 2  # and of the rows
    assert main([*LIKE, "sheet.png", "-o", "again.png"]) == 0
    assert (place / "again.png").read_bytes() == (place / "sheet.png").read_bytes()


def test_alpha_comes_through_and_jpeg_says_that_it_cannot(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = Image.open(place / "photo.png").convert("RGBA")
    photo.paste((0, 255, 0, 0), (0, 0, 48, 72))
    photo.save(place / "photo.png")
    for name in ("a.png", "a.webp", "a.tif", "a.jpg"):
        capsys.readouterr()
        paint("-o", name)
        err = capsys.readouterr().err
        alpha = load_picture(place / name).alpha
        if name == "a.jpg":
            warning = "warning: a.jpg cannot be transparent: the picture will stand on white\n"
            assert err.startswith(warning)
            assert alpha is None
        else:
            assert "transparent" not in err
            assert alpha is not None
            assert alpha[..., :30].eq(0).all()
            assert alpha[..., 34:].eq(1).all()
