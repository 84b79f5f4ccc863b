"""What a picture's file says of how it was made: put into each format, and read from it.

It is one JSON object: the text chunk `likeness` of a PNG; the image description of a TIFF; in a
JPEG or WebP the property `likeness:settings` of their XMP packet.
"""

import html
import io
import json
import re
from collections.abc import Mapping

from PIL import Image

KEY = "likeness"
"""The name of the text chunk of a PNG, and of the object's only member in a TIFF."""

_DESCRIPTION = 270  # TIFF's tag
_NAMESPACE = "urn:likeness:settings"
_XMP = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:likeness="{namespace}">
<likeness:settings>{settings}</likeness:settings>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
_IN_XMP = re.compile(rb"<likeness:settings>([^<]*)</likeness:settings>")


def as_text(settings: Mapping[str, object]) -> str:
    """The settings as JSON in ASCII, the same text whatever their order."""
    return json.dumps(settings, sort_keys=True)


def as_description(settings: Mapping[str, object]) -> str:
    """The settings as the image description of a TIFF."""
    return as_text({KEY: settings})


def as_xmp(settings: Mapping[str, object]) -> bytes:
    """The settings as an XMP packet."""
    text = html.escape(as_text(settings), quote=False)
    return _XMP.format(namespace=_NAMESPACE, settings=text).encode()


def settings_in(content: bytes) -> dict[str, object] | None:
    """The settings in a file's bytes; None where it is no such picture, or tells none."""
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG", "WEBP", "TIFF")) as image:
            settings = json.loads(_text_in(image))
            if image.format == "TIFF":
                settings = settings[KEY]
    except Exception:  # not ours, or damaged: it tells no settings
        return None
    return settings if isinstance(settings, dict) else None


def _text_in(image: Image.Image) -> str:
    """The JSON that a picture carries.

    Raises:
        LookupError: There is none.
    """
    if image.format == "PNG":
        return str(image.info[KEY])
    if image.format == "TIFF":
        return str(image.tag_v2[_DESCRIPTION])  # type: ignore[attr-defined]
    found = _IN_XMP.search(image.info["xmp"])
    if found is None:
        raise LookupError("the XMP packet holds no settings")
    return html.unescape(found.group(1).decode())
