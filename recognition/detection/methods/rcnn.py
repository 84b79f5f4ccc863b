"""Regions with CNN features: R-CNN, Fast R-CNN, Faster R-CNN.

R-CNN (Girshick et al. 2014): proposals by selective search, each warped to a square and looked at
by itself; a linear SVM tells faces by the features, and a linear regression moves the box. Fast
R-CNN (Girshick 2015): the photograph is looked at once, the proposals are pooled out of one map,
class and box are learnt by one loss. Faster R-CNN (Ren et al. 2015): a network proposes, too; it is
torchvision's. All three with a small network and, for a photograph, at most 300 proposals.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN as TorchvisionFasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign, box_iou, roi_align, roi_pool

from data.augmentation import Draws, recolour

from ..detections import Detections
from ..detector import FaceDetector
from ..training.objective import changed
from .config import DetectorMethod
from .family_detector import FamilyDetector
from .method import MosaicBatch, Pictures, SearchOptions, faces_of_cells
from .selective_search import selective_search

_RIGHT = 0.5  # overlap with a face from which on a proposal is one
_SEARCHED = 160_000  # pixels of a photograph at most, where selective search proposes
_STRIDE = 8

# Boxes told from proposals.

_MOST_LOG = 2.0


def offsets(proposals: Tensor, boxes: Tensor) -> Tensor:
    """How proposals (N, 4) have to be moved and stretched to be boxes (N, 4).

    Returns:
        (N, 4): the centre's way in sides of the proposal, and the logarithms of the sides' ratios.
    """
    sides, wanted = proposals[:, 2:] - proposals[:, :2], boxes[:, 2:] - boxes[:, :2]
    way = (boxes[:, :2] + boxes[:, 2:] - proposals[:, :2] - proposals[:, 2:]) / 2 / sides
    return torch.cat([way, (wanted / sides).log()], 1)


def moved_by(proposals: Tensor, moves: Tensor) -> Tensor:
    """The inverse of `offsets`; a side becomes at most about seven times as long."""
    sides = proposals[:, 2:] - proposals[:, :2]
    centre = (proposals[:, :2] + proposals[:, 2:]) / 2 + moves[:, :2] * sides
    half = sides * moves[:, 2:].clamp(-_MOST_LOG, _MOST_LOG).exp() / 2
    return torch.cat([centre - half, centre + half], 1)


# Proposals of what is learnt from.


class _Proposals:
    """Selective search's boxes of mosaics by number, searched once and kept in memory."""

    def __init__(self) -> None:
        self._known: dict[int, Tensor] = {}

    def __call__(self, number: int, picture: Tensor) -> Tensor:
        """The boxes (N, 4) of a picture (3, S, S) uint8."""
        if number not in self._known:
            pixels = picture.permute(1, 2, 0).contiguous().numpy()
            self._known[number] = torch.from_numpy(selective_search(pixels))
        return self._known[number]


