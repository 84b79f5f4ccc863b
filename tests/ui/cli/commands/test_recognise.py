"""`enroll`, `identify`, `verify`, `detect` and `people` on pictures whose faces are known."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from corpus.pictures import face_crop
from PIL import Image
from stand_in_tail import step_tail

from backbones.pair_unit import PairUnit
from recognition.attention_file import AttentionFacts, attention_place, write_attention
from recognition.models import Engine
from recognition.results import Face
from recognition.service import RecognitionService
from recognition.template_attention import TemplateAttention
from ui.cli.main import main
from ui.settings import Settings

LANDMARKS = ((10.0, 10.0), (22.0, 10.0), (16.0, 16.0), (11.0, 22.0), (21.0, 22.0))
RED, PINK, BLUE, BLACK = (255, 0, 0), (255, 50, 50), (0, 0, 255), (0, 0, 0)
TEAL = (0, 250, 250)


@dataclass(frozen=True)
class Found:
    face: Face
    embedding: npt.NDArray[np.float32]
    crop: npt.NDArray[np.uint8]
    picture: None = None


class ColourPipeline:
    """Sees a face in every 32 columns of a picture that are not black; its colour is who it is."""

    model_id = "colours"
    weights_digest = "c" * 64
    detector_id = "mtcnn/1"
    alignment_id = "five-point-112/1"
    dimension = 3
    threshold = 0.95
    tail = step_tail(0.95).to_json()

    def faces(self, images: Sequence[Image.Image], /) -> list[list[Found]]:
        return [self._faces(image) for image in images]

    def _faces(self, image: Image.Image) -> list[Found]:
        found = []
        for left in range(0, image.width, 32):
            colour = np.array(image.getpixel((left + 16, 16)), dtype=np.float32)
            if colour.any():
                box = (float(left), 0.0, left + 32.0, 32.0)
                points = tuple((left + x, y) for x, y in LANDMARKS)
                crop = face_crop()
                face = Face(box=box, detection_score=0.9, landmarks=points)  # type: ignore[arg-type]
                found.append(Found(face, colour / np.linalg.norm(colour), crop))
        return found


@pytest.fixture(autouse=True)
def stand_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command uses the colour pipeline and the test's own data folder."""
    monkeypatch.setattr(
        Settings,
        "recognition_service",
        lambda *_, **__: RecognitionService(pipeline=ColourPipeline()),
    )


