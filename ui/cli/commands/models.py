"""`models`: the networks there are, and their weights."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backbones.visualisation import Show
from data.errors import AppError, ArgumentError
from data.progress import Progress
from ui.settings import Settings

from ... import wording
from .. import destinations, output
from ..options import MAX_SEED, UNCHANGED, JsonLinesOption, JsonOption, command

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from backbones.catalogue import BackboneDescription
    from backbones.compression.file import Method
    from backbones.network import Backbone
    from backbones.places import WeightsFile
    from backbones.profile import LayerProfile, Profile
    from backbones.spec import WeightsSource
    from backbones.visualisation.units import Unit


app = typer.Typer()
_group = typer.Typer(help="See the networks, and fetch their weights.")
app.add_typer(_group, name="models")

_MOST_STEPS = 1_000_000
_OPTIONS_OF = {
    "bits": {"quantize"},
    "sparsity": {"prune"},
    "energy": {"svd"},
    "rank": {"svd"},
    "centroids": {"pq"},
    "length": {"pq"},
    "ratio": {"hash"},
    "seed": {"pq", "hash"},
    "student": {"distill"},
    "width": {"distill"},
}
"""Which methods of `compress` go by an option."""
_DISTILL = "distill"
"""The method that writes another network's weights, and so goes with none that keeps them."""
_OPTIONS_OF_TRAINING = {"steps": "--steps", "batch": "--batch-size", "rate": "--rate"}
_OF_ONE_NUMBER = frozenset({Show.SALIENCY, Show.GRADCAM, Show.OCCLUSION})
"""The ways of looking that explain one number of one picture."""
_GRADIENT_SIDE = 112
"""Of the images by which gradients are measured, px, unless another size is asked for."""


@command(_group, "list", example="likeness models list --json", became=UNCHANGED)
def list_models(settings: Settings, as_json: JsonOption = False) -> int:
    """List the networks: parameters, taps, and where their weights are."""
    from backbones.catalogue import describe
    from backbones.registry import available

    models = [describe(name, settings.home) for name in available()]
    if as_json:
        output.print_json([_as_json(model) for model in models])
        return 0
    columns = ("name", "parameters", "taps", "weights", "their licence", "summary")
    output.print_table(columns, [_row(model) for model in models])
    return 0


