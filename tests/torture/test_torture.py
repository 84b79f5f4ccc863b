"""A few trials of every row of the fault table; `make torture` does all of them."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = Path(__file__).with_name("run.py")
# What kills runs of the same trainer already: learning/test_trainer.py, at three of its steps.
_ELSEWHERE = {"kill-training"}
_ROWS = re.findall(r'^    "([a-z-]+)": Row\(', _SCRIPT.read_text(), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def tried() -> Iterator[Callable[[str], dict[str, Any]]]:
    """What comes of a row, tried by a process that all rows share; a new one if it has ended."""
    running: list[subprocess.Popen[str]] = []

    def attempt(row: str) -> dict[str, Any]:
        if not running or running[-1].poll() is not None:
            running.append(
                subprocess.Popen(
                    [sys.executable, _SCRIPT, "--few", "--served"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=complaints,
                    text=True,
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                )
            )
        process = running[-1]
        assert process.stdin is not None
        assert process.stdout is not None
        print(row, file=process.stdin, flush=True)
        said = process.stdout.readline()
        if not said:
            process.wait()
            complaints.seek(0)
            pytest.fail(f"it ended: {complaints.read()[-5000:]}")
        seen: dict[str, Any] = json.loads(said)
        return seen

    with tempfile.TemporaryFile("w+") as complaints:
        yield attempt
        for process in running:
            process.communicate()


_ON_A_SERVER = ("kill-enrolling", "crowd", "erasure")


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.parametrize("row", _ON_A_SERVER)
def test_the_promise_of_a_row_is_kept_on_a_server(row: str) -> None:
    done = subprocess.run(
        [sys.executable, _SCRIPT, "--postgres", row, "--trials", "4", "--json"],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    seen = json.loads(done.stdout)[row]
    assert seen["broken"] == []
    assert seen["trials"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for row in _ROWS if row not in _ELSEWHERE])
def test_the_promise_of_a_row_is_kept(row: str, tried: Callable[[str], dict[str, Any]]) -> None:
    seen = tried(row)
    assert seen["broken"] == []
    assert seen["trials"] > 0
