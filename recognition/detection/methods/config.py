"""The families of detectors by name, and what a recipe may change of them; without torch."""

from dataclasses import dataclass
from enum import StrEnum

from data.config import Configuration, Flag
from data.errors import ArgumentError


class DetectorMethod(StrEnum):
    """A family of detectors."""

    ONE_STAGE = "one_stage"
    SLIDING_WINDOW = "sliding_window"
    LOCALISE = "localise"
    YOLO_V1 = "yolo_v1"
    YOLO_V2 = "yolo_v2"
    YOLO_V3 = "yolo_v3"
    YOLO_V4 = "yolo_v4"
    RCNN = "rcnn"
    FAST_RCNN = "fast_rcnn"
    FASTER_RCNN = "faster_rcnn"


YOLO = (
    DetectorMethod.YOLO_V1,
    DetectorMethod.YOLO_V2,
    DetectorMethod.YOLO_V3,
    DetectorMethod.YOLO_V4,
)
"""The methods that `YoloConfig` is about."""


class Anchors(StrEnum):
    """Where the sides of anchor boxes come from."""

    HAND = "hand"
    CLUSTERS = "clusters"


class Scales(StrEnum):
    """On how many maps faces are looked for."""

    ONE = "one"
    THREE = "three"


class BoxLoss(StrEnum):
    """How far a box is from the one it should be."""

    SQUARED = "squared"
    CIOU = "ciou"


@dataclass(frozen=True, slots=True, kw_only=True)
class YoloConfig(Configuration):
    """Single ideas of a YOLO, put in or taken away; None leaves what its version has.

    Attributes:
        anchors: By hand, or the clusters of the sides of the faces that are learnt from.
        scales: One map, 16 pixels between two cells, or three.
        box_loss: Squared errors, or complete intersection over union.
        mosaic: Whether four pictures of a batch are put together in each.
        multi_scale: Whether each step has another size of picture.
    """

    anchors: Anchors | None = None
    scales: Scales | None = None
    box_loss: BoxLoss | None = None
    mosaic: Flag | None = None
    multi_scale: Flag | None = None


AS_ITS_VERSION = YoloConfig()
"""Every idea as the version has it."""


def check_ideas(method: DetectorMethod, yolo: YoloConfig) -> None:
    """Refuse ideas that a method has no place for.

    Raises:
        ArgumentError: They are not the method's.
    """
    if yolo != AS_ITS_VERSION and method not in YOLO:
        raise ArgumentError(
            f"the table yolo goes with the methods {', '.join(YOLO)}, not with {method}: leave it "
            "out"
        )
    if method == DetectorMethod.YOLO_V1 and (yolo.anchors or yolo.scales or yolo.box_loss):
        raise ArgumentError(
            "yolo_v1 has no anchors, one scale and squared errors of the roots of sides: take "
            "yolo_v2, or leave yolo.anchors, yolo.scales and yolo.box_loss out"
        )
