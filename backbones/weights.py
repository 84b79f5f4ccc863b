"""Trained weights into networks: load them, fetch them, say where they run."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from data.errors import ArgumentError, WeightsError
from data.files import printable, private_folder, sha256_of
from data.progress import Progress
from data.tensors import read_tensors, write_tensors

from .binary_weights import METADATA_KEY as BITS
from .binary_weights import unpack_filters
from .blocks.attention import PREFIX as ATTENTION
from .blocks.attention import with_attention_of
from .compression.file import (
    METADATA_KEY,
    Compression,
    Method,
    expand,
    input_ends,
    represent,
    write_forms,
)
from .compression.forms import Form, IntegerForm
from .compression.integers import Accelerated, calibrate, is_accelerated, round_layers
from .compression.retraining import Retraining, tune
from .dlib_file import ARCHITECTURE, INSTALL, SUFFIX, read_file
from .downloads import fetch, read_published
from .metadata import parse_metadata, weights_metadata
from .network import Backbone
from .pair_unit import LIMITS, PREFIX, PairUnit, read_pair_unit
from .places import WeightsFile, cached_weights, find_weights, weights_file
from .registry import build, spec_of
from .spec import Alignment, BackboneSpec

__all__ = [
    "CompressedFile",
    "LoadedBackbone",
    "WeightsFile",
    "cached_weights",
    "compress_weights",
    "download_weights",
    "find_weights",
    "initialise",
    "load_backbone",
    "none_at_hand",
    "relative_change",
    "resolve_device",
    "weights_file",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedBackbone:
    """A network with trained weights, frozen and in eval mode, and how to use it.

    Attributes:
        backbone: The network, on its device.
        weights: Where its weights came from.
        threshold: Cosine similarity from which on two faces count as one person's, -1 … 1; None
            where the weights carry none.
        threshold_provenance: What the threshold was measured on.
        tail: The upper tail of similarities of two people, as text; None where the file has none.
        accelerated: The embedding computed in integers, without gradients; None where the weights
            are no integers, or nothing here computes with them.
        pair: What verifies a pair of embeddings; None where the file has none.
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
    tail: str | None = None
    pair: PairUnit | None = None
    accelerated: Accelerated | None = None


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
    spec = spec_of(file.architecture)
    try:
        spec = says.adapt(spec)
    except ArgumentError as error:  # the file's options, not the user's
        raise WeightsError(f"{printable(file.path)}: {error}") from error
    kept = _tensors_of(file.path)
    backbone = _blank(with_attention_of(spec, kept), file.path)
    pair = read_pair_unit(
        kept,
        file.metadata,
        dimension=backbone.spec.dimension,
        origin=printable(file.path),
    )
    tensors = fit_tensors(backbone, _without_pair(kept), printable(file.path))
    backbone.load_state_dict(tensors, assign=True)
    ends = {
        backbone.own_key(name) or name: own
        for name, own in input_ends(file.metadata, printable(file.path)).items()
    }
    round_layers(backbone, ends)
    frozen = _freeze(backbone, place)
    quick = bool(ends) and place.type == "cpu" and is_accelerated()
    return LoadedBackbone(
        backbone=frozen,
        accelerated=Accelerated(frozen) if quick else None,
        weights=file,
        threshold=says.threshold,
        threshold_provenance=says.threshold_provenance,
        mirror=says.mirror,
        input_size=backbone.spec.input_size,
        alignment=backbone.spec.alignment,
        tail=file.metadata.get("impostor_tail"),
        pair=pair,
    )


def initialise(backbone: Backbone, weights: Path) -> bool:
    """Give a network, to be trained on, the weights of a file of the same architecture.

    Args:
        backbone: The network, changed in place. Its head keeps its own weights where the file has
            none that fit, as a classifier's file has none; so does its attention, which otherwise
            stands where the file has it.
        weights: A file of weights.

    Returns:
        Whether the head took the file's weights too.

    Raises:
        ArgumentError: There is no such file.
        WeightsError: It is damaged or of another network, it expects images of another
            normalisation, or something before the head does not fit.
    """
    file = weights_file(weights, backbone.spec.name)
    says = parse_metadata(file.metadata)
    if says.normalisation not in (None, backbone.spec.normalisation):
        raise WeightsError(
            f"{printable(weights)} expects images of another normalisation than "
            f"{backbone.spec.name} has here; take other weights"
        )
    given = {
        key: tensor
        for name, tensor in _without_pair(_tensors_of(weights)).items()
        if (key := backbone.own_key(name)) is not None
    }
    if says.attention is backbone.spec.attention:
        with torch.random.fork_rng(devices=[]):  # what is drawn is overwritten at once
            backbone.attend_as(given)
    own, trunk = backbone.state_dict(), backbone.trunk_keys()

    def has_all(keys: Iterable[str]) -> bool:
        return all(key in given and given[key].shape == own[key].shape for key in keys)

    fits = has_all(own.keys() - trunk)
    if not fits:
        attention = {key for key in own if key.startswith(f"{ATTENTION}.")}
        taken = trunk | attention if has_all(attention) else trunk
        given = {key: tensor for key, tensor in given.items() if key in taken}
        given |= {key: tensor for key, tensor in own.items() if key not in taken}
    backbone.load_state_dict(fit_tensors(backbone, given, printable(weights)))
    return fits


