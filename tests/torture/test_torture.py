"""A few trials of every row of the fault table; `make torture` does all of them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).with_name("run.py")
_ROWS = re.findall(r'^    "([a-z-]+)": Row\(', _SCRIPT.read_text(), flags=re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("row", _ROWS)
def test_the_promise_of_a_row_is_kept(row: str) -> None:
    run = subprocess.run(
        [sys.executable, _SCRIPT, row, "--few", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert run.stdout, run.stderr
    seen = json.loads(run.stdout)[row]
    assert seen["broken"] == []
    assert seen["trials"] > 0
