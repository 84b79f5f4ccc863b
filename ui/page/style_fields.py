"""The fields of a picture that is to be painted: its styles, how it is painted, its regions."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st
from PIL import Image

from data.errors import AppError
from data.images import load_image
from style.config import (
    ColorMethod,
    Colors,
    PaintingQuality,
    Region,
    RegionManner,
    StyleConfig,
    settings_of,
)

from .. import wording
from ..jobs.tasks import Given
from . import browser, components, fields, resources, session
from .fields import Upload
from .language import say

if TYPE_CHECKING:
    from backbones.catalogue import BackboneDescription

MOST_STYLES = 4
"""Styles that are mixed at most."""

_MOST_REGIONS = 4
_SIZES = (256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
_PREFIX = "preset:"
_QUALITIES = {
    PaintingQuality.DRAFT: say("a first look"),
    PaintingQuality.BALANCED: say("for the screen"),
    PaintingQuality.FINE: say("larger and better, which takes longer"),
    PaintingQuality.PRINT: say("for paper; takes long without a GPU"),
}
_COLOURS = {Colors.STYLE: say("The style's"), Colors.CONTENT: say("The photograph's")}
_METHODS = {
    ColorMethod.LUMINANCE: say("luminance: the very colours"),
    ColorMethod.LAB: say("lab: the very colours, the style's contrast"),
    ColorMethod.LINEAR: say("linear: the palette, by eigenvectors"),
    ColorMethod.CHOLESKY: say("cholesky: the palette, by Cholesky factors"),
    ColorMethod.TRANSPORT: say("transport: the palette, moved least"),
    ColorMethod.HISTOGRAM: say("histogram: red, green and blue by themselves"),
}
_STAYS, _REST, _OWN = (
    say("The photograph stays"),
    say("The style of the rest"),
    say("A picture of its own"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A style that was chosen.

    Attributes:
        id: Another one for every preset and every upload.
        name: What it is called on the page.
        given: As a task takes it.
    """

    id: str
    name: str
    given: Given


def thumbnails(given: Sequence[Upload]) -> None:
    """What has been handed over, small; a picture that cannot be read is refused here."""
    if not given:
        return
    with st.container(horizontal=True, gap="small", key=f"thumbnails-{given[0].id}"):
        for upload in given:
            picture, odd = session.remembered(upload.id, upload.id, partial(_small, upload))
            st.image(picture, alt=wording.shorten(upload.name))
            for warning in odd:
                components.oddity(warning)


def styles() -> list[Style]:
    """Presets and pictures of one's own, in any mixture."""
    presets = choose_presets(say("Style"), key="presets", most=MOST_STYLES)
    with st.expander(say("Pictures of your own"), icon=":material/add_photo_alternate:", key="own"):
        own = fields.uploads(say("Pictures to take the style from"), key="styles", several=True)
        thumbnails(own)
    return [
        *(Style(id=name, name=name, given=_PREFIX + name) for name in presets),
        *(Style(id=it.id, name=it.name, given=it.content) for it in own),
    ]


def painting(chosen: Sequence[Style]) -> tuple["BackboneDescription", StyleConfig]:
    """The network and the settings of the picture; the rarer ones are folded away.

    Each field begins as usual: what is chosen is kept in the address, which has nothing of what is
    as it begins, and outlives another page and a reload there.
    """
    mix = _shares(chosen)
    quality = _quality()
    usual = settings_of(quality)
    strength = st.slider(
        say("Strength"),
        min_value=0.0,
        max_value=1.0,
        value=0.5,
        step=0.05,
        key="strength",
        bind="query-params",
        help=say("0 leaves the photograph, 1 asks for nothing but the style."),
    )
    colours = st.segmented_control(
        say("Colours"),
        list(Colors),
        default=Colors.STYLE,
        key="colours",
        bind="query-params",
        format_func=_COLOURS.__getitem__,
        width="stretch",
    )
    keep = st.toggle(
        say("Keep faces recognisable"),
        value=False,
        key="keep",
        bind="query-params",
        help=say(
            "Paints faces more gently, checks who is in the picture, and paints on if need be."
        ),
    )
    with st.expander(say("Advanced"), icon=":material/tune:"):
        network, rarer = _advanced(quality)
    config = StyleConfig(
        **{**usual, **rarer},  # type: ignore[arg-type]
        backbone=network.spec.name,
        strength=strength,
        style_mix=mix,
        colors=colours or Colors.STYLE,
        keep_identity=keep,
    )
    return network, config


