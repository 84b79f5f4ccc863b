"""A set like AT&T's: s1/1.pgm …, 92×112, faces that fill the frame: aligned and trained on."""

from pathlib import Path

import pytest
from PIL import Image

from recognition.detection.detector import FaceDetector, make_detector
from ui.cli.main import main

RECIPE = """
epochs = 1
[batch]
people = 2
photographs = 2
[[losses]]
name = "triplet"
"""


@pytest.fixture(scope="module")
def att(lfw_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten people of LFW, cut out as tightly as the AT&T set is: by the box of the face."""
    root = tmp_path_factory.mktemp("att") / "orl_faces"
    detector = make_detector()
    several = [folder for folder in sorted(lfw_photos.iterdir()) if len(list(folder.iterdir())) > 2]
    for number, folder in enumerate(several[:10], start=1):
        (root / f"s{number}").mkdir(parents=True)
        for index, path in enumerate(sorted(folder.iterdir())[:3], start=1):
            with Image.open(path) as photograph:
                tight = tightly(photograph, detector)
            tight.save(root / f"s{number}" / f"{index}.pgm")
    (root / "README").write_text("Our Database of Faces")
    return root


def tightly(photograph: Image.Image, detector: FaceDetector) -> Image.Image:
    [faces] = detector.detect([photograph.convert("RGB")])
    (x, y), height = faces[0].centre, 0.9 * (faces[0].box[3] - faces[0].box[1])
    width = height * 92 / 112
    box = tuple(round(v) for v in (x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    return photograph.convert("L").crop(box).resize((92, 112), Image.Resampling.BICUBIC)


@pytest.mark.shared
def test_the_set_is_what_it_should_be(att: Path) -> None:
    files = sorted(att.glob("*/*.pgm"))
    assert len(files) == 30
    assert all(path.read_bytes().startswith(b"P5\n92 112\n255\n") for path in files)


@pytest.mark.shared
def test_all_but_a_few_faces_are_aligned(
    att: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["align", str(att), str(tmp_path / "faces"), "--workers", "1"]) in {0, 1}
    total, found = len(list(att.glob("*/*.pgm"))), len(list((tmp_path / "faces").glob("s*/*.png")))
    assert found >= 0.9 * total, capsys.readouterr().err


@pytest.mark.shared
def test_the_set_can_be_trained_on_as_it_is(
    att: Path, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    run = tmp_path / "run"
    words = ["train", str(recipe), "--data", str(att), "--out", str(run), "--device", "cpu"]
    assert main(words) in (0, 1)  # 1: the set's photographs of no usable face were left out
    assert (run / "best.safetensors").is_file()
    assert capsys.readouterr().err.count("not used") <= 3
