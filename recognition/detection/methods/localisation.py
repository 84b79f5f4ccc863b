"""Classification with localisation: one object a picture, and where it lies.

The network looks at a picture as a whole and says whether there is a face (Pc), where its box lies
and where its five points: Pc by logistic loss, the others by squared errors, where there is a face.
As a detector it finds one face in a photograph, the largest; that is what the other families are
for.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

from ..detections import Detections
from ..detector import FaceDetector
from ..training.objective import changed
from .config import DetectorMethod
from .family_detector import FamilyDetector
from .method import FaceTargets, MosaicBatch, Pictures, SearchOptions, faces_of_cells

SIDE = 96
_WIDTHS = (16, 32, 64, 96)
_WITH_FACE = 0.7  # of the crops are taken around a face
_LOOSE = (1.2, 4.0)  # sides of such a crop, in sides of the face
_BOX, _POINTS = 5.0, 5.0  # weights of the squared errors beside Pc's loss at 1
_GREY = 0.5


class LocalisationNetwork(nn.Module):
    """From a picture to Pc's logit, a box and five points."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in _WIDTHS:
            for stride, before in ((2, inputs), (1, outputs)):
                layers += [
                    nn.Conv2d(before, outputs, 3, stride, 1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(inplace=True),
                ]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs * (SIDE // 2 ** len(_WIDTHS)) ** 2, 128),
            nn.ReLU(inplace=True),
            nn.Linear(128, 15),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Look at pictures.

        Args:
            x: RGB (B, 3, 96, 96) in [0, 1].

        Returns:
            (B, 15): a logit; the box's middle, width and height; five points, x and y; all in sides
            of the picture from its top left corner, less a half for places.
        """
        said: Tensor = self.head(self.features(x * 4 - 2))
        return said


def localisation_losses(
    said: Tensor, there: Tensor, boxes: Tensor, points: Tensor, placed: Tensor
) -> dict[str, Tensor]:
    """The losses of a batch: Pc's everywhere, the others where there is a face.

    Args:
        said: (B, 15) of the network.
        there: (B,) whether there is a face.
        boxes: (B, 4) x1, y1, x2, y2 in sides of the picture.
        points: (B, 5, 2) in sides of the picture.
        placed: (B,) whether anybody has said where the points are.
    """
    wanted = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5, boxes[:, 2:] - boxes[:, :2]], 1)
    errors = (said[:, 1:5] - wanted).square().sum(1)
    gaps = (said[:, 5:] - (points - 0.5).flatten(1)).square().sum(1)
    parts = {
        "score": F.binary_cross_entropy_with_logits(said[:, 0], there.float()),
        "box": (errors * there).sum() / there.sum().clamp(min=1),
        "landmarks": (gaps * (there & placed)).sum() / (there & placed).sum().clamp(min=1),
    }
    total = parts["score"] + _BOX * parts["box"] + _POINTS * parts["landmarks"]
    return parts | {"total": total}


def crop_around(faces: FaceTargets, side: int, source: torch.Generator) -> Tensor:
    """A square piece (4,) of a square picture, mostly one with a face in it."""
    with_face, which, loose, across, down = torch.rand(5, generator=source).tolist()
    if with_face < _WITH_FACE and len(faces.boxes):
        box = faces.boxes[int(which * len(faces.boxes))]
        face = float((box[2:] - box[:2]).amax())
        length = min(float(side), face * (_LOOSE[0] + (_LOOSE[1] - _LOOSE[0]) * loose))
        room = max(0.0, length - face)
        left = float(box[0]) - room * across
        top = float(box[1]) - room * down
    else:
        length = side * (0.15 + 0.85 * loose**2)
        left, top = (side - length) * across, (side - length) * down
    left, top = min(max(0.0, left), side - length), min(max(0.0, top), side - length)
    return torch.tensor([left, top, left + length, top + length])


def largest_in(faces: FaceTargets, crop: Tensor) -> int | None:
    """Which face a piece of a picture shows: the largest that mostly lies in it."""
    best, found = 0.0, None
    for number, box in enumerate(faces.boxes):
        shared = (torch.minimum(box[2:], crop[2:]) - torch.maximum(box[:2], crop[:2])).clamp(min=0)
        area = float((box[2:] - box[:2]).prod())
        large_enough = area**0.5 >= 0.08 * float(crop[2] - crop[0])
        if float(shared.prod()) >= 0.6 * area > 0 and area > best and large_enough:
            best, found = area, number
    return found


class Localisation:
    """See `method.DetectorFamily`."""

    name = str(DetectorMethod.LOCALISE)
    summary = "one face a picture of 96×96 pixels: whether it is there, its box, five points"

    def metadata(self) -> dict[str, str]:
        """Nothing: there is one such network."""
        return {}

    def network(self) -> LocalisationNetwork:
        """With random weights."""
        return LocalisationNetwork()

    def prepare(self, network: nn.Module, pictures: Pictures) -> None:
        """Nothing: there are no anchors."""

    def losses(self, network: nn.Module, batch: MosaicBatch) -> dict[str, Tensor]:
        """Of a piece of each picture."""
        pictures, targets = changed(batch.pictures, batch.targets, batch.source)
        side, count = pictures.shape[2], len(pictures)
        faces = [faces_of_cells(each, side) for each in targets]
        crops = torch.stack([crop_around(each, side, batch.source) for each in faces])
        there, placed = torch.zeros(count, dtype=torch.bool), torch.zeros(count, dtype=torch.bool)
        boxes, points = torch.zeros(count, 4), torch.zeros(count, 5, 2)
        for number, (each, crop) in enumerate(zip(faces, crops, strict=True)):
            which = largest_in(each, crop)
            if which is not None:
                length = crop[2] - crop[0]
                there[number], placed[number] = True, each.placed[which]
                boxes[number] = (each.boxes[which] - crop[:2].repeat(2)) / length
                points[number] = (each.landmarks[which] - crop[:2]) / length
        regions = torch.cat([torch.arange(count)[:, None].float(), crops], 1)
        seen = roi_align(pictures, regions, SIDE, sampling_ratio=2, aligned=True)
        device = next(network.parameters()).device
        said = network(seen.to(device, memory_format=torch.channels_last)).cpu()
        return localisation_losses(said, there, boxes, points, placed)

    def fit(self, network: nn.Module, pictures: Pictures) -> None:
        """Nothing: all is learnt by steps."""

    def detector(
        self, network: nn.Module, device: torch.device, identity: str, search: SearchOptions
    ) -> FaceDetector:
        """A detector with these weights."""
        assert isinstance(network, LocalisationNetwork)
        network = network.eval().to(device).to(memory_format=torch.channels_last)
        look = _WholeLook(network)
        return FamilyDetector(look, device, identity, search, places_landmarks=True)


class _WholeLook:
    """See `search.Look`: a picture as a whole, made a square by grey."""

    step = 1

    def __init__(self, network: LocalisationNetwork) -> None:
        self._network = network

    def __call__(
        self, batch: Tensor, sizes: Sequence[tuple[int, int]], least: float
    ) -> list[Detections]:
        found = []
        for picture, (height, width) in zip(batch, sizes, strict=True):
            longer = max(height, width)
            square = picture.new_full((1, 3, longer, longer), _GREY)
            square[0, :, :height, :width] = picture[:, :height, :width]
            seen = F.interpolate(square, (SIDE, SIDE), mode="bilinear", antialias=True)
            said = self._network(seen)[0].cpu()
            score = said[:1].sigmoid()
            middle, half = (said[1:3] + 0.5) * longer, said[3:5].clamp(min=0) * longer / 2
            points = ((said[5:] + 0.5) * longer).view(1, 5, 2)
            box = torch.cat([middle - half, middle + half])[None]
            taken = (score >= least) & bool((half > 0).all())
            found.append(Detections(box[taken], score[taken], points[taken]))
        return found
