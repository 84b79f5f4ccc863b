"""Where weights come from, and how they get into a network.

They are looked for in this order: the path given; the folder that `LIKENESS_WEIGHTS` names; what
has been downloaded; what came with the application. Nothing is fetched here (`downloads.py` does).
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import data.assets
from data.errors import AppError, ArgumentError, WeightsError
from data.files import data_home, sha256_of
from data.tensors import read_metadata, read_tensors

from .metadata import parse_metadata
from .network import Backbone
from .registry import build, spec_of
from .spec import Alignment

_SUFFIX = ".safetensors"
_ASSETS = Path(str(data.assets.__file__)).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsFile:
    """A file of weights on this machine.

    Attributes:
        path: Where it is.
        sha256: Its digest, 64 hexadecimal digits.
        metadata: The text fields of its header.
        architecture: The network that it belongs to.
    """

    path: Path
    sha256: str
    metadata: Mapping[str, str]
    architecture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedBackbone:
    """A network with trained weights, frozen and in eval mode, and how to use it.

    Attributes:
        backbone: The network, on its device.
        weights: Where its weights came from.
        threshold: Cosine similarity from which on two faces count as one person's, -1 … 1; None
            where the weights carry none.
        threshold_provenance: What the threshold was measured on.
        mirror: Whether the threshold holds with the mirrored image's embedding appended.
        input_size: (H, W) in pixels that the network embeds.
        alignment: How a face must lie in that input. A width below the template's 112 means its
            middle columns: 112×96 takes columns 8 … 104.
    """

    backbone: Backbone
    weights: WeightsFile
    threshold: float | None
    threshold_provenance: str | None
    mirror: bool
    input_size: tuple[int, int]
    alignment: Alignment


def find_weights(
    name: str, *, explicit: Path | None = None, home: Path | None = None
) -> WeightsFile | None:
    """Look for a network's weights on this machine.

    Args:
        name: One of `registry.available()`.
        explicit: A file that is taken and no other, or None.
        home: The application's data folder; None takes the user's.

    Returns:
        The first file found; None where there is none.

    Raises:
        ArgumentError: `explicit` does not exist, `LIKENESS_WEIGHTS` is no folder, or there is no
            network of that name.
        WeightsError: `explicit` or the folder's file is no weights file, or says that it belongs
            to another network.
    """
    spec_of(name)
    if explicit is not None:
        return _weights_file(explicit, name)
    for path in _candidates(name, home):
        return _weights_file(path, name)
    return None


def load_backbone(
    name: str | None,
    *,
    weights: Path | None = None,
    home: Path | None = None,
    device: str | torch.device = "cpu",
) -> LoadedBackbone:
    """Build a network and fill it with trained weights.

    Args:
        name: One of `registry.available()`; None takes what the weights' metadata says.
        weights: A file of weights; None looks for one as `find_weights` does.
        home: The application's data folder; None takes the user's.
        device: Where the network goes: as `resolve_device` understands it, or a device.

    Returns:
        The network, frozen and in eval mode, in float32.

    Raises:
        ArgumentError: There is no network of that name, neither name nor weights are given, the
            path does not exist, or the device is not there.
        WeightsError: No weights are at hand, they do not say what network they are for and no name
            is given, or they are damaged or of another network.
    """
    place = resolve_device(device) if isinstance(device, str) else device
    file = _wanted_file(name, weights, home)
    says = parse_metadata(file.metadata)
    with torch.device("meta"):  # no time lost on random numbers that are overwritten
        backbone = build(says.adapt(spec_of(file.architecture)))
    _fill(backbone, read_tensors(file.path).tensors, file.path)
    return LoadedBackbone(
        backbone=backbone.requires_grad_(False).eval().to(place),
        weights=file,
        threshold=says.threshold,
        threshold_provenance=says.threshold_provenance,
        mirror=says.mirror,
        input_size=backbone.spec.input_size,
        alignment=backbone.spec.alignment,
    )


def resolve_device(device: str) -> torch.device:
    """Turn what a user asks for into a device.

    Args:
        device: `auto` (a GPU if there is one), `cpu` or `cuda`.

    Returns:
        The device.

    Raises:
        ArgumentError: Another word, or a GPU is asked for and there is none.
    """
    # torch.accelerator would say cuda on a CUDA build of torch without any GPU.
    available = torch.cuda.is_available()
    if device == "auto":
        return torch.device("cuda" if available else "cpu")
    if device not in ("cpu", "cuda"):
        raise ArgumentError(f"device is {device!r}; choose from auto, cpu, cuda")
    if device == "cuda" and not available:
        raise ArgumentError("no NVIDIA GPU that this torch can use; take --device cpu")
    return torch.device(device)


def cached_weights(name: str, home: Path | None = None) -> Path:
    """Where a network's downloaded weights are kept, whether or not they are there.

    Args:
        name: The network's name.
        home: The application's data folder; None takes the user's.

    Returns:
        `<home>/weights/<name>.safetensors`.
    """
    return data_home(home) / "weights" / f"{name}{_SUFFIX}"


def _wanted_file(name: str | None, weights: Path | None, home: Path | None) -> WeightsFile:
    """The file that `load_backbone` is asked for, by path or by name."""
    if weights is not None:
        return _weights_file(weights, name)
    if name is None:
        raise ArgumentError("no network named and no weights given: use --model or --weights")
    if (file := find_weights(name, home=home)) is None:
        raise _none_at_hand(name, home)
    return file


def _candidates(name: str, home: Path | None) -> Iterator[Path]:
    """Files that may hold a network's weights, the preferred one first."""
    if folder := os.environ.get("LIKENESS_WEIGHTS"):
        if not Path(folder).is_dir():
            raise ArgumentError(f"LIKENESS_WEIGHTS names {folder}, which is no folder")
        yield from _in_folder(Path(folder), name)
    if (cached := cached_weights(name, home)).is_file():
        yield cached
    yield from _in_folder(_ASSETS, name)


