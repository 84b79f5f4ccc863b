"""How numbers and strangers' text are put into words; nothing here knows Streamlit."""

import re
import unicodedata
from typing import TYPE_CHECKING

from .audience import serves_others

if TYPE_CHECKING:
    from recognition.results import Decision, LookAlikes, Quality, StrangerRate, Verification

_LONGEST = 80  # characters of a stranger's text that a line of the page shows
_MOSTLY = 0.5  # the part of pairs of photographs that two names of one person have in common
_ON_PAGE = {  # what the command line calls it → what the page does
    "choose one of them (--face N; 1 is the largest)": "tick “take the largest” to take that",
    "`likeness people check`": "“Who looks alike?”",
}
_SIMILARITIES = re.compile(r" \(similarity [^()]*\)|, -?\d+\.\d+ in the place of -?\d+\.\d+")
_DECIMAL = re.compile(r"(?<![\w.])[-−]?[01]?\.\d+(?!\d|\.|\s*%|\s*[GM]B)")  # it may be either
_JOINERS = "\u200c\u200d"  # part of Persian words and of emoji
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_FIRST_STRONG_ISOLATE, _POP_ISOLATE, _WORD_JOINER = "\u2068", "\u2069", "\u2060"


def similarity(value: float) -> str:
    """A cosine similarity or a threshold, as people read it."""
    return f"{value:.2f}"


def percent(fraction: float | None, decimals: int = 1) -> str:
    """A fraction as a percentage; a figure that the data cannot support is a dash."""
    return "–" if fraction is None else f"{100 * fraction:.{decimals}f} %"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds, as a clock shows them."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def megabytes(count: int) -> str:
    """A number of bytes in megabytes."""
    return f"{count / 1e6:.1f} MB"


def gigabytes(count: int) -> str:
    """A number of bytes in gigabytes."""
    return f"{count / 1e9:.1f} GB"


def shorten(text: str) -> str:
    """Text on one line, without invisible controls, cut off where it is too long to read."""
    shown = "".join(
        character
        for character in " ".join(text.split())
        if character in _JOINERS or unicodedata.category(character) not in ("Cc", "Cf", "Cs")
    )
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def plain(text: str) -> str:
    """A stranger's short text, to be put into Markdown: it shows as typed and does nothing.

    Every punctuation mark is escaped. A colon is also cut off from what follows, for Streamlit
    looks for its `:colour[…]`, `:material/…:` and `:emoji:` after Markdown's escapes are gone. A
    name written from right to left keeps to itself and does not turn the text around it.
    """
    escaped = literal(shorten(text))
    return f"{_FIRST_STRONG_ISOLATE}{escaped}{_POP_ISOLATE}"


def literal(text: str) -> str:
    """Text of any length, to be put into Markdown as it is: an error's line, a path."""
    return _PUNCTUATION.sub(r"\\\1", text).replace("\\:", f"\\:{_WORD_JOINER}")


def on_page(reason: str) -> str:
    """A line of the application, to be put into Markdown: a sentence that tells of no command."""
    for command, way in _ON_PAGE.items():
        reason = reason.replace(command, way)
    return sentence(reason)


def told(line: str) -> str:
    """A line of the application as whoever reads the page may be told it.

    Others than the owner are told no similarity and no threshold; see `audience`.
    """
    if not serves_others():
        return line
    return _DECIMAL.sub("…", _SIMILARITIES.sub("", line))


def sentence(line: str) -> str:
    """A line as the command line has it, to be put into Markdown: with a capital and a full stop.

    What begins with a quotation, a path or a command keeps its first letter.
    """
    text = told(line).strip()
    if text[:1].islower():
        text = text[0].upper() + text[1:]
    if text and text[-1] not in ".!?…:":
        text += "."
    return literal(text)


def verdict(pair: "LookAlikes") -> str:
    """What two people are to each other who are alike."""
    if pair.told_apart:
        return "two people"
    if not pair.above:
        return "near the threshold" if pair.by_chance is None else "alike by chance"
    if pair.by_chance is None:
        return "perhaps one person" if pair.share >= _MOSTLY else "alike"
    return "perhaps one person"


def number(cosine_similarity: float) -> str:
    """A similarity as people read it, with a proper minus and no negative zero.

    Only the owner is told it; see `audience`.
    """
    if serves_others():
        return "not shown"
    return similarity(round(cosine_similarity, 2) + 0.0).replace("-", "−")


