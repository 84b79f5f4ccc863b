"""Many pictures: each by its own photograph, style and colours; a bad one stops nobody."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from data.images import save_image, to_image
from style.color import match_luminance, with_chroma
from style.config import ColorMethod, Colors, StyleConfig
from style.evaluation.judge import Judge
from style.evaluation.paintings import (
    FaceJudge,
    Judged,
    Painting,
    judge_paintings,
    summary,
    verdicts_figure,
)
from style.objective import StyleNetwork
from style.results import Resemblance

Make = Callable[..., Tensor]


@pytest.fixture
def judge(network: StyleNetwork) -> Judge:
    return Judge(
        network.extract,
        content_taps=tuple(network.content_taps),
        style_taps=tuple(network.style_taps),
        stride=network.stride,
    )


@pytest.fixture
def painting(tmp_path: Path, picture: Make) -> Painting:
    """A photograph, a style, and a picture that is the photograph still."""
    for name, seed in (("content", 0), ("style", 1), ("other", 2)):
        save_image(to_image(picture(seed)), tmp_path / f"{name}.png")
    return Painting(
        picture=tmp_path / "content.png",
        content=tmp_path / "content.png",
        styles=(tmp_path / "style.png",),
    )


def _one(judged: Iterator[Judged]) -> Judged:
    (only,) = judged
    return only


def test_a_bad_picture_is_listed_and_the_rest_judged(
    painting: Painting, judge: Judge, tmp_path: Path
) -> None:
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n")
    bad = replace(painting, picture=tmp_path / "torn.png")
    missing = replace(painting, styles=(tmp_path / "none.png",))
    first, second, third = judge_paintings([bad, missing, painting], judge)
    assert first.verdict is None
    assert first.error is not None
    assert "torn.png" in first.error
    assert second.error is not None
    assert "none.png" in second.error
    assert third.error is None
    assert third.verdict is not None
    assert third.verdict.style_distance == pytest.approx(1)
    assert "error" in first.to_json()
    assert "style_distance" not in first.to_json()


def test_neighbours_of_one_photograph_share_what_is_seen_of_it(
    painting: Painting, judge: Judge, seen: list[tuple[int, int]]
) -> None:
    list(judge_paintings([painting] * 3, judge))
    assert len(seen) == 2 + 3  # photograph and style once, each picture


@pytest.mark.parametrize("method", list(ColorMethod))
def test_the_photograph_is_untouched_whichever_colours_were_kept(
    painting: Painting, judge: Judge, method: ColorMethod
) -> None:
    config = StyleConfig(colors=Colors.CONTENT, color_method=method)
    verdict = _one(judge_paintings([replace(painting, config=config)], judge)).verdict
    assert verdict is not None
    assert verdict.style_distance == pytest.approx(1)
    assert verdict.content_distance == 0


def test_a_picture_that_kept_its_colours_is_not_blamed_for_them(
    painting: Painting, judge: Judge, tmp_path: Path, picture: Make
) -> None:
    content = picture(0)
    grain = torch.rand(1, 3, 72, 96, generator=torch.Generator().manual_seed(3))
    strokes = match_luminance(grain, content[0].flatten(1).T)
    for name, image in (("grain", grain), ("tinted", with_chroma(strokes, content))):
        save_image(to_image(image), tmp_path / f"{name}.png")
    tried = replace(painting, picture=tmp_path / "tinted.png", styles=(tmp_path / "grain.png",))
    kept = StyleConfig(colors=Colors.CONTENT, color_method=ColorMethod.LUMINANCE)
    plain, fair = judge_paintings([tried, replace(tried, config=kept)], judge)
    assert plain.verdict is not None
    assert fair.verdict is not None
    assert fair.verdict.style_distance < 0.01
    assert plain.verdict.style_distance > 0.1


def test_faces_are_looked_at_in_the_size_of_the_picture(
    painting: Painting, judge: Judge, tmp_path: Path, picture: Make
) -> None:
    save_image(to_image(picture(2, 36, 48)), tmp_path / "small.png")
    sizes = []

    def faces(photograph: Image.Image, painted: Image.Image) -> list[Resemblance]:
        sizes.append((photograph.size, painted.size))
        return [
            Resemblance(similarity=0.6, threshold=0.4),
            Resemblance(similarity=None, threshold=0.4),
        ]

    small = replace(painting, picture=tmp_path / "small.png")
    judged = _one(judge_paintings([small], judge, faces=faces))
    assert sizes == [((48, 36), (48, 36))]
    assert judged.faces_kept == 1
    assert judged.to_json()["faces"] == [
        {"same_person": True, "cosine_similarity": 0.6, "threshold": 0.4},
        {"same_person": False, "cosine_similarity": None, "threshold": 0.4},
    ]
    assert summary([judged])["faces_kept"] == 0.5


def test_a_summary_is_the_means_of_what_could_be_judged(painting: Painting, judge: Judge) -> None:
    nobody: FaceJudge = lambda photograph, painted: []  # noqa: E731
    tried = [painting, replace(painting, picture=painting.styles[0])]
    judged = list(judge_paintings(tried, judge, faces=nobody))
    means = summary([*judged, Judged(painting=painting, error="torn")])
    assert means["style_distance"] == pytest.approx(0.5)  # one untouched, one the style
    assert means["faces_kept"] is None
    assert set(summary([]).values()) == {None}


def test_the_figure_has_a_dot_for_each_picture_that_was_judged(
    painting: Painting, judge: Judge
) -> None:
    other = replace(painting, picture=painting.styles[0], content=painting.styles[0])
    judged = list(judge_paintings([painting, painting, other], judge))
    torn = Judged(painting=painting, error="torn")
    figure = verdicts_figure([*judged, torn], ["a", "b", "c" * 99, "d"])
    (axes,) = figure.axes
    dots = [len(each.get_offsets()) for each in axes.collections]  # type: ignore[arg-type]
    assert dots == [2, 1]
    texts = [text.get_text() for text in axes.texts]
    assert texts[:2] == ["a", "b"]
    assert texts[2].endswith("c…")
    assert verdicts_figure([torn], ["d"]).axes
