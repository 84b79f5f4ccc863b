"""Many painted pictures, each beside its own photograph and styles."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL.Image import Image
from torch import Tensor

from data.errors import AppError
from data.images import load_image, to_image, to_tensor
from data.plotting import COLOURS, new_figure

from ..color import Palette, luminance
from ..config import ColorMethod, Colors, StyleConfig
from ..results import Resemblance
from ..scales import resize, size_of
from .judge import Case, Judge, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FaceJudge = Callable[[Image, Image], Sequence[Resemblance]]
"""What became of each face: the photograph at the picture's size, the picture → one a face."""

_GREY = (
    ColorMethod.LUMINANCE,
    ColorMethod.LAB,
)  # whose colours are the photograph's pixel by pixel


@dataclass(frozen=True, slots=True, kw_only=True)
class Painting:
    """A painted picture and what it was painted from.

    Attributes:
        picture: Its file.
        content: The photograph's file.
        styles: The style pictures' files, one at least.
        config: How it was painted. Size and mix of the styles and whose colours were kept count;
            the rest does not.
    """

    picture: Path
    content: Path
    styles: tuple[Path, ...]
    config: StyleConfig = field(default_factory=StyleConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One painting and what was found.

    Attributes:
        painting: The painting.
        verdict: The judge's; None where the picture could not be judged.
        faces: What became of each face of the photograph; empty where there is none, and None
            where nobody looked.
        error: Why there is no verdict, in one line; else None.
    """

    painting: Painting
    verdict: Verdict | None = None
    faces: tuple[Resemblance, ...] | None = None
    error: str | None = None

    @property
    def faces_kept(self) -> int:
        """How many faces are still the same person's."""
        return sum(face.same_person for face in self.faces or ())

    def to_json(self) -> dict[str, object]:
        """Everything as JSON's own types; what is not known is left out."""
        told: dict[str, object] = {
            "picture": str(self.painting.picture),
            "content": str(self.painting.content),
            "styles": list(map(str, self.painting.styles)),
        }
        if self.verdict is not None:
            told |= self.verdict.to_json()
        if self.faces is not None:
            told["faces"] = [
                {
                    "same_person": face.same_person,
                    "cosine_similarity": face.similarity,
                    "threshold": face.threshold,
                }
                for face in self.faces
            ]
        return told if self.error is None else told | {"error": self.error}


def judge_paintings(
    paintings: Sequence[Painting],
    judge: Judge,
    *,
    faces: FaceJudge | None = None,
    device: torch.device | None = None,
) -> Iterator[Judged]:
    """Judge paintings one after another, in their order.

    Args:
        paintings: Neighbours of one photograph and style are judged faster.
        judge: A network that none of them was painted with.
        faces: Who recognises faces; None: nobody looks.
        device: Where the judge's network is; None for the CPU.

    Yields:
        One result a painting. A picture that cannot be read, or does not suit its photograph, has
        an error, and the rest is judged all the same.
    """
    bench = _Bench(judge, device or torch.device("cpu"))
    for painting in paintings:
        try:
            yield bench.judged(painting, faces)
        except AppError as error:
            yield Judged(painting=painting, error=str(error))


def summary(judged: Sequence[Judged]) -> Mapping[str, float | None]:
    """Means over the pictures that could be judged, and the share of faces kept.

    Returns:
        The numbers of `Verdict` by name, and "faces_kept", 0 to 1; None where there is nothing to
        take a mean of.
    """
    verdicts = [each.verdict.to_json() for each in judged if each.verdict is not None]
    faces = sum(len(each.faces or ()) for each in judged)
    kept = sum(each.faces_kept for each in judged)
    means = {
        name: sum(verdict[name] for verdict in verdicts) / len(verdicts) if verdicts else None
        for name in Verdict.__slots__
    }
    return means | {"faces_kept": kept / faces if faces else None}


class _Bench:
    """A judge with the case at hand, which the next painting often shares."""

    def __init__(self, judge: Judge, device: torch.device) -> None:
        self._judge = judge
        self._device = device
        self._key: object = None
        self._case: Case | None = None

    def judged(self, painting: Painting, faces: FaceJudge | None) -> Judged:
        """Judge one painting.

        Raises:
            AppError: A picture cannot be read, or does not suit the others.
        """
        picture = self._read(painting.picture)
        case = self._case_of(painting, max(size_of(picture)))
        verdict = case(_grey(picture) if _in_grey(painting.config) else picture)
        found = None
        if faces is not None:
            photograph = resize(self._read(painting.content), size_of(picture))
            found = tuple(faces(to_image(photograph), to_image(picture)))
        return Judged(painting=painting, verdict=verdict, faces=found)

    def _case_of(self, painting: Painting, size: int) -> Case:
        """The case of a painting of this longer side, px."""
        config = painting.config
        colours = config.color_method if config.colors is Colors.CONTENT else None
        scale, mix = config.style_scale, config.style_mix
        key = (painting.content, painting.styles, size, scale, mix, colours)
        if self._case is None or self._key != key:
            content = self._read(painting.content)
            palette = Palette(content, config)
            styles = [palette.style(self._read(style)) for style in painting.styles]
            if _in_grey(config):
                content, styles = _grey(content), [_grey(style) for style in styles]
            self._case = self._judge.case(content, styles, size=size, style_scale=scale, mix=mix)
            self._key = key
        return self._case

    def _read(self, path: Path) -> Tensor:
        """A picture (1, 3, H, W) in [0, 1] on the device."""
        return to_tensor(load_image(path)).unsqueeze(0).to(self._device)


def _in_grey(config: StyleConfig) -> bool:
    """Whether a picture's manner is in its lightness alone: its colours are the photograph's."""
    return config.colors is Colors.CONTENT and config.color_method in _GREY


def _grey(picture: Tensor) -> Tensor:
    """A picture (1, 3, H, W) without its colours."""
    return luminance(picture).expand_as(picture)


# Verdicts drawn: how near to the style, how near to the photograph.


_MARKERS = "osD^vP*X"
_MOST_NAMES = 30  # beyond it names only hide the dots
_LONGEST = 28  # characters of a name


def verdicts_figure(judged: Sequence[Judged], names: Sequence[str]) -> "Figure":
    """Return style distance over content distance, a dot a picture.

    Pictures of one photograph have one colour and one shape. The untouched photograph lies at
    (0, 1); nearer to the corner is better in both.

    Args:
        judged: Those without a verdict are left out.
        names: What each of them is called.
    """
    figure, (axes,) = new_figure()
    shown = [
        (each.painting.content, each.verdict, name)
        for each, name in zip(judged, names, strict=True)
        if each.verdict is not None
    ]
    contents = list(dict.fromkeys(content for content, *_ in shown))
    for number, content in enumerate(contents):
        dots = [
            (verdict.content_distance, verdict.style_distance)
            for one, verdict, _ in shown
            if one == content
        ]
        axes.scatter(
            *zip(*dots, strict=True),
            color=COLOURS[number % len(COLOURS)],
            marker=_MARKERS[number % len(_MARKERS)],
            label=content.stem,
        )
    places = [(verdict.content_distance, verdict.style_distance) for _, verdict, _ in shown]
    right = 1.15 * max((x for x, _ in places), default=1.0) or 1.0
    if len(shown) <= _MOST_NAMES:
        for place, (*_, name) in zip(places, shown, strict=True):
            left = place[0] < right / 2
            label = axes.annotate(
                name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…",
                place,
                (6 if left else -6, 0),
                textcoords="offset points",
                ha="left" if left else "right",
                va="center",
                fontsize="x-small",
            )
            label.set_in_layout(False)  # a long name must not squeeze the axes
    axes.axhline(1, color="0.5", linestyle="--", linewidth=1)
    axes.set_xlim(0, right)
    axes.set_ylim(0, 1.1 * max((y for _, y in places), default=1.0) or 1.1)
    axes.set_xlabel("content distance: 0 is the photograph")
    axes.set_ylabel("style distance: 0 is the style, 1 untouched")
    axes.set_title("Painted pictures, judged")
    axes.grid(visible=True, alpha=0.25)
    axes.set_axisbelow(True)
    if len(contents) > 1:
        axes.legend(fontsize="small")
    return figure
