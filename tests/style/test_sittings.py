"""Sittings go on until everybody is recognised or patience ends, and hold whom they must."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import pytest
import torch
from PIL import Image

from style.config import InitialImage, StyleConfig
from style.portraits import Care, Portrait
from style.results import PaintingProgress, Resemblance
from style.service import Terms, sit

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
        self.asked: list[tuple[StyleConfig, Care, Image.Image | None]] = []
        self.judged: list[Image.Image] = []
        self.closed = 0
        self.portrait = Portrait(
            size=(48, 64), faces=FACES, embed=lambda _: torch.eye(2, 8), judge=self._judge
        )

    def _judge(self, picture: Image.Image) -> list[Resemblance]:
        self.judged.append(picture)
        return [_found(each) for each in next(self.verdicts)]

    def paint(
        self, config: StyleConfig, care: Care, initial: Image.Image | None
    ) -> Generator[PaintingProgress, None, None]:
        self.asked.append((config, care, initial))
        return self._steps(config)

    def _steps(self, config: StyleConfig) -> Generator[PaintingProgress, None, None]:
        try:
            for step in range(1, config.steps + 1):
                picture = Image.new("RGB", (64, 48))
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
