"""The one face that a photograph of one person is about, also where it fills the whole frame."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..results import Face
from .choose import nearest_centre
from .detect import FaceDetector

_MARGIN = 0.1
"""What is added on each side of a photograph without a face, as a share of its longer side. MTCNN
needs some ground around a face: of 200 crops cut to 0.8 of the face's box it finds 132 as they are
and 191 so, of those cut to 0.9 of it 177 and 196. Wider margins find fewer."""


def central_faces(
    detector: FaceDetector, images: Sequence[Image.Image]
) -> list[tuple[Image.Image, Face] | None]:
    """Find in each photograph the face nearest its centre.

    A photograph without one is searched again with its border repeated outwards, since a face that
    fills the frame, as in the AT&T set, is otherwise overlooked.

    Args:
        detector: Finds faces.
        images: Upright RGB photographs of any sizes, as `data.images.load_image` gives them.

    Returns:
        For each of them the face and the picture in whose pixels it is told: the photograph, or the
        photograph with its border; None where there is no face.

    Raises:
        ImageError: An image is not in RGB.
    """
    searched = list(images)
    found = detector.detect(searched)
    faceless = [index for index, faces in enumerate(found) if not faces]
    for index in faceless:
        searched[index] = _with_margin(searched[index])
    again = detector.detect([searched[index] for index in faceless])
    for index, faces in zip(faceless, again, strict=True):
        found[index] = faces
    return [
        (image, nearest_centre(faces, image.size)) if faces else None
        for image, faces in zip(searched, found, strict=True)
    ]


def _with_margin(image: Image.Image) -> Image.Image:
    """The picture with its border repeated outwards on all sides."""
    margin = round(_MARGIN * max(image.size))
    pixels = np.pad(np.array(image), ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    return Image.fromarray(pixels)