@command(_group, "info", example="likeness models info resnet50 --input 112", became=UNCHANGED)
def info(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of `likeness models list`.")],
    input_size: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="SIDE", help="Side of the image, px, or HEIGHTxWIDTH; else its own."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Describe a network: costs, memory, and what each layer sees and learns from."""
    from backbones.catalogue import describe
    from backbones.profile import gradients_of, profile

    model = describe(name, settings.home)
    found = profile(name, _size(input_size))
    # Those that average over the image are as quickly judged by a smaller one.
    size = found.input_size
    if found.spec.embedding_size is None and input_size is None:
        size = (min(size[0], _GRADIENT_SIDE), min(size[1], _GRADIENT_SIDE))
    gradients = gradients_of(name, size)
    if as_json:
        output.print_json(_info_as_json(model, found, gradients))
        return 0
    for line in _info_lines(model, found):
        output.print_line(line)
    columns = ("tap", "shape", "stride", "receptive field", "parameters", "MACs", "gradient")
    output.print_table(columns, [_layer_row(layer, gradients) for layer in found.layers])
    return 0


@command(_group, "download", example="likeness models download inception_resnet_v1 --yes")
def download(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of `likeness models list`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Agree to size and licence unasked.")] = False,
    json_lines: JsonLinesOption = False,
) -> int:
    """Fetch the weights that a publisher offers for a network, after asking."""
    from backbones.places import bundled_weights
    from backbones.registry import spec_of
    from backbones.weights import download_weights

    sources = spec_of(name).weights
    if not sources:
        if bundled_weights(name) is not None:
            raise ArgumentError(f"weights for {name} came with the application: use them as it is")
        raise ArgumentError(
            f"no download is known of weights for {name}: train some, or give --weights FILE"
        )
    _ask(name, sources[0], agreed=yes)
    bar = output.progress_bar(f"fetching {name}", of_bytes=True, shown=not json_lines)
    with bar as advance:
        progress = output.progress_lines() if json_lines else advance
        weights = download_weights(name, home=settings.home, progress=progress)
    if sources[0].short_digest:
        output.print_note(f"what came has the sha256 {weights.metadata['source_sha256']}")
    if not json_lines:
        output.print_line(f"{name}: {weights.path}")
    return 0


@command(
    _group,
    "compress",
    example="likeness models compress dlib_resnet -o small.safetensors",
    tells_given=True,
)
def compress(
    settings: Settings,
    given: Set[str],
    weights: Annotated[
        str, typer.Argument(metavar="WEIGHTS", help="A file, or one of `likeness models list`.")
    ],
    out: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The new file, safetensors.")
    ],
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="METHODS",
            help="With commas between them: prune, quantize or both, or one of svd, pq, hash, int8 "
            "and distill; huffman beside prune, quantize or pq.",
        ),
    ] = "quantize,huffman",
    bits: Annotated[
        int, typer.Option("--bits", min=1, max=8, help="For quantize: of each weight's index.")
    ] = 8,
    sparsity: Annotated[
        float,
        typer.Option(
            "--sparsity", min=0, max=1, help="For prune: the part of the weights left out."
        ),
    ] = 0.5,
    energy: Annotated[
        float,
        typer.Option(
            "--energy", min=0, max=1, help="For svd: the part of the sum of squares that is kept."
        ),
    ] = 0.9,
    rank: Annotated[
        int | None,
        typer.Option("--rank", min=1, max=2**31 - 1, help="For svd: of the matrices, not energy."),
    ] = None,
    centroids: Annotated[
        int, typer.Option("--centroids", min=1, max=4096, help="For pq: vectors in a codebook.")
    ] = 256,
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            min=1,
            max=4096,
            help="For pq: weights that a vector stands for; else a filter's plane, or 4.",
        ),
    ] = None,
    ratio: Annotated[
        float,
        typer.Option("--ratio", min=0, max=1, help="For hash: numbers for each weight."),
    ] = 0.25,
    photographs: Annotated[
        Path | None,
        typer.Option(
            "--photographs",
            metavar="DIR",
            help="Train what is left by these, without names; the original is the teacher. int8 "
            "and distill need them, distill a folder for each person.",
        ),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(
            "--student",
            metavar="NAME",
            help="For distill: the network that learns, else mobilefacenet.",
        ),
    ] = None,
    width: Annotated[
        float,
        typer.Option(
            "--width", min=0.1, max=4, help="For distill: how wide MobileNet v1 or v2 is."
        ),
    ] = 1.0,
    steps: Annotated[
        int,
        typer.Option("--steps", min=0, max=_MOST_STEPS, help="Of training, a stage; 0: none."),
    ] = 200,
    batch: Annotated[
        int, typer.Option("--batch-size", min=1, max=4096, help="Photographs a step.")
    ] = 32,
    rate: Annotated[
        float,
        typer.Option(
            "--rate",
            min=0,
            max=1,
            help="Of the first step, of the numbers' own size; for distill of AdamW, else 0.002.",
        ),
    ] = 1e-3,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=MAX_SEED, help="For training, pq and hash.")
    ] = 0,
    as_json: JsonOption = False,
) -> int:
    """Write weights in a smaller file, which every command reads as it reads any weights.

    Deep Compression: the smallest weights are left out (prune), the others share a few values
    (quantize), and what is written of them is as short as its frequency allows (huffman). Or
    tensors become products of narrow matrices (svd), runs of weights the vectors of a codebook
    (pq), or weights share numbers by a hash of their places (hash). With int8, faces are embedded
    faster where OpenVINO is installed. distill teaches another, narrower network to answer as this
    one; the run is kept beside the new file, and goes on if it was interrupted. What it costs,
    measure by `likeness evaluate lfw --weights FILE`.
    """
    from backbones.compression.file import Compression
    from backbones.compression.retraining import Retraining
    from backbones.weights import compress_weights, relative_change, resolve_device

    if method.strip() == _DISTILL:
        return _distil(
            settings,
            given,
            weights,
            out,
            photographs,
            student=student,
            width=width,
            steps=steps,
            batch=batch,
            rate=rate,
            seed=seed,
            as_json=as_json,
        )
    wanted = Compression(
        methods=_methods(method),
        bits=bits,
        sparsity=sparsity,
        energy=energy,
        rank=rank,
        centroids=centroids,
        length=length,
        ratio=ratio,
        seed=seed,
    )
    _check_use(given, wanted.methods, trains=photographs is not None)
    file = _weights(weights, settings, uncompressed=True)
    destinations.check_file(out, suffixes=[".safetensors"], inputs=[file.path])
    retraining, device = None, "cpu"
    if photographs is not None:
        device = str(settings.chosen_device)
        resolve_device(device)  # before photographs are read for minutes
        pictures = _pictures(file, photographs, settings, quiet=as_json)
        retraining = Retraining(pictures=pictures, steps=steps, batch=batch, rate=rate, seed=seed)
    with output.progress_bar("training", shown=retraining is not None) as advance:
        written = compress_weights(file, out, wanted, retraining, device=device, progress=advance)
    before, after = file.path.stat().st_size, out.stat().st_size
    moved = relative_change(file, written.file)
    if as_json:
        told = {
            "weights": str(file.path),
            "output": str(out),
            "sha256": written.file.sha256,
            "bytes_before": before,
            "bytes": after,
            "methods": sorted(wanted.methods),
            "relative_change": moved,
        }
        if retraining is not None:
            told |= {"cosine_untrained": written.untrained, "cosine": written.trained}
        output.print_json(told)
        return 0
    output.print_line(
        f"{out}: {wording.megabytes(after)}, {before / after:.1f} times smaller than "
        f"{wording.megabytes(before)}; weights changed by {wording.percent(moved)}"
    )
    if written.trained is not None:
        output.print_line(
            f"median cosine to the original's answers, of photographs that taught nothing: "
            f"{written.untrained:.4f} before training, {written.trained:.4f} after it"
        )
    output.print_note(
        "a threshold is measured with the very numbers: `likeness evaluate tails` measures these"
    )
    return 0


def _distil(
    settings: Settings,
    given: Set[str],
    weights: str,
    out: Path,
    photographs: Path | None,
    *,
    student: str | None,
    width: float,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    as_json: bool,
) -> int:
    """Teach a network's answers to a narrower one."""
    _check_use(given, {_DISTILL}, trains=photographs is not None)
    if photographs is None:
        raise ArgumentError(
            "distill learns from faces: give a folder of people (--photographs DIR)"
        )
    from data.files import data_home
    from recognition.learning.narrower_network import RATE, STUDENT, Narrowing, distil

    file = _weights(weights, settings)
    destinations.check_file(out, suffixes=[".safetensors"], inputs=[file.path])
    narrowing = Narrowing(
        photographs=photographs.absolute(),
        student=student or STUDENT,
        width=width,
        steps=steps,
        batch=batch,
        seed=seed,
        device=str(settings.chosen_device),
        cache=data_home(settings.home) / "aligned",
        rate=rate if "rate" in given else RATE,
    )
    with output.progress_bar("training", shown=not as_json) as advance:
        made = distil(file, out, narrowing, advance)
    before, after = file.path.stat().st_size, out.stat().st_size
    if as_json:
        output.print_json(
            {
                "weights": str(file.path),
                "output": str(out),
                "sha256": made.sha256,
                "bytes_before": before,
                "bytes": after,
                "methods": [_DISTILL],
                "network": made.architecture,
            }
        )
        return 0
    output.print_line(
        f"{out}: {made.architecture}, {wording.megabytes(after)} beside {wording.megabytes(before)}"
    )
    output.print_note(
        "it is another network: `likeness --weights FILE gallery re-embed` moves a gallery to it"
    )
    return 0


def _pictures(file: "WeightsFile", folder: Path, settings: Settings, *, quiet: bool) -> "Tensor":
    """What a network is taught by, out of a folder."""
    from backbones.weights import load_backbone
    from data.files import data_home
    from data.images import find_images
    from recognition.learning.pictures import pictures_for

    spec = load_backbone(file.architecture, weights=file.path).backbone.spec
    paths = find_images([folder])
    with output.progress_bar("reading photographs", shown=not quiet) as advance:
        cache = data_home(settings.home) / "aligned"
        device = str(settings.chosen_device)
        pictures, missed = pictures_for(spec, paths, cache, device=device, progress=advance)
    if missed:
        why = output.one_line(missed[0].reason)
        output.print_note(f"{len(missed)} photographs are not used; the first: {why}")
    return pictures


@command(_group, "look", example="likeness models look vgg_slim photo.jpg --show maps -o maps.png")
def look(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of `likeness models list`.")],
    pictures: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE", help="A picture; for patches and deconv also a folder, or several."
        ),
    ],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The new picture.")],
    show: Annotated[
        Show,
        typer.Option(
            help="Feature maps; the patches that excite units most; what made an activation, by a "
            "deconvnet (of many pictures: beside each patch); or what a number hangs on, by its "
            "slope (saliency), by maps that raise it (gradcam), or by covering it (occlusion)."
        ),
    ] = Show.MAPS,
    units: Annotated[
        list[str] | None,
        typer.Option(
            "--unit",
            metavar="TAP:CHANNEL",
            help="Such as fire5:12, may be repeated for maps, patches and deconv; else the "
            "strongest ones, or the embedding as a whole.",
        ),
    ] = None,
) -> int:
    """Draw what a network sees: its units, and what of a picture they hang on.

    The taps are those of `likeness models info NAME`. The number that saliency, gradcam and
    occlusion explain is the unit's strongest activation, or else the length of the embedding.
    """
    from backbones.registry import spec_of
    from data.images import find_images, load_image, save_image, to_tensor

    spec_of(name)  # no other name gets any further
    destinations.check_picture(out, inputs=pictures)
    found = find_images(pictures)
    if not found:
        raise ArgumentError("no picture to look at: give one, or a folder of them")
    if show not in (Show.PATCHES, Show.DECONV) and len(found) != 1:
        raise ArgumentError(f"--show {show} takes one picture, and there are {len(found)}")
    if show in _OF_ONE_NUMBER and len(units or ()) > 1:
        raise ArgumentError(f"--show {show} explains one number: give --unit once")
    from backbones.visualisation.figures import draw, prepare
    from backbones.visualisation.units import parse_unit
    from backbones.weights import load_backbone

    network = load_backbone(
        name, weights=settings.weights, home=settings.home, device=settings.chosen_device
    ).backbone
    # The file may hold a network of other channels than the registered one's.
    wanted = [parse_unit(unit, network.spec) for unit in dict.fromkeys(units or ())]
    with output.progress_bar("looking") as advance:

        def told(done: int, total: int) -> None:
            advance(done, total, "looking", "")

        if show is Show.PATCHES or len(found) > 1:
            picture = _of_many(show, network, found, wanted, told)
        else:
            image = prepare(show, network, to_tensor(load_image(found[0])), wanted)
            picture = draw(show, network, [image], wanted, progress=told)
    save_image(picture, out)
    output.print_line(f"{out}: {show} of {name}")
    return 0


