"""The page about all networks, from their specs: `python -m backbones.reference`.

`python -m backbones.reference > docs/backbones.md` writes it anew.
"""

from collections.abc import Iterator, Sequence

from . import shelf
from .places import bundled_weights
from .profile import Profile, profile
from .spec import BackboneSpec

_INTRODUCTION = """\
# The networks

Every network serves two jobs, with `--backbone` and its name: `train` teaches it to recognise
faces, and `stylize` paints with its feature maps, where there are weights for it.
`likeness models info squeezenet1_0 --input 112` says more of one, and for another size.

*MACs* are multiply-accumulates of one image from its pixels to the embedding, in millions; *memory*
is the most that feature maps take at any one time in inference, in MB, float32, without the
weights. A *receptive field* is the side of the square of pixels that a cell of the last tap sees;
squeeze and excitation and attention see the whole image. Parameters are those of the network as it
stands here, without a classifier. Some weights come along, others are to be downloaded, and for the
rest no download is known here.

`likeness models look vgg_slim photo.jpg --show maps -o maps.png` draws what it sees: its feature
maps, the patches of a folder that excite its units most (`patches`), what made an activation
(`deconv`), and what of a picture a unit or the embedding hangs on (`saliency`, `gradcam`,
`occlusion`); `docs/units.md` shows ten units. For two faces, `verify A B --explain FILE` shows the
regions that carry the verdict.

What a network may be built with otherwise than its paper has it (attention, norms, convolutions,
pooling, activations, a learned alignment, MobileNet's width and resolution, ResNeXt's cardinality)
are options of `likeness train`, and keys of its recipes (`docs/training.md`). A file of weights
says of them what it has. Of networks whose filters are signs (`xnor_…`, `bwn_…`) a file holds a bit
a number and one float32 a filter.

This page is what `python -m backbones.reference > docs/backbones.md` wrote.
"""

_HEAD = (
    "| network | input | parameters | MACs | memory | embedding | stride | receptive field "
    "| weights |"
)


def reference() -> str:
    """The whole page, in Markdown."""
    sections = (section(family, specs) for family, specs in shelf.families().items())
    return "\n".join([_INTRODUCTION, *sections])


def section(family: str, specs: Sequence[BackboneSpec]) -> str:
    """One family.

    Args:
        family: Its name.
        specs: Of its members.
    """
    papers = dict.fromkeys(spec.paper for spec in specs)
    profiles = [profile(spec.name) for spec in specs]
    lines = [f"## {family}", ""]
    for paper in papers:
        lines += [f"{paper}.", ""]
    lines += [f"- `{spec.name}`: {spec.summary}" for spec in specs]
    lines += ["", _HEAD, "|---" * _HEAD.count(" |") + "|"]
    lines += [_row(each) for each in profiles]
    lines += ["", *_taps(profiles)]
    licences = dict.fromkeys(spec.licence for spec in specs)
    lines.append(f"Code: {'; '.join(licences)}.")
    return "\n".join(lines) + "\n"


def _row(found: Profile) -> str:
    spec, (height, width) = found.spec, found.input_size
    last = found.layers[-1]
    offered = [f"{source.trained_on}, {source.size / 1e6:.1f} MB" for source in spec.weights]
    if bundled_weights(spec.name) is not None:
        offered.insert(0, "come along")
    cells = (
        f"`{spec.name}`",
        f"{height}×{width}",
        f"{found.parameters:,}",
        f"{found.multiply_accumulates / 1e6:,.1f}",
        _megabytes(found.peak_bytes),
        str(spec.dimension),
        str(last.stride),
        "whole image" if last.receptive_field is None else str(last.receptive_field),
        "; ".join(offered) or "none to download",
    )
    return f"| {' | '.join(cells)} |"


def _megabytes(count: int) -> str:
    """In MB, with a figure that is not 0."""
    return f"{count / 1e6:.1f}" if count >= 50_000 else f"{count / 1e6:.1g}"


def _taps(profiles: Sequence[Profile]) -> Iterator[str]:
    """The taps of each member: channels, stride, receptive field."""
    for found in profiles:
        taps = ", ".join(
            f"{layer.name} {layer.shape[0]}/{layer.stride}"
            f"/{'whole' if layer.receptive_field is None else layer.receptive_field}"
            for layer in found.layers
        )
        yield f"Taps of `{found.spec.name}` (channels/stride/receptive field): {taps}."
        yield ""


if __name__ == "__main__":
    print(reference(), end="")
