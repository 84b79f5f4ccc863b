from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from backbones.metadata import weights_metadata
from backbones.registry import create
from data.augment import Augmentation
from data.errors import ArgumentError
from data.tensors import write_tensors
from recognition.learning.choices import LossName, MixupPlace, Targets
from recognition.learning.config import LossConfig, MixupConfig, TrainingConfig
from recognition.learning.distillation import (
    CosineDistillation,
    FeatureDistillation,
    FeatureMaps,
    RelationalDistillation,
    Watching,
    check_taps,
    load_teacher,
    teacher_targets,
)
from recognition.learning.trainer import train

ZEROED = {
    "mirror",
    "rotation",
    "crop",
    "warp",
    "brightness",
    "contrast",
    "saturation",
    "grey",
    "pca_colour",
    "blur",
    "low_resolution",
    "jpeg",
    "occlusion",
}

LABELS = torch.zeros(4, dtype=torch.int64)


def vectors(seed: int, size: int = 6) -> torch.Tensor:
    return torch.randn(4, size, generator=torch.Generator().manual_seed(seed)).double()


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    network = create("tiny", embedding_size=16, seed=3)
    path = tmp_path / "teacher.safetensors"
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    return path


def test_cosine_is_0_for_the_same_direction_and_2_for_the_opposite() -> None:
    loss, targets = CosineDistillation(6, 6), F.normalize(vectors(0))
    assert float(loss(3 * targets, LABELS, targets)) == pytest.approx(0)
    assert float(loss(-targets, LABELS, targets)) == pytest.approx(2)
    expected = sum(
        1 - float(a @ b / (a.norm() * b.norm())) for a, b in zip(vectors(1), targets, strict=True)
    )
    assert float(loss(vectors(1), LABELS, targets)) == pytest.approx(expected / 4)


def test_cosine_maps_to_the_teachers_length() -> None:
    loss = CosineDistillation(6, 10).double()
    assert sum(p.numel() for p in loss.parameters()) == 60
    assert 0 <= loss(vectors(1), LABELS, vectors(2, 10)).detach() <= 2


def test_relational_sees_similarities_alone() -> None:
    loss, targets = RelationalDistillation(), vectors(0, 9)
    rotation = torch.linalg.qr(torch.randn(9, 9, dtype=torch.float64))[0]
    assert float(loss(targets @ rotation, LABELS, targets)) == pytest.approx(0)
    a, b = F.normalize(vectors(1)), F.normalize(targets)
    expected = sum(
        float((a[i] @ a[j] - b[i] @ b[j]) ** 2) for i in range(4) for j in range(4) if i != j
    )
    assert float(loss(vectors(1), LABELS, targets)) == pytest.approx(expected / 12)


def test_feature_maps_are_compared_in_units_of_their_variance() -> None:
    """The teacher's mean costs 1, the map itself nothing, whatever a channel's scale."""
    scale = torch.tensor([1e-2, 1.0, 1e3]).view(1, 3, 1, 1)
    wanted = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * scale
    loss = FeatureDistillation({"a": (3, 3)})
    with torch.no_grad():
        loss.maps["a"].weight.copy_(torch.eye(3).view(3, 3, 1, 1))
        loss.maps["a"].bias.zero_()
        assert float(loss(FeatureMaps({"a": wanted}, {"a": wanted}))) == pytest.approx(0)
        flat = wanted.mean((0, 2, 3), keepdim=True).expand_as(wanted)
        assert float(loss(FeatureMaps({"a": flat}, {"a": wanted}))) == pytest.approx(1, rel=0.02)


def test_a_teacher_of_the_middle_columns_is_laid_over_the_same_places() -> None:
    wide = torch.randn(2, 1, 3, 14, generator=torch.Generator().manual_seed(0))
    loss = FeatureDistillation({"a": (1, 1)})
    with torch.no_grad():
        loss.maps["a"].weight.fill_(2.0)
        loss.maps["a"].bias.fill_(1.0)
        middle = wide[..., 1:13] * 2 + 1
        assert float(loss(FeatureMaps({"a": wide}, {"a": middle}))) == pytest.approx(0)


def test_maps_that_do_not_lie_over_each_other_are_refused() -> None:
    student = create("mobilefacenet").spec
    teacher = create("mobilefacenet", input_size=(112, 96)).spec
    check_taps(student, teacher, ["conv1", "stage2", "stage3"])
    check_taps(student, student, ["stage4", "conv2"])
    with pytest.raises(ArgumentError, match=r"stage4 .* do not lie over each other"):
        check_taps(student, teacher, ["stage3", "stage4"])
    with pytest.raises(ArgumentError, match="no tap 'stage9'"):
        check_taps(student, teacher, ["stage9"])
    with pytest.raises(ArgumentError, match="has no tap 'only'"):
        check_taps(create("tiny").spec, teacher, ["only"])


