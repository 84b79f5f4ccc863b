"""Which network judges where nobody says."""

from pathlib import Path

import pytest

from backbones.registry import create
from data.errors import WeightsError
from data.tensors import write_tensors
from style.evaluation.judge import choose_judge


def _at_hand(home: Path, name: str) -> None:
    folder = home / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"w": next(create("squeezenet1_0", seed=0).parameters()).detach()}
    write_tensors(folder / f"{name}.safetensors", tensors, {"architecture": name})


def test_the_first_network_at_hand_judges(home: Path) -> None:
    _at_hand(home, "vgg16")
    assert choose_judge([]) == "vgg16"
    _at_hand(home, "squeezenet1_0")
    assert choose_judge(["vgg19"]) == "squeezenet1_0"


def test_what_painted_does_not_judge(home: Path) -> None:
    _at_hand(home, "squeezenet1_0")
    with pytest.raises(WeightsError, match="must not judge itself"):
        choose_judge(["squeezenet1_0"])
    _at_hand(home, "vgg19_quarter")
    assert choose_judge(["squeezenet1_0"]) == "vgg19_quarter"


def test_a_network_of_another_kind_than_the_painter_is_always_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is bundled judges what the bundled painter, and any other, has painted."""
    monkeypatch.delenv("LIKENESS_WEIGHTS", raising=False)
    for painter in ("vgg_slim", "vgg19_quarter", "vgg19", "squeezenet1_0"):
        assert choose_judge([painter], tmp_path) == "iresnet_se"


def test_without_any_network_it_is_said_which_to_fetch(home: Path) -> None:
    with pytest.raises(WeightsError, match="models download squeezenet1_0"):
        choose_judge([])