def download_weights(
    name: str, *, home: Path | None = None, progress: Progress | None = None
) -> WeightsFile:
    """Fetch a network's weights from their publisher and keep them as safetensors.

    The publisher's file is checked against its sha256, opened once without letting any code in it
    run, stripped of what the network does not use, and removed. What is kept has the digest of what
    it was made from in its metadata (`source_sha256`).

    Args:
        name: One of `registry.available()`.
        home: The application's data folder; None takes the user's. It is made if need be.
        progress: Called with how many bytes of how many are there.

    Returns:
        The file that `find_weights` finds from now on.

    Raises:
        ArgumentError: There is no network of that name, or the folder cannot be made.
        WeightsError: Nobody publishes weights for it, they cannot be fetched, or they are not what
            they should be; what is at hand stays as it is.
    """
    spec = spec_of(name)
    if not spec.weights:
        raise WeightsError(f"nobody publishes weights for {name}: name a file with --weights")
    source = spec.weights[0]
    kept = cached_weights(name, home)
    published = fetch(source, private_folder(kept.parent), progress)
    backbone = _blank(spec, published)
    tensors = fit_tensors(backbone, read_published(published), printable(published))
    metadata = weights_metadata(
        spec,
        source=source.url,
        source_sha256=sha256_of(published),
        training_data=source.trained_on,
        licence=source.licence,
    )
    try:
        write_tensors(kept, tensors, metadata)
    except OSError as error:
        raise WeightsError(
            f"cannot write {printable(kept)}: {error.strerror}; make room, or name another --home"
        ) from error
    published.unlink()
    return weights_file(kept, name)


_MEASURED = ("threshold", "threshold_provenance", "impostor_tail", LIMITS)
"""What a file says that was measured with the very numbers that it holds."""

