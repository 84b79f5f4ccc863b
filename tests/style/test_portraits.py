"""Faces are held softly and by what tells them apart, and nothing else is."""

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL.Image import Image, new
from torch import Tensor

from data.images import to_tensor
from style.color import luminance
from style.config import Colors, InitialImage, StyleConfig
from style.objective import StyleNetwork, StyleObjective
from style.portraits import (
    Care,
    Landmarks,
    Penalised,
    Penalty,
    Portrait,
    care_for,
    face_mask,
    gentler,
)
from style.regions import Area, photograph_stays
from style.results import PaintingProgress, Resemblance
from style.service import Terms, sit
from style.stylize import stylize

_FRONT = ((38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2))


def _face(x: float, y: float, scale: float = 1.0, degrees: float = 0.0) -> Landmarks:
    """A face seen from the front, turned about its middle, which lies at (x, y)."""
    turn, middle = math.radians(degrees), (56.0, 65.0)
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    placed = [(px - middle[0], py - middle[1]) for px, py in _FRONT]
    return [(x + cos * px - sin * py, y + sin * px + cos * py) for px, py in placed]


def _colours(picture: Tensor) -> Tensor:
    """(2, 3): the direction of the mean colour of the left and of the right half."""
    halves = torch.stack([half.mean(dim=(0, 2, 3)) for half in picture.chunk(2, dim=3)])
    return torch.nn.functional.normalize(halves)


def _nobody(_: Image) -> Sequence[Resemblance]:
    raise AssertionError("nothing is judged here")


def _portrait(height: int = 72, width: int = 96) -> Portrait:
    """Two faces of different sizes."""
    faces = [_face(25, 36, 0.4), _face(75, 36, 0.2)]
    return Portrait(size=(height, width), faces=faces, embed=_colours, judge=_nobody)


