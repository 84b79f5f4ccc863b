"""`models`: the networks there are, and their weights."""

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from data.errors import ArgumentError

from .. import output
from ..options import UNCHANGED, JsonLinesOption, JsonOption, Settings, command

if TYPE_CHECKING:
    from backbones.catalogue import BackboneDescription
    from backbones.spec import WeightsSource

app = typer.Typer()
_group = typer.Typer(help="See the networks, and fetch their weights.")
app.add_typer(_group, name="models")


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


@command(_group, "download", example="likeness models download inception_resnet_v1 --yes")
def download(
    settings: Settings,
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of `likeness models list`.")],
    yes: Annotated[bool, typer.Option("--yes", help="Agree to size and licence unasked.")] = False,
    json_lines: JsonLinesOption = False,
) -> int:
    """Fetch the weights that a publisher offers for a network, after asking."""
    from backbones.registry import spec_of
    from backbones.weights import download_weights

    sources = spec_of(name).weights
    if not sources:
        raise ArgumentError(f"nobody offers weights for {name}: train some, or give --weights FILE")
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


def _ask(name: str, source: "WeightsSource", *, agreed: bool) -> None:
    """Say what would be fetched under which terms, and stop unless the user agrees."""
    terms = output.one_line(
        f"{name}: {output.megabytes(source.size)} from {source.url}, trained on "
        f"{source.trained_on}; licence: {source.licence}"
    )
    if source.short_digest:
        terms = f"{terms}. {output.one_line(source.short_digest).rstrip('.')}"
    if not agreed and not sys.stdin.isatty():
        raise ArgumentError(f"{terms}: agree with --yes")
    print(terms, file=sys.stderr)
    if not agreed:
        typer.confirm("Fetch it?", abort=True, err=True)


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
        "licence": spec.licence,
        "weights_licence": _licence(model),
    }


def _row(model: "BackboneDescription") -> tuple[str, ...]:
    """One network for people."""
    spec = model.spec
    offer = f"to download, {output.megabytes(spec.weights[0].size)}" if spec.weights else "none"
    place = str(model.weights.path) if model.weights else model.problem or offer
    licence = _licence(model) or "not stated"
    return spec.name, f"{model.parameters:,}", str(len(spec.taps)), place, licence, spec.summary


def _licence(model: "BackboneDescription") -> str | None:
    """The terms of the weights that are here, or else of those to download; None: not stated."""
    if model.weights is not None:
        return model.weights.metadata.get("licence")
    return model.spec.weights[0].licence if model.spec.weights else None