def _in_folder(folder: Path, name: str) -> Iterator[Path]:
    """The file that bears the network's name, then those whose header says that they are of it."""
    named = folder / f"{name}{_SUFFIX}"
    if named.is_file():
        yield named
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            if path != named and parse_metadata(read_metadata(path)).architecture == name:
                yield path
        except AppError:
            continue  # a stranger's file beside ours is no reason to stop


def _weights_file(path: Path, name: str | None) -> WeightsFile:
    """Read a file's header and make sure that it is of the network asked for, if one is."""
    if not path.is_file():
        raise ArgumentError(f"no weights file at {path}")
    metadata = read_metadata(path)
    try:
        says = parse_metadata(metadata).architecture
        architecture = spec_of(says).name if says else name
    except AppError as error:
        raise WeightsError(f"{path}: {error}") from error
    if architecture is None:
        raise WeightsError(f"{path} does not say which network it is for; name it with --model")
    if name is not None and architecture != name:
        raise WeightsError(f"{path} holds weights of {architecture}, not of {name}")
    return WeightsFile(
        path=path, sha256=sha256_of(path), metadata=metadata, architecture=architecture
    )


def _none_at_hand(name: str, home: Path | None) -> WeightsError:
    """Say what to fetch and where to put it."""
    place = cached_weights(name, home)
    sources = spec_of(name).weights
    fetch = f"run `likeness models download {name}` or " if sources else ""
    return WeightsError(f"no weights for {name} at hand: {fetch}put a file at {place}")


def _fill(backbone: Backbone, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Give a network its weights, after making sure that each one is there, and right."""
    wanted = backbone.state_dict()
    given = {
        key: value for name, value in tensors.items() if (key := backbone.own_key(name)) is not None
    }
    for key, tensor in wanted.items():
        if key.endswith("num_batches_tracked") and key not in given:
            # Files older than PyTorch 0.4.1 lack this count, which only training looks at.
            given[key] = torch.zeros((), dtype=tensor.dtype)
    if wrong := _difference(wanted, given):
        raise WeightsError(f"{path} does not fit {backbone.spec.name}: {wrong}")
    for key, tensor in given.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"{path} is damaged: {key} holds NaN or infinity; fetch it again")
        given[key] = tensor.to(wanted[key].dtype)
    backbone.load_state_dict(given, assign=True)


def _difference(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str | None:
    """What keeps one set of tensors from taking another's place; None where nothing does."""
    if missing := sorted(wanted.keys() - given.keys()):
        return f"{missing[0]} is missing" + _and_others(missing)
    if extra := sorted(given.keys() - wanted.keys()):
        return f"{extra[0]!r:.80} is unknown to it" + _and_others(extra)
    for key, tensor in given.items():
        expected = tuple(wanted[key].shape)
        if tuple(tensor.shape) != expected:
            return f"{key} has the shape {tuple(tensor.shape)}, expected {expected}"
    return None


def _and_others(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
