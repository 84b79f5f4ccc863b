"""The one-stage detector: one network, one look, on photographs of any sizes and at any turn."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou, nms

from backbones.places import bundled_or_own, is_bundled
from backbones.weights import resolve_device
from data.errors import ArgumentError, ImageError, WeightsError
from data.files import printable, sha256_of
from data.tensors import read_tensors

from ..results import Face
from .detections import Detections, faces_of, turned_back
from .detector import detector_spec
from .one_stage_network import (
    CHANNELS,
    STEP,
    OneStageNetwork,
    cells,
    decode_boxes,
    decode_landmarks,
    flattened,
)

ARCHITECTURE = "one_stage"

LEAST_FACE = 10
"""Side in pixels from which on the network finds most faces in what it looks at."""

_LONGEST_AT_ONCE = 640
"""A photograph whose longer side has more pixels is looked at a second time in this size: the
network was taught faces of up to 250 pixels."""

_MOST_ENLARGED = 2.0
"""A photograph is enlarged so many times at most, where smaller faces are wanted."""

_LARGEST = 256.0  # px: what is larger is taken from that second look alone
_OVERLAP = 0.4  # intersection over union above which the weaker of two boxes goes
_AGREEMENT = 0.6  # the overlap from which on two cells mean the same face
_CANDIDATES = 2000  # cells of an image that are looked at; bounds time and memory
_PIXELS_PER_PASS = 2**20
_GREY = 0.5

_SURE = 0.6
"""Without a face of this score a photograph is searched again, turned by quarters."""

_SURE_TURNED = 0.7
"""Below this score no face is taken from a turned photograph."""


def metadata_of(seed: int, command: str) -> dict[str, str]:
    """What the header of a weights file says, beside what became of a run."""
    return {
        "architecture": ARCHITECTURE,
        "input": f"RGB in [0, 1], height and width multiples of {STEP}",
        "licence": "MIT",
        "seed": str(seed),
        "command": command,
    }


def identity_of(weights: Path) -> str:
    """What a gallery remembers of these weights: the version, or the file's own digest.

    Args:
        weights: The file; only those that come along have the detector's version.
    """
    spec = detector_spec(ARCHITECTURE)
    return spec.identity if is_bundled(weights) else f"{spec.name}/{sha256_of(weights)[:12]}"


def load_network(path: Path) -> OneStageNetwork:
    """Read the network's weights, ready for inference.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: It is damaged, or of another network.
    """
    file = read_tensors(path)
    network, shown = OneStageNetwork(), printable(path)
    found = file.metadata.get("architecture")
    if found != ARCHITECTURE:
        raise WeightsError(
            f"{shown} holds {printable(found or 'an unknown network')}, expected {ARCHITECTURE}: "
            "take a file that `likeness train-detector` has written"
        )
    _check(file.tensors, network, shown)
    network.load_state_dict({name: tensor.float() for name, tensor in file.tensors.items()})
    return network.fold().requires_grad_(False)


def _check(tensors: Mapping[str, Tensor], network: OneStageNetwork, shown: str) -> None:
    """Refuse what is not the network's, or no number."""
    wanted = network.state_dict()
    for name in sorted(wanted.keys() ^ tensors.keys()):
        state = "lacks" if name in wanted else "has an unknown"
        raise WeightsError(f"{shown} {state} tensor {printable(name)}: fetch the file again")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise WeightsError(f"{shown}: {name} has another shape than the network's")
        if not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{shown} is damaged: {name} holds NaN or infinity")


def weights_at_hand(home: Path | None = None) -> Path:
    """The detector's weights, looked for as those of any network are.

    Args:
        home: The application's data folder; None takes the user's.

    Raises:
        ArgumentError: `LIKENESS_WEIGHTS` is no folder.
        WeightsError: There are none.
    """
    found = bundled_or_own(ARCHITECTURE, home)
    if found is None:
        raise WeightsError(
            "no weights of the one-stage detector are at hand: train some with `likeness "
            "train-detector recipes/detector.toml`, and put its best.safetensors into the data "
            f"folder as weights/{ARCHITECTURE}.safetensors"
        )
    return found


