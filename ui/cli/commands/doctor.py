"""`doctor`: whether everything that the application stands on works on this machine."""

import io
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import partial
from importlib import import_module, metadata
from typing import TYPE_CHECKING

import typer

from data.distribution import NAME, install_command
from data.errors import AppError
from ui.settings import Settings

from .. import output
from ..options import UNCHANGED, JsonOption, command

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from backbones.spec import Alignment


# `likeness doctor`: does everything that the application stands on work on this machine?

_DISTRIBUTIONS = (
    "likeness",
    "torch",
    "torchvision",
    "facenet-pytorch",
    "pytorch-metric-learning",
    "safetensors",
    "numpy",
    "pillow",
    "streamlit",
)
_FAISS = ("faiss-gpu", "faiss-cpu")


class State(StrEnum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        state: How it is.
        detail: What was found, and what to do if it is not well; one line.
    """

    name: str
    state: State
    detail: str


def examine(settings: Settings) -> Iterator[Check]:
    """Look at versions, device, data folder and weights, then try the whole way of an image.

    Args:
        settings: Which data folder, weights and device to look at.

    Yields:
        One check after the other; an exception in one is its result, not the end.
    """
    yield Check("python", State.OK, f"{platform.python_version()} on {platform.platform()}")
    for distribution in _DISTRIBUTIONS:
        yield _try(distribution, partial(_version, distribution))
    yield _try("faiss", _faiss)
    yield _try("torch and torchvision", _torchvision_operator)
    yield _try("device", partial(_device, settings))
    yield _try("data folder", partial(_data_folder, settings))
    yield _try("detectors", partial(_detectors, settings))
    yield from _weights(settings)
    yield _try("self test", partial(_self_test, settings))


def _try(name: str, check: Callable[[], tuple[State, str]]) -> Check:
    """Run one check; whatever it raises is what it found."""
    try:
        state, detail = check()
    except AppError as error:
        return Check(name, State.FAILED, str(error))
    except Exception as error:  # a broken library may raise anything, and that is the finding
        return Check(name, State.FAILED, f"{type(error).__name__}: {error}")
    return Check(name, state, detail)


def _version(distribution: str) -> tuple[State, str]:
    try:
        name = NAME if distribution == "likeness" else distribution
        return State.OK, metadata.version(name)
    except metadata.PackageNotFoundError:
        return State.FAILED, f"not installed: {install_command()}"


def _faiss() -> tuple[State, str]:
    """The two distributions hold the same module and overwrite each other's files."""
    installed = {}
    for distribution in _FAISS:
        try:
            installed[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    if len(installed) == len(_FAISS):
        return State.WARNING, f"{' and '.join(_FAISS)} are both here: uninstall both, then one back"
    faiss = import_module("faiss")
    count = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    source = ", ".join(f"{name} {version}" for name, version in installed.items())
    return State.OK, f"{source or faiss.__version__}, {count} GPUs"


def _torchvision_operator() -> tuple[State, str]:
    """A torchvision built for another torch fails here and not before."""
    import torch
    from torchvision.ops import nms

    kept = nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    return State.OK, f"fit each other ({len(kept)} box kept)"


def _device(settings: Settings) -> tuple[State, str]:
    import torch

    from backbones.weights import resolve_device

    device = resolve_device(settings.chosen_device)
    if device.type == "cuda":
        return State.OK, f"cuda: {torch.cuda.get_device_name(device)}"
    return State.OK, f"cpu, {torch.get_num_threads()} threads"


def _data_folder(settings: Settings) -> tuple[State, str]:
    from data.files import data_home

    home = data_home(settings.home)
    if home.is_dir():
        writable = os.access(home, os.W_OK | os.X_OK)
        return (
            (State.OK, str(home))
            if writable
            else (State.FAILED, f"{home} cannot be written: change its mode, or give --home")
        )
    return State.OK, f"{home} (made when first needed)"


def _detectors(settings: Settings) -> tuple[State, str]:
    """Which detectors there are; a gallery says which one found its faces."""
    from backbones.places import bundled_or_own
    from recognition.detection.detector import detector_names, detector_spec
    from recognition.detection.methods.config import DetectorMethod

    told: list[str] = []
    absent: list[str] = []
    for one in map(detector_spec, detector_names()):
        if one.name in set(DetectorMethod) and bundled_or_own(one.name, settings.home) is None:
            absent.append(one.name)
        else:
            told.append(f"{one.identity} ({one.licence}; {one.source})")
    without = f"; no weights at hand of {', '.join(absent)}" if absent else ""
    return State.OK, ", ".join(told) + without


def _weights(settings: Settings) -> Iterator[Check]:
    """Where each network's weights are; it is no fault to have none."""
    from backbones.catalogue import describe
    from backbones.registry import available

    absent = []
    for name in available():
        model = describe(name, settings.home)
        if model.problem or model.weights:
            state = State.FAILED if model.problem else State.OK
            place = model.weights.path if model.weights else None
            yield Check(f"weights of {name}", state, model.problem or str(place))
        else:
            absent.append(name)
    yield Check("weights of others", State.OK, f"none at hand: {', '.join(absent) or 'no other'}")


def _self_test(settings: Settings) -> tuple[State, str]:
    """Encode a pattern, decode it, look for faces in it; with weights at hand, embed a crop."""
    from PIL.Image import radial_gradient

    from data.images import load_image
    from recognition.detection.detector import make_detector

    encoded = io.BytesIO()
    radial_gradient("L").convert("RGB").save(encoded, "PNG")
    image = load_image(encoded.getvalue())
    [faces] = make_detector(settings.chosen_device).detect([image])
    decoded, embedded = f"decoded {image.width}×{image.height} pixels", _embed(settings, image)
    if faces:
        seen = f"{len(faces)} found in a pattern without any face: {install_command()}"
        return State.WARNING, f"{decoded}, {embedded}, {seen}"
    seen = "found no face, as expected: the pattern has none"
    return State.OK, f"{decoded}, {embedded}, {seen}"


def _embed(settings: Settings, image: "Image") -> str:
    """Embed a picture as if it were an aligned face, where there are weights to do it with."""
    from data.images import to_tensor
    from recognition.faces.alignment import crop_size

    if not settings.weights:
        name = _face_network_at_hand(settings)
        if name is None:
            return "embedded nothing for want of weights"
        settings = replace(settings, model=name)
    embedder = settings.face_embedder()

    def aligned(alignment: "Alignment") -> "Tensor":
        side = crop_size(alignment)
        return to_tensor(image.resize((side, side)))[None]

    [vector] = embedder.embed_aligned(aligned)
    return f"embedded by {embedder.model_id} in {len(vector)} numbers"


def _face_network_at_hand(settings: Settings) -> str | None:
    """The network asked for, else the default one or another for faces; None without weights."""
    from backbones.registry import available, spec_of
    from backbones.spec import Alignment
    from backbones.weights import find_weights
    from recognition.faces.embedding import network_names
    from recognition.models import default_model

    for_faces = [name for name in available() if spec_of(name).alignment is not Alignment.NONE]
    names = [settings.model] if settings.model else [default_model(settings.home), *for_faces]
    for name in names:
        if all(find_weights(part, home=settings.home) for part in network_names(name)):
            return name
    return None


# `doctor`: what works on this machine, and what does not.

app = typer.Typer()


@command(app, "doctor", example="likeness doctor --json", became=UNCHANGED)
def doctor(settings: Settings, as_json: JsonOption = False) -> int:
    """Check that everything works on this machine.

    Versions, device, data folder, weights, and the whole way of one image.
    """
    checks = list(examine(settings))
    if as_json:
        output.print_json([asdict(check) for check in checks])
    else:
        rows = [(check.name, check.state, check.detail) for check in checks]
        output.print_table(("what", "state", "found"), rows)
    return 1 if any(check.state is State.FAILED for check in checks) else 0