def test_the_ellipse_holds_the_face_from_hairline_to_chin() -> None:
    mask = face_mask(_face(100, 100), (200, 200))[0, 0]
    assert mask.shape == (200, 200)
    x, y = 100 - 56, 100 - 65  # of the template's corner
    inside = [(56, 30), (56, 100), (24, 65), (88, 65), *((round(a), round(b)) for a, b in _FRONT)]
    assert all(mask[y + v, x + u] == 1 for u, v in inside)
    assert mask[y + 132, x + 56] == 0
    assert mask[100, 20] == 0
    assert ((mask >= 0) & (mask <= 1)).all()
    steps = (mask[:, 1:] - mask[:, :-1]).abs()
    assert steps.max() < 0.15  # no line where it ends


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_head_has_a_turned_ellipse(degrees: int) -> None:
    upright = face_mask(_face(60, 60, 0.7), (120, 120))
    turned = face_mask(_face(60, 60, 0.7, degrees), (120, 120))
    torch.testing.assert_close(turned, upright.rot90(-degrees // 90, (2, 3)), atol=1e-3, rtol=0)


def test_a_face_at_the_border_is_held_as_far_as_it_is_seen() -> None:
    whole = face_mask(_face(60, 60), (120, 120))
    cut = face_mask(_face(10, 60), (120, 120))
    torch.testing.assert_close(cut[..., :70], whole[..., 50:], atol=1e-4, rtol=0)


def test_who_looks_aside_or_down_is_held_as_wide() -> None:
    area = float(face_mask(_face(60, 60, 0.8), (120, 120)).sum())
    front = _face(60, 60, 0.8)
    aside = [(60 + (x - 60) * 0.4, y) for x, y in front]
    down = [(x, 60 + (y - 60) * 0.6) for x, y in front]
    for face in (aside, down):
        assert float(face_mask(face, (120, 120)).sum()) == pytest.approx(area, rel=0.15)
    dot = [(60.0, 60.0)] * 5
    assert torch.isfinite(face_mask(dot, (120, 120))).all()


@given(seed=st.integers(0, 50), strength=st.floats(0, 1), other=st.floats(0, 1))
def test_each_place_is_asked_for_less_of_the_same(seed: int, strength: float, other: float) -> None:
    source = torch.Generator().manual_seed(seed)
    share, relief = (torch.rand(1, 1, 6, 8, generator=source) for _ in range(2))
    stays = torch.zeros_like(share)
    stays[..., :2] = share[..., :2]
    style = (torch.zeros(1, 3, 4, 4),)
    areas = [
        Area(styles=style, strength=strength, share=1 - share),
        Area(styles=style, strength=other, share=share - stays),
        Area(styles=(), share=stays),
    ]
    held = gentler(areas, relief)
    torch.testing.assert_close(sum(area.share for area in held), torch.ones_like(share))  # type: ignore[arg-type,misc]
    torch.testing.assert_close(photograph_stays(held), stays)

    def asked(areas: Sequence[Area]) -> Tensor:
        painted = [area for area in areas if area.styles and area.share is not None]
        return torch.stack([area.share * area.strength for area in painted]).sum(0)  # type: ignore[operator]

    torch.testing.assert_close(asked(held), asked(areas) * (1 - relief))


def test_nothing_is_taken_where_there_is_nothing_to_take() -> None:
    style = (torch.zeros(1, 3, 4, 4),)
    whole = Area(styles=style, strength=0.7)
    assert gentler([whole], torch.zeros(1, 1, 6, 8)) == [whole]
    right = torch.zeros(1, 1, 6, 8)
    right[..., 4:] = 1
    areas = [Area(styles=style, share=1 - right), Area(styles=(), share=right)]
    assert gentler(areas, right) == areas  # the face is in a region that stays a photograph


def test_the_penalty_is_zero_at_the_content_and_a_face_counts_by_its_area(
    picture: Callable[..., Tensor],
) -> None:
    portrait, content = _portrait(), picture(1)
    care = care_for(portrait, [2.0, 3.0], [0.5, 0.25])
    lost = care.penalty.of(content)
    assert lost(content).item() == pytest.approx(0, abs=1e-6)
    changed = picture(2)
    gaps = 1 - (_colours(changed) * _colours(content)).sum(1)
    areas = [float(face_mask(face, portrait.size).mean()) for face in portrait.faces]
    assert lost(changed).item() == pytest.approx(
        2 * areas[0] * gaps[0].item() + 3 * areas[1] * gaps[1].item(), rel=1e-4
    )
    assert areas[0] == pytest.approx(4 * areas[1], rel=0.05)


def test_each_face_has_its_own_relief() -> None:
    care = care_for(_portrait(), [1.0, 1.0], [0.5, 0.25])
    assert care.relief.shape == (1, 1, 72, 96)
    assert care.relief[0, 0, 36, 25] == 0.5
    assert care.relief[0, 0, 36, 75] == 0.25
    assert care.relief[0, 0, 0, 50] == 0


def test_the_penalty_joins_the_total(network: StyleNetwork, picture: Callable[..., Tensor]) -> None:
    content, image = picture(1), picture(2)
    areas = [Area(styles=(picture(3),))]
    objective = StyleObjective(network, content, areas, StyleConfig())
    penalty = Penalty(
        name="identity", weight=3.0, of=lambda seen: lambda it: (it - seen).abs().sum()
    )
    alone, both = objective(image), Penalised(objective, penalty, content)(image)
    expected = (image - content).abs().sum()
    torch.testing.assert_close(both["identity"], expected)
    torch.testing.assert_close(both["total"], alone["total"] + 3 * expected)
    torch.testing.assert_close(both["style"], alone["style"])
    hidden = Penalised(objective, penalty, content, torch.ones(1, 1, 72, 96))
    assert hidden(image)["identity"] == 0


def test_a_portrait_stays_nearer_to_its_photograph_where_it_is_held(
    network: StyleNetwork, picture: Callable[..., Tensor]
) -> None:
    content, style = picture(1), picture(2)
    config = StyleConfig(size=96, first_scale=48, steps=20, strength=0.9)
    care = care_for(_portrait(), [0.0, 0.0], [0.95, 0.95])
    free, held = (
        list(stylize(content, [style], config, network, care=each))[-1] for each in (None, care)
    )
    assert set(held.losses) == {*free.losses, "identity"}
    faces = care.relief[0, 0] > 0.9

    def way(image: Image | None) -> Tensor:
        assert image is not None
        return (to_tensor(image) - content[0]).square().mean(0)

    apart = [way(progress.image)[faces].mean() for progress in (free, held)]
    assert apart[1] < 0.7 * apart[0]


def test_the_identity_loss_pulls(network: StyleNetwork, picture: Callable[..., Tensor]) -> None:
    content, style = picture(1), picture(2).flip(1)
    config = StyleConfig(size=96, first_scale=96, steps=25, strength=0.9)
    losses = []
    for weight in (0.0, 100.0):
        care = care_for(_portrait(), [weight, weight], [0.0, 0.0])
        *_, last = stylize(content, [style], config, network, care=care)
        assert last.image is not None
        painted = to_tensor(last.image)[None]
        losses.append(1 - (_colours(painted) * _colours(content)).sum(1).mean())
    assert losses[1] < 0.5 * losses[0]


@pytest.mark.parametrize("colors", ["style", "content"])
def test_a_painting_may_go_on_from_a_picture(
    network: StyleNetwork, picture: Callable[..., Tensor], colors: Colors
) -> None:
    content, style, begin = picture(1), picture(2), picture(3)
    config = StyleConfig(size=96, first_scale=96, steps=1, colors=colors, initial_image="draft")
    *_, last = stylize(content, [style], config, network, initial=begin[0])
    assert last.image is not None
    gap = (luminance(to_tensor(last.image)[None]) - luminance(begin)).abs()
    assert gap.quantile(0.9) <= config.learning_rate + 1 / 255


CONFIG = StyleConfig(size=64, steps=10, keep_identity=True)
FACES = [
    [(20.0, 20.0), (28.0, 20.0), (24.0, 24.0), (21.0, 29.0), (27.0, 29.0)],
    [(44.0, 20.0), (52.0, 20.0), (48.0, 24.0), (45.0, 29.0), (51.0, 29.0)],
]


def _found(similarity: float | None) -> Resemblance:
    return Resemblance(similarity=similarity, threshold=0.4)


class _Studio:
    """Paints nothing, and remembers what it was asked for."""

    def __init__(self, *verdicts: Sequence[float | None]) -> None:
        self.verdicts: Iterator[Sequence[float | None]] = iter(verdicts)
        self.asked: list[tuple[StyleConfig, Care, Image | None]] = []
        self.judged: list[Image] = []
        self.closed = 0
        self.portrait = Portrait(
            size=(48, 64), faces=FACES, embed=lambda _: torch.eye(2, 8), judge=self._judge
        )

    def _judge(self, picture: Image) -> list[Resemblance]:
        self.judged.append(picture)
        return [_found(each) for each in next(self.verdicts)]

    def paint(
        self, config: StyleConfig, care: Care, initial: Image | None
    ) -> Generator[PaintingProgress, None, None]:
        self.asked.append((config, care, initial))
        return self._steps(config)

    def _steps(self, config: StyleConfig) -> Generator[PaintingProgress, None, None]:
        try:
            for step in range(1, config.steps + 1):
                picture = new("RGB", (64, 48))
                yield PaintingProgress(
                    step=step,
                    total=config.steps,
                    losses={"total": 1.0},
                    elapsed=0.0,
                    size=(48, 64),
                    image=picture if step == config.steps else None,
                    render_tensor=lambda: torch.zeros(1, 3, 48, 64),
                )
        finally:
            self.closed += 1


def _sit(studio: _Studio, **terms: float) -> list[PaintingProgress]:
    return list(sit(studio.portrait, CONFIG, studio.paint, Terms(**terms)))  # type: ignore[arg-type]


def test_one_sitting_is_enough_for_who_is_recognised() -> None:
    studio = _Studio([0.7, 0.4])
    done = _sit(studio)
    assert [progress.step for progress in done] == list(range(1, 11))
    assert {progress.total for progress in done} == {10}
    assert [progress.faces for progress in done[:-1]] == [()] * 9
    assert done[-1].faces == (_found(0.7), _found(0.4))
    assert all(face.same_person for face in done[-1].faces)
    [(config, _, initial)] = studio.asked
    assert config == CONFIG
    assert initial is None
    assert studio.judged == [done[-1].image]


def test_a_later_sitting_goes_on_from_the_picture_and_holds_whoever_failed() -> None:
    studio = _Studio([0.7, 0.3], [0.6, 0.5])
    done = _sit(studio, weight=2, relief=0.5, raised=3, lowered=0.6, steps=0.4)
    assert [progress.step for progress in done] == list(range(1, 15))
    assert [progress.total for progress in done] == [10] * 9 + [14] * 5
    assert done[9].faces == done[12].faces == (_found(0.7), _found(0.3))
    assert done[-1].faces == (_found(0.6), _found(0.5))
    elapsed = [progress.elapsed for progress in done]
    assert elapsed == sorted(elapsed)
    (_, first, _), (config, second, initial) = studio.asked
    assert config == replace(CONFIG, steps=4, first_scale=64, initial_image=InitialImage.DRAFT)
    assert initial is studio.judged[0]
    at = [(first.relief[0, 0, 24, x].item(), second.relief[0, 0, 24, x].item()) for x in (24, 48)]
    assert at[0] == (0.5, 0.5)
    assert at[1] == (0.5, pytest.approx(1 - 0.5 * 0.6))
    content, other = torch.zeros(1, 3, 48, 64), torch.ones(1, 3, 48, 64)
    turned = iter([torch.eye(2, 8), -torch.eye(2, 8)] * 2)
    object.__setattr__(studio.portrait, "embed", lambda _: next(turned))
    lost = [care.penalty.of(content)(other).item() for care in (first, second)]
    assert lost[1] == pytest.approx(
        2 * lost[0]
    )  # one of two equal faces counts three times as much


def test_patience_ends_and_says_what_was_found() -> None:
    studio = _Studio(*[[0.7, None]] * 3)
    done = _sit(studio, more=2, steps=0.1)
    assert done[-1].step == done[-1].total == 12
    assert done[-1].faces == (_found(0.7), _found(None))
    assert not done[-1].faces[1].same_person
    assert len(studio.asked) == 3


def test_stopping_stops_the_painting_within() -> None:
    studio = _Studio([0.1, 0.1], [0.9, 0.9])
    sittings = sit(studio.portrait, CONFIG, studio.paint)
    for progress in sittings:
        if progress.step == 11:
            break
    sittings.close()
    assert studio.closed == 2
    assert progress.step < progress.total == 12
    assert progress.render().size == (64, 48)


def test_what_painting_refuses_is_refused_at_once() -> None:
    def refuse(*_: object) -> Generator[PaintingProgress, None, None]:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        sit(_Studio().portrait, CONFIG, refuse)
