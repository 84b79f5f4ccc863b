"""YOLO, versions 1 to 4: one look, and each cell of a grid tells of the faces centred in it.

v1 (Redmon et al. 2016): two boxes a cell, of which the better one answers for a face; squared
errors, of sides by their roots. v2 (2017): anchor boxes from clusters of the faces' sides, a centre
that cannot leave its cell, finer features passed through, another size of picture at each step. v3
(2018): residual blocks, three maps, a logistic score. v4 (Bochkovskiy et al. 2020), and v5's ideas:
CSP blocks, SiLU, four pictures in one, complete IoU as the loss of boxes, several anchors and cells
for a face.

Where all depart from the papers: the networks are small; the coarse grid has 16 pixels between two
cells and not 32 or 64, as most faces here are smaller than that; there is one class, whose
probability the score of a box already is; and v1 ends in convolutions, so that a photograph of any
size can be searched.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou, complete_box_iou_loss

from ..detections import Detections
from ..detector import FaceDetector
from ..training.objective import changed
from .config import Anchors, BoxLoss, DetectorMethod, Scales, YoloConfig
from .family_detector import FamilyDetector
from .method import FaceTargets, MosaicBatch, Pictures, SearchOptions, faces_of_cells, visible

STEP = 32
REFERENCE = 288.0
"""The side in pixels that v1 measures boxes in, where the papers take the picture's own."""

_CLUSTERED = 480  # so many mosaics, the first ones, give the sides that are clustered
_SIDES = (224, 256, 288, 320)  # of pictures, where each step has another
_WIDTHS = (32, 64, 128, 192)  # at strides 4, 8, 16, 32
_NECK = 64
_RARE = -4.0  # the logit of a face that every cell begins with


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloDesign:
    """What makes a version.

    Attributes:
        version: 1 … 4.
        strides: Pixels between two cells of each map.
        boxes: Of a cell; with anchors as many of these on each map.
        blocks: `plain`, `residual` or `csp`.
        silu: Whether units end in SiLU; else in a leaky ReLU.
        clustered: Whether anchors are clusters of the faces' sides; else by hand.
        passed: Whether finer features are passed through to the coarse map.
        multi_scale: Whether each step has another size of picture.
        mosaic: Whether four pictures are put together in each.
        logistic: Whether the score is learnt as a probability; else as the overlap, by squares.
        ciou: Whether boxes are learnt by complete IoU; else by squared errors.
        several: Whether a face belongs to every anchor of about its shape, and to the nearest
            neighbours of its cell; else to one anchor of one cell.
    """

    version: int
    strides: tuple[int, ...]
    boxes: int
    blocks: str
    silu: bool = False
    clustered: bool = True
    passed: bool = False
    multi_scale: bool = False
    mosaic: bool = False
    logistic: bool = False
    ciou: bool = False
    several: bool = False


_ONE, _THREE = (16,), (8, 16, 32)
_DESIGNS = {
    1: YoloDesign(version=1, strides=_ONE, boxes=2, blocks="plain"),
    2: YoloDesign(version=2, strides=_ONE, boxes=5, blocks="plain", passed=True, multi_scale=True),
    3: YoloDesign(version=3, strides=_THREE, boxes=3, blocks="residual", logistic=True),
    4: YoloDesign(
        version=4,
        strides=_THREE,
        boxes=3,
        blocks="csp",
        silu=True,
        mosaic=True,
        logistic=True,
        ciou=True,
        several=True,
    ),
}


def design_of(version: int, ideas: YoloConfig) -> YoloDesign:
    """A version with single ideas put in or taken away."""
    design = _DESIGNS[version]
    if ideas.anchors is not None:
        design = replace(design, clustered=ideas.anchors == Anchors.CLUSTERS)
    if ideas.scales is not None:
        three = ideas.scales == Scales.THREE
        strides, anchors = (_THREE, 3) if three else (_ONE, 5)
        design = replace(design, strides=strides, boxes=anchors)
    if ideas.box_loss is not None:
        design = replace(design, ciou=ideas.box_loss == BoxLoss.CIOU)
    if ideas.mosaic is not None:
        design = replace(design, mosaic=ideas.mosaic)
    if ideas.multi_scale is not None:
        design = replace(design, multi_scale=ideas.multi_scale)
    return design


