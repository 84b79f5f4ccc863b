"""Which of several faces is meant: people compare the largest, protocols the one in the middle."""

from collections.abc import Sequence

from ..results import Face


def largest(faces: Sequence[Face]) -> Face:
    """The face with the largest box; the first of equals.

    Args:
        faces: At least one.

    Raises:
        ValueError: There is none.
    """
    return max(faces, key=lambda face: face.area)


def nearest_centre(faces: Sequence[Face], size: tuple[int, int]) -> Face:
    """The face whose box lies nearest to the image's centre; the first of equals.

    Args:
        faces: At least one, of the same image.
        size: Width and height of the image in pixels.

    Raises:
        ValueError: There is none.
    """
    return min(faces, key=lambda face: distance_from_centre(face, size))


def distance_from_centre(face: Face, size: tuple[int, int]) -> float:
    """From the middle of a face's box to the middle of its image, in pixels.

    Args:
        face: A face of the image.
        size: Width and height of the image in pixels.
    """
    (x, y), (width, height) = face.centre, size
    return float(((x - width / 2) ** 2 + (y - height / 2) ** 2) ** 0.5)