def picture(path: Path, *colours: tuple[int, int, int]) -> str:
    """A picture of 32×32 squares side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (32 * len(colours), 32))
    for place, colour in enumerate(colours):
        image.paste(colour, (32 * place, 0, 32 * place + 32, 32))
    image.save(path)
    return str(path)


@pytest.fixture
def red_and_blue(tmp_path: Path) -> None:
    """Ann is red, Bob is blue."""
    assert main(["enroll", picture(tmp_path / "a.png", RED), "--name", "Ann"]) == 0
    assert main(["enroll", picture(tmp_path / "b.png", BLUE), "--name", "Bob"]) == 0


def test_enrolling_says_what_was_done_and_what_was_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, faceless = picture(tmp_path / "a.png", RED), picture(tmp_path / "b.png", BLACK)
    assert main(["enroll", good, faceless, "--name", "Ann"]) == 1
    out, err = capsys.readouterr()
    assert out == "enrolled Ann: 1 photograph\n"
    assert err.startswith(f"error: {faceless}: ")
    assert err.count("\n") == 1


def test_a_folder_of_folders_enrols_everyone_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(tmp_path / "people" / "Ann" / "1.png", RED)
    picture(tmp_path / "people" / "Ann" / "2.png", PINK)
    picture(tmp_path / "people" / "Bob" / "1.png", BLUE)
    assert main(["enroll", str(tmp_path / "people")]) == 0
    assert capsys.readouterr().out == "enrolled Ann: 2 photographs\nenrolled Bob: 1 photograph\n"


def test_enrolling_a_folder_tells_its_progress_in_lines_of_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, colour in enumerate((RED, PINK, BLACK)):
        picture(tmp_path / "people" / "Ann" / f"{number}.png", colour)
    assert main(["enroll", str(tmp_path / "people"), "--json-lines", "--workers", "2"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    steps = [line for line in lines if "step" in line]
    assert (steps[-1]["step"], steps[-1]["total"]) == (3, 3)
    assert steps[-1]["seconds_left"] == 0
    assert steps[-1]["per_second"] > 0
    results = lines[len(steps) :]
    assert [Path(one["image"]).name for one in results] == ["0.png", "1.png", "2.png"]
    assert [one.get("person") for one in results] == ["Ann", "Ann", None]
    assert results[2]["error"] == "no face found in it"


def test_very_many_that_are_enrolled_already_are_counted_not_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(25):
        picture(tmp_path / "people" / "Ann" / f"{number}.png", (255, number, 0))
    assert main(["enroll", str(tmp_path / "people")]) == 0
    capsys.readouterr()
    assert main(["enroll", str(tmp_path / "people")]) == 0
    assert capsys.readouterr().err == "25 photographs were enrolled before\n"


@pytest.mark.parametrize("workers", ["0", "-1", "65", "many"])
def test_a_number_of_workers_out_of_range_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    picture(tmp_path / "people" / "Ann" / "a.png", RED)
    assert main(["enroll", str(tmp_path / "people"), "--workers", workers]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_enrolling_the_same_again_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = picture(tmp_path / "people" / "Ann" / "1.png", RED)
    assert main(["enroll", str(tmp_path / "people")]) == 0
    picture(tmp_path / "people" / "Ann" / "2.png", PINK)
    note = f"warning: {again}: this photograph is enrolled already as 'Ann'\n"
    for expected in ("enrolled Ann: 1 photograph\n", ""):
        capsys.readouterr()
        assert main(["enroll", str(tmp_path / "people")]) == 0
        out, err = capsys.readouterr()
        assert out == expected
        assert note in err
    assert main(["enroll", again, picture(tmp_path / "no.png", BLACK), "--name", "Ann"]) == 1
    assert main(["enroll", again, "--name", "Bob"]) == 1
    assert "error: " in capsys.readouterr().err


def test_an_empty_folder_among_others_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph, empty = picture(tmp_path / "a.png", RED), tmp_path / "empty"
    empty.mkdir()
    assert main(["enroll", photograph, str(empty), "--name", "Ann"]) == 1
    out, err = capsys.readouterr()
    assert out == "enrolled Ann: 1 photograph\n"
    assert err == f"error: {empty}: no pictures in this folder: name another\n"
    for command in ("identify", "detect"):
        assert main([command, str(empty), photograph, "--json"]) == 1
        seen, failed = json.loads(capsys.readouterr().out)
        assert seen["image"] == photograph
        assert failed == {
            "image": str(empty),
            "error": "no pictures in this folder: name another",
        }


def test_several_faces_need_a_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = picture(tmp_path / "a.png", RED, BLUE)
    assert main(["enroll", both, "--name", "Ann"]) == 1
    assert "--face" in capsys.readouterr().err
    assert main(["enroll", both, "--name", "Ann", "--face", "1"]) == 0


@pytest.mark.parametrize(
    "more", [[], ["--face", "1"], ["--name", ""], ["--name", "Ann", "--face", "0"]]
)
def test_photographs_need_a_name_that_is_one(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert main(["enroll", picture(tmp_path / "a.png", RED), *more]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not home.exists()


def test_identify_names_the_known_and_not_the_stranger(
    tmp_path: Path, red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    group = picture(tmp_path / "group.png", PINK, (0, 255, 0))
    capsys.readouterr()
    assert main(["identify", group, "--json", "--top-k", "1"]) == 0
    [result] = json.loads(capsys.readouterr().out)
    assert set(result) == {"image", "faces", "warnings", "decision"}
    assert result["image"] == group
    known, stranger = result["faces"]
    assert set(known) == {
        "box",
        "detection_score",
        "person",
        "named_elsewhere",
        "matches",
        "quality",
    }
    assert known["person"] == "Ann"
    assert known["box"] == [0, 0, 32, 32]
    assert known["matches"] == [
        {
            "person": "Ann",
            "cosine_similarity": pytest.approx(0.9636, abs=1e-3),
            "probability": None,
            "person_id": 1,
        }
    ]
    assert stranger["person"] is None


def test_identify_prints_a_line_a_face(
    tmp_path: Path, red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    group = picture(tmp_path / "group.png", RED, (0, 255, 0))
    faceless = picture(tmp_path / "none.png", BLACK)
    capsys.readouterr()
    assert main(["identify", group, faceless]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "image\tface\tperson\tsimilarity\tclosest\tquality",
        f"{group}\t0 0 32 32\tAnn\t1.00\tAnn 1.00, Bob 0.00\tgood",
        f"{group}\t32 0 64 32\tunknown\t0.00\tAnn 0.00, Bob 0.00\tgood",
        f"{faceless}\tnone\t\t\t\t",
    ]


def test_one_bad_image_is_named_and_the_others_go_on(
    tmp_path: Path, red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    good = picture(tmp_path / "good.png", BLUE)
    capsys.readouterr()
    assert main(["identify", str(bad), good, "--json"]) == 1
    failed, fine = json.loads(capsys.readouterr().out)
    assert set(failed) == {"image", "error"}
    assert failed["image"] == str(bad)
    assert fine["faces"][0]["person"] == "Bob"
    assert main(["detect", str(bad), good]) == 1
    out, err = capsys.readouterr()
    assert good in out
    assert err.count(str(bad)) == 1


@pytest.mark.parametrize("command", ["identify", "detect"])
def test_a_missing_path_or_an_empty_folder_is_two(
    tmp_path: Path, red_and_blue: None, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    capsys.readouterr()
    for path in (tmp_path / "nowhere.png", tmp_path / "empty"):
        assert main([command, str(path)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_nobody_enrolled_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["identify", picture(tmp_path / "a.png", RED)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("rate", [[], ["--far=0.01"], ["--threshold=0.5"]])
@pytest.mark.parametrize(("says", "colour"), [(3.0, BLUE), (-3.0, PINK)])
def test_what_is_drawn_of_a_verdict_gives_its_own_numbers(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    says: float,
    colour: tuple[int, int, int],
    rate: list[str],
) -> None:
    """Where the weights' pair unit decides against the similarities, and where it does not."""
    drawn: list[str] = []

    def draw(_: None, words: str) -> Image.Image:
        drawn.append(words)
        return Image.new("RGB", (8, 8))

    unit = PairUnit(np.zeros(3), says, {0.01: 1.0, 0.001: 1.5})
    monkeypatch.setattr(Engine, "pair", unit)
    monkeypatch.setattr(RecognitionService, "explain", lambda *_, **__: None)
    monkeypatch.setattr("recognition.explanation.draw", draw)
    pair = picture(tmp_path / "a.png", RED), picture(tmp_path / "b.png", colour)
    by_unit = rate != ["--threshold=0.5"]
    same = says > 1 if by_unit else colour == PINK
    code = main(["verify", *pair, "--explain", str(tmp_path / "why.png"), *rate])
    assert code == (0 if same else 3)
    said = capsys.readouterr().out
    [words] = drawn
    assert words.startswith("The same person: " if same else "Two people: ")
    assert words.partition(": ")[2] in said
    assert ("pair unit" in words) == by_unit
    assert ("threshold" in words) != by_unit


