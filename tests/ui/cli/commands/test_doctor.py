"""`doctor`: says what is well, and fails where something is broken."""

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from backbones.metadata import weights_metadata
from backbones.registry import create
from data.distribution import NAME
from data.tensors import write_tensors
from ui.cli.commands import doctor
from ui.cli.commands.doctor import State
from ui.cli.main import main
from ui.settings import Device, Settings


@pytest.fixture
def checks(home: Path) -> Callable[..., dict[str, doctor.Check]]:
    """Every check by its name, with the settings given."""

    def examine(**settings: object) -> dict[str, doctor.Check]:
        given = Settings(device=Device.CPU, **settings)  # type: ignore[arg-type]
        return {check.name: check for check in doctor.examine(given)}

    return examine


def test_a_healthy_installation_passes_and_nothing_is_made(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--json", "--device", "cpu"]) == 0
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert checks["torch"] == {
        "name": "torch",
        "state": "ok",
        "detail": metadata.version("torch"),
    }
    assert checks["data folder"]["detail"].startswith(str(home))
    assert checks["detectors"]["detail"].startswith("mtcnn/1 (MIT; ")
    _, absent = checks["detectors"]["detail"].split("; no weights at hand of ")
    assert "one_stage" in absent.split(", ")
    assert "vgg19, " in checks["weights of others"]["detail"]
    assert checks["likeness"]["detail"] == metadata.version(NAME)
    assert "found no face, as expected" in checks["self test"]["detail"]
    assert "embedded nothing" in checks["self test"]["detail"]
    assert not home.exists()


def test_a_data_folder_that_is_a_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["doctor", "--home", str(tmp_path / "file"), "--device", "cpu"]) == 2
    assert "is a file: name a folder" in capsys.readouterr().err


def test_a_library_that_is_gone_fails_and_the_rest_is_still_looked_at(
    checks: Callable[..., dict[str, doctor.Check]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_DISTRIBUTIONS", ("torch", "no-such-distribution"))
    found = checks()
    assert found["no-such-distribution"].state is State.FAILED
    assert found["self test"].state is State.OK


def test_two_packages_of_faiss_are_a_warning(
    checks: Callable[..., dict[str, doctor.Check]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "1.15.0")
    check = checks()["faiss"]
    assert check.state is State.WARNING
    assert "uninstall" in check.detail


def test_a_check_that_raises_is_a_finding(
    checks: Callable[..., dict[str, doctor.Check]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: Settings) -> tuple[State, str]:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(doctor, "_self_test", broken)
    check = checks()["self test"]
    assert check.state is State.FAILED
    assert check.detail == "RuntimeError: operator torchvision::nms does not exist"


def test_damaged_weights_fail(checks: Callable[..., dict[str, doctor.Check]], home: Path) -> None:
    (home / "weights").mkdir(parents=True)
    (home / "weights" / "vgg16.safetensors").write_bytes(b"no weights")
    assert checks()["weights of vgg16"].state is State.FAILED


@pytest.mark.parametrize("name", ["inception_resnet_v1", "mobilefacenet"])
def test_the_self_test_takes_whichever_network_for_faces_has_weights(
    checks: Callable[..., dict[str, doctor.Check]], home: Path, name: str
) -> None:
    for made in (name, "squeezenet1_0"):  # the latter is at hand too, and not made for faces
        network = create(made, seed=0)
        (home / "weights").mkdir(parents=True, exist_ok=True)
        path = home / "weights" / f"{made}.safetensors"
        write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    check = checks()["self test"]
    assert check.state is State.OK
    assert f"embedded by {name} in " in check.detail


@pytest.mark.shared
def test_with_weights_the_self_test_embeds(
    checks: Callable[..., dict[str, doctor.Check]], teacher_weights: Path
) -> None:
    check = checks(weights=teacher_weights)["self test"]
    assert check.state is State.OK
    assert "embedded by mobilefacenet in 256 numbers" in check.detail
