import math
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from backbones.metadata import weights_metadata
from backbones.registry import create
from backbones.spec import Alignment
from data.augmentation import Augmentation
from data.errors import ArgumentError, WeightsError
from data.tensors import read_metadata, read_tensors, write_tensors
from recognition.faces.alignment import crop_size
from recognition.learning.choices import LossName, MixupPlace, Targets
from recognition.learning.config import LossConfig, MixupConfig, TeacherConfig, TrainingConfig
from recognition.learning.distillation import (
    CosineDistillation,
    FeatureDistillation,
    FeatureMaps,
    RelationalDistillation,
    SoftenedClasses,
    Watching,
    check_taps,
    class_centres,
    load_teacher,
    principal_axes,
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


def test_cosine_maps_to_a_shorter_teachers_length() -> None:
    loss = CosineDistillation(10, 6).double()
    assert sum(p.numel() for p in loss.parameters()) == 60
    assert 0 <= loss(vectors(1, 10), LABELS, vectors(2)).detach() <= 2


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


def test_a_watching_teacher_answers_each_view_without_learning(teacher: Path) -> None:
    loaded = load_teacher(teacher, torch.device("cpu"))
    views = torch.rand(3, 3, 112, 112, requires_grad=True)
    answers, maps = Watching([(loaded, 1.0)], compile=False, taps=["only"])(views)
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


def test_principal_axes_keep_as_much_of_the_cosines_as_any_map_can() -> None:
    """Against a random orthonormal map, and exactly where the rest of the axes is empty."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.linspace(1, 0.05, 12)
    answers = F.normalize(torch.randn(500, 12, generator=generator) * spread)
    axes = principal_axes(answers, 5)
    torch.testing.assert_close(axes.T @ axes, torch.eye(5))
    wanted = answers @ answers.T
    random = torch.linalg.qr(torch.randn(12, 5, generator=generator))[0]
    lost = [
        float((cut @ cut.T - wanted).square().mean()) for cut in (answers @ axes, answers @ random)
    ]
    assert lost[0] < lost[1]
    flat = F.normalize(torch.cat([answers[:, :5], torch.zeros(500, 7)], dim=1))
    kept = flat @ principal_axes(flat, 5)
    torch.testing.assert_close(kept @ kept.T, flat @ flat.T, atol=1e-5, rtol=0)


def test_a_longer_target_is_cut_and_can_be_met() -> None:
    targets = F.normalize(vectors(0, 9))
    axes = principal_axes(targets, 6).double()
    loss = CosineDistillation(6, 9, axes)
    assert not list(loss.parameters())
    assert float(loss(targets @ axes, LABELS, targets)) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="need axes"):
        CosineDistillation(6, 9)


def test_joined_answers_have_the_weighted_mean_of_the_cosines(teacher: Path) -> None:
    loaded = load_teacher(teacher, torch.device("cpu"))
    other = create("tiny", embedding_size=16, seed=8)
    second = replace(loaded, backbone=other.eval())
    roots = (math.sqrt(0.25), math.sqrt(0.75))
    views = torch.rand(5, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    joined, _ = Watching([(loaded, roots[0]), (second, roots[1])], compile=False)(views)
    assert joined.shape == (5, 32)
    with torch.no_grad():
        each = [F.normalize(net.embedding(views)) for net in (loaded.backbone, other)]
    cosines = 0.25 * each[0] @ each[0].T + 0.75 * each[1] @ each[1].T
    torch.testing.assert_close(joined @ joined.T, cosines)


def test_softened_classes_against_hintons_formula() -> None:
    centres = F.normalize(vectors(3, 5))  # of four people
    loss = SoftenedClasses(6, centres, scale=10, temperature=2).double()
    targets, own = F.normalize(vectors(0, 5)), vectors(1)
    weights = F.normalize(loss.classifier.weight.detach())
    expected = 0.0
    for answer, embedding in zip(targets, F.normalize(own), strict=True):
        wanted = (10 * centres @ answer / 2).softmax(0)
        given = (10 * weights @ embedding / 2).softmax(0)
        expected += float((wanted * (wanted / given).log()).sum())
    assert float(loss(own, LABELS, targets).detach()) == pytest.approx(expected / 4 * 2**2)
    same = SoftenedClasses(5, centres, scale=10, temperature=2).double()
    with torch.no_grad():
        same.classifier.weight.copy_(centres)
    assert float(same(targets, LABELS, targets).detach()) == pytest.approx(0, abs=1e-9)


def test_a_high_temperature_sees_who_resembles_whom() -> None:
    """In the limit it is the squared distance of the centred logits (Hinton et al., 2.1)."""
    centres, targets, own = F.normalize(vectors(3, 5)), F.normalize(vectors(0, 5)), vectors(1)
    loss = SoftenedClasses(6, centres, scale=1, temperature=1e3).double()
    logits = F.normalize(own) @ F.normalize(loss.classifier.weight.detach()).T
    difference = logits - targets @ centres.T
    difference = difference - difference.mean(1, keepdim=True)
    expected = float(difference.square().sum(1).mean()) / (2 * 4)
    assert float(loss(own, LABELS, targets).detach()) == pytest.approx(expected, rel=1e-2)


def test_a_persons_centre_is_the_mean_of_both_views_of_all_photographs() -> None:
    answers = F.normalize(torch.randn(5, 2, 6, generator=torch.Generator().manual_seed(0)), dim=2)
    centres = class_centres(answers, torch.tensor([1, 0, 1, -1, 0]), 2)
    for person, rows in enumerate(([1, 4], [0, 2])):
        torch.testing.assert_close(centres[person], F.normalize(answers[rows].sum((0, 1)), dim=0))


def in_another_alignment(folder: Path, alignment: Alignment) -> Path:
    """A teacher whose faces are aligned otherwise."""
    side = crop_size(alignment)
    network = create("tiny", embedding_size=16, seed=5, input_size=(side, side))
    path = folder / f"{alignment}.safetensors"
    metadata = weights_metadata(replace(network.spec, alignment=alignment))
    write_tensors(path, network.state_dict(), metadata)
    return path


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    "alignment", [a for a in Alignment if a not in (Alignment.NONE, Alignment.FIVE_POINT)]
)
def test_a_teacher_sees_faces_aligned_as_it_was_taught(
    config: TrainingConfig, teacher: Path, tmp_path: Path, alignment: Alignment
) -> None:
    """Two teachers, one of them of another alignment, and losses of each kind."""
    other = in_another_alignment(tmp_path, alignment)
    run = replace(
        config,
        teachers=(
            TeacherConfig(weights=other, weight=2.0),
            TeacherConfig(weights=teacher, targets=Targets.VIEWS),
        ),
        losses=tuple(
            LossConfig(name=name, taps=("only",) if name is LossName.FEATURES else ())
            for name in LossName
            if name.needs_teacher
        ),
        batch=replace(config.batch, steps=1),
        epochs=2,
    )
    result = train(run)
    assert set(result.epochs[0].losses) == {"distill", "relational", "features", "softened"}
    assert all(math.isfinite(value) for value in result.epochs[1].losses.values())
    kept = read_tensors(config.out / "teacher-targets.safetensors").tensors["targets"]
    assert kept.shape == (28, 2, 16)
    assert "taught by" in read_metadata(result.weights)["training_data"]
    # The same command goes on, and asks the teacher nothing anew.
    again = train(replace(run, epochs=2))
    assert again.epochs == result.epochs


def test_teachers_are_one_or_several(config: TrainingConfig, teacher: Path) -> None:
    several = (TeacherConfig(weights=teacher), TeacherConfig(weights=teacher))
    distill = (LossConfig(name=LossName.DISTILL),)
    with pytest.raises(ArgumentError, match="give either"):
        replace(config, teacher=teacher, teachers=several, losses=distill)
    with pytest.raises(ArgumentError, match="of several, each has its own"):
        replace(config, teachers=several, targets=Targets.VIEWS, losses=distill)
    with pytest.raises(ArgumentError, match="needs a teacher"):
        replace(config, losses=distill)
    mixed = (several[0], replace(several[1], targets=Targets.VIEWS))
    with pytest.raises(ArgumentError, match="all see photographs, or all see views"):
        replace(config, teachers=mixed, losses=distill, mixup=MixupConfig(where=MixupPlace.INPUT))


def test_a_teacher_that_knows_no_faces_is_refused(tmp_path: Path) -> None:
    network = create("tiny", embedding_size=16, seed=3)
    path = tmp_path / "teacher.safetensors"
    metadata = weights_metadata(network.spec) | {"alignment": "none"}
    write_tensors(path, network.state_dict(), metadata)
    with pytest.raises(WeightsError, match="not trained on faces"):
        load_teacher(path, torch.device("cpu"))