def against(cosine_similarity: float, threshold: float) -> str:
    """A similarity beside its threshold: `0.62, where 0.27 is needed`; or which is higher."""
    if serves_others():
        return "above the threshold" if cosine_similarity >= threshold else "below the threshold"
    return f"{number(cosine_similarity)}, where {number(threshold)} is needed"


def judged(result: "Verification") -> str:
    """The similarity of two faces beside what decided about them: a threshold, or a pair unit."""
    if result.pair_value is None or result.pair_limit is None:
        return against(result.cosine_similarity, result.threshold)
    if serves_others():
        return "above the threshold" if result.same_person else "below the threshold"
    value, limit = (
        f"{one:.2f}".replace("-", "−") for one in (result.pair_value, result.pair_limit)
    )
    return (
        f"{number(result.cosine_similarity)}; the weights’ pair unit says {value}, where {limit} "
        "is needed"
    )


_ORIGINS = {"given": "by hand", "gallery": "the gallery’s own", "weights": "by the weights"}


def decided(decision: "Decision") -> str:
    """The threshold in force, where it comes from, and how many strangers it lets pass."""
    return (
        f"threshold {number(decision.threshold)} ({_ORIGINS[decision.origin]}): "
        f"{strangers(decision)}"
    )


def origin(decision: "Decision") -> str:
    """Where a threshold comes from, and for which rate."""
    where = _ORIGINS[decision.origin]
    return where if decision.wanted is None else f"{where}, for {percentage(decision.wanted)}"


def capital(text: str) -> str:
    """A line that begins a sentence."""
    return text[:1].upper() + text[1:]


def strangers(decision: "Decision") -> str:
    """How many strangers pass at the threshold in force."""
    of_search = decision.use == "identify"
    found = decision.strangers
    if found is None:
        who = "strangers would be named" if of_search else "pairs of two people pass for one"
        return f"nothing tells how many {who}; `likeness calibrate` measures it"
    who = "strangers would be named" if of_search else "pairs of two people pass for one"
    beyond = ", beyond what was counted" if found.extrapolated else ""
    return f"{percentage(found.rate)} of {who} [{_between(found)}{beyond}]"


def _between(found: "StrangerRate") -> str:
    return f"{percentage(found.low)}, {percentage(found.high)}"


def percentage(rate: float) -> str:
    """A small rate as people read it: two digits, and no more zeros than can be counted."""
    if rate < 5e-7:
        return "0 %" if rate <= 0 else "under 0.0001 %"
    digits = f"{100 * rate:.2g}"
    return f"{float(digits):.7f}".rstrip("0").rstrip(".") + " %"


def likely(probability: float) -> str:
    """A probability as people read it: no finer than it is known, and never as if certain.

    It follows from the similarity, so that others than the owner are told only which is likelier.
    """
    if serves_others():
        return "over 50 %" if probability >= 0.5 else "under 50 %"
    if probability > 0.9995:
        return "over 99.9 %"
    if probability < 0.0005:
        return "under 0.1 %"
    return f"{100 * probability:.{0 if 0.01 <= probability <= 0.99 else 1}f} %"


def quality_words(quality: "Quality | None") -> str:
    """In what a face is too poor to know somebody by, or `good`; a dash where nobody measured."""
    if quality is None:
        return "–"
    from recognition.faces.quality import shortcomings  # brings NumPy

    return ", ".join(shortcomings(quality)) or "good"


def count(amount: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun: `1 photograph`, `1,200 photographs`."""
    return f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """A duration as people say it: `40 s`, `3 min`, `1 h 20 min`."""
    whole = max(0, round(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def plan(seconds: float, memory: float, in_tiles: bool) -> str:
    """What a picture will take: `about 40 s and 0.6 GB of memory`, and whether in tiles.

    Args:
        seconds: How long.
        memory: Bytes.
        in_tiles: Whether some of it is painted in tiles.
    """
    room = f"{memory / 1e9:.1f} GB" if memory >= 95e6 else f"{max(1, round(memory / 1e6))} MB"
    said = f"about {duration(seconds)} and {room} of memory"
    return f"{said}, in tiles" if in_tiles else said
