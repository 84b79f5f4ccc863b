"""Our way of running MTCNN's networks against their authors' own."""

import pytest
import torch
import torch.nn.functional as F
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from recognition.detection.mtcnn import OutputNetwork, ProposalNetwork, RefinementNetwork, max_pool


def _pixels(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


@given(size=st.sampled_from([2, 3]), height=st.integers(3, 12), width=st.integers(3, 12))
def test_max_pool_is_pytorchs(size: int, height: int, width: int) -> None:
    x = _pixels(2, 3, height, width)
    torch.testing.assert_close(max_pool(x, size), F.max_pool2d(x, size, 2, ceil_mode=True))


@pytest.mark.parametrize(("height", "width"), [(12, 12), (64, 48), (37, 50)])
def test_proposal_network(height: int, width: int) -> None:
    pixels = _pixels(2, 3, height, width)
    with torch.inference_mode():
        probability, movement = ProposalNetwork()(pixels)
        expected_movement, expected = PNet()(pixels)
    h, w = probability.shape[1:]
    assert (h, w) == ((height - 12) // 2 + 1, (width - 12) // 2 + 1)  # every whole window
    torch.testing.assert_close(probability, expected[:, 1, :h, :w], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(movement, expected_movement[:, :, :h, :w], atol=1e-5, rtol=1e-4)


def test_refinement_network() -> None:
    crops = _pixels(5, 3, 24, 24)
    with torch.inference_mode():
        probability, movement = RefinementNetwork()(crops)
        expected_movement, expected = RNet()(crops)
    torch.testing.assert_close(probability, expected[:, 1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(movement, expected_movement, atol=1e-5, rtol=1e-4)


def test_output_network() -> None:
    crops = _pixels(5, 3, 48, 48)
    with torch.inference_mode():
        probability, movement, landmarks = OutputNetwork()(crops)
        expected_movement, points, expected = ONet()(crops)
    torch.testing.assert_close(probability, expected[:, 1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(movement, expected_movement, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(landmarks[:, :, 0], points[:, :5], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(landmarks[:, :, 1], points[:, 5:], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("network", [ProposalNetwork, RefinementNetwork, OutputNetwork])
def test_networks_are_frozen(network: type[torch.nn.Module]) -> None:
    built = network()
    assert not any(parameter.requires_grad for parameter in built.parameters())


@pytest.mark.parametrize(("network", "side"), [(RefinementNetwork, 24), (OutputNetwork, 48)])
def test_no_candidates_are_no_special_case(network: type[torch.nn.Module], side: int) -> None:
    outputs = network()(torch.zeros(0, 3, side, side))
    assert all(len(output) == 0 for output in outputs)
