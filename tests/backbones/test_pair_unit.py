"""The pair unit: the loss's own function, kept with the weights, refused where it is damaged."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from backbones.metadata import weights_metadata
from backbones.pair_unit import PairUnit, read_pair_unit
from backbones.registry import create
from backbones.weights import load_backbone
from data.errors import WeightsError
from data.tensors import write_tensors

UNIT = PairUnit(slopes=np.array([-3.0, -1.0, 0.5, -8.0]), offset=2.0, limits={0.01: 1.25})


def test_it_is_a_linear_function_of_the_distance_along_each_axis() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4))
    x, y = a / np.linalg.norm(a), b / np.linalg.norm(b)
    expected = sum(s * abs(p - q) for s, p, q in zip(UNIT.slopes, x, y, strict=True)) + 2.0
    assert UNIT.value(a, b) == pytest.approx(expected)
    assert UNIT.value(b, a) == pytest.approx(expected)
    assert UNIT.value(a, 5 * a) == pytest.approx(2.0)


def test_with_the_mirrored_face_the_mean_of_both_counts() -> None:
    rng = np.random.default_rng(1)
    faces = rng.normal(size=(2, 2, 4))
    joined = faces.reshape(2, 8)
    single = [UNIT.value(faces[0, side], faces[1, side]) for side in (0, 1)]
    assert UNIT.value(joined[0], joined[1]) == pytest.approx(np.mean(single))
    others = rng.normal(size=(5, 8))
    one_by_one = [UNIT.value(joined[0], other) for other in others]
    np.testing.assert_allclose(UNIT.values(joined[0], others), one_by_one)


def test_it_comes_back_from_a_weights_file_and_leaves_the_network_alone(tmp_path: Path) -> None:
    network = create("mobilefacenet", embedding_size=4, seed=0)
    path = tmp_path / "weights.safetensors"
    metadata = weights_metadata(network.spec) | UNIT.metadata()
    write_tensors(path, network.state_dict() | UNIT.tensors(), metadata)
    loaded = load_backbone(None, weights=path)
    assert loaded.pair is not None
    np.testing.assert_allclose(loaded.pair.slopes, UNIT.slopes)
    assert (loaded.pair.offset, loaded.pair.limits) == (2.0, {0.01: 1.25})
    image = torch.rand(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(loaded.backbone(image), network(image))
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    assert load_backbone(None, weights=path).pair is None


@pytest.mark.parametrize(
    ("change", "limits"),
    [
        ({"pair.weight": torch.zeros(5)}, "0.01 1.25"),
        ({"pair.bias": torch.tensor([float("nan")])}, "0.01 1.25"),
        ({}, "0.01"),
        ({}, "2 1.0"),
        ({}, "0.01 nan"),
    ],
)
def test_a_damaged_one_is_refused(change: dict[str, torch.Tensor], limits: str) -> None:
    tensors = UNIT.tensors() | change
    with pytest.raises(WeightsError, match=r"a\.safetensors"):
        read_pair_unit(tensors, {"pair_limits": limits}, dimension=4, origin="a.safetensors")


def test_half_a_unit_is_refused() -> None:
    kept = {"pair.weight": F.normalize(torch.ones(4), dim=0)}
    with pytest.raises(WeightsError):
        read_pair_unit(kept, {}, dimension=4, origin="a.safetensors")
