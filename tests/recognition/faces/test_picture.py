"""What a gallery keeps of a face is enough to align it anew, as the photograph was."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from backbones.spec import Alignment
from data.errors import ImageError
from recognition.detection.detector import make_detector
from recognition.faces.alignment import align_faces, inverted, transforms_to_crops
from recognition.faces.pipeline import SIZE, cut_pictures, read_picture
from recognition.results import Face


@pytest.fixture(scope="module")
def seen(astronaut: Image.Image) -> Face:
    [[face]] = make_detector().detect([astronaut])
    return face


@pytest.mark.parametrize("alignment", [Alignment.FIVE_POINT, Alignment.EYES, Alignment.DLIB])
@pytest.mark.parametrize("turn", [0, 90, 180])
def test_every_alignment_is_had_from_it_again(
    astronaut: Image.Image, seen: Face, alignment: Alignment, turn: int
) -> None:
    image = astronaut.rotate(turn, expand=True)
    [[face]] = make_detector().detect([image])
    [picture] = cut_pictures([image], [[face]])
    assert picture.pixels.shape == (SIZE, SIZE, 3)
    kept, found = read_picture(picture.to_png())
    assert found is not None
    np.testing.assert_array_equal(np.asarray(kept), picture.pixels)
    [wanted] = align_faces([image], [[face]], alignment)
    [given] = align_faces([kept], [[found]], alignment)
    assert float((wanted - given).abs().mean()) < 0.02  # drawn twice, so a little smoother
    side = wanted.shape[-1]
    corners = torch.tensor([[0.0, side, 0, side], [0, 0, side, side]])
    to_kept = inverted(transforms_to_crops([found], [kept.size], alignment))[0]
    places = to_kept[:, :2] @ corners + to_kept[:, 2:]
    assert float(places.min()) >= 0  # nothing of the crop lies outside of what is kept
    assert float(places.max()) <= SIZE


def test_the_box_goes_along(astronaut: Image.Image, seen: Face) -> None:
    [picture] = cut_pictures([astronaut], [[seen]])
    [[again]] = make_detector().detect([Image.fromarray(picture.pixels)])
    assert picture.face.box == pytest.approx(again.box, abs=6)
    assert np.ravel(picture.face.landmarks) == pytest.approx(np.ravel(again.landmarks), abs=4)


def png(text: str | None = None) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    about, file = PngInfo(), io.BytesIO()
    if text is not None:
        about.add_text("likeness-face", text)
    Image.new("RGB", (112, 112)).save(file, "PNG", pnginfo=about)
    return file.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{}",
        "[1]",
        "nonsense",
        '{"box": [1, 2, 3], "landmarks": []}',
        '{"box": [1, 2, 3, NaN], "landmarks": [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]}',
        '{"box": [1, 2, 3, 4e9], "landmarks": [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]}',
        '{"box": [1, 2, 3, 4], "landmarks": [[1, 2], [3, 4], [5, 6], [7, 8]]}',
        '{"box": [1, 2, 3, 4], "landmarks": 5}',
    ],
)
def test_a_picture_that_does_not_say_where_its_face_is_is_read_without(text: str | None) -> None:
    image, face = read_picture(png(text))
    assert image.size == (112, 112)
    assert face is None


@pytest.mark.parametrize("content", [b"", b"crop", png()[:60]])
def test_what_is_no_picture_is_refused(content: bytes) -> None:
    with pytest.raises(ImageError, match="no picture"):
        read_picture(content)


def test_no_faces_give_no_pictures(astronaut: Image.Image) -> None:
    assert cut_pictures([astronaut], [[]]) == []
