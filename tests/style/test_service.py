"""The one call: pictures in any form, a network from a file, errors before the first step."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backbones.metadata import weights_metadata
from backbones.registry import create
from data.errors import ArgumentError, ImageError, WeightsError
from data.images import read_settings, save_image
from data.tensors import write_tensors
from style.config import StyleConfig
from style.portraits import Portrait
from style.service import StyleService

SMALL = StyleConfig(size=64, steps=2, first_scale=64, backbone="squeezenet1_0")


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights for SqueezeNet."""
    path = tmp_path_factory.mktemp("weights") / "squeezenet1_0.safetensors"
    network = create("squeezenet1_0", seed=0)
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    return path


@pytest.fixture
def service(home: Path) -> StyleService:
    return StyleService(home=home, device="cpu")


@pytest.fixture
def photograph(astronaut: Image.Image) -> Image.Image:
    return astronaut.resize((96, 72))


@pytest.fixture
def painting() -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def test_paths_bytes_and_images_give_the_same_picture(
    service: StyleService,
    random_weights: Path,
    photograph: Image.Image,
    painting: Image.Image,
    tmp_path: Path,
) -> None:
    path, content = tmp_path / "photograph.png", io.BytesIO()
    photograph.save(path)
    photograph.save(content, "PNG")
    pictures = []
    for form in (photograph, path, content.getvalue()):
        *_, last = service.stylize(form, [painting], SMALL, weights=random_weights)
        assert last.image is not None
        pictures.append(np.asarray(last.image))
    assert pictures[0].shape == (48, 64, 3)
    assert np.array_equal(pictures[0], pictures[1])
    assert np.array_equal(pictures[0], pictures[2])


def test_settings_travel_in_the_png(
    service: StyleService,
    random_weights: Path,
    photograph: Image.Image,
    painting: Image.Image,
    tmp_path: Path,
) -> None:
    *_, last = service.stylize(photograph, [painting], SMALL, weights=random_weights)
    save_image(last.image, tmp_path / "out.png", settings=SMALL.settings())
    assert read_settings(tmp_path / "out.png") == SMALL.settings()


def test_everything_is_refused_before_the_first_step(
    service: StyleService,
    random_weights: Path,
    photograph: Image.Image,
    painting: Image.Image,
    tmp_path: Path,
) -> None:
    def refused(content: object = photograph, style: object = painting) -> None:
        service.stylize(content, [style], SMALL, weights=random_weights)

    with pytest.raises(ArgumentError, match=r"missing\.jpg"):
        refused(content=tmp_path / "missing.jpg")
    with pytest.raises(ArgumentError, match=r"missing\.jpg"):
        refused(style=tmp_path / "missing.jpg")
    with pytest.raises(ImageError):
        refused(style=b"<html>")
    with pytest.raises(ArgumentError, match="vgg20"):
        service.stylize(photograph, [painting], StyleConfig(backbone="vgg20"))


def test_without_weights_the_message_names_the_network(
    service: StyleService, photograph: Image.Image, painting: Image.Image, home: Path
) -> None:
    with pytest.raises(WeightsError, match="vgg_slim"):
        service.stylize(photograph, [painting], StyleConfig(size=64, steps=1))
    assert not home.exists()


def test_an_unknown_device_is_refused_at_once(home: Path) -> None:
    with pytest.raises(ArgumentError, match="abacus"):
        StyleService(home=home, device="abacus")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("backbone", "file"),
    [
        ("squeezenet1_0", "squeezenet1_0-imagenet.safetensors"),
        ("vgg19_quarter", "vgg19-quarter-width-distilled.safetensors"),
    ],
)
def test_one_set_of_weights_suits_every_trained_network(
    service: StyleService, shared: Path, backbone: str, file: str
) -> None:
    config = StyleConfig(size=96, steps=60, first_scale=96, backbone=backbone)
    steps = list(
        service.stylize(
            shared / "images" / "content" / "tubingen.jpg",
            [shared / "images" / "style" / "starry_night.jpg"],
            config,
            weights=shared / "weights" / file,
        )
    )
    first, last = steps[0].losses, steps[-1].losses
    assert last["style"] < 0.1 * first["style"]  # the manner has come
    assert 0.1 < last["content"] < 1.0  # and the photograph is not gone


def test_identities_are_not_kept_by_somebody_blind(
    service: StyleService, random_weights: Path, photograph: Image.Image, painting: Image.Image
) -> None:
    config = dataclasses.replace(SMALL, keep_identity=True)
    with pytest.raises(ArgumentError, match="without somebody who recognises faces"):
        service.stylize(photograph, [painting], config, weights=random_weights)


def test_faces_are_looked_for_in_the_size_of_the_picture_and_before_the_first_step(
    service: StyleService, random_weights: Path, photograph: Image.Image, painting: Image.Image
) -> None:
    config = dataclasses.replace(SMALL, keep_identity=True)
    seen: list[tuple[int, int]] = []

    def portrait(image: Image.Image) -> Portrait:
        seen.append(image.size)
        raise ArgumentError("nobody")

    with pytest.raises(ArgumentError, match="nobody"):
        service.stylize(photograph, [painting], config, weights=random_weights, portrait=portrait)
    assert seen == [(64, 48)]
