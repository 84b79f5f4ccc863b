"""Which pictures the upload fields take."""

import importlib.util
from importlib import reload

import pytest

from data.images import IMAGE_SUFFIXES
from ui.page import fields

HEIC = {".heic", ".heif"}


@pytest.mark.parametrize("reader", [None, object()])
def test_every_picture_that_can_be_read_can_be_handed_over(
    reader: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: reader)
        offered = {f".{suffix}" for suffix in reload(fields).PICTURE_KINDS}
    reload(fields)
    assert offered == (IMAGE_SUFFIXES if reader else IMAGE_SUFFIXES - HEIC)