class OneStageDetector:
    """A `FaceDetector` by a single network.

    It finds faces from about ten pixels on in what it looks at. So that a large photograph costs
    little, it is shrunk until the smallest face wanted has ten pixels, but not below a longer side
    of 640 pixels, and to at most `searched_pixels`; one that is still larger is looked at a second
    time in that size, for its largest faces. Where smaller faces than these are wanted, it is
    enlarged, at most twice.

    A photograph without a sure face is searched again turned by 90, 180 and 270 degrees, and the
    turn with the surest face is taken.

    Args:
        network: Folded, with weights.
        identity: See `FaceDetector.identity`.
        device: Where it runs.
        minimum_face: Side of the smallest face that is wanted, in pixels of the photograph; smaller
            ones are left out.
        minimum_score: From which score on a box is a face, 0 … 1.
        searched_pixels: The most pixels of a photograph that are searched.
        turned: Whether to search again, turned, where no face is sure.

    Raises:
        ArgumentError: A number is out of its range.
    """

    def __init__(
        self,
        network: OneStageNetwork,
        device: torch.device | str = "cpu",
        *,
        identity: str = "one_stage/none",
        minimum_face: float = LEAST_FACE,
        minimum_score: float = 0.5,
        searched_pixels: int = 1_600_000,
        turned: bool = True,
    ) -> None:
        if not 1 <= minimum_face <= 1e6:
            raise ArgumentError(f"minimum face is {minimum_face} pixels; take 1 or more")
        if not 0 < minimum_score < 1:
            raise ArgumentError(f"minimum score is {minimum_score}; take one between 0 and 1")
        if searched_pixels < LEAST_FACE**2:
            raise ArgumentError(f"{searched_pixels} searched pixels hold no face; take more")
        self._device = resolve_device(device) if isinstance(device, str) else device
        self._network = network.to(self._device).to(memory_format=torch.channels_last)
        self._identity = identity
        self._minimum_face, self._minimum_score = minimum_face, minimum_score
        self._searched_pixels = searched_pixels
        self._turns = (1, 2, 3) if turned else ()

    @property
    def identity(self) -> str:
        """See `FaceDetector.identity`."""
        return self._identity

    def detect(self, images: Sequence[Image.Image]) -> list[list[Face]]:
        """See `FaceDetector.detect`."""
        looks = [self._looks(image) for image in images]
        found = self._found(looks)
        unsure = [i for i in range(len(images)) if found[i].best_score < _SURE]
        for quarters in self._turns:
            turned = self._found([[look.rot90(quarters) for look in looks[i]] for i in unsure])
            for i, detections in zip(unsure, turned, strict=True):
                if detections.best_score > max(found[i].best_score, _SURE_TURNED):
                    height, width = looks[i][0].shape[:2]
                    found[i] = turned_back(detections, quarters, width, height)
        return [
            self._faces(found[i], image, looks[i][0].shape[:2]) for i, image in enumerate(images)
        ]

    def _faces(self, found: Detections, image: Image.Image, size: Sequence[int]) -> list[Face]:
        faces = faces_of(found, image.width / size[1], image.height / size[0])
        return [face for face in faces if face.area**0.5 >= self._minimum_face]

    def _looks(self, image: Image.Image) -> list[Tensor]:
        """The pixels (H, W, 3) uint8 that are searched, once or in two sizes, the larger first."""
        if image.mode != "RGB":
            raise ImageError(f"image has mode {image.mode}, expected RGB: read it with load_image")
        longer = max(image.size)
        coarse = min(1.0, _LONGEST_AT_ONCE / longer)
        fine = max(min(LEAST_FACE / self._minimum_face, _MOST_ENLARGED), coarse)
        fine = min(fine, (self._searched_pixels / (image.width * image.height)) ** 0.5)
        looks = [_resized(image, fine)]
        if fine * longer > 1.5 * _LONGEST_AT_ONCE:
            looks.append(_resized(image, coarse))
        return looks

    def _found(self, looks: Sequence[Sequence[Tensor]]) -> list[Detections]:
        """The faces of photographs, in pixels of each one's first look."""
        places = [(i, j) for i, each in enumerate(looks) for j in range(len(each))]
        searched = dict(zip(places, self._search([looks[i][j] for i, j in places]), strict=True))
        found = []
        for i, each in enumerate(looks):
            parts = [searched[i, j] for j in range(len(each))]
            if len(parts) > 1:
                parts = _joined_scales(parts, each)
            found.append(_without_overlaps(parts))
        return found

    @torch.inference_mode()
    def _search(self, images: Sequence[Tensor]) -> list[Detections]:
        """The candidates of images (H, W, 3) as they stand, those of a similar size together."""
        found = [Detections.none() for _ in images]
        for (height, width), indices in _batches([image.shape for image in images]):
            batch = torch.full((len(indices), 3, height, width), _GREY)
            for padded, index in zip(batch, indices, strict=True):
                image = images[index]
                padded[:, : image.shape[0], : image.shape[1]] = image.permute(2, 0, 1) / 255
            batch = batch.to(self._device, memory_format=torch.channels_last)
            values = flattened(self._network(batch)).cpu()
            middles, strides = cells(height, width)
            for said, index in zip(values, indices, strict=True):
                found[index] = self._candidates(said, middles, strides, images[index].shape)
        return found

    def _candidates(
        self, said: Tensor, middles: Tensor, strides: Tensor, size: Sequence[int]
    ) -> Detections:
        """The cells (cells, 15) of one image that say face, the surest of them."""
        scores = said[:, 0].sigmoid()
        limits = middles.new_tensor([size[1], size[0]])
        taken = ((scores >= self._minimum_score) & (middles < limits).all(1)).nonzero()[:, 0]
        if len(taken) > _CANDIDATES:
            taken = taken[scores[taken].topk(_CANDIDATES).indices]
        said, middles, strides = said[taken], middles[taken], strides[taken]
        return Detections(
            decode_boxes(said, middles, strides),
            scores[taken],
            decode_landmarks(said, middles, strides),
        )