def _quality() -> PaintingQuality:
    """How much time the picture may take."""
    chosen = st.segmented_control(
        say("Quality"),
        list(PaintingQuality),
        default=PaintingQuality.BALANCED,
        key="quality",
        bind="query-params",
        format_func=str.capitalize,
        width="stretch",
    )
    quality = chosen or PaintingQuality.BALANCED  # a second click on it takes it back
    st.caption(
        say(
            "{settings_of:,} pixels: {qualities}.",
            settings_of=settings_of(quality)["size"],
            qualities=_QUALITIES[quality],
        )
    )
    return quality


def _advanced(quality: PaintingQuality) -> tuple["BackboneDescription", dict[str, object]]:
    """The network, and the settings that seldom matter by their names in `StyleConfig`."""
    usual = settings_of(quality)
    method = st.selectbox(
        say("How the photograph's colours are kept"),
        list(_METHODS),
        key="color-method",
        bind="query-params",
        format_func=_METHODS.__getitem__,
    )
    left, right = st.columns(2, gap="medium")
    scale = left.slider(
        say("Size of strokes"),
        0.25,
        2.0,
        1.0,
        0.25,
        key="style-scale",
        bind="query-params",
        help=say("More gives larger ones."),
    )
    seed = right.number_input(
        say("Seed"),
        min_value=0,
        max_value=2**31,
        value=0,
        key="seed",
        bind="query-params",
    )
    # The key holds the quality: another one brings its own size and steps.
    size = left.select_slider(
        say("Size in pixels"),
        _SIZES,
        value=usual["size"],
        key=f"size-{quality}",
        bind="query-params",
    )
    steps = right.number_input(
        say("Steps"),
        min_value=10,
        max_value=5000,
        value=usual["steps"],
        step=10,
        key=f"steps-{quality}",
        bind="query-params",
    )
    painters = [network for network in resources.networks() if network.spec.style_taps]
    network = st.selectbox(
        say("Network"),
        painters,
        key="network",
        bind="query-params",
        format_func=lambda it: (
            it.spec.name if it.weights else say("{name} (no weights yet)", name=it.spec.name)
        ),
        help=say("What looks at the pictures; each has another idea of style."),
    )
    rarer = {
        "color_method": method,
        "style_scale": scale,
        "seed": seed,
        "size": size,
        "steps": steps,
    }
    return network, rarer


def _shares(chosen: Sequence[Style]) -> tuple[float, ...]:
    """The share of each style; none where there is nothing to share, or all are equal."""
    if not 2 <= len(chosen) <= MOST_STYLES:
        return ()
    columns = st.columns(2, gap="medium")
    shares = [
        columns[number % 2].slider(
            say("Share of {name}", name=wording.plain(style.name)),
            5,
            100,
            50,
            5,
            key=f"share-{style.id}",
            bind="query-params" if isinstance(style.given, str) else None,
        )
        for number, style in enumerate(chosen)
    ]
    return tuple(map(float, shares)) if len(set(shares)) > 1 else ()


def regions(strength: float) -> list[Region[Given]]:
    """Parts of the photograph that are painted in their own way; one more row than are filled.

    Args:
        strength: What a region's own strength begins with.
    """
    filled = [n for n in range(1, _MOST_REGIONS + 1) if fields.is_filled(f"mask-{n}")]
    rows = min(_MOST_REGIONS, max(filled, default=0) + 1)
    found = []
    title = say("Regions · {amount}", amount=len(filled)) if filled else say("Regions")
    with st.expander(title, icon=":material/select_all:", key="regions"):
        st.caption(
            say(
                "A mask is a grey picture of the photograph's proportions: white is the "
                "region, grey a soft edge. Later regions cover earlier ones."
            )
        )
        for number in range(1, rows + 1):
            with components.refusals_shown():
                region = _region(number, strength)
                found += [] if region is None else [region]
    return found