# Anchor boxes.


def shape_overlaps(sides: Tensor, anchors: Tensor) -> Tensor:
    """Intersection over union of boxes about one centre: sides (N, 2) and (K, 2) give (N, K)."""
    shared = torch.minimum(sides[:, None], anchors).prod(2)
    return shared / (sides.prod(1)[:, None] + anchors.prod(1) - shared)


def anchors_by_hand(count: int) -> Tensor:
    """Squares (count, 2) of 12 to 160 pixels, each larger than the last by the same factor."""
    side = 12.0 * (160.0 / 12.0) ** (torch.arange(count) / max(1, count - 1))
    return side[:, None].repeat(1, 2)


def anchor_clusters(sides: Tensor, count: int, *, most_rounds: int = 100) -> Tensor:
    """Cluster widths and heights by k-means, where 1 - IoU is the distance (v2, section 2).

    Euclidean distances would give large boxes most of the clusters, as their errors are large.

    Args:
        sides: (N, 2) in pixels.
        count: K, of clusters.
        most_rounds: After which it ends at the latest.

    Returns:
        (K, 2), the smallest area first. Those by hand where there are fewer than K faces.
    """
    if len(sides) < count:
        return anchors_by_hand(count)
    order = sides[sides.prod(1).argsort(stable=True)]
    # It begins with the middles of K equal parts, by area: nothing is drawn at random.
    at = ((torch.arange(count) + 0.5) * len(sides) / count).long()
    anchors = order[at].clone()
    before: Tensor | None = None
    for _ in range(most_rounds):
        mine = shape_overlaps(sides, anchors).argmax(1)
        if before is not None and torch.equal(mine, before):
            break
        before = mine
        for cluster in range(count):
            if bool((mine == cluster).any()):
                anchors[cluster] = sides[mine == cluster].mean(0)
    return anchors[anchors.prod(1).argsort(stable=True)]


# The network.