def _resized(image: Image.Image, scale: float) -> Tensor:
    if scale != 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return torch.from_numpy(np.array(image))


def _joined_scales(parts: Sequence[Detections], looks: Sequence[Tensor]) -> list[Detections]:
    """What a fine and a coarse look found, in pixels of the fine one."""
    fine, coarse = parts
    scale = torch.tensor(
        [looks[0].shape[1] / looks[1].shape[1], looks[0].shape[0] / looks[1].shape[0]]
    )
    small = (fine.boxes[:, 2:] - fine.boxes[:, :2]).amax(1) < _LARGEST
    return [
        Detections(fine.boxes[small], fine.scores[small], fine.landmarks[small]),
        Detections(coarse.boxes * scale.repeat(2), coarse.scores, coarse.landmarks * scale),
    ]


def _without_overlaps(parts: Sequence[Detections]) -> Detections:
    """Make one face of all candidates that agree on it.

    The best one gives the score; box and landmarks are the mean of all, weighted by their scores,
    which scatters less than a single cell's.
    """
    boxes = torch.cat([each.boxes for each in parts])
    scores = torch.cat([each.scores for each in parts])
    landmarks = torch.cat([each.landmarks for each in parts])
    kept = nms(boxes, scores, _OVERLAP)
    agreeing = (box_iou(boxes[kept], boxes) >= _AGREEMENT) * scores  # (F, N)
    weights = agreeing / agreeing.sum(1, keepdim=True)
    means = weights @ torch.cat([boxes, landmarks.flatten(1)], 1)  # (F, 14)
    return Detections(means[:, :4], scores[kept], means[:, 4 : CHANNELS - 1].view(-1, 5, 2))


def _batches(sizes: Sequence[Sequence[int]]) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Sort images (by index) into batches of one padded size and a bounded number of pixels."""
    buckets: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for i, (height, width, *_) in enumerate(sizes):
        buckets[-(-height // STEP) * STEP, -(-width // STEP) * STEP].append(i)
    for (height, width), members in buckets.items():
        count = max(1, _PIXELS_PER_PASS // (height * width))
        for start in range(0, len(members), count):
            yield (height, width), members[start : start + count]