def _region(number: int, strength: float) -> Region[Given] | None:
    """One row: a mask, and what is painted where it is white; nothing without a mask.

    Raises:
        AppError: The mask, or the region's own picture, cannot be read.
    """
    given = fields.uploads(say("Mask of region {number}", number=number), key=f"mask-{number}")
    if not given:
        return None
    thumbnails(given)
    options = [_STAYS, _REST, _OWN, *preset_names()]
    begun = session.begins_with(f"manner-{number}", _STAYS)
    manner = st.selectbox(
        say("Style of region {number}", number=number),
        options,
        index=options.index(begun) if begun in options else 0,
        key=f"manner-{number}",
    )
    own_strength = None
    if manner != _STAYS:
        own_strength = st.slider(
            say("Strength in region {number}", number=number),
            0.0,
            1.0,
            session.begins_with(f"strength-{number}", strength),
            0.05,
            key=f"strength-{number}",
        )
    return Region(mask=given[0].content, style=_manner(manner, number), strength=own_strength)


def _manner(chosen: str, number: int) -> Given | RegionManner:
    """What a region is painted in.

    Raises:
        AppError: Its own picture is missing, or cannot be read.
    """
    if chosen == _OWN:
        own = fields.uploads(
            say("Picture of region {number}", number=number), key=f"picture-{number}"
        )
        if not own:
            raise AppError(
                say(
                    "add the picture of region {number}, or choose another style for it",
                    number=number,
                )
            )
        thumbnails(own)
        return own[0].content
    return {_STAYS: RegionManner.NONE, _REST: RegionManner.MAIN}.get(chosen, _PREFIX + chosen)


def _small(upload: Upload) -> tuple[Image.Image, list[str]]:
    """A picture of at most 96 pixels, and what is odd about its file."""
    odd: list[str] = []
    image = load_image(upload.content, warn=odd.append)
    image.thumbnail((96, 96))
    return image, odd


# All presets as small pictures, to choose from by clicks.


_tiles = browser.component("styles", "elements")


def choose_presets(label: str, *, key: str, most: int) -> list[str]:
    """All presets as small pictures to choose from.

    Args:
        label: What stands above them.
        key: Tells this gallery from others.
        most: How many may be chosen.

    Returns:
        The names of those that are chosen, in the order in which they were.
    """
    from style.presets.registry import PRESETS
    from style.presets.shelf import COLUMNS, SHEET

    state: dict[str, Any] = st.session_state.get(key) or session.begins_with(key, {})
    known = {preset.name for preset in PRESETS}
    chosen = _known(state.get("chosen", st.query_params.get_all(key)), known)[:most]
    if session.page_was_entered() and chosen != st.query_params.get_all(key):
        # Another page has taken them out of the address, where a reload looks for them.
        st.query_params[key] = chosen
    result = _tiles(
        key=key,
        data={
            "label": label,
            "parameter": key,
            "hint": say("up to {most} are mixed", most=most),
            "most": most,
            "columns": COLUMNS,
            "sheet": _sheet_url(str(SHEET)),
            "styles": [{"name": preset.name, "about": preset.about} for preset in PRESETS],
            "chosen": chosen,
        },
        default={"chosen": chosen},
        on_chosen_change=lambda: None,
    )
    return _known(result.get("chosen"), known)[:most]


def _known(named: object, known: Collection[str]) -> list[str]:
    """What is known of what a browser or an address names, each once."""
    found = [name for name in named if name in known] if isinstance(named, list) else []
    return list(dict.fromkeys(found))


def preset_names() -> list[str]:
    """The names of all presets."""
    from style.presets.registry import PRESETS

    return [preset.name for preset in PRESETS]


@st.cache_data(show_spinner=False)
def _sheet_url(path: str) -> str:
    """All presets as one picture of half its size, for the browser to cut up."""
    with Image.open(path) as opened:
        sheet = opened.convert("RGB").reduce(2)
    return components.data_url(sheet)