def overlaps_with(boxes: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Of each box (N, 4) the overlap with the face that it overlaps most, and which face (N,)."""
    if not len(faces):
        return torch.zeros(len(boxes)), torch.zeros(len(boxes), dtype=torch.long)
    best = box_iou(boxes, faces).max(1)
    return best.values, best.indices


def sampled(
    overlaps: Tensor, count: int, share: float, least: float, source: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw proposals to learn from: at most a share of them faces, the others none.

    Args:
        overlaps: (N,) of each proposal with its face.
        count: How many, if there are so many.
        share: Of faces at most.
        least: Overlap below which a proposal is too easy; those below are drawn if there are not
            enough others.
        source: Draws.

    Returns:
        Indices of faces, and of others.
    """

    def drawn(where: Tensor, most: int) -> Tensor:
        found = where.nonzero()[:, 0]
        return found[torch.randperm(len(found), generator=source)[:most]]

    faces = drawn(overlaps >= _RIGHT, int(count * share))
    others = drawn((overlaps < _RIGHT) & (overlaps >= least), count - len(faces))
    easy = drawn(overlaps < least, count - len(faces) - len(others))
    return faces, torch.cat([others, easy])


def _recoloured(batch: MosaicBatch) -> Tensor:
    return recolour(
        batch.pictures.float() / 255,
        Draws(len(batch.pictures), batch.source),
        brightness=0.3,
        contrast=0.3,
        saturation=0.4,
        grey=0.1,
        pca_colour=0.3,
    )


# R-CNN.

CROP = 32
_CONTEXT = 0.125  # of a proposal's sides, added all around
_FEATURES = 96
_FITTED = 96  # mosaics at most, whose proposals the SVM and the regression are fitted to
_FITTED_EACH = 40  # proposals of a mosaic without a face
_SVM_WRONG = 0.3  # overlap below which a proposal has no face for the SVM
_SVM_C, _RIDGE = 0.01, 100.0


class CropNetwork(nn.Module):
    """Features of a warped crop; and what is fitted to them: an SVM and a regression."""

    svm: Tensor
    ridge: Tensor
    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (16, 32, 64):
            layers += [
                nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
            inputs = outputs
        side = CROP // 8
        self.features = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(inputs * side**2, _FEATURES), nn.ReLU(inplace=True)
        )
        self.classify = nn.Linear(_FEATURES, 2)
        self.register_buffer("svm", torch.zeros(_FEATURES + 1))
        self.register_buffer("ridge", torch.zeros(_FEATURES + 1, 4))
        self.register_buffer("mean", torch.zeros(_FEATURES))
        self.register_buffer("deviation", torch.ones(_FEATURES))

    def forward(self, crops: Tensor) -> Tensor:
        """Features (N, 96) of crops, RGB (N, 3, 32, 32) in [0, 1]."""
        found: Tensor = self.features(crops * 4 - 2)
        return found

    def standardised(self, features: Tensor) -> Tensor:
        """Features (N, 96) of mean 0 and deviation 1 where they were fitted, and a one: (N, 97)."""
        features = (features - self.mean) / self.deviation
        return torch.cat([features, torch.ones_like(features[:, :1])], 1)


def warped(picture: Tensor, boxes: Tensor) -> Tensor:
    """Crops (N, 3, 32, 32) of boxes (N, 4) of a picture (3, H, W), whatever their proportions."""
    margin = (boxes[:, 2:] - boxes[:, :2]) * _CONTEXT
    around = torch.cat([boxes[:, :2] - margin, boxes[:, 2:] + margin], 1)
    crops: Tensor = roi_align(picture[None], [around], CROP, sampling_ratio=2, aligned=True)
    return crops


def ridge_regression(features: Tensor, wanted: Tensor, penalty: float) -> Tensor:
    """The weights w (F, K) that make |X w - y|² + penalty |w|² least, but for the last, constant.

    Args:
        features: X (N, F), whose last column is ones; it is not penalised.
        wanted: y (N, K).
        penalty: At least 0.
    """
    x, y = features.double(), wanted.double()
    weights = torch.full((x.shape[1],), penalty, dtype=torch.double)
    weights[-1] = 1e-9  # so that there is a solution where there are no rows
    solved: Tensor = torch.linalg.solve(x.T @ x + weights.diag(), x.T @ y)
    return solved.float()


class Rcnn:
    """See `method.DetectorFamily`. Steps teach the network; SVM and regression are fitted to it."""

    name = str(DetectorMethod.RCNN)
    summary = "R-CNN: selective search, crops of 32×32 pixels, a linear SVM, box regression"

    def __init__(self) -> None:
        self._proposals = _Proposals()

    def metadata(self) -> dict[str, str]:
        """Nothing: there is one such network."""
        return {}

    def network(self) -> CropNetwork:
        """With random weights."""
        return CropNetwork()

    def prepare(self, network: nn.Module, pictures: Pictures) -> None:
        """Nothing: there are no anchors."""

    def losses(self, network: nn.Module, batch: MosaicBatch) -> dict[str, Tensor]:
        """Cross-entropy of proposals, and of the faces themselves, a quarter of them faces."""
        assert isinstance(network, CropNetwork)
        pictures, side = _recoloured(batch), batch.pictures.shape[2]
        crops: list[Tensor] = []
        right: list[int] = []
        for number, raw, picture, cells in zip(
            batch.numbers, batch.pictures, pictures, batch.targets, strict=True
        ):
            faces = faces_of_cells(cells, side).boxes
            boxes = torch.cat([faces, self._proposals(number, raw)])
            overlaps, _ = overlaps_with(boxes, faces)
            chosen, others = sampled(overlaps, 64, 0.25, 0.1, batch.source)
            crops.append(warped(picture, boxes[torch.cat([chosen, others])]))
            right += [1] * len(chosen) + [0] * len(others)
        device = next(network.parameters()).device
        said = network.classify(network(torch.cat(crops).to(device))).cpu()
        return {"total": F.cross_entropy(said, torch.tensor(right))}

    @torch.no_grad()
    def fit(self, network: nn.Module, pictures: Pictures) -> None:
        """Fit the SVM to faces and proposals far from any, and the regression to those near one."""
        assert isinstance(network, CropNetwork)
        network.eval()
        source = torch.Generator().manual_seed(0)
        features: list[Tensor] = []
        near: list[Tensor] = []
        ways: list[Tensor] = []
        right: list[int] = []
        for number in range(min(len(pictures), _FITTED)):
            shown, cells = pictures.batch([number])
            faces = faces_of_cells(cells[0], shown.shape[2]).boxes
            boxes = torch.cat([faces, self._proposals(number, shown[0])])
            overlaps, which = overlaps_with(boxes, faces)
            wrong = (overlaps < _SVM_WRONG).nonzero()[:, 0]
            wrong = wrong[torch.randperm(len(wrong), generator=source)[:_FITTED_EACH]]
            close = (overlaps >= _RIGHT).nonzero()[:, 0]
            own = torch.arange(len(faces))
            asked = torch.cat([own, wrong, close])
            device = next(network.parameters()).device
            found = network(warped(shown[0].float() / 255, boxes[asked]).to(device)).cpu()
            features.append(found[: len(own) + len(wrong)])
            right += [1] * len(own) + [0] * len(wrong)
            near.append(found[len(own) + len(wrong) :])
            ways.append(
                offsets(boxes[close], faces[which[close]]) if len(faces) else torch.zeros(0, 4)
            )
        fit_heads(network, torch.cat(features), right, torch.cat(near), torch.cat(ways))

    def detector(
        self, network: nn.Module, device: torch.device, identity: str, search: SearchOptions
    ) -> FaceDetector:
        """A detector with these weights; it does not turn photographs, which takes too long."""
        assert isinstance(network, CropNetwork)
        look = _ProposalLook(_CropJudge(network.eval().to(device)))
        return _region_detector(look, device, identity, search)


def fit_heads(
    network: CropNetwork, features: Tensor, right: Sequence[int], near: Tensor, ways: Tensor
) -> None:
    """Fit R-CNN's SVM and regression to features, in place; without both kinds it stays at zero.

    Args:
        network: Whose heads they are.
        features: (N, 96) of faces and of others.
        right: For each of them whether it is a face.
        near: (M, 96) of proposals near a face.
        ways: (M, 4) how these have to be moved.
    """
    if len(set(right)) < 2:
        return
    from sklearn.svm import LinearSVC

    network.mean.copy_(features.mean(0))
    network.deviation.copy_(features.std(0).clamp(min=1e-3))
    machine = LinearSVC(C=_SVM_C, random_state=0, intercept_scaling=10.0, dual=False)
    machine.fit(network.standardised(features)[:, :-1].numpy(), np.array(right))
    weights = np.concatenate([machine.coef_[0], machine.intercept_])
    network.svm.copy_(torch.from_numpy(weights))
    network.ridge.copy_(ridge_regression(network.standardised(near), ways, _RIDGE))


BoxHead = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Scores (N,) in 0 … 1 and moved boxes (N, 4) of proposals (N, 4) of a picture (3, H, W)."""


class _CropJudge:
    """R-CNN: each proposal by itself."""

    def __init__(self, network: CropNetwork) -> None:
        self._network = network

    def __call__(self, picture: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        network = self._network
        features = network.standardised(network(warped(picture, boxes)))
        # The margin has no range; a logistic function of it has, and is ½ where it is nothing.
        return (2 * features @ network.svm).sigmoid(), moved_by(boxes, features @ network.ridge)


class _ProposalLook:
    """See `search.Look`: selective search proposes, a head judges."""

    step = 1

    def __init__(self, head: BoxHead) -> None:
        self._head = head

    def __call__(
        self, batch: Tensor, sizes: Sequence[tuple[int, int]], least: float
    ) -> list[Detections]:
        found = []
        for picture, (height, width) in zip(batch, sizes, strict=True):
            shown = picture[:, :height, :width]
            pixels = (shown.permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
            boxes = torch.from_numpy(selective_search(pixels)).to(batch.device)
            if not len(boxes):
                found.append(Detections.none())
                continue
            scores, boxes = (each.cpu() for each in self._head(shown, boxes))
            taken = scores >= least
            points = torch.zeros(int(taken.sum()), 5, 2)
            found.append(Detections(boxes[taken], scores[taken], points))
        return found


def _region_detector(
    look: _ProposalLook, device: torch.device, identity: str, search: SearchOptions
) -> FaceDetector:
    once = SearchOptions(search.minimum_score, search.minimum_face, turned=False)
    return FamilyDetector(look, device, identity, once, searched_pixels=_SEARCHED)


# Fast R-CNN, and the trunk that Faster R-CNN has as well.

_CHANNELS, _POOLED, _HIDDEN = 64, 5, 96
_BOX_SCALE = (0.1, 0.1, 0.2, 0.2)  # usual sizes of offsets, by which they are divided


class _Trunk(nn.Sequential):
    """One map of 64 channels, 8 pixels between two cells."""

    out_channels = _CHANNELS

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, stride in ((16, 2), (32, 2), (_CHANNELS, 2), (_CHANNELS, 1), (_CHANNELS, 1)):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
            inputs = outputs
        super().__init__(*layers)


class FastNetwork(nn.Module):
    """One map, regions pooled out of it, and for each a class and a box."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = _Trunk()
        self.hidden = nn.Linear(_CHANNELS * _POOLED**2, _HIDDEN)
        self.classify = nn.Linear(_HIDDEN, 1)
        self.move = nn.Linear(_HIDDEN, 4)

    def forward(self, pictures: Tensor, boxes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Judge regions.

        Args:
            pictures: RGB (B, 3, H, W) in [0, 1].
            boxes: (N, 4) of each picture.

        Returns:
            Logits (sum of N,) and offsets (sum of N, 4), in usual sizes.
        """
        features = self.trunk(pictures * 4 - 2)
        pooled = roi_pool(features, list(boxes), _POOLED, 1 / _STRIDE)
        x = F.relu(self.hidden(pooled.flatten(1)))
        return self.classify(x)[:, 0], self.move(x)


class FastRcnn:
    """See `method.DetectorFamily`."""

    name = str(DetectorMethod.FAST_RCNN)
    summary = "Fast R-CNN: selective search, RoI pooling out of one map, class and box by one loss"

    def __init__(self) -> None:
        self._proposals = _Proposals()

    def metadata(self) -> dict[str, str]:
        """Nothing: there is one such network."""
        return {}

    def network(self) -> FastNetwork:
        """With random weights."""
        return FastNetwork()

    def prepare(self, network: nn.Module, pictures: Pictures) -> None:
        """Nothing: there are no anchors."""

    def losses(self, network: nn.Module, batch: MosaicBatch) -> dict[str, Tensor]:
        """Of 64 proposals a picture, at most a quarter of them faces."""
        pictures, side = _recoloured(batch), batch.pictures.shape[2]
        regions: list[Tensor] = []
        wanted: list[Tensor] = []
        right: list[bool] = []
        for number, raw, cells in zip(batch.numbers, batch.pictures, batch.targets, strict=True):
            faces = faces_of_cells(cells, side).boxes
            boxes = torch.cat([faces, self._proposals(number, raw)])
            overlaps, which = overlaps_with(boxes, faces)
            chosen, others = sampled(overlaps, 64, 0.25, 0.1, batch.source)
            regions.append(boxes[torch.cat([chosen, others])])
            wanted.append(
                offsets(boxes[chosen], faces[which[chosen]]) if len(faces) else torch.zeros(0, 4)
            )
            right += [True] * len(chosen) + [False] * len(others)
        device = next(network.parameters()).device
        logits, told_ways = network(
            pictures.to(device, memory_format=torch.channels_last),
            [each.to(device) for each in regions],
        )
        return fast_losses(logits.cpu(), told_ways.cpu(), torch.tensor(right), torch.cat(wanted))

    def fit(self, network: nn.Module, pictures: Pictures) -> None:
        """Nothing: all is learnt by steps."""

    def detector(
        self, network: nn.Module, device: torch.device, identity: str, search: SearchOptions
    ) -> FaceDetector:
        """A detector with these weights; it does not turn photographs, which takes too long."""
        assert isinstance(network, FastNetwork)
        network = network.eval().to(device).to(memory_format=torch.channels_last)
        return _region_detector(_ProposalLook(_MapJudge(network)), device, identity, search)


def fast_losses(logits: Tensor, moves: Tensor, right: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """The joint loss: cross-entropy of all regions, smooth L1 of the offsets of faces.

    Args:
        logits: (N,) of regions.
        moves: (N, 4) offsets in usual sizes.
        right: (N,) whether each is a face.
        wanted: (F, 4) offsets of those that are, in their order.
    """
    scaled = wanted / wanted.new_tensor(_BOX_SCALE)
    box = F.smooth_l1_loss(moves[right], scaled, reduction="sum") / max(1, len(right))
    score = F.binary_cross_entropy_with_logits(logits, right.float())
    return {"score": score, "box": box, "total": score + box}


class _MapJudge:
    """Fast R-CNN: all proposals out of one map."""

    def __init__(self, network: FastNetwork) -> None:
        self._network = network

    def __call__(self, picture: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        logits, moves = self._network(picture[None], [boxes])
        return logits.sigmoid(), moved_by(boxes, moves * moves.new_tensor(_BOX_SCALE))


# Faster R-CNN.

_ANCHOR_SIDES = (12, 20, 34, 58, 99, 168)  # px
_TALL = 1.25  # height of an anchor over its width: faces are taller than wide


class FasterRcnn:
    """See `method.DetectorFamily`: torchvision's, on the trunk of Fast R-CNN."""

    name = str(DetectorMethod.FASTER_RCNN)
    summary = "Faster R-CNN (torchvision's): six anchors a cell, 8 pixels apart, RoI align"

    def metadata(self) -> dict[str, str]:
        """Nothing: there is one such network."""
        return {}

    def network(self) -> nn.Module:
        """With random weights."""
        made: nn.Module = TorchvisionFasterRCNN(
            _Trunk(),
            rpn_anchor_generator=AnchorGenerator((_ANCHOR_SIDES,), ((_TALL,),)),
            box_roi_pool=MultiScaleRoIAlign(["0"], _POOLED, 2),
            box_head=TwoMLPHead(_CHANNELS * _POOLED**2, _HIDDEN),
            box_predictor=FastRCNNPredictor(_HIDDEN, 2),
            image_mean=[0.5] * 3,
            image_std=[0.25] * 3,
            rpn_pre_nms_top_n_train=600,
            rpn_pre_nms_top_n_test=600,
            rpn_post_nms_top_n_train=300,
            rpn_post_nms_top_n_test=300,
            box_batch_size_per_image=64,
            box_score_thresh=0.05,
            box_nms_thresh=0.4,
            _skip_resize=True,  # photographs come in the size in which they are searched
        )
        return made

    def prepare(self, network: nn.Module, pictures: Pictures) -> None:
        """Nothing: the anchors' sides are given."""

    def losses(self, network: nn.Module, batch: MosaicBatch) -> dict[str, Tensor]:
        """The four of the paper: of the proposals' scores and boxes, and of the final ones."""
        pictures, cells = changed(batch.pictures, batch.targets, batch.source)
        side = pictures.shape[2]
        device = next(network.parameters()).device
        targets = []
        for each in cells:
            boxes = faces_of_cells(each, side).boxes.clamp(0, side).to(device)
            labels = torch.ones(len(boxes), dtype=torch.long, device=device)
            targets.append({"boxes": boxes, "labels": labels})
        said: Mapping[str, Tensor] = network(list(pictures.to(device)), targets)
        parts = {
            "score": said["loss_classifier"],
            "box": said["loss_box_reg"],
            "proposal score": said["loss_objectness"],
            "proposal box": said["loss_rpn_box_reg"],
        }
        return parts | {"total": torch.stack(list(parts.values())).sum()}

    def fit(self, network: nn.Module, pictures: Pictures) -> None:
        """Nothing: all is learnt by steps."""

    def detector(
        self, network: nn.Module, device: torch.device, identity: str, search: SearchOptions
    ) -> FaceDetector:
        """A detector with these weights."""
        return FamilyDetector(_FasterLook(network.eval().to(device)), device, identity, search)


class _FasterLook:
    """See `search.Look`."""

    step = 32

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __call__(
        self, batch: Tensor, sizes: Sequence[tuple[int, int]], least: float
    ) -> list[Detections]:
        shown = [picture[:, :h, :w] for picture, (h, w) in zip(batch, sizes, strict=True)]
        found = []
        for said in self._network(shown):
            taken = (said["scores"] >= least).cpu()
            boxes, scores = said["boxes"].cpu()[taken], said["scores"].cpu()[taken]
            found.append(Detections(boxes, scores, torch.zeros(len(boxes), 5, 2)))
        return found