class _Pictures:
    """Files as a network looks at them, one at a time: a folder at full size overfills memory.

    Args:
        prepare: Makes of an image what the network looks at.
        paths: Of the files.
        progress: Told how many were read.
    """

    def __init__(
        self,
        prepare: "Callable[[Tensor], Tensor]",
        paths: Sequence[Path],
        progress: Progress,
    ) -> None:
        self._prepare, self._paths, self._progress = prepare, paths, progress
        self._good = list[Path]()
        self.missed = list[str]()

    def __iter__(self) -> "Iterator[Tensor]":
        """Those that can be looked at; `missed` says why others cannot."""
        self._good, self.missed = [], []
        for done, path in enumerate(self._paths, start=1):
            try:
                image = self._read(path)
            except AppError as error:
                self.missed.append(output.naming(str(path), str(error)))
            else:
                self._good.append(path)
                yield image
            self._progress(done, len(self._paths))

    def __getitem__(self, number: int, /) -> "Tensor":
        return self._read(self._good[number])

    def _read(self, path: Path) -> "Tensor":
        from data.images import load_image, to_tensor

        return self._prepare(to_tensor(load_image(path)))


def _of_many(
    show: Show,
    network: "Backbone",
    paths: Sequence[Path],
    units: "Sequence[Unit]",
    progress: Progress,
) -> "Image":
    """Draw the patches of many pictures, without those that cannot be looked at.

    Raises:
        ArgumentError: None of them can be, or nothing excites the units.
    """
    from backbones.visualisation.figures import draw, draw_pairs, prepare

    images = _Pictures(lambda image: prepare(show, network, image, units), paths, progress)
    try:
        if show is Show.PATCHES:
            picture = draw(show, network, images, units)
        else:
            picture = draw_pairs(network, images, units)
    except ArgumentError as error:
        if len(images.missed) < len(paths):
            raise
        raise ArgumentError(
            f"none of these pictures can be looked at: {images.missed[0]}"
        ) from error
    if images.missed:
        output.print_note(
            f"{len(images.missed)} photographs are not used; the first: {images.missed[0]}"
        )
    return picture


