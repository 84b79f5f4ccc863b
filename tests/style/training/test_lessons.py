from dataclasses import replace
from statistics import median

import pytest
import torch

from backbones.weights import load_backbone
from data.errors import ArgumentError, WeightsError
from style.draft import DraftDecoder
from style.training.config import StyleDataConfig
from style.training.dataset import read_photographs
from style.training.trainer import lesson_of

CPU = torch.device("cpu")


def lesson(config):
    return lesson_of(config, read_photographs(config.data), CPU, "a command")


def after(lesson, steps, rate=0.003):
    """The median of the first and of the last five losses."""
    optimizer = torch.optim.Adam(lesson.module.parameters(), rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        total = lesson.losses(0)["total"]  # the same pictures: it learns them
        total.backward()
        optimizer.step()
        losses.append(float(total.detach()))
    return median(losses[:5]), median(
        losses[-5:]
    )  # a plain crop varies so little that it counts a lot


def test_a_network_comes_closer_to_its_teacher(config):
    first, last = after(
        lesson(replace(config, data=replace(config.data, batch=8), moments=0.0)), 20
    )
    assert last < 0.8 * first


def test_it_begins_with_random_weights_of_its_own(config, teacher):
    taught = load_backbone("vgg19_quarter", weights=teacher).backbone.state_dict()
    own = lesson(config).module.network.state_dict()
    shapes = {tuple(value.shape): value for value in taught.values()}
    assert not any(
        torch.equal(value, shapes[tuple(value.shape)])
        for value in own.values()
        if value.ndim == 4 and tuple(value.shape) in shapes
    )
    again = lesson(config).module.network.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in own.items())
    other = lesson(replace(config, seed=4)).module.network.state_dict()
    assert not torch.equal(own["convolutions.0.weight"], other["convolutions.0.weight"])


def test_a_network_that_is_its_teacher_is_at_no_distance(config, teacher):
    own = {"teacher": "vgg19_quarter", "teacher_weights": teacher}
    same = replace(config, **own, backbone="vgg19_quarter", data=replace(config.data, crop=64))
    learnt = lesson(same)
    network = learnt.module.network
    network.load_state_dict(load_backbone("vgg19_quarter", weights=teacher).backbone.state_dict())
    figures = learnt.validate(learnt.module)
    # Maps are compared after the teacher's have been brought to a mean square of 1.
    scales = learnt._scales
    assert all(scale > 0 for scale in scales.values())
    with torch.no_grad():
        images = learnt._batch(0)
        targets = learnt._targets(images)
        for tap, found in learnt.module(images).items():
            torch.testing.assert_close(found * scales[tap], targets[tap])
    assert set(figures) >= {"distance", "features.relu4_2", "moments.relu5_1"}


def test_stages_that_are_forced_do_not_depend_on_those_before(config, teacher):
    own = {"teacher": "vgg19_quarter", "teacher_weights": teacher}
    learnt = lesson(replace(config, **own, forced=1.0))
    learnt.losses(0)["total"].backward()
    images = learnt._batch(0)
    targets = learnt._targets(images)
    before = learnt.module(images, targets)["relu5_1"]
    with torch.no_grad():
        learnt.module.network.convolutions[0].weight.mul_(2)
    assert torch.equal(learnt.module(images, targets)["relu5_1"], before)
    assert not torch.equal(learnt.module(images)["relu5_1"], before)


def test_a_wider_teacher_is_seen_through_maps(config, tmp_path):
    from backbones.metadata import weights_metadata
    from backbones.registry import create
    from data.tensors import write_tensors

    path = tmp_path / "wide.safetensors"
    network = create("vgg19_quarter", seed=1)
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    narrow = replace(config, backbone="squeezenet1_0")
    with pytest.raises(ArgumentError, match="no tap in common"):
        lesson(narrow)
    wide = create("vgg16", seed=1)
    write_tensors(path, wide.state_dict(), weights_metadata(wide.spec))
    wider = replace(config, teacher="vgg16", teacher_weights=path)
    with pytest.raises(ArgumentError, match="other channels than vgg_slim: set forced to 0"):
        lesson(replace(wider, forced=0.5))
    learnt = lesson(wider)
    found = learnt.module(torch.rand(1, 3, 64, 64))
    assert found["relu4_2"].shape == (1, 512, 8, 8)
    tensors, metadata = learnt.weights(learnt.module)
    assert not any("maps" in name for name in tensors)
    assert metadata["architecture"] == "vgg_slim"


def test_a_decoder_learns_to_paint(drafting):
    first, last = after(lesson(drafting), 25, rate=0.0003)
    assert last < 0.7 * first


def test_what_is_kept_of_a_decoder_names_its_encoder(drafting):
    learnt = lesson(drafting)
    tensors, metadata = learnt.weights(learnt.module)
    decoder = DraftDecoder((16, 32, 64, 128))
    decoder.load_state_dict(tensors)
    digest = load_backbone("vgg_slim", weights=drafting.encoder_weights).weights.sha256
    assert digest in metadata["encoder"]


def test_an_encoder_without_the_taps_is_refused(drafting, tmp_path):
    from backbones.registry import create
    from data.tensors import write_tensors

    path = tmp_path / "squeeze.safetensors"
    write_tensors(path, create("squeezenet1_0", seed=0).state_dict(), {})
    with pytest.raises(ArgumentError, match="no tap relu1_1"):
        lesson(replace(drafting, backbone="squeezenet1_0", encoder_weights=path))


def test_missing_weights_of_a_teacher_are_told(config, home):
    with pytest.raises(WeightsError, match="no weights for vgg19"):
        lesson(replace(config, teacher="vgg19", teacher_weights=None))


def test_a_crop_that_no_map_survives_is_refused():
    with pytest.raises(ArgumentError, match="multiple of 16"):
        StyleDataConfig(photographs=".", crop=100)