_CALIBRATION = 256
"""Pictures, about, by which int8 learns what flows through a network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedFile:
    """Weights that have been written smaller.

    Attributes:
        file: The new file.
        untrained: Median cosine of what it would have answered without training to what the
            original answers; None where nothing was trained.
        trained: The same of what it answers.
    """

    file: WeightsFile
    untrained: float | None = None
    trained: float | None = None


def compress_weights(
    file: WeightsFile,
    place: Path,
    compression: Compression,
    retraining: Retraining | None = None,
    *,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
) -> CompressedFile:
    """Write weights once more, smaller; `load_backbone` reads them as it reads any.

    Args:
        file: The weights; not compressed ones.
        place: The new file.
        compression: How.
        retraining: What its numbers are trained by, with the original as teacher; None: not at all.
            Where it prunes and quantizes, both stages are trained, each as long.
        device: Where it is trained, as `load_backbone` understands it.
        progress: Told how many steps of how many are done.

    Returns:
        The new file. It says of which it was made (`compressed_from`). A threshold, a tail of
        similarities and a pair unit's limits are left out: they were measured with other numbers.

    Raises:
        ArgumentError: It would take the place of the old one, cannot be written, no tensor
            becomes smaller, or the device is not there.
        TrainingError: Training came to numbers that are not finite.
        WeightsError: The weights are compressed already, damaged, or not finite.
    """
    if place.resolve() == file.path.resolve():
        raise ArgumentError(f"{printable(place)} is the weights themselves: name another file")
    if METADATA_KEY in file.metadata:
        raise WeightsError(
            f"{printable(file.path)} is compressed already: name the file that it was made of "
            f"({printable(file.metadata.get('compressed_from', 'which it does not tell'))})"
        )
    tensors: Mapping[str, Tensor] = _tensors_of(file.path)
    untrained: float | None = None
    trained: float | None = None
    ends = _calibrated(file, tensors, compression, retraining)
    forms = represent(tensors, _first_stage(compression) if retraining else compression, ends)
    if retraining is not None:
        tensors, forms, untrained, trained = _trained(
            file, tensors, forms, compression, retraining, device, progress
        )
    parts, text = write_forms(tensors, forms, compression)
    left_out = (*_MEASURED, BITS)
    metadata = {key: said for key, said in file.metadata.items() if key not in left_out}
    metadata |= {
        METADATA_KEY: text,
        "compressed_from": file.sha256,
        "compressed_by": ", ".join(sorted(compression.methods)),
    }
    # Of files of values alone nothing more was said before, and equal commands give equal bytes.
    if retraining is not None or not compression.is_of_values:
        metadata["compression_settings"] = compression.settings()
    if retraining is not None:
        metadata["compression_training"] = retraining.summary()
    try:
        write_tensors(place, parts, metadata)
    except OSError as error:
        raise ArgumentError(
            f"cannot write {printable(place)}: {error.strerror or error}"
        ) from error
    return CompressedFile(
        file=weights_file(place, file.architecture), untrained=untrained, trained=trained
    )


def _first_stage(compression: Compression) -> Compression:
    """What is trained first: pruned weights, before they share values."""
    if compression.methods >= {Method.PRUNE, Method.QUANTIZE}:
        return replace(compression, methods=frozenset({Method.PRUNE}))
    return compression


def _calibrated(
    file: WeightsFile,
    tensors: Mapping[str, Tensor],
    compression: Compression,
    retraining: Retraining | None,
) -> dict[str, tuple[float, float]] | None:
    """What flows into each layer, by the file's name of its weight; None for other ways."""
    if Method.INT8 not in compression.methods:
        return None
    backbone = load_backbone(file.architecture, weights=file.path).backbone
    if backbone.spec.alignment is Alignment.NONE:
        raise ArgumentError(
            f"{file.architecture} paints, which needs gradients and float32: int8 is for networks "
            "that recognise faces"
        )
    if retraining is None:
        raise ArgumentError(
            "int8 has to see what flows through the network: give a folder of faces (--photographs)"
        )
    pictures = retraining.pictures[:: max(1, len(retraining.pictures) // _CALIBRATION)]
    measured = calibrate(backbone, pictures)
    keys = {name: backbone.own_key(name) for name in tensors}
    return {name: measured[key] for name, key in keys.items() if key in measured and key}


def _trained(
    file: WeightsFile,
    tensors: Mapping[str, Tensor],
    forms: Mapping[str, Form],
    compression: Compression,
    retraining: Retraining,
    device: str | torch.device,
    progress: Progress | None,
) -> tuple[dict[str, Tensor], dict[str, Form], float, float]:
    """Tensors and forms after training, and how near both ends of it come to the original."""
    loaded = load_backbone(file.architecture, weights=file.path, device=device)
    spec = loaded.backbone.spec
    fresh = _blank(spec, file.path)
    trained = frozenset(n for n, part in fresh.named_parameters() if part.requires_grad)
    stages = 1 if _first_stage(compression) == compression else 2
    pupil = None
    if Method.INT8 in compression.methods:
        pupil = load_backbone(file.architecture, weights=file.path, device=device).backbone
        integers = {name: form for name, form in forms.items() if isinstance(form, IntegerForm)}
        own = {pupil.own_key(name) or name: form for name, form in integers.items()}
        pupil.load_state_dict({key: form.tensor() for key, form in own.items()}, strict=False)
        round_layers(pupil, {key: form.ends for key, form in own.items()})

    def told(stage: int) -> Progress | None:
        if progress is None:
            return None
        return lambda done, total: progress(stage * total + done, stages * total)

    tuned = tune(
        loaded.backbone, tensors, forms, retraining, trained=trained, pupil=pupil, progress=told(0)
    )
    untrained = tuned.before
    if stages == 2:
        pruned = tuned.tensors | {name: form.tensor() for name, form in tuned.forms.items()}
        # Of what training left, the zeros are the smallest again: the same places share values.
        forms = represent(pruned, compression)
        tuned = tune(loaded.backbone, pruned, forms, retraining, trained=trained, progress=told(1))
    return tuned.tensors, tuned.forms, untrained, tuned.after


def relative_change(one: WeightsFile, other: WeightsFile) -> float:
    """How far two files of one network lie apart: |a − b| / |a| over all of their weights.

    Statistics and counts, which may be a thousand times as large, are no weights.

    Raises:
        WeightsError: One is damaged, or they hold other tensors.
    """
    before, after = _tensors_of(one.path), _tensors_of(other.path)
    if {n: t.shape for n, t in before.items()} != {n: t.shape for n, t in after.items()}:
        raise WeightsError(
            f"{printable(other.path)} holds other tensors than {printable(one.path)}"
        )
    before = {name: tensor for name, tensor in before.items() if tensor.ndim >= 2}
    moved = sum(float((before[name] - after[name]).double().square().sum()) for name in before)
    length = sum(float(tensor.double().square().sum()) for tensor in before.values())
    return (moved / length) ** 0.5 if length else 0.0


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


def _wanted_file(name: str | None, weights: Path | None, home: Path | None) -> WeightsFile:
    """The file that `load_backbone` is asked for, by path or by name."""
    if weights is not None:
        return weights_file(weights, name)
    if name is None:
        raise ArgumentError("no network named and no weights given: use --model or --weights")
    if (file := find_weights(name, home=home)) is None:
        raise none_at_hand(name, home)
    return file


def _tensors_of(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file of weights, by the names that the file gives them."""
    if path.suffix == SUFFIX:
        return read_file(path)
    file = read_tensors(path)
    tensors = expand(file.tensors, file.metadata, printable(path))
    return unpack_filters(tensors, file.metadata, printable(path))


def _without_pair(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the network itself, without those of its pair unit."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(PREFIX)}


def _blank(spec: BackboneSpec, origin: Path) -> Backbone:
    """A network that a file's tensors can be checked against, or become the weights of."""
    try:
        with torch.device("meta"):  # no time lost on random numbers that are overwritten
            return build(spec)
    except ArgumentError as error:  # the sizes are the file's, not the user's
        raise WeightsError(f"{printable(origin)}: {error}") from error


def _freeze(backbone: Backbone, place: torch.device) -> Backbone:
    """Make a network ready for use on a device."""
    backbone.requires_grad_(False).eval().to(place)
    if place.type == "cpu":
        # Measured on one core: MobileFaceNet 1.4 times the images a second, SqueezeNet 2.2 times.
        backbone.to(memory_format=torch.channels_last)
    return backbone


def none_at_hand(name: str, home: Path | None = None, *, option: str = "--weights") -> WeightsError:
    """What is raised where a network's weights are not on this machine.

    Args:
        name: One of `registry.available()`.
        home: The application's data folder; None takes the user's.
        option: Of the command in use: what a file is named by.

    Returns:
        An error that says what to fetch and where to put it.
    """
    fetch = f"run `likeness models download {name}`, or " if spec_of(name).weights else ""
    if name == ARCHITECTURE:
        fetch = f"run `{INSTALL}`, or "
    return WeightsError(
        f"no weights for {name} at hand: {fetch}put a safetensors file at "
        f"{printable(cached_weights(name, home))} or name one with {option}"
    )


# Whether tensors are the weights of a network, all of them and nothing else.


def fit_tensors(
    backbone: Backbone, tensors: Mapping[str, Tensor], origin: str
) -> dict[str, Tensor]:
    """Bring a file's tensors to a network's names and types, after checking each.

    Args:
        backbone: The network; its own weights are not looked at (they may be on the meta device).
        tensors: By the file's names, the publisher's or the network's own.
        origin: What to call the file in messages.

    Returns:
        A state for `load_state_dict`, floating-point numbers as float32.

    Raises:
        WeightsError: A tensor is missing, unknown, of another shape, or holds NaN or infinity.
    """
    wanted = backbone.state_dict()
    given = {
        key: tensor
        for name, tensor in tensors.items()
        if (key := backbone.own_key(name)) is not None
    }
    for key, tensor in wanted.items():
        if key.endswith("num_batches_tracked") and key not in given:
            # Files older than PyTorch 0.4.1 lack this count, which only training looks at.
            given[key] = torch.zeros((), dtype=tensor.dtype)
    if wrong := _difference(wanted, given):
        raise WeightsError(
            f"{origin} does not fit {backbone.spec.name}: {wrong}; "
            "take a file made for this network"
        )
    for key, tensor in given.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"{origin} is damaged: {key} holds NaN or infinity; fetch it again")
    return {key: tensor.to(wanted[key].dtype) for key, tensor in given.items()}


def _difference(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str | None:
    """What keeps one set of tensors from taking another's place; None where nothing does."""
    found = []
    if missing := sorted(wanted.keys() - given.keys()):
        found.append(f"{missing[0]} is missing" + _and_more(missing))
    if unknown := sorted(given.keys() - wanted.keys()):
        found.append(f"{printable(unknown[0])} is unknown" + _and_more(unknown))
    shared = [key for key in given if key in wanted]
    if reshaped := [key for key in shared if given[key].shape != wanted[key].shape]:
        shape, expected = (tuple(each[reshaped[0]].shape) for each in (given, wanted))
        found.append(
            f"{reshaped[0]} has the shape {shape}, expected {expected}" + _and_more(reshaped)
        )
    for key in shared:
        if given[key].is_floating_point() != wanted[key].is_floating_point():
            found.append(f"{key} is {given[key].dtype}, expected {wanted[key].dtype}")
            break
    return "; ".join(found) or None


def _and_more(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