def _check_use(given: Set[str], wanted: Set[str], *, trains: bool) -> None:
    """Refuse options that would change nothing.

    Args:
        given: The names of the options that the user gave.
        wanted: The methods.
        trains: Whether there are photographs to train by.

    Raises:
        ArgumentError: One of them is for another method, for training, or ousted by another one.
    """
    for name, methods in _OPTIONS_OF.items():
        if name not in given or methods & wanted or (trains and name == "seed"):
            continue
        option, others = f"--{name}", " and ".join(sorted(methods))
        training = ", and for training by --photographs DIR" if name == "seed" else ""
        raise ArgumentError(
            f"{option} is for {others}{training}, and --method is "
            f"{','.join(sorted(wanted))}: leave {option} out"
        )
    for name, option in _OPTIONS_OF_TRAINING.items():
        if name in given and not trains:
            raise ArgumentError(
                f"{option} is for training: give --photographs DIR, or leave {option} out"
            )
    if given >= {"energy", "rank"}:
        raise ArgumentError("--rank takes the place of --energy: give one of them")


def _methods(text: str) -> "frozenset[Method]":
    """Out of `prune,quantize`."""
    from backbones.compression.file import Method

    words = [word.strip() for word in text.split(",")]
    if _DISTILL in words:
        raise ArgumentError("distill writes another network's weights: it stands alone")
    if unknown := [word for word in words if word not in set(Method)]:
        raise ArgumentError(
            f"--method {output.one_line(unknown[0])}: choose from {', '.join(Method)}, {_DISTILL}"
        )
    return frozenset(map(Method, words))


