"""What became of faces, in words and for programs, and the whole way with the bundled networks."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from backbones.metadata import weights_metadata
from backbones.registry import create
from data.errors import ArgumentError
from data.images import save_image, to_tensor
from data.tensors import write_tensors
from style.results import Resemblance
from ui.cli.main import main
from ui.jobs.store import Job, JobState
from ui.jobs.supervisor import LINES
from ui.portraits import PortraitFinder, as_json, told_by, verdict, verdicts
from ui.settings import Device, Settings

SAME = Resemblance(similarity=0.62, threshold=0.39)
OTHER = Resemblance(similarity=0.311, threshold=0.39)
GONE = Resemblance(similarity=None, threshold=0.39)


def test_a_verdict_is_said_with_its_numbers() -> None:
    assert verdict(SAME) == "same person, 0.62, where 0.39 is needed"
    assert verdict(OTHER) == "not the same person any more: 0.31, where 0.39 is needed"
    assert verdict(GONE) == "no face found in the picture any more"
    assert verdict(Resemblance(similarity=0.39, threshold=0.39)).startswith("same person")


def test_several_faces_are_numbered() -> None:
    assert verdicts([SAME]) == verdict(SAME)
    assert verdicts([SAME, GONE]) == f"face 1: {verdict(SAME)}; face 2: {verdict(GONE)}"
    assert verdicts([]) == ""


def _job(folder: Path, lines: str) -> Job:
    (folder / LINES).write_text(lines)
    return Job(
        id="0" * 16,
        folder=folder,
        kind="stylize",
        title="",
        created=0,
        state=JobState.DONE,
        cancelled=False,
        error=None,
    )


def test_json_holds_everything_and_a_job_tells_it(tmp_path: Path) -> None:
    faces = [SAME, OTHER, GONE]
    written = as_json(faces)
    assert [face["same_person"] for face in written] == [True, False, False]
    assert written[2]["cosine_similarity"] is None
    line = json.dumps({"step": 2, "faces": written})
    assert told_by(_job(tmp_path, f'{{"step": 1}}\n{line}\n')) == faces
    assert told_by(_job(tmp_path, '{"step": 1}\n')) == []
    assert told_by(_job(tmp_path, line[:-9])) == []
    assert told_by(_job(tmp_path, "")) == []


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty data folder; the bundled recognisers are at hand."""
    monkeypatch.setenv("LIKENESS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LIKENESS_WEIGHTS", raising=False)
    return Settings(home=tmp_path / "home", device=Device.CPU)


def test_the_wings_meet(settings: Settings, astronaut: Image.Image) -> None:
    photograph = astronaut.resize((256, 240))
    portrait = PortraitFinder(settings)(photograph)
    assert portrait.size == (240, 256)
    assert len(portrait.faces) == 1
    x, y = torch.tensor(portrait.faces[0]).mean(0).tolist()
    assert 90 < x < 135  # where the face is
    assert 35 < y < 80
    [judged] = portrait.judge(photograph)
    assert judged.same_person
    assert judged.similarity == pytest.approx(1, abs=1e-4)
    embedded = portrait.embed(to_tensor(photograph)[None])
    assert embedded.shape[0] == 1
    assert portrait.judge(Image.new("RGB", photograph.size))[0].similarity is None


def test_a_landscape_is_refused(settings: Settings) -> None:
    with pytest.raises(ArgumentError, match="no face is found"):
        PortraitFinder(settings)(Image.new("RGB", (80, 80), "green"))


@pytest.fixture
def pictures(settings: Settings, tmp_path: Path, astronaut: Image.Image) -> dict[str, str]:
    """A portrait, a landscape, a style, and random weights to look at them with."""
    weights = tmp_path / "network.safetensors"
    network = create("squeezenet1_0", seed=0)
    write_tensors(weights, network.state_dict(), weights_metadata(network.spec))
    save_image(astronaut.crop((130, 0, 330, 200)).resize((128, 128)), tmp_path / "portrait.png")
    save_image(Image.new("RGB", (128, 100), "green"), tmp_path / "landscape.png")
    noise = torch.rand(100, 100, 3, generator=torch.Generator().manual_seed(0))
    save_image(Image.fromarray((noise * 255).byte().numpy()), tmp_path / "style.png")
    return {path.stem: str(path) for path in tmp_path.iterdir() if path.is_file()}


def _painted(pictures: dict[str, str], content: str, out: Path, *options: str) -> int:
    small = ["--size", "128", "--steps", "5", "--weights", pictures["network"], "--json-lines"]
    given = [pictures[content], pictures["style"], "-o", str(out), *small, *options]
    return main(["stylize", *given])


def test_a_portrait_is_painted_and_judged(
    pictures: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    assert _painted(pictures, "portrait", out, "--keep-identity", "--strength", "0.1") == 0
    _plan, *lines = map(json.loads, capsys.readouterr().out.splitlines())
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert "faces" not in lines[0]
    [face] = lines[-1]["faces"]
    assert face["same_person"]
    assert face["cosine_similarity"] >= face["threshold"]
    assert "identity" in lines[-1]["losses"]
    assert out.exists()


def test_a_landscape_has_nobody_to_keep(
    pictures: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    assert _painted(pictures, "landscape", out, "--keep-identity") == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert "no face is found in the photograph" in printed.err
    assert not out.exists()
    assert _painted(pictures, "landscape", out) == 0
