"""Every family by the one trainer: what a run leaves, that it goes on, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from data.config import to_toml
from data.errors import AppError, ArgumentError, TrainingError, WeightsError
from data.tensors import read_metadata, read_tensors, write_tensors
from recognition.detection.detector import DetectorOptions, make_detector, resolve_detector
from recognition.detection.methods.config import DetectorMethod, YoloConfig
from recognition.detection.methods.method import faces_of_cells
from recognition.detection.methods.registry import load, method_of
from recognition.detection.one_stage_network import cells, encode
from recognition.detection.training.config import DetectorTrainingConfig
from recognition.detection.training.trainer import train
from ui.cli.main import main

KEPT = ("best.safetensors", "last.safetensors", "state.safetensors")


def short(
    config: DetectorTrainingConfig, method: DetectorMethod, out: Path
) -> DetectorTrainingConfig:
    """A run of two steps, with a checkpoint after each, on the mosaics of another."""
    return replace(
        config, method=method, out=out, steps=2, every=1, mosaic_folder=config.out / "mosaics"
    )


def result_of(config: DetectorTrainingConfig) -> dict[str, bytes]:
    return {name: (config.out / name).read_bytes() for name in KEPT}


@pytest.mark.parametrize("method", list(DetectorMethod))
def test_a_run_goes_on_with_the_same_bytes_and_its_weights_say_what_they_are(
    config: DetectorTrainingConfig, tmp_path: Path, method: DetectorMethod
) -> None:
    whole = short(config, method, tmp_path / "whole")
    done = train(whole)
    stopped = short(config, method, tmp_path / "stopped")

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(stopped, stop)
    train(stopped)
    assert result_of(stopped) == result_of(whole)
    assert read_metadata(done.weights)["architecture"] == method
    loaded, network = load(done.weights)
    assert loaded.name == method == method_of(whole).name
    assert loaded.metadata() == method_of(whole).metadata()
    numbers = sum(p.numel() for p in network.parameters())
    assert numbers < 1_500_000
    assert f"# Model card: the detector {method}" in (whole.out / "model-card.md").read_text()
    # Its detector is made from the file alone, and finds the same in a picture beside others.
    detector = make_detector("cpu", str(done.weights), DetectorOptions(minimum_score=0.01))
    assert detector.identity.startswith(f"{method}/")
    pixels = np.random.default_rng(1).integers(0, 256, (9, 11, 3), np.uint8)
    pictures = [Image.fromarray(pixels).resize(size) for size in ((110, 90), (64, 64), (30, 25))]
    together = detector.detect(pictures)
    alone = [detector.detect([picture])[0] for picture in pictures]
    assert [len(each) for each in together] == [len(each) for each in alone]
    for faces in together:
        assert all(np.isfinite(face.landmarks).all() for face in faces)


def test_a_family_refuses_the_weights_of_another(
    config: DetectorTrainingConfig, tmp_path: Path
) -> None:
    run = train(replace(short(config, DetectorMethod.LOCALISE, tmp_path / "a"), steps=1))
    weights = run.weights
    for refused in (
        lambda: make_detector("cpu", "yolo_v3", DetectorOptions(weights=weights)),
        lambda: make_detector("cpu", "one_stage", DetectorOptions(weights=weights)),
    ):
        with pytest.raises(WeightsError, match="holds localise, expected") as told:
            refused()
        assert "\n" not in str(told.value)
    with pytest.raises(ArgumentError, match="given twice"):
        make_detector("cpu", str(weights), DetectorOptions(weights=weights))
    with pytest.raises(AppError, match="no file"):
        make_detector("cpu", str(tmp_path / "absent.safetensors"))
    assert resolve_detector(str(weights))[0].name == "localise"
    tensors = read_tensors(weights).tensors
    other = tmp_path / "other.safetensors"
    for says in ({}, {"architecture": "mobilefacenet"}, {"architecture": "mtcnn"}):
        write_tensors(other, tensors, says)
        with pytest.raises(AppError) as told:
            make_detector("cpu", str(other))
        assert "\n" not in str(told.value)
    for design in ({}, {"design": "{"}, {"design": "{}"}, {"design": '{"version": 3}'}):
        write_tensors(other, tensors, {"architecture": "yolo_v3", **design})
        with pytest.raises(WeightsError, match="how its yolo_v3 is built"):
            make_detector("cpu", str(other))


def test_another_family_or_idea_is_another_run(
    config: DetectorTrainingConfig, tmp_path: Path
) -> None:
    first = replace(short(config, DetectorMethod.YOLO_V3, tmp_path / "run"), steps=1)
    train(first)
    before = result_of(first)
    for changed in (
        replace(first, method=DetectorMethod.YOLO_V2),
        replace(first, method=DetectorMethod.ONE_STAGE),
        replace(first, yolo=YoloConfig(mosaic=True)),
    ):
        with pytest.raises(TrainingError, match="other settings"):
            train(changed)
    assert result_of(first) == before


def test_the_command_takes_a_method_and_ideas(
    config: DetectorTrainingConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(to_toml(replace(config, steps=1)))
    ideas = ["--method", "yolo_v3", "--set", "yolo.anchors=hand", "--set", "yolo.scales=one"]
    out = tmp_path / "yolo"
    assert main(["train-detector", str(recipe), "--out", str(out), "--json", *ideas]) == 0
    capsys.readouterr()
    says = read_metadata(out / "best.safetensors")
    assert json.loads(says["design"])["strides"] == [16]
    assert "--method yolo_v3" in says["command"]
    boxed = ["--images", str(tmp_path / "boxed/images")]
    boxed += ["--annotations", str(tmp_path / "boxed/annotations"), "--json"]
    weights = str(out / "best.safetensors")
    for flags in (["--detector", weights], ["--detector-weights", weights]):
        assert main(["evaluate", "detect", *boxed, *flags]) == 0
        assert json.loads(capsys.readouterr().out)["detector"].startswith("yolo_v3/")
    assert main(["train-detector", str(recipe), "--method", "rcnn", *ideas[2:]]) == 2
    assert "goes with the methods" in capsys.readouterr().err
    assert main(["evaluate", "detect", *boxed, "--detector", "yolo_v4"]) == 1
    assert "recipes/detectors/yolo_v4.toml" in capsys.readouterr().err


def test_every_family_has_a_recipe_that_is_read() -> None:
    from recognition.detection.training.config import configure

    folder = Path(__file__).resolve().parents[4] / "recipes"
    assert configure(folder / "detector.toml").method == DetectorMethod.ONE_STAGE
    names = {path.stem for path in (folder / "detectors").glob("*.toml")}
    assert names == set(DetectorMethod) - {DetectorMethod.ONE_STAGE}
    for name in names:
        assert configure(folder / f"detectors/{name}.toml").method == name


def test_faces_are_read_from_what_cells_are_told() -> None:
    middles, strides = cells(64, 64)
    told = torch.zeros(len(middles), 16)
    wanted = torch.tensor([[8.0, 10, 30, 36], [40, 36, 60, 62], [50, 0, 90, 40]])
    points = torch.arange(10.0).view(5, 2)
    for number, box in enumerate(wanted):
        centre = ((box[:2] + box[2:]) / 2).clamp(max=63)
        near = (middles - centre).abs().amax(1) < strides[:, 0]
        told[near, 1:15] = encode(
            box.expand(int(near.sum()), 4),
            points.expand(int(near.sum()), 5, 2),
            middles[near],
            strides[near],
        )
        told[near, 0] = 0.9 - 0.1 * number
        told[near, 15] = float(number == 0)
    found = faces_of_cells(told, 64)
    torch.testing.assert_close(found.boxes, wanted[:2], atol=1e-3, rtol=0)  # the third is cut off
    assert found.placed.tolist() == [True, False]
    torch.testing.assert_close(found.landmarks[0], points, atol=1e-3, rtol=0)
    assert len(faces_of_cells(told * 0, 64).boxes) == 0
