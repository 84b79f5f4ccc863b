"""A picture in tiles whose places, taken together, are those of the whole picture.

Each tile is looked at with so much of its surroundings that the places it owns come out as in the
whole picture. Crops begin at multiples of the deepest stride, so that pooling halves the same
pairs; at the picture's own borders they end as the picture does, so that what the network does
there (continuing, padding, dropping an odd row) is done there and nowhere else. Every place of
every tap is owned by one tile.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor

from data.errors import ArgumentError

from .views import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One tile along one side of the picture; pixels, ends excluded.

    Attributes:
        start, stop: What is looked at.
        first, last: What is owned.
        is_last: Whether no tile follows, so that all further places are owned too.
    """

    start: int
    stop: int
    first: int
    last: int
    is_last: bool

    def places(self, stride: int) -> slice:
        """Its own places in the whole map of a tap of this stride."""
        return slice(self.first // stride, None if self.is_last else self.last // stride)

    def own(self, stride: int) -> slice:
        """Its own places in the map of the crop."""
        skipped = self.start // stride
        places = self.places(stride)
        return slice(places.start - skipped, None if places.stop is None else places.stop - skipped)


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the picture.

    Attributes:
        rows: Downwards.
        columns: Across.
    """

    rows: Span
    columns: Span

    @property
    def pixels(self) -> int:
        """How many are looked at."""
        height, width = self.rows.stop - self.rows.start, self.columns.stop - self.columns.start
        return height * width

    def crop(self, picture: Tensor) -> Tensor:
        """The part of a picture (..., H, W) that is looked at; a view of its memory."""
        rows, columns = self.rows, self.columns
        return picture[..., rows.start : rows.stop, columns.start : columns.stop]

    def own(self, features: Tensor, stride: int) -> Tensor:
        """What a tap's map of the crop (..., h, w) has in the tile's own places."""
        return features[..., self.rows.own(stride), self.columns.own(stride)]

    def of(self, features: Tensor, stride: int) -> Tensor:
        """What a map of the whole picture (..., H', W') has in the tile's own places."""
        return features[..., self.rows.places(stride), self.columns.places(stride)]


@dataclass(frozen=True, slots=True)
class Overlap:
    """By how much tiles are looked at beyond what they own, px: multiples of the stride.

    Attributes:
        before: Above, and to the left.
        after: Below, and to the right.
        stride: Of the deepest tap.
    """

    before: int
    after: int
    stride: int

    @classmethod
    def of(cls, views: Iterable[View], stride: int) -> "Overlap":
        """What taps of these views need; `stride` is a multiple of each of theirs."""
        views = tuple(views)
        before = max(view.before for view in views)
        after = max(view.after + 1 - view.stride for view in views)
        # A pixel after it at least, with which the total variation compares the last one.
        return cls(_up(max(0, before), stride), _up(max(1, after), stride), stride)

    @property
    def least_tile(self) -> int:
        """The side of the smallest tile, px: it owns one stride."""
        return self.before + self.stride + self.after

    def tiles(self, size: tuple[int, int], side: int) -> list[Tile]:
        """Cut a picture up, row by row.

        Args:
            size: (H, W) of the picture, px.
            side: Longest side of what is looked at, px.

        Raises:
            ArgumentError: `side` is below `least_tile`, and the picture is larger.
        """
        rows, columns = (self.spans(length, side) for length in size)
        return [Tile(down, across) for down in rows for across in columns]

    def spans(self, length: int, side: int) -> list[Span]:
        """Cut one side of a picture up into nearly equal parts; see `tiles`."""
        if length <= side:
            return [Span(start=0, stop=length, first=0, last=length, is_last=True)]
        if side < self.least_tile:
            raise ArgumentError(
                f"tiles of {side} px are too small for this network: expected {self.least_tile} px "
                "at least"
            )
        most = (side - self.before - self.after) // self.stride * self.stride
        count = -(-length // most)
        own = _up(-(-length // count), self.stride)
        cuts = [*range(0, length, own), length]
        return [
            Span(
                start=max(0, first - self.before),
                stop=min(length, _up(last, self.stride) + self.after),
                first=first,
                last=last,
                is_last=last == length,
            )
            for first, last in pairwise(cuts)
        ]


def _up(length: int, stride: int) -> int:
    """The next multiple of the stride."""
    return -(-length // stride) * stride
