"""What a STYLE on the command line means: a picture's file, or one of the presets."""

from pathlib import Path

from data.errors import ArgumentError
from data.files import data_home, printable

_PREFIX = "preset:"  # as in `style.presets.registry`, whose drawings no help has to wait for


def is_preset(text: str) -> bool:
    """Whether a STYLE names a preset; a file of such a name is written `./preset:…`."""
    return text.startswith(_PREFIX)


def style_file(text: str, home: Path | None) -> Path:
    """The picture that a STYLE names.

    Args:
        text: A path, or `preset:` and the name of a preset, which is drawn if need be.
        home: The user's data folder, where presets are kept; None for the usual one.

    Raises:
        ArgumentError: There is no such file or preset, or the preset cannot be kept.
    """
    if is_preset(text):
        from style.presets.registry import find_preset
        from style.presets.shelf import preset_file

        return preset_file(find_preset(text), home)
    if not Path(text).exists():
        raise ArgumentError(f"there is no file {printable(text)}; check the path")
    return Path(text)


def shelf_folder(home: Path | None) -> Path:
    """Where presets are kept that were drawn before; it may not exist yet."""
    return data_home(home) / "presets"
