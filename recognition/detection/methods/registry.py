"""The family of a name, of a recipe or of a file of weights, and detectors from such files."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from backbones.places import bundled_or_own, is_bundled
from backbones.weights import resolve_device
from data.errors import WeightsError
from data.files import printable, sha256_of
from data.tensors import read_tensors

from ..detector import DetectorOptions, FaceDetector, detector_spec
from .config import YOLO, DetectorMethod
from .localisation import Localisation
from .method import DetectorFamily, SearchOptions
from .one_stage import OneStageMethod
from .rcnn import FasterRcnn, FastRcnn, Rcnn
from .sliding_window import SlidingWindow
from .yolo import yolo, yolo_from

if TYPE_CHECKING:  # which imports the names of the families
    from ..training.config import DetectorTrainingConfig


_PLAIN: dict[DetectorMethod, type[DetectorFamily]] = {
    DetectorMethod.SLIDING_WINDOW: SlidingWindow,
    DetectorMethod.LOCALISE: Localisation,
    DetectorMethod.RCNN: Rcnn,
    DetectorMethod.FAST_RCNN: FastRcnn,
    DetectorMethod.FASTER_RCNN: FasterRcnn,
}
"""Families of which there is one network, and nothing to choose."""


def method_of(config: "DetectorTrainingConfig") -> DetectorFamily:
    """The family that a recipe trains."""
    if config.method in YOLO:
        return yolo(config.method, config.yolo)
    if config.method == DetectorMethod.ONE_STAGE:
        return OneStageMethod(config.box_weight, config.landmark_weight)
    return _PLAIN[config.method]()


def method_in(metadata: Mapping[str, str], shown: str) -> DetectorFamily:
    """The family that a weights file's header tells of.

    Args:
        metadata: The header.
        shown: What messages call the file.

    Raises:
        WeightsError: It is none that is known here, or its design is damaged.
    """
    found = metadata.get("architecture", "")
    if found not in set(DetectorMethod):
        raise WeightsError(
            f"{shown} holds {printable(found or 'an unknown network')}, expected a detector: take "
            "a file that `likeness train-detector` has written"
        )
    name = DetectorMethod(found)
    try:
        if name in YOLO:
            return yolo_from(name, metadata["design"])
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{shown} does not say how its {name} is built: train it anew"
        ) from error
    return OneStageMethod() if name == DetectorMethod.ONE_STAGE else _PLAIN[name]()


def load(path: Path) -> tuple[DetectorFamily, nn.Module]:
    """Read a detector's weights, and build its network with them.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: It is damaged, or holds no detector.
    """
    file, shown = read_tensors(path), printable(path)
    method = method_in(file.metadata, shown)
    network = method.network()
    _check(file.tensors, network, shown)
    network.load_state_dict(file.tensors)
    return method, network.eval().requires_grad_(False)


def _check(tensors: Mapping[str, Tensor], network: nn.Module, shown: str) -> None:
    """Refuse what is not the network's, or no number."""
    wanted = network.state_dict()
    for name in sorted(wanted.keys() ^ tensors.keys()):
        state = "lacks" if name in wanted else "has an unknown"
        raise WeightsError(f"{shown} {state} tensor {printable(name)}: fetch the file again")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise WeightsError(f"{shown}: {name} has another shape than the network's")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsError(f"{shown} is damaged: {name} holds NaN or infinity")


def weights_at_hand(name: str, home: Path | None = None) -> Path:
    """A family's weights, looked for as those of any network are.

    Args:
        name: Of the family.
        home: The application's data folder; None takes the user's.

    Raises:
        ArgumentError: `LIKENESS_WEIGHTS` is no folder.
        WeightsError: There are none.
    """
    found = bundled_or_own(name, home)
    if found is None:
        recipe = "detector" if name == DetectorMethod.ONE_STAGE else f"detectors/{name}"
        raise WeightsError(
            f"no weights of the detector {name} are at hand: train some with `likeness "
            f"train-detector recipes/{recipe}.toml`, and give its best.safetensors in place of the "
            f"name, or put it into the data folder as weights/{name}.safetensors"
        )
    return found


def identity_of(name: str, weights: Path) -> str:
    """What a gallery remembers of a detector: the version, or the digest of own weights."""
    spec = detector_spec(name)
    return spec.identity if is_bundled(weights) else f"{name}/{sha256_of(weights)[:12]}"


def make_trained(name: str, device: torch.device | str, options: DetectorOptions) -> FaceDetector:
    """Make a detector of a family from its weights.

    Args:
        name: Of the family.
        device: Where it runs.
        options: What is asked for; `weights` may be another file than that at hand.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: There are no weights, or they are damaged, or another family's.
    """
    weights = options.weights or weights_at_hand(name, options.home)
    method, network = load(weights)
    if method.name != name:
        raise WeightsError(
            f"{printable(weights)} holds {method.name}, expected {name}: ask for {method.name}, or "
            f"give weights of {name}"
        )
    search = SearchOptions(
        minimum_score=options.minimum_score or detector_spec(name).minimum_score,
        minimum_face=options.minimum_face,
    )
    where = resolve_device(device) if isinstance(device, str) else device
    return method.detector(network, where, identity_of(name, weights), search)
