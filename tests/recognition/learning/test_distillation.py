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
    RelationalDistillation,
    Watching,
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
    answers = Watching(loaded, compile=False)(views)
    assert not answers.requires_grad
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
