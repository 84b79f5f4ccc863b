"""A gallery of real faces is moved to another network, from what it kept or from photographs."""

import io
from pathlib import Path

import pytest
from PIL import Image

from backbones.metadata import weights_metadata
from backbones.registry import create
from data.errors import ArgumentError, GalleryError
from data.images import load_image, to_image
from data.tensors import write_tensors
from recognition import maintenance
from recognition.detection.detector import make_detector
from recognition.faces.alignment import align_faces
from recognition.maintenance import ReEmbedding
from recognition.results import Identification
from recognition.service import RecognitionService


@pytest.fixture
def networks(home: Path) -> Path:
    """Weights of two small networks at hand, which want their faces aligned otherwise."""
    for seed, name in enumerate(("mobilefacenet", "iresnet_se")):
        network = create(name, input_size=(32, 32), embedding_size=8, seed=seed)
        path = home / "weights" / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = weights_metadata(
            network.spec, mirror=True, threshold=0.2, threshold_provenance="a test"
        )
        write_tensors(path, network.state_dict(), metadata)
    return home


@pytest.fixture
def photographs(tmp_path: Path, astronaut: Image.Image) -> list[Path]:
    folder = tmp_path / "photographs"
    folder.mkdir()
    paths = []
    for number, size in enumerate((400, 460)):
        paths.append(folder / f"{number}.png")
        astronaut.resize((size, size)).save(paths[-1])
    return paths


def encode_png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def service(home: Path, **choice: str) -> RecognitionService:
    return RecognitionService(home=home, device="cpu", **choice)


def test_it_is_moved_undone_moved_from_photographs_and_confirmed(
    networks: Path, photographs: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = networks
    with service(home, model="mobilefacenet") as recognition:
        assert len(recognition.enroll("Eileen", photographs).kept) == 2
    monkeypatch.setattr(maintenance, "_MEASURED", {})
    with pytest.raises(GalleryError, match=r"not known .* give --photographs"):
        ReEmbedding(home).move("iresnet_se", device="cpu")
    with pytest.raises(ArgumentError, match="is no folder"):
        ReEmbedding(home).move("iresnet_se", device="cpu", photographs=tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match="name the network"):
        ReEmbedding(home).move(None)
    with pytest.raises(GalleryError, match="already"):
        ReEmbedding(home).move("mobilefacenet", device="cpu")

    measured = {(160, "two-eyes-96"): 0.97, (160, "five-point-112"): 0.99}
    monkeypatch.setattr(maintenance, "_MEASURED", measured)
    with pytest.raises(GalleryError, match=r"0\.970 .* nothing was changed"):
        ReEmbedding(home).move("iresnet_se", device="cpu")
    measured[160, "two-eyes-96"] = 0.985
    moved = ReEmbedding(home).move("iresnet_se", device="cpu")
    assert (moved.moved, moved.from_photographs, moved.left_out) == (2, 0, 0)
    assert (moved.similarity, moved.compared) == (0.985, 0)
    with service(home) as recognition:  # the gallery chooses its network
        [seen] = recognition.identify(photographs[0], threshold=0.2)
        assert isinstance(seen, Identification)
        assert [face.person for face in seen.faces] == ["Eileen"]
    ReEmbedding(home).undo()

    # Joined with the old one, and from one photograph that is at hand under another name.
    photographs[0].rename(photographs[0].with_name("renamed.jpg"))
    photographs[1].unlink()
    moved = ReEmbedding(home).move(
        "iresnet_se+mobilefacenet", device="cpu", photographs=photographs[0].parent
    )
    assert (moved.moved, moved.from_photographs, moved.compared) == (2, 1, 1)
    assert moved.similarity is not None
    assert 0.98 < moved.similarity <= 1
    ReEmbedding(home).confirm()
    with pytest.raises(GalleryError, match="was not moved"):
        ReEmbedding(home).undo()


def test_a_gallery_of_before_is_moved_from_its_five_point_crops(
    networks: Path, photographs: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [load_image(path) for path in photographs]
    crops = align_faces(images, make_detector().detect(images))
    with service(networks, model="mobilefacenet") as recognition:
        recognition.enroll("Eileen", photographs)
        with recognition.gallery.open()._store.adding() as connection:
            for number, crop in enumerate(crops, start=1):
                png = encode_png(to_image(crop))
                connection.execute(
                    "UPDATE crop SET picture = ? WHERE template_id = ?", (png, number)
                )
    monkeypatch.setattr(maintenance, "_MEASURED", {(112, "two-eyes-96"): 0.99})
    moved = ReEmbedding(networks).move("iresnet_se", device="cpu")
    assert (moved.moved, moved.similarity) == (2, 0.99)


def test_a_gallery_without_pictures_says_so(networks: Path, photographs: list[Path]) -> None:
    with service(networks, model="mobilefacenet") as recognition:
        recognition.enroll("Eileen", photographs)
        with recognition.gallery.open()._store.adding() as connection:
            connection.execute("DELETE FROM crop")
    with pytest.raises(GalleryError, match="kept no picture"):
        ReEmbedding(networks).move("iresnet_se", device="cpu")
    moved = ReEmbedding(networks).move(
        "iresnet_se", device="cpu", photographs=photographs[0].parent
    )
    assert (moved.moved, moved.from_photographs, moved.similarity) == (2, 2, None)


def test_without_a_gallery_there_is_nothing_to_move(home: Path) -> None:
    with pytest.raises(GalleryError, match="nobody is enrolled"):
        ReEmbedding(home)
