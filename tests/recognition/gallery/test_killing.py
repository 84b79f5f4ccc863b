"""What `kill -9` does to an enrolment: nothing.

No failure in N trials supports a rate of 3/N at 95 %; LIKENESS_KILLS=3000 makes that 0.1 %.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = int(os.environ.get("LIKENESS_KILLS", "100"))


@pytest.mark.slow
@pytest.mark.timeout(max(300, KILLS))
def test_whoever_was_acknowledged_is_there_and_nobody_by_half(tmp_path: Path) -> None:
    script = Path(__file__).with_name("killing.py")
    run = subprocess.run(
        [sys.executable, script, tmp_path, str(KILLS), "0"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    seen = json.loads(run.stdout)
    assert seen["killed"] == KILLS
    assert seen["acknowledged"] > KILLS
    assert (seen["lost"], seen["half present"], seen["not found"]) == (0, 0, 0)