def _weights(text: str, settings: Settings, *, uncompressed: bool = False) -> "WeightsFile":
    """A file of weights, or those at hand of a network; rather some that are not compressed."""
    from backbones.compression.file import METADATA_KEY
    from backbones.places import every_weights, find_weights, weights_file
    from backbones.registry import available
    from backbones.weights import none_at_hand

    if text not in available() or Path(text).is_file():
        return weights_file(Path(text), settings.model)
    if uncompressed:
        for file in every_weights(text, settings.home):
            if METADATA_KEY not in file.metadata:
                return file
    if (found := find_weights(text, home=settings.home)) is None:
        raise none_at_hand(text, settings.home)
    return found


def _ask(name: str, source: "WeightsSource", *, agreed: bool) -> None:
    """Say what would be fetched under which terms, and stop unless the user agrees."""
    terms = output.one_line(
        f"{name}: {wording.megabytes(source.size)} from {source.url}, trained on "
        f"{source.trained_on}; licence: {source.licence}"
    )
    if source.short_digest:
        terms = f"{terms}. {output.one_line(source.short_digest).rstrip('.')}"
    if not agreed and not sys.stdin.isatty():
        raise ArgumentError(f"{terms}: agree with --yes")
    print(terms, file=sys.stderr)
    if not agreed:
        typer.confirm("Fetch it?", abort=True, err=True)


