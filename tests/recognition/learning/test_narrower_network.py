"""distill: a narrower network answers as its teacher, goes on where it stopped, and refuses."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backbones.metadata import weights_metadata
from backbones.places import WeightsFile, weights_file
from backbones.registry import create
from backbones.weights import load_backbone
from data.errors import AppError, ArgumentError, TrainingError
from data.tensors import write_tensors
from recognition.learning import narrower_network as module
from recognition.learning.narrower_network import Narrowing, distil
from ui.cli.main import main

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def teacher(tmp_path: Path) -> WeightsFile:
    network = create("tiny", embedding_size=16, seed=3)
    path = tmp_path / "teacher.safetensors"
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    return weights_file(path, None)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs of three steps, so that a run of a few has a state to go on from."""
    monkeypatch.setattr(module, "EPOCH", 3)


def asked(people: Path, **changes: object) -> Narrowing:
    settings: dict[str, object] = {"student": "tiny", "steps": 6, "batch": 4, "rate": 0.01}
    return Narrowing(photographs=people, **settings | changes)  # type: ignore[arg-type]


def alike(one: Path, other: Path) -> Tensor:
    """How nearly two networks find the same faces similar, as a correlation."""
    faces = torch.rand(12, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    above = torch.triu_indices(12, 12, offset=1)
    found = []
    for path in (one, other):
        vectors = F.normalize(load_backbone(None, weights=path).backbone.embedding(faces))
        found.append((vectors @ vectors.T)[above[0], above[1]])
    return torch.corrcoef(torch.stack(found))[0, 1]


def test_the_narrower_network_comes_nearer_to_its_teacher(
    teacher: WeightsFile, people: Path, tmp_path: Path
) -> None:
    little = distil(teacher, tmp_path / "a.safetensors", asked(people, steps=3, rate=1e-6))
    more = distil(teacher, tmp_path / "b.safetensors", asked(people, steps=60))
    assert alike(more.path, teacher.path) > alike(little.path, teacher.path)
    assert more.metadata["compressed_from"] == teacher.sha256
    assert more.metadata["compressed_by"] == "distill"
    assert more.architecture == "tiny"


def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(
    teacher: WeightsFile, people: Path, tmp_path: Path
) -> None:
    straight = distil(teacher, tmp_path / "a.safetensors", asked(people))
    seen: list[int] = []

    class Stop(Exception):  # noqa: N818
        pass

    def stop(done: int, total: int) -> None:
        assert total == 6
        seen.append(done)
        if done == 4 and len(seen) == 4:
            raise Stop

    place = tmp_path / "b.safetensors"
    with pytest.raises(Stop):
        distil(teacher, place, asked(people), stop)
    assert not place.exists()
    again = distil(teacher, place, asked(people), stop)
    assert seen == [1, 2, 3, 4, 4, 5, 6]  # the first epoch is not repeated
    assert again.path.read_bytes() == straight.path.read_bytes()


def test_another_run_beside_the_file_is_refused(
    teacher: WeightsFile, people: Path, tmp_path: Path
) -> None:
    place = tmp_path / "a.safetensors"
    distil(teacher, place, asked(people, steps=3))
    with pytest.raises(TrainingError, match="settings"):
        distil(teacher, place, asked(people, steps=3, seed=9))


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 3}, {"batch": 0}])
def test_what_teaches_nothing_is_refused(people: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match="distill"):
        asked(people, **wrong)


def test_refusals_leave_nothing_behind(
    teacher: WeightsFile, people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paints = create("vgg19_quarter", seed=0)
    painter = tmp_path / "painter.safetensors"
    write_tensors(painter, paints.state_dict(), weights_metadata(paints.spec))
    place = tmp_path / "a.safetensors"
    with pytest.raises(ArgumentError, match="paints"):
        distil(weights_file(painter, None), place, asked(people))
    with pytest.raises(ArgumentError, match="the weights themselves"):
        distil(teacher, teacher.path, asked(people))
    with pytest.raises(AppError, match="one width"):
        distil(teacher, place, asked(people, width=0.5))
    words = ["models", "compress", str(teacher.path), "-o", str(place), "--method"]
    given = ["--photographs", str(people)]
    for more, told in [
        (["distill"], "--photographs DIR"),
        (["distill,prune", *given], "stands alone"),
        (["distill", *given, "--bits", "4"], "--bits is for quantize"),
        (["prune", "--student", "tiny"], "--student is for distill"),
        (["distill", *given, "--steps", "0"], "1 or more"),
    ]:
        assert main([*words, *more]) == 2
        assert told in capsys.readouterr().err
    assert not place.exists()
    assert not place.with_suffix(".run").exists()