class _Unit(nn.Sequential):
    """A convolution, a norm, an activation."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, silu: bool
    ) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.SiLU(inplace=True) if silu else nn.LeakyReLU(0.1, inplace=True),
        )


class _Bottleneck(nn.Module):
    """Half the channels and back (DarkNet); the input is added where the block is residual."""

    def __init__(self, channels: int, *, residual: bool, silu: bool) -> None:
        super().__init__()
        self.squeeze = _Unit(channels, channels // 2, 1, silu=silu)
        self.expand = _Unit(channels // 2, channels, 3, silu=silu)
        self._residual = residual

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.expand(self.squeeze(x))
        return x + y if self._residual else y


class _CrossStage(nn.Module):
    """CSP (Wang et al. 2020): half the channels pass by, half go through residual blocks."""

    def __init__(self, channels: int, depth: int, *, silu: bool) -> None:
        super().__init__()
        half = channels // 2
        self.beside = _Unit(channels, half, 1, silu=silu)
        self.into = _Unit(channels, half, 1, silu=silu)
        blocks = [_Bottleneck(half, residual=True, silu=silu) for _ in range(depth)]
        self.blocks = nn.Sequential(*blocks)
        self.join = _Unit(channels, channels, 1, silu=silu)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.join(torch.cat([self.beside(x), self.blocks(self.into(x))], 1))
        return y


class YoloNetwork(nn.Module):
    """From pixels to what each box of each cell says."""

    anchors: Tensor

    def __init__(self, design: YoloDesign) -> None:
        super().__init__()
        self.design = design
        silu = design.silu
        self.stem = _Unit(3, 16, 3, stride=2, silu=silu)
        deepest = (4, 8, 16, 32).index(design.strides[-1]) + 1
        self.stages = nn.ModuleList()
        inputs = 16
        for number, outputs in enumerate(_WIDTHS[:deepest]):
            depth = (1, 2, 2, 1)[number] if deepest == 4 else (1, 2, 3)[number]
            self.stages.append(
                nn.Sequential(
                    _Unit(inputs, outputs, 3, stride=2, silu=silu),
                    *_blocks(design.blocks, outputs, depth, silu=silu),
                )
            )
            inputs = outputs
        if design.passed:
            self.passing = _Unit(_WIDTHS[deepest - 2], 16, 1, silu=silu)
        self.necks, self.outputs = nn.ModuleList(), nn.ModuleList()
        for stride in design.strides:
            width = _WIDTHS[(4, 8, 16, 32).index(stride)]
            above = _NECK if stride != design.strides[-1] else 64 * design.passed
            self.necks.append(
                nn.Sequential(
                    _Unit(width + above, _NECK, 1, silu=silu), _Unit(_NECK, _NECK, 3, silu=silu)
                )
            )
            self.outputs.append(nn.Conv2d(_NECK, 5 * design.boxes, 1))
        # (maps, boxes, 2) in pixels; v1 has none, and what stands here is not looked at.
        by_hand = anchors_by_hand(len(design.strides) * design.boxes)
        self.register_buffer("anchors", by_hand.view(len(design.strides), design.boxes, 2))
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="leaky_relu")
        for output in self.outputs:
            assert isinstance(output, nn.Conv2d)
            assert output.bias is not None
            nn.init.normal_(output.weight, std=0.01)
            bias = torch.zeros(self.design.boxes, 5)
            if self.design.version == 1:
                bias[:, :2], bias[:, 2:4] = 0.5, torch.tensor([[0.25], [0.5]])
            else:
                bias[:, 4] = _RARE
            output.bias.data.copy_(bias.flatten())

    def forward(self, x: Tensor) -> "Predictions":
        """Look at pictures.

        Args:
            x: RGB (B, 3, H, W) in [0, 1]; H and W multiples of 32.
        """
        x = self.stem(x * 4 - 2)
        features = {}
        for stride, stage in zip((4, 8, 16, 32), self.stages, strict=False):
            x = stage(x)
            features[stride] = x
        values: list[Tensor] = []
        above: Tensor | None = None
        for level in reversed(range(len(self.design.strides))):
            here = features[self.design.strides[level]]
            if above is not None:
                here = torch.cat([here, F.interpolate(above, scale_factor=2.0)], 1)
            elif self.design.passed:
                # Each cell gets the four cells of twice the fineness that lie in it.
                finer = self.passing(features[self.design.strides[level] // 2])
                here = torch.cat([here, F.pixel_unshuffle(finer, 2)], 1)
            above = self.necks[level](here)
            said = self.outputs[level](above)  # (B, boxes * 5, h, w)
            values.append(said.unflatten(1, (self.design.boxes, 5)).permute(0, 3, 4, 1, 2))
        return Predictions(self, values[::-1])


def _blocks(kind: str, channels: int, depth: int, *, silu: bool) -> list[nn.Module]:
    if kind == "csp":
        return [_CrossStage(channels, depth, silu=silu)]
    return [_Bottleneck(channels, residual=kind == "residual", silu=silu) for _ in range(depth)]


class Predictions:
    """What the boxes of all cells of a batch say, as boxes in pixels.

    Attributes:
        values: (B, N, 5) as the network gives them.
        boxes: (B, N, 4) in pixels.
        logits: (B, N) of the score, or for v1 the score itself.
        cells: (N, 2) columns and rows of each one's cell.
        strides: (N,) pixels between two cells of its map.
        anchors: (N, 2) in pixels.
        starts: Where each map begins, and N.
        shapes: Rows and columns of each map.
    """

    def __init__(self, network: YoloNetwork, maps: Sequence[Tensor]) -> None:
        design = network.design
        self.values = torch.cat([each.flatten(1, 3) for each in maps], 1)
        self.shapes = [(each.shape[1], each.shape[2]) for each in maps]
        self.starts = [0]
        places, strides, anchors = [], [], []
        for (rows, columns), stride, theirs in zip(
            self.shapes, design.strides, network.anchors, strict=True
        ):
            ys, xs = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            cell = torch.stack([xs, ys], -1).view(-1, 1, 2).expand(-1, design.boxes, 2)
            places.append(cell.reshape(-1, 2))
            strides.append(torch.full((len(places[-1]),), float(stride)))
            anchors.append(theirs.expand(rows * columns, -1, 2).reshape(-1, 2))
            self.starts.append(self.starts[-1] + len(places[-1]))
        device = self.values.device
        self.cells, self.strides = torch.cat(places).to(device), torch.cat(strides).to(device)
        self.anchors = torch.cat(anchors)
        self.logits = self.values[..., 4]
        self.boxes = decode_boxes(
            design.version, self.values, self.cells, self.strides, self.anchors
        )

    def scores(self, version: int) -> Tensor:
        """(B, N) in 0 … 1."""
        return self.logits.clamp(0, 1) if version == 1 else self.logits.sigmoid()


def decode_boxes(
    version: int, values: Tensor, places: Tensor, strides: Tensor, anchors: Tensor
) -> Tensor:
    """Boxes in pixels from what they say.

    Args:
        version: 1: a centre in cells and the roots of the sides. 2 and 3: a centre within its cell,
            and sides as multiples of the anchor's. 4: a centre up to half a cell outside, so that
            it can lie on the border, and sides of at most four times the anchor's.
        values: (..., N, 5).
        places: (N, 2) columns and rows.
        strides: (N,) in pixels.
        anchors: (N, 2) in pixels.

    Returns:
        (..., N, 4): x1, y1, x2, y2.
    """
    at, sides = values[..., :2], values[..., 2:4]
    if version == 1:
        sides = sides.square() * REFERENCE
    elif version in (2, 3):
        at, sides = at.sigmoid(), sides.clamp(-4, 4).exp() * anchors
    else:
        at, sides = 2 * at.sigmoid() - 0.5, (2 * sides.sigmoid()).square() * anchors
    centre = (places + at) * strides[:, None]
    return torch.cat([centre - sides / 2, centre + sides / 2], -1)


# Which box of which cell answers for which face.

_ALIKE = 0.4  # overlap of shapes from which on an anchor takes a face, where several may
_NEARLY = 0.6  # overlap with a face from which on a box that has none does not count as wrong


def responsible(predictions: Predictions, faces: Tensor, *, several: bool) -> tuple[Tensor, Tensor]:
    """Assign faces to boxes by their anchors: v2 to v4.

    A box answers for one face; the largest face that wants it gets it.

    Args:
        predictions: Of the batch; where boxes are, not what is said of them.
        faces: (F, 4) of one picture, in pixels.
        several: See `YoloDesign.several`.

    Returns:
        Indices of boxes (P,), ascending, and for each the face that is its own (P,).
    """
    owners: dict[int, int] = {}
    per_cell = (predictions.starts[1] - predictions.starts[0]) // (
        predictions.shapes[0][0] * predictions.shapes[0][1]
    )
    kinds = [(level, box) for level in range(len(predictions.shapes)) for box in range(per_cell)]
    anchors = torch.stack(
        [predictions.anchors[predictions.starts[level] + box] for level, box in kinds]
    )
    sides = faces[:, 2:] - faces[:, :2]
    overlaps = shape_overlaps(sides, anchors)
    for face in sides.prod(1).argsort(descending=True, stable=True).tolist():
        best = int(overlaps[face].argmax())
        wanted = [best]
        if several:
            wanted += [
                k for k, o in enumerate(overlaps[face].tolist()) if o >= _ALIKE and k != best
            ]
        centre = ((faces[face, :2] + faces[face, 2:]) / 2).tolist()
        for kind in wanted:
            level, box = kinds[kind]
            (rows, columns), start = predictions.shapes[level], predictions.starts[level]
            stride = float(predictions.strides[start])
            for column, row in _cells_of(centre, stride, several=several):
                if 0 <= column < columns and 0 <= row < rows:
                    owners.setdefault(start + (row * columns + column) * per_cell + box, face)
    chosen = sorted(owners)
    return (
        torch.tensor(chosen, dtype=torch.long),
        torch.tensor([owners[each] for each in chosen], dtype=torch.long),
    )


def _cells_of(centre: Sequence[float], stride: float, *, several: bool) -> list[tuple[int, int]]:
    """The cell (column, row) that holds a centre; and the nearest beside, and below or above."""
    x, y = centre[0] / stride, centre[1] / stride
    column, row = int(x // 1), int(y // 1)
    found = [(column, row)]
    if several:
        found.append((column + (1 if x - column >= 0.5 else -1), row))
        found.append((column, row + (1 if y - row >= 0.5 else -1)))
    return found


def responsible_by_overlap(
    predictions: Predictions, boxes: Tensor, faces: Tensor
) -> tuple[Tensor, Tensor]:
    """Assign faces to boxes as v1 does: of the cell's boxes the one that overlaps the face most.

    Args:
        predictions: Of the batch.
        boxes: (N, 4) of one picture, as they are predicted now.
        faces: (F, 4) of that picture. The largest whose centre a cell holds gets the cell.

    Returns:
        As `responsible`.
    """
    [(rows, columns)], stride = predictions.shapes, float(predictions.strides[0])
    per_cell = predictions.starts[1] // (rows * columns)
    owners: dict[int, int] = {}
    taken: set[int] = set()
    areas = (faces[:, 2:] - faces[:, :2]).prod(1)
    for face in areas.argsort(descending=True, stable=True).tolist():
        centre = ((faces[face, :2] + faces[face, 2:]) / 2).tolist()
        [(column, row)] = _cells_of(centre, stride, several=False)
        cell = row * columns + column
        if not (0 <= column < columns and 0 <= row < rows) or cell in taken:
            continue
        taken.add(cell)
        mine = boxes[cell * per_cell : (cell + 1) * per_cell]
        owners[cell * per_cell + int(box_iou(mine, faces[face][None])[:, 0].argmax())] = face
    chosen = sorted(owners)
    return (
        torch.tensor(chosen, dtype=torch.long),
        torch.tensor([owners[each] for each in chosen], dtype=torch.long),
    )


# How far the network is from that.

_COORDINATES, _NO_FACE = 5.0, 0.5  # v1's weights of boxes, and of scores where there is no face
_OBJECT = 5.0  # v2's weight of scores where there is one


def yolo_losses(
    design: YoloDesign, predictions: Predictions, faces: Sequence[FaceTargets]
) -> dict[str, Tensor]:
    """The losses of a batch.

    Args:
        design: Whose.
        predictions: What the network says.
        faces: Of each picture.

    Returns:
        `box`, `score` and `total`, their sum, each a face.
    """
    device = predictions.values.device
    box, score = predictions.values.new_zeros(()), predictions.values.new_zeros(())
    count = 0
    for number, theirs in enumerate(faces):
        there = theirs.boxes.to(device)
        predicted, logits = predictions.boxes[number], predictions.logits[number]
        with torch.no_grad():
            if design.version == 1:
                chosen, own = responsible_by_overlap(predictions, predicted, there)
            else:
                chosen, own = responsible(predictions, there, several=design.several)
            overlaps = box_iou(predicted, there)
            nearly = overlaps.amax(1) if len(there) else predicted.new_zeros(len(predicted))
        count += len(chosen)
        wanted = there[own]
        silent = torch.ones_like(logits, dtype=torch.bool)
        silent[chosen] = False
        if design.version > 1:
            silent &= nearly < _NEARLY
        found = overlaps[chosen, own]
        if design.version == 1:
            box = box + _COORDINATES * _root_errors(predictions, number, chosen, wanted)
            score = score + (logits[chosen] - found).square().sum()
            score = score + _NO_FACE * logits[silent].square().sum()
            continue
        if design.ciou:
            box = box + complete_box_iou_loss(predicted[chosen], wanted, reduction="sum")
        else:
            box = box + _side_errors(predictions, number, chosen, wanted)
        if design.logistic:
            ones, zeros = torch.ones_like(found), torch.zeros_like(logits[silent])
            score = score + F.binary_cross_entropy_with_logits(
                logits[chosen], ones, reduction="sum"
            )
            score = score + F.binary_cross_entropy_with_logits(
                logits[silent], zeros, reduction="sum"
            )
        else:
            score = score + _OBJECT * (logits[chosen].sigmoid() - found).square().sum()
            score = score + logits[silent].sigmoid().square().sum()
    parts = {"box": box / max(1, count), "score": score / max(1, count)}
    return parts | {"total": parts["box"] + parts["score"]}


def _root_errors(predictions: Predictions, number: int, chosen: Tensor, wanted: Tensor) -> Tensor:
    """v1: squared errors of centres in cells, and of the roots of sides."""
    said = predictions.values[number, chosen]
    centre = (wanted[:, :2] + wanted[:, 2:]) / 2 / predictions.strides[chosen, None]
    roots = ((wanted[:, 2:] - wanted[:, :2]).clamp(min=0) / REFERENCE).sqrt()
    at = said[:, :2] - (centre - predictions.cells[chosen])
    # |p|: the sides are the square of what is predicted, whose sign nobody sees.
    return at.square().sum() + (said[:, 2:4].abs() - roots).square().sum()


def _side_errors(predictions: Predictions, number: int, chosen: Tensor, wanted: Tensor) -> Tensor:
    """v2 on: squared errors of centres in cells, and of the logarithms of sides."""
    said, stride = predictions.boxes[number, chosen], predictions.strides[chosen, None]
    centre = (said[:, :2] + said[:, 2:] - wanted[:, :2] - wanted[:, 2:]) / 2 / stride
    sides = ((said[:, 2:] - said[:, :2]) / (wanted[:, 2:] - wanted[:, :2])).clamp(min=1e-6).log()
    return centre.square().sum() + sides.square().sum()


# Pictures of a batch, changed with their boxes.


def four_in_one(
    pictures: Tensor, faces: Sequence[FaceTargets], source: torch.Generator
) -> tuple[Tensor, list[FaceTargets]]:
    """Put pieces of four pictures of a batch together in each (v4's mosaic).

    Args:
        pictures: (B, 3, S, S).
        faces: Of each.
        source: Draws.

    Returns:
        Pictures of the same shape, and their faces; what is mostly cut off is left out.
    """
    batch, side = len(pictures), pictures.shape[2]
    made, kept = torch.empty_like(pictures), []
    for number in range(batch):
        draws = torch.rand(14, generator=source).tolist()
        x, y = (round(side * (0.3 + 0.4 * share)) for share in draws[:2])
        others = torch.randperm(batch, generator=source)[:3].tolist()
        corners = [(0, 0, x, y), (x, 0, side, y), (0, y, x, side), (x, y, side, side)]
        parts = []
        for at, (which, (left, top, right, bottom)) in enumerate(
            zip([number, *(others * 3)[:3]], corners, strict=True)
        ):
            width, height = right - left, bottom - top
            share, across, down = draws[2 + 3 * at : 5 + 3 * at]
            whole = max(width, height, round(side * (0.5 + 0.5 * share)))
            x0, y0 = round((whole - width) * across), round((whole - height) * down)
            shrunk = F.interpolate(
                pictures[which][None], (whole, whole), mode="bilinear", antialias=True
            )[0]
            made[number, :, top:bottom, left:right] = shrunk[:, y0 : y0 + height, x0 : x0 + width]
            parts.append(_piece(faces[which], whole / side, (x0, y0), (left, top, right, bottom)))
        kept.append(
            visible(
                FaceTargets(
                    torch.cat([each.boxes for each in parts]),
                    torch.cat([each.landmarks for each in parts]),
                    torch.cat([each.placed for each in parts]),
                ),
                side,
            )
        )
    return made, kept


def _piece(
    faces: FaceTargets, scale: float, cut: tuple[int, int], place: tuple[int, int, int, int]
) -> FaceTargets:
    """The faces of a picture that was shrunk and cut, of which enough lies in its place."""
    left, top, right, bottom = place
    shift = torch.tensor([left - cut[0], top - cut[1]], dtype=torch.float32)
    boxes = faces.boxes * scale + shift.repeat(2)
    low, high = boxes.new_tensor([left, top]), boxes.new_tensor([right, bottom])
    inside = torch.minimum(boxes[:, 2:], high) - torch.maximum(boxes[:, :2], low)
    whole = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    enough = inside.clamp(min=0).prod(1) >= 0.6 * whole
    limits = torch.cat([low, high])
    cut_off = torch.cat(
        [torch.maximum(boxes[:, :2], low), torch.minimum(boxes[:, 2:], limits[2:])], 1
    )
    return FaceTargets(cut_off, faces.landmarks * scale + shift, faces.placed)[enough]


# The method.


class YoloMethod:
    """A version of YOLO; see `method.DetectorFamily`."""

    def __init__(self, name: DetectorMethod, design: YoloDesign) -> None:
        self.name, self.design = str(name), design

    @property
    def summary(self) -> str:
        """Of its network, in a line."""
        design = self.design
        maps = " and ".join(map(str, design.strides))
        boxes = f"{design.boxes} boxes a cell, {maps} px"
        return f"YOLO v{design.version}, {design.blocks} blocks, {boxes}"

    def metadata(self) -> dict[str, str]:
        """The design."""
        return {"design": json.dumps(asdict(self.design), sort_keys=True)}

    def network(self) -> YoloNetwork:
        """With random weights."""
        return YoloNetwork(self.design)

    def prepare(self, network: nn.Module, pictures: Pictures) -> None:
        """Cluster the sides of the faces that will be learnt from, where anchors are clusters."""
        assert isinstance(network, YoloNetwork)
        if self.design.version == 1 or not self.design.clustered:
            return
        sides = []
        for start in range(0, min(len(pictures), _CLUSTERED), 8):
            numbers = range(start, min(start + 8, len(pictures), _CLUSTERED))
            shown, targets = pictures.batch(numbers)
            for each in targets:
                boxes = faces_of_cells(each, shown.shape[2]).boxes
                sides.append(boxes[:, 2:] - boxes[:, :2])
        found = anchor_clusters(torch.cat(sides), network.anchors.shape[:2].numel())
        network.anchors.copy_(found.view_as(network.anchors))

    def losses(self, network: nn.Module, batch: MosaicBatch) -> dict[str, Tensor]:
        """See `yolo_losses`."""
        pictures, targets = changed(batch.pictures, batch.targets, batch.source)
        side = pictures.shape[2]
        faces = [faces_of_cells(each, side) for each in targets]
        if self.design.mosaic:
            pictures, faces = four_in_one(pictures, faces, batch.source)
        if self.design.multi_scale:
            wanted = _SIDES[int(torch.randint(len(_SIDES), (1,), generator=batch.source))]
            pictures = F.interpolate(pictures, (wanted, wanted), mode="bilinear", antialias=True)
            scale = wanted / side
            faces = [FaceTargets(f.boxes * scale, f.landmarks * scale, f.placed) for f in faces]
        device = next(network.parameters()).device
        pictures = pictures.to(device, memory_format=torch.channels_last)
        return yolo_losses(self.design, network(pictures), faces)

    def fit(self, network: nn.Module, pictures: Pictures) -> None:
        """Nothing: all is learnt by steps."""

    def detector(
        self, network: nn.Module, device: torch.device, identity: str, search: SearchOptions
    ) -> FaceDetector:
        """A detector with these weights."""
        assert isinstance(network, YoloNetwork)
        network = network.eval().to(device).to(memory_format=torch.channels_last)
        return FamilyDetector(_YoloLook(network), device, identity, search)


class _YoloLook:
    """See `search.Look`."""

    step = STEP

    def __init__(self, network: YoloNetwork) -> None:
        self._network = network

    def __call__(
        self, batch: Tensor, sizes: Sequence[tuple[int, int]], least: float
    ) -> list[Detections]:
        predictions = self._network(batch)
        scores, boxes = (
            predictions.scores(self._network.design.version).cpu(),
            predictions.boxes.cpu(),
        )
        found = []
        for said, theirs, (height, width) in zip(scores, boxes, sizes, strict=True):
            centre = (theirs[:, :2] + theirs[:, 2:]) / 2
            inside = ((centre >= 0) & (centre < centre.new_tensor([width, height]))).all(1)
            taken = (said >= least) & inside
            found.append(
                Detections(theirs[taken], said[taken], torch.zeros(int(taken.sum()), 5, 2))
            )
        return found


def yolo(name: DetectorMethod, ideas: YoloConfig) -> YoloMethod:
    """The method of a name, such as `yolo_v3`."""
    return YoloMethod(name, design_of(int(name[-1]), ideas))


def yolo_from(name: DetectorMethod, design: str) -> YoloMethod:
    """The method that a weights file's header tells of.

    Raises:
        ValueError, TypeError: It is no design.
    """
    found = json.loads(design)
    made = YoloDesign(**found | {"strides": tuple(found["strides"])})
    usual = _DESIGNS[int(name[-1])]
    flags = asdict(made).keys() - {"version", "strides", "boxes", "blocks"}
    if (
        (made.version, made.blocks) != (usual.version, usual.blocks)
        or made.strides not in (_ONE, _THREE)
        or made.boxes not in (usual.boxes, 3, 5)
        or not all(type(getattr(made, flag)) is bool for flag in flags)
    ):
        raise ValueError("no design of this version")
    return YoloMethod(name, made)
