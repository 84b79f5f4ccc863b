"""What another process that is started here gets of this one's environment: a list, not the rest.

Whatever is not on the list stays here: a gallery's key, tokens of other services, and variables
that make Python, the dynamic linker or a library load code from a place that somebody else chose.
"""

import os
from collections.abc import Iterable

_PLAIN = (
    "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP",
    "SYSTEMROOT", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "XDG_DATA_HOME", "XDG_CACHE_HOME",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)  # fmt: skip
_SEARCHED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Lists of folders, of which only absolute ones are handed on: an empty one means here."""

_PLACES = ("PYTHONHOME", "LIKENESS_HOME", "LIKENESS_WEIGHTS")
"""Paths, which are handed on absolute: the other process may work elsewhere."""

NETWORK = (
    "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip
"""What a process that fetches something needs besides; a proxy's address may hold a password."""


def handed_on(more: Iterable[str] = ()) -> dict[str, str]:
    """The environment of a process that is started here.

    Args:
        more: Variables that it gets besides those that every one does, if they are set.
    """
    kept = {name: os.environ[name] for name in (*_PLAIN, *more) if name in os.environ}
    kept |= {name: value for name, value in os.environ.items() if name.startswith("LC_")}
    for name in _SEARCHED:
        folders = os.environ.get(name, "").split(os.pathsep)
        if absolute := [folder for folder in folders if os.path.isabs(folder)]:  # noqa: PTH117
            kept[name] = os.pathsep.join(absolute)
    for name in _PLACES:
        if os.environ.get(name):
            kept[name] = os.path.abspath(os.path.expanduser(os.environ[name]))  # noqa: PTH100, PTH111
    return kept
