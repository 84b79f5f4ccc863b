"""A gallery on a disk that is mounted to be read only."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recognition.gallery.gallery import Gallery

# A mount of this process alone; as root a folder's mode would keep nobody from writing.
_UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]

_VISIT = """
import json, subprocess, sys
from pathlib import Path
folder = Path(sys.argv[1])
subprocess.run(["mount", "--bind", folder, folder], check=True)
subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
import numpy as np
from data.errors import GalleryError
from recognition.gallery.gallery import Gallery
from recognition.gallery.templates import Template
query = np.eye(1, 16, dtype=np.float32)
with Gallery.open(folder) as gallery:
    [[match]] = gallery.search(query, 1)
    said = []
    for change in (
        lambda: gallery.enrol("Bo", [Template(query[0], "f" * 64)]),
        lambda: gallery.edit.delete("Ann"),
    ):
        try:
            change()
        except GalleryError as error:
            said.append(str(error))
print(json.dumps([match.person, said]))
"""


def test_it_is_searched_and_what_would_change_it_is_refused(folder, model, make_template):
    with Gallery.open(folder, model=model, create=True) as gallery:
        gallery.enrol("Ann", [make_template(1)])
    try:
        subprocess.run([*_UNSHARE, "mount", "--bind", folder, folder], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no mount of one's own is allowed here")
    visit = subprocess.run(
        [*_UNSHARE, sys.executable, "-c", _VISIT, folder],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        check=False,
    )
    assert visit.returncode == 0, visit.stderr
    person, said = json.loads(visit.stdout)
    assert person == "Ann"
    assert len(said) == 2
    assert all("cannot be written" in line and "\n" not in line for line in said)
    with Gallery.open(folder) as gallery:  # and can be written again
        gallery.enrol("Bo", [make_template(2)])
        assert [one.name for one in gallery.people()] == ["Ann", "Bo"]