def test_verify_tells_one_person_from_two(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    red, pink = picture(tmp_path / "r.png", RED), picture(tmp_path / "p.png", PINK)
    blue = picture(tmp_path / "b.png", BLUE)
    assert main(["verify", red, pink, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == {
        "same_person",
        "cosine_similarity",
        "threshold",
        "probability",
        "person",
        "person_id",
        "excluded",
        "photographs",
        "pair_value",
        "pair_limit",
        "decision",
    }
    assert result["probability"] is None
    assert result["same_person"] is True
    assert result["threshold"] == pytest.approx(0.95, abs=1e-5)
    assert main(["verify", red, blue]) == 3
    assert capsys.readouterr().out == "two people: similarity 0.00, threshold 0.95\n"
    assert main(["verify", red, blue, "--threshold", "-0.5"]) == 0
    assert main(["verify", red, blue, "--threshold", "nan"]) == 2
    assert main(["verify", red, str(tmp_path / "nowhere.png")]) == 2
    assert main(["verify", red, picture(tmp_path / "k.png", BLACK)]) == 1


def test_verify_holds_a_photograph_against_somebody_enrolled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], red_and_blue: None
) -> None:
    pink, party = picture(tmp_path / "c.png", PINK), picture(tmp_path / "d.png", BLUE, RED, PINK)
    capsys.readouterr()
    assert main(["verify", pink, "--person", "Ann"]) == 0
    out, err = capsys.readouterr()
    assert out == "Ann: similarity 0.96, threshold 0.95\n"
    assert err.startswith(
        "threshold 0.95 (by the weights): 0.1 % of pairs of two people pass for one ["
    )
    assert err.count("\n") == 1
    assert main(["verify", pink, "--person", "Bob"]) == 3
    assert capsys.readouterr().out == "not Bob: similarity 0.19, threshold 0.95\n"
    result = as_json(capsys, "verify", party, "--person", "Ann", "--json", code=3)
    assert (result["person"], result["same_person"], result["excluded"]) == ("Ann", False, False)
    [taken] = result["photographs"]
    assert (taken["image"], taken["faces"], taken["face"]["box"]) == (party, 3, [0, 0, 32, 32])
    ids = {one["name"]: one["person_id"] for one in as_json(capsys, "people", "list", "--json")}
    assert main(["verify", party, "--person-id", str(ids["Bob"])]) == 0
    assert main(["verify", pink, "--person", "Bob", "--threshold", "0"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--person", "Cid"], "nobody called 'Cid' is enrolled"),
        (["--person", "ANN"], "is one of these meant: 'Ann' (id "),
        (["--person", ""], "it is empty"),
        (["--person-id", "77"], "nobody with the id 77"),
        (["--person", "Ann", "--person-id", "77"], "nobody called 'Ann' with the id 77"),
        ([], "B or --person NAME"),
        (["a.png", "--person", "Ann"], "B or --person NAME"),
    ],
)
def test_verify_refuses_whom_it_cannot_tell(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    red_and_blue: None,
    words: list[str],
    said: str,
) -> None:
    capsys.readouterr()
    assert main(["verify", picture(tmp_path / "c.png", PINK), *words]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert said in err


def test_verify_says_which_of_several_faces_it_took(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    party, alone = picture(tmp_path / "d.png", RED, BLUE), picture(tmp_path / "e.png", RED)
    assert main(["verify", party, alone]) == 0
    assert capsys.readouterr().err.startswith(
        f"{party}: 2 faces, of which the largest was taken, at 0 0 32 32 (left, top, right, "
        "bottom)\n"
    )


def test_what_is_odd_about_a_file_is_said_on_stderr_and_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], red_and_blue: None
) -> None:
    still, path = Image.open(picture(tmp_path / "r.png", RED)), tmp_path / "moves.gif"
    still.save(path, save_all=True, append_images=[Image.new("RGB", still.size, BLUE)])
    capsys.readouterr()
    said = f"warning: {path}: it is animated: its first frame was taken\n"
    for command in (
        ["identify", str(path)],
        ["detect", str(path)],
        ["verify", str(path), str(tmp_path / "r.png")],
        ["verify", str(path), "--person", "Ann"],
        ["enroll", str(path), "--name", "Ann"],
    ):
        assert main(command) == 0
        assert said in capsys.readouterr().err
        if command[0] != "enroll":
            assert main([*command, "--json"]) == 0
            out, err = capsys.readouterr()
            assert said in err
            assert "its first frame was taken" in out
            json.loads(out)


def test_detect_gives_boxes_landmarks_and_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = picture(tmp_path / "a.png", RED)
    assert main(["detect", path, "--json"]) == 0
    [result] = json.loads(capsys.readouterr().out)
    assert result["image"] == path
    [face] = result["faces"]
    assert set(face) == {"box", "detection_score", "landmarks"}
    assert len(face["landmarks"]) == 5
    assert main(["detect", path]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(f"{path}\t0 0 32 32\t90.0 %\t10,10 ")


def test_people_are_listed_renamed_deleted_restored_and_erased(
    red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def names(*options: str) -> list[str]:
        capsys.readouterr()
        assert main(["people", "list", "--json", *options]) == 0
        return [person["name"] for person in json.loads(capsys.readouterr().out)]

    assert names() == ["Ann", "Bob"]
    assert main(["people", "rename", "Ann", "--", "-Anna"]) == 0
    assert names() == ["-Anna", "Bob"]
    assert main(["people", "delete", "Bob"]) == 0
    assert names() == ["-Anna"]
    assert names("--deleted") == ["Bob"]
    assert main(["people", "restore", "Bob"]) == 0
    assert names() == ["-Anna", "Bob"]
    assert main(["people", "erase", "Bob", "--yes"]) == 0
    assert names() == ["-Anna"]
    assert names("--deleted") == []
    assert main(["people", "list"]) == 0
    assert capsys.readouterr().out.startswith(
        "name\tphotographs\tenrolled at\tgroups\tconsent\tuntil\n-Anna\t1\t"
    )


@pytest.mark.parametrize("command", ["delete", "erase", "restore"])
def test_somebody_unknown_is_an_error(
    red_and_blue: None, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["people", command, "Zoe"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1


def as_json(capsys: pytest.CaptureFixture[str], *command: str, code: int = 0) -> list[dict]:
    capsys.readouterr()
    assert main([*command, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_enrolling_tells_each_photograph_as_json(
    tmp_path: Path, red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    odd, bad = picture(tmp_path / "odd.png", TEAL), picture(tmp_path / "bad.png", BLACK)
    kept, skipped = as_json(capsys, "enroll", odd, bad, "--name", "Ann", code=1)
    assert (kept["image"], kept["person"]) == (odd, "Ann")
    assert set(kept["quality"]) == {
        "size",
        "sharpness",
        "turn",
        "nod",
        "brightness",
        "trust",
    }
    assert kept["quality"]["turn"] == pytest.approx(0, abs=0.01)
    [warning] = kept["warnings"]
    assert "unlike the other photographs of 'Ann'" in warning
    assert skipped == {"image": bad, "error": "no face found in it", "enrolled_before": False}


def test_what_is_odd_about_a_photograph_goes_to_stderr(
    tmp_path: Path, red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    again = picture(tmp_path / "again.png", PINK, BLACK)
    assert main(["enroll", again, "--name", "Rose"]) == 0
    out, err = capsys.readouterr()
    assert out == "enrolled Rose: 1 photograph\n"
    assert err.startswith(f"warning: {again}: like 'Ann' (similarity 0.96)")
    assert err.count("\n") == 1


def test_a_person_is_looked_at_merged_split_and_moved_and_all_is_undone(
    tmp_path: Path, red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    def people() -> dict[str, int]:
        return {one["name"]: one["photographs"] for one in as_json(capsys, "people", "list")}

    assert main(["enroll", picture(tmp_path / "p.png", PINK), "--name", "Rose"]) == 0
    [pair] = as_json(capsys, "people", "check")
    assert (pair["person"], pair["other"], pair["above"]) == ("Ann", "Rose", True)
    assert pair["share"] == 1.0
    assert main(["people", "check"]) == 0
    assert "Ann\tRose\t0.96\t1 3\t100 %\t0.0 %\tperhaps one person" in capsys.readouterr().out

    assert main(["people", "merge", "Rose", "Ann"]) == 0
    assert people() == {"Ann": 2, "Bob": 1}
    first, second = as_json(capsys, "people", "show", "Ann")
    assert (first["number"], second["number"]) == (1, 3)
    assert first["cosine_similarity"] == pytest.approx(0.9636, abs=1e-3)
    assert main(["people", "show", "Ann"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("1\t0.96\tgood\t")

    assert main(["people", "split", "Ann", "3", "--as", "Rosa"]) == 0
    assert people() == {"Ann": 1, "Bob": 1, "Rosa": 1}
    assert main(["people", "undo"]) == 0
    assert main(["people", "move", "Ann", "3", "--to", "Bob"]) == 0
    assert people() == {"Ann": 1, "Bob": 2}
    history = as_json(capsys, "people", "history")
    assert [one["what"] for one in history][:2] == [
        "photograph 3 of 'Ann' moved to 'Bob'",
        "'Rose' merged into 'Ann'",
    ]
    for _ in history:
        assert main(["people", "undo"]) == 0
    assert people() == {}
    capsys.readouterr()
    assert main(["people", "undo"]) == 1
    assert "nothing to undo" in capsys.readouterr().err


def test_what_cannot_be_done_to_photographs_is_one_line(
    red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, code in (
        (["merge", "Ann", "Zoe"], 1),
        (["move", "Ann", "2", "--to", "Bob"], 1),
        (["split", "Ann", "1", "--as", "Bob"], 1),
        (["move", "Ann", "one", "--to", "Bob"], 2),
        (["check", "--margin", "-1"], 2),
        (["check", "--threshold", "7"], 2),
        (["show", "Zoe"], 1),
    ):
        capsys.readouterr()
        assert main(["people", *command]) == code, command
        assert capsys.readouterr().err.count("\n") == 1


def test_a_face_that_is_not_somebody_s_is_not_called_so_again(
    tmp_path: Path, red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = picture(tmp_path / "twin.png", PINK, BLACK, TEAL)
    own = picture(tmp_path / "own.png", RED, BLACK)

    def name(path: str) -> str | None:
        return as_json(capsys, "identify", path)[0]["faces"][0]["person"]

    assert name(twin) == "Ann"
    assert main(["people", "exclude", "Ann", twin]) == 1  # which of the two faces?
    assert main(["people", "exclude", "Ann", twin, "--face", "1"]) == 0
    assert (name(twin), name(own)) == (None, "Ann")
    assert main(["people", "exclude", "Ann", own]) == 0  # the same face, on another photograph
    assert main(["people", "undo"]) == 0
    assert main(["people", "undo"]) == 0
    assert name(twin) == "Ann"


def test_in_one_photograph_nobody_is_named_twice_unless_asked(
    tmp_path: Path, red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = picture(tmp_path / "pair.png", PINK, RED)
    faces = as_json(capsys, "identify", pair)[0]["faces"]
    assert [face["person"] for face in faces] == [None, "Ann"]
    assert faces[0]["named_elsewhere"] == "Ann"
    capsys.readouterr()
    assert main(["identify", pair]) == 0
    assert "unknown (Ann is another face)" in capsys.readouterr().out
    faces = as_json(capsys, "identify", pair, "--repeats")[0]["faces"]
    assert [face["person"] for face in faces] == ["Ann", "Ann"]


def test_the_mean_of_somebody_s_photographs_can_be_compared(
    tmp_path: Path, red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    odd, red = picture(tmp_path / "odd.png", TEAL), picture(tmp_path / "red.png", RED, BLACK)
    assert main(["enroll", odd, "--name", "Ann"]) == 0

    def best(*options: str) -> float:
        [face] = as_json(capsys, "identify", red, *options)[0]["faces"]
        return {m["person"]: m["cosine_similarity"] for m in face["matches"]}["Ann"]

    assert best() == best("--match", "best") == pytest.approx(1)
    assert best("--match", "mean") == best("--match", "trimmed") == pytest.approx(0.5, abs=0.01)
    assert main(["identify", red, "--match", "worst"]) == 2


def test_photographs_are_weighed_by_what_was_trained_for_the_network(
    tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = picture(tmp_path / "1.png", RED), picture(tmp_path / "2.png", BLUE)
    main(["enroll", first, second, "--name", "Ann"])
    capsys.readouterr()

    def similarity(*words: str) -> float:
        assert main([*words, "--match", "attention", "--threshold", "0", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        if isinstance(found, dict):
            return float(found["cosine_similarity"])
        return float(found[0]["faces"][0]["matches"][0]["cosine_similarity"])

    assert main(["identify", first, "--match", "attention", "--threshold", "0"]) == 1
    assert "no attention over templates is trained for colours" in capsys.readouterr().err
    facts = AttentionFacts(
        network="colours",
        weights_sha256=ColourPipeline.weights_digest,
        trained_on="a test",
        people="1",
        photographs="2",
        trained_at="",
    )
    query = np.array([math.log(3), 0, 0], np.float32)  # red counts three times as much as blue
    place = attention_place("colours", ColourPipeline.weights_digest, home)
    write_attention(TemplateAttention(query), facts, place)
    assert similarity("identify", first) == pytest.approx(0.75)
    assert similarity("identify", second) == pytest.approx(0.25)
    assert similarity("verify", first, "--person", "Ann") == pytest.approx(0.75)
    assert main(["verify", first, second, "--match", "mean"]) == 2
    assert "--person NAME" in capsys.readouterr().err


def test_whoever_is_in_none_of_the_groups_asked_for_is_unknown(
    tmp_path: Path, red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    both = picture(tmp_path / "both.png", RED, BLUE)

    def names(*options: str) -> list[str | None]:
        return [face["person"] for face in as_json(capsys, "identify", both, *options)[0]["faces"]]

    assert main(["people", "group", "Ann", "--add", "family", "--add", "staff"]) == 0
    new = picture(tmp_path / "new.png", TEAL)
    assert main(["enroll", new, "--name", "Cyd", "--group", "staff", "--group", "night"]) == 0
    assert names() == ["Ann", "Bob"]
    assert names("--group", "family") == ["Ann", None]
    assert names("--group", "night") == [None, None]
    [found] = as_json(capsys, "identify", both, "--group", "staff", "--top-k", "9")
    assert {match["person"] for match in found["faces"][1]["matches"]} == {"Ann", "Cyd"}
    assert [one["name"] for one in as_json(capsys, "people", "list", "--group", "staff")] == [
        "Ann",
        "Cyd",
    ]
    assert as_json(capsys, "people", "list")[0]["groups"] == ["family", "staff"]
    picture(tmp_path / "folder" / "Dan" / "1.png", (0, 255, 0))
    picture(tmp_path / "folder" / "Eve" / "1.png", (9, 90, 200))
    assert main(["enroll", str(tmp_path / "folder"), "--group", "class"]) == 0
    assert len(as_json(capsys, "people", "list", "--group", "class")) == 2
    assert main(["people", "list", "--group", "night"]) == 0
    assert "\tnight, staff\t" in capsys.readouterr().out
    assert main(["people", "group", "Cyd", "Ann", "--remove", "staff"]) == 0
    assert capsys.readouterr().out == "2 people changed: see likeness people list\n"
    for command, code in (
        (["identify", both, "--group", "staff"], 1),
        (["identify", both, "--group", "\n"], 2),
        (["people", "list", "--group", ""], 2),
        (["people", "group", "Ann"], 2),
        (["people", "group", "Zoe", "--add", "x"], 1),
        (["people", "group", "Ann", "--remove", "staff"], 1),
        (["enroll", both, "--name", "Eve", "--face", "1", "--group", "x" * 201], 2),
    ):
        assert main(command) == code, command
        assert capsys.readouterr().err.count("\n") == 1


def test_two_who_look_alike_are_told_apart_and_not_listed_again(
    tmp_path: Path, red_and_blue: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["enroll", picture(tmp_path / "p.png", PINK), "--name", "Rose"]) == 0
    [pair] = as_json(capsys, "people", "check")
    assert not pair["told_apart"]
    assert main(["people", "tell-apart", "Rose", "Ann"]) == 0
    assert as_json(capsys, "people", "check") == []
    assert main(["people", "check", "--all"]) == 0
    assert "Ann\tRose\t0.96\t1 3\t100 %\t0.0 %\ttwo people" in capsys.readouterr().out
    assert as_json(capsys, "identify", str(tmp_path / "p.png"))[0]["faces"][0]["person"] == "Rose"
    assert main(["people", "undo"]) == 0
    assert len(as_json(capsys, "people", "check")) == 1
    for others in (["Ann", "Ann"], ["Ann", "Zoe"]):
        capsys.readouterr()
        assert main(["people", "tell-apart", *others]) == 1
        assert capsys.readouterr().err.count("\n") == 1


def messy(root: Path) -> Path:
    """People's folders as storage leaves them: Ann can be enrolled, Bea's format is not read."""
    picture(root / "Ann" / "a.png", RED)
    for name in ("Ann/@eaDir/a.png/thumb.jpg", "#recycle/old.jpg", "Thumbs.db", "Ann/a.xmp"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def test_what_systems_put_into_a_folder_is_hidden_counted_and_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = messy(tmp_path / "nas")
    assert main(["enroll", str(root), "--json"]) == 0
    out, err = capsys.readouterr()
    kept, account = json.loads(out)
    assert (kept["person"], Path(kept["image"]).name) == ("Ann", "a.png")
    assert account["passed_over"] == {"hidden": 3, "sidecar": 1}
    assert account["not_taken"] == {}
    assert err == f"{root}: passed over: 3 hidden, 1 sidecar\n"
    for command in ("identify", "detect"):
        assert main([command, str(root), "--json"]) == 0
        seen, account = json.loads(capsys.readouterr().out)
        assert Path(seen["image"]).name == "a.png"
        assert account["passed_over"] == {"hidden": 3, "sidecar": 1}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Bea/b.dng", ".dng"),
        ("Bea/IMG_1", "without a suffix"),
        ("Bea/clip.mov", ".mov"),
        ("loose.jpg", "loose photograph"),
        ("Ann/raw/a.cr3", ".cr3"),
        ("Ann/more/b.jpg", "below a person's folder"),
    ],
)
def test_what_may_be_missed_is_named_in_words_and_json_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    root = messy(tmp_path / "people")
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(b"x")
    assert main(["enroll", str(root), "--json"]) == 1
    out, err = capsys.readouterr()
    kept, *skipped, account = json.loads(out)
    assert kept["person"] == "Ann"  # the rest of the batch is done
    assert account["not_taken"] == {kind: 1}
    assert account["examples"] == [name]
    assert f"not taken: 1 {kind} ({name})" in err
    if name.startswith("Bea"):  # a person's folder that gave nobody
        assert [Path(one["image"]).name for one in skipped] == ["Bea"]
        assert main(["enroll", str(root)]) == 1
        assert f"error: {root / 'Bea'}: nobody is enrolled from this folder" in (
            capsys.readouterr().err
        )


def test_a_folder_of_one_person_or_of_photographs_tells_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph = picture(tmp_path / "some" / "a.png", RED)
    (tmp_path / "some" / "b.dng").write_bytes(b"x")
    told = f"error: {tmp_path / 'some'}: not taken: 1 .dng (b.dng)"
    for words in (["enroll", "--name", "Ann"], ["identify"], ["detect"]):
        assert main([words[0], str(tmp_path / "some"), *words[1:]]) == 1
        assert told in capsys.readouterr().err
        assert main([words[0], photograph, *words[1:]]) == 0  # a file that is named itself
    (tmp_path / "some" / "a.png").unlink()
    for words in (["enroll", "--name", "Ann"], ["identify"], ["detect"]):
        capsys.readouterr()
        assert main([words[0], str(tmp_path / "some"), *words[1:]]) == 2
        assert "not taken: 1 .dng (b.dng)" in capsys.readouterr().err


def test_an_empty_word_is_not_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(tmp_path / "here" / "Ann" / "a.png", RED)
    monkeypatch.chdir(tmp_path / "here")
    lines = [
        ["enroll", "", "--name", "Ann"],
        ["enroll", ""],
        ["enroll", "Ann", "", "--name", "Ann"],
        ["identify", ""],
        ["detect", ""],
        ["verify", "Ann/a.png", ""],
        ["align", "", "faces"],
        ["align", "Ann", ""],
        ["train", "--data", "", "--out", "run"],
        ["train", "--data=", "--out", "run"],
        ["train", "--data", "Ann", "--out", ""],
        ["train", "--set", "data.folder=", "--out", "run"],
        ["stylize", "Ann/a.png", "", "-o", "o.png"],
        ["stylize", "Ann/a.png", "Ann/a.png", "-o", ""],
        ["styles", "--draw", ""],
        ["gallery", "backup", ""],
        ["gallery", "export", ""],
        ["gallery", "import", ""],
        ["gallery", "copy", "", "there"],
        ["evaluate", "lfw", "--images", "", "--pairs", "pairs.txt"],
        ["people", "exclude", "Ann", ""],
        ["--home", "", "people", "list"],
        ["people", "list", "--gallery", ""],
        ["people", "list", "--weights="],
    ]
    for line in lines:
        assert main(line) == 2, line
        out, err = capsys.readouterr()
        assert out == ""
        assert "empty" in err, line
        assert err.count("\n") == 1
    names = ("HOME", "GALLERY", "WEIGHTS", "WEIGHTS_FILE", "KEY", "KEY_FILE", "TRAIN_DATA")
    for name in names:
        with monkeypatch.context() as patch:
            patch.setenv(f"LIKENESS_{name}", "")
            assert main(["people", "list"]) == 2
        assert f"LIKENESS_{name} is empty" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "here").rglob("*")) == ["Ann", "a.png"]