def _size(text: str | None) -> tuple[int, int] | None:
    """(H, W) from `112` or `112x96`.

    Raises:
        ArgumentError: It is neither.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([1-9]\d{0,3})(?:[x×]([1-9]\d{0,3}))?", text.strip())
    if not found:
        raise ArgumentError(
            f"--input {output.one_line(text)}: expected a side in pixels such as 112, or "
            "HEIGHTxWIDTH such as 112x96"
        )
    return int(found[1]), int(found[2] or found[1])


def _info_lines(model: "BackboneDescription", found: "Profile") -> Iterator[str]:
    """What is said of a network as a whole, for people."""
    spec, (height, width) = model.spec, found.input_size
    place = str(model.weights.path) if model.weights else model.problem or "none at hand"
    yield f"{spec.name}: {spec.summary}"
    yield f"paper: {spec.paper}"
    yield f"licence: {spec.licence}; weights: {_licence(model) or 'no terms stated'}"
    yield f"weights: {place}"
    yield f"input: {height}x{width}, faces aligned: {spec.alignment}"
    yield f"embedding: {found.spec.dimension} numbers"
    yield f"parameters: {found.parameters:,}"
    yield f"multiply-accumulates: {found.multiply_accumulates:,}"
    yield f"peak memory of feature maps: {wording.megabytes(found.peak_bytes)}"


def _layer_row(layer: "LayerProfile", gradients: Mapping[str, float]) -> tuple[str, ...]:
    """One tap for people."""
    channels, height, width = layer.shape
    field = "whole image" if layer.receptive_field is None else str(layer.receptive_field)
    return (
        layer.name,
        f"{channels}x{height}x{width}",
        str(layer.stride),
        field,
        f"{layer.parameters:,}",
        f"{layer.multiply_accumulates:,}",
        f"{gradients[layer.name]:.2e}",
    )


def _info_as_json(
    model: "BackboneDescription", found: "Profile", gradients: Mapping[str, float]
) -> dict[str, Any]:
    """One network in depth, for a program."""
    layers = [asdict(layer) | {"gradient_norm": gradients[layer.name]} for layer in found.layers]
    return _as_json(model) | {
        "input_size": found.input_size,
        "multiply_accumulates": found.multiply_accumulates,
        "peak_bytes": found.peak_bytes,
        "layers": layers,
    }


def _as_json(model: "BackboneDescription") -> dict[str, Any]:
    """One network for a program."""
    spec = model.spec
    return {
        "name": spec.name,
        "summary": spec.summary,
        "parameters": model.parameters,
        "input_size": spec.input_size,
        "embedding_size": spec.dimension,
        "alignment": spec.alignment,
        "taps": [asdict(tap) | {"least": tap.least_side} for tap in spec.taps],
        "content_taps": spec.content_taps,
        "style_taps": spec.style_taps,
        "weights": str(model.weights.path) if model.weights else None,
        "problem": model.problem,
        "expected_at": str(model.expected_at),
        "downloads": [asdict(source) for source in spec.weights],
        "paper": spec.paper,
        "licence": spec.licence,
        "weights_licence": _licence(model),
    }


def _row(model: "BackboneDescription") -> tuple[str, ...]:
    """One network for people."""
    spec = model.spec
    offer = f"to download, {wording.megabytes(spec.weights[0].size)}" if spec.weights else "none"
    place = str(model.weights.path) if model.weights else model.problem or offer
    licence = _licence(model) or "not stated"
    return spec.name, f"{model.parameters:,}", str(len(spec.taps)), place, licence, spec.summary


def _licence(model: "BackboneDescription") -> str | None:
    """The terms of the weights that are here, or else of those to download; None: not stated."""
    if model.weights is not None:
        return model.weights.metadata.get("licence")
    return model.spec.weights[0].licence if model.spec.weights else None