@pytest.mark.usefixtures("undrawn")
def test_feature_maps_teach_beside_the_embedding(config: TrainingConfig, teacher: Path) -> None:
    features = LossConfig(name=LossName.FEATURES, taps=("only",))
    both = (LossConfig(name=LossName.DISTILL), features)
    run = distilling(config, teacher, targets=Targets.VIEWS)
    result = train(replace(run, losses=both))
    first, last = result.epochs[0].losses, result.epochs[-1].losses
    assert last["features"] < first["features"]
    assert last["distill"] < first["distill"]
    with pytest.raises(ArgumentError, match="set targets to views"):
        replace(config, teacher=teacher, losses=both)
    with pytest.raises(ArgumentError, match="taps name the feature maps"):
        replace(run, losses=(LossConfig(name=LossName.FEATURES),))
    with pytest.raises(ArgumentError, match="mixup"):
        replace(run, losses=both, mixup=MixupConfig(where=MixupPlace.INPUT))


def test_targets_are_the_teachers_embeddings_as_is_and_mirrored(
    teacher: Path, tmp_path: Path
) -> None:
    loaded = load_teacher(teacher, torch.device("cpu"))
    pixels = torch.randint(0, 256, (70, 3, 112, 112), dtype=torch.uint8)
    targets = teacher_targets(loaded, pixels, tmp_path / "targets.safetensors")
    assert targets.shape == (70, 2, 16)
    images = pixels.float() / 255
    for side, view in enumerate((images, images.flip(3))):
        expected = F.normalize(loaded.backbone.embedding(view))
        torch.testing.assert_close(targets[:, side], expected)


def test_targets_are_kept_for_the_same_photographs_alone(teacher: Path, tmp_path: Path) -> None:
    loaded, cache = load_teacher(teacher, torch.device("cpu")), tmp_path / "targets.safetensors"
    pixels = torch.zeros(3, 3, 112, 112, dtype=torch.uint8)
    calls: list[int] = []
    for _ in range(2):
        teacher_targets(loaded, pixels, cache, progress=lambda done, total: calls.append(done))
    assert calls == [3]
    teacher_targets(loaded, pixels + 1, cache, progress=lambda done, total: calls.append(done))
    assert calls == [3, 3]


def test_a_teacher_of_another_alignment_is_refused(tmp_path: Path) -> None:
    network = create("tiny", embedding_size=16, seed=3)
    metadata = weights_metadata(network.spec) | {"alignment": "box-160-margin-14"}
    path = tmp_path / "teacher.safetensors"
    write_tensors(path, network.state_dict(), metadata)
    with pytest.raises(ArgumentError, match="five-point-112"):
        load_teacher(path, torch.device("cpu"))


def test_a_watching_teacher_answers_each_view_without_learning(teacher: Path) -> None:
    loaded = load_teacher(teacher, torch.device("cpu"))
    views = torch.rand(3, 3, 112, 112, requires_grad=True)
    answers, maps = Watching(loaded, compile=False, taps=["only"])(views)
    assert not answers.requires_grad
    torch.testing.assert_close(maps["only"], loaded.backbone.features(views, ["only"])["only"])
    torch.testing.assert_close(answers, F.normalize(loaded.backbone.embedding(views.detach())))


def distilling(config: TrainingConfig, teacher: Path, **changes: object) -> TrainingConfig:
    loss = (LossConfig(name=LossName.DISTILL),)
    return replace(config, teacher=teacher, losses=loss, **changes)  # type: ignore[arg-type]


@pytest.mark.usefixtures("undrawn")
def test_the_target_is_the_answer_to_the_view_or_to_the_photograph(
    config: TrainingConfig, teacher: Path
) -> None:
    """To photographs shown as they are both answers are the same, to changed ones they are not."""
    still = Augmentation(**{f.name: 0.0 for f in fields(Augmentation) if f.name in ZEROED})
    losses = {}
    for name, augment in (("still", still), ("changed", Augmentation())):
        for targets in Targets:
            run = distilling(
                config,
                teacher,
                targets=targets,
                augment=augment,
                out=config.out.with_name(f"{name}-{targets}"),
                epochs=1,
            )
            losses[name, targets] = train(run).epochs[0].train_loss
    photographs, views = Targets.PHOTOGRAPHS, Targets.VIEWS
    assert losses["still", views] == pytest.approx(losses["still", photographs], rel=1e-4)
    assert losses["changed", views] != pytest.approx(losses["changed", photographs], rel=1e-3)


@pytest.mark.usefixtures("undrawn")
def test_a_teacher_that_watches_answers_the_mixture_too(
    config: TrainingConfig, teacher: Path
) -> None:
    runs = [
        distilling(
            config,
            teacher,
            targets=Targets.VIEWS,
            mixup=MixupConfig(where=where, alpha=1.0),
            out=config.out.with_name(str(where)),
        )
        for where in (MixupPlace.INPUT, MixupPlace.HIDDEN)
    ]
    for run in runs:
        losses = [epoch.train_loss for epoch in train(run).epochs]
        assert losses[-1] < losses[0]


def test_a_teacher_cannot_watch_what_is_aligned_otherwise(
    config: TrainingConfig, teacher: Path
) -> None:
    run = distilling(config, teacher, targets=Targets.VIEWS, backbone="iresnet_se")
    with pytest.raises(ArgumentError, match="sees faces aligned otherwise"):
        train(run)
    with pytest.raises(ArgumentError, match="no loss has a teacher"):
        replace(config, targets=Targets.VIEWS)
