import pytest
import torch

from backbones.network import Backbone
from backbones.registry import create
from backbones.weights import fit_tensors
from data.errors import WeightsError


@pytest.fixture(scope="module")
def network() -> Backbone:
    return create("mobilefacenet", input_size=(32, 32), embedding_size=8, seed=0)


def _state(network: Backbone) -> dict[str, torch.Tensor]:
    return {key: tensor.clone() for key, tensor in network.state_dict().items()}


def test_half_precision_becomes_float32_and_counts_stay_integers(network: Backbone) -> None:
    half = {
        key: tensor.half() if tensor.is_floating_point() else tensor
        for key, tensor in _state(network).items()
    }
    fitted = fit_tensors(network, half, "a file")
    assert fitted["linear1.conv.weight"].dtype == torch.float32
    assert fitted["conv1.bn.num_batches_tracked"].dtype == torch.int64
    torch.testing.assert_close(fitted, _state(network), rtol=1e-3, atol=1e-3)


def test_counts_that_old_files_lack_are_not_missed(network: Backbone) -> None:
    old = {k: v for k, v in _state(network).items() if not k.endswith("num_batches_tracked")}
    assert fit_tensors(network, old, "a file").keys() == network.state_dict().keys()


def test_names_of_the_publisher_are_translated_and_classifiers_left_out() -> None:
    network = create("squeezenet1_0", seed=0)
    published = {
        f"features.{key.removeprefix('convolutions.')}": tensor
        for key, tensor in network.state_dict().items()
    } | {"classifier.1.weight": torch.zeros(1000, 512, 1, 1)}
    torch.testing.assert_close(fit_tensors(network, published, "a file"), network.state_dict())


def _without_a_key(state: dict[str, torch.Tensor]) -> None:
    del state["conv2.conv.weight"], state["conv2.bn.weight"]


def _with_one_more(state: dict[str, torch.Tensor]) -> None:
    state["conv3.weight\n" + "x" * 500] = torch.zeros(1)


def _transposed(state: dict[str, torch.Tensor]) -> None:
    state["conv2.conv.weight"] = state["conv2.conv.weight"].transpose(0, 1).contiguous()


def _of_another_kind(state: dict[str, torch.Tensor]) -> None:
    """All three at once, as the weights of another network are."""
    _without_a_key(state)
    _with_one_more(state)
    for key in ("linear1.conv.weight", "linear1.bn.weight"):
        state[key] = state[key][:5]


def _with_nan(state: dict[str, torch.Tensor]) -> None:
    state["conv2.conv.weight"][3, 1] = torch.nan


def _with_infinity(state: dict[str, torch.Tensor]) -> None:
    state["conv2.bn.running_var"][0] = torch.inf


def _of_integers(state: dict[str, torch.Tensor]) -> None:
    state["conv2.conv.weight"] = state["conv2.conv.weight"].long()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_without_a_key, r"mobilefacenet: conv2.bn.weight is missing \(and 1 more\)"),
        (_with_one_more, "conv3.weight.* is unknown"),
        (_transposed, r"conv2.conv.weight has the shape \(128, 512, 1, 1\), expected \(512, 128"),
        (
            _of_another_kind,
            r"conv2.bn.weight is missing \(and 1 more\); conv3.weight.* is unknown; linear1.conv"
            r".weight has the shape \(5, 512, 1, 1\), expected \(8, 512, 1, 1\) \(and 1 more\)",
        ),
        (_with_nan, "damaged: conv2.conv.weight holds NaN or infinity"),
        (_with_infinity, "damaged: conv2.bn.running_var holds NaN or infinity"),
        (_of_integers, "conv2.conv.weight is torch.int64, expected torch.float32"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(
    network: Backbone, spoil: object, reason: str
) -> None:
    state = _state(network)
    assert callable(spoil)
    spoil(state)
    with pytest.raises(WeightsError, match=reason) as caught:
        fit_tensors(network, state, "a file")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
