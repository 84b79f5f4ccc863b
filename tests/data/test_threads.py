"""How many threads start, how they wait, and who goes first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data import threads


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"])
def test_who_has_decided_how_threads_wait_is_left_alone(name: str) -> None:
    environment = {name: "PASSIVE"}
    threads.bound_spinning(environment)
    assert environment == {name: "PASSIVE"}


def test_spinning_is_bounded_where_nobody_has_decided() -> None:
    environment = {"HOME": "/"}
    threads.bound_spinning(environment)
    assert environment == {"HOME": "/", "GOMP_SPINCOUNT": str(threads.SPIN_COUNT)}


@pytest.mark.parametrize(
    ("line", "busy"),
    [
        ("0.00 0.00 0.00 1/200 4711\n", 0),
        ("4.10 3.00 2.00 6/200 4711\n", 4),
        ("4.10 3.00 2.00 1/200 4711\n", 0),  # it has just ended
        ("0.10 0.00 0.00 5/200 4711\n", 0),  # it has just begun
        ("0.49 0.00 0.00 9/200 4711\n", 0),
        ("1.51 0.00 0.00 2/200 4711\n", 1),
        ("nan 0 0 2/200 1\n", 0),
        ("", 0),
        ("1 2 3\n", 0),
        ("1.0 1.0 1.0 many/200 1\n", 0),
    ],
)
def test_other_work_counts_where_the_minute_and_the_moment_agree(
    tmp_path: Path, line: str, busy: int
) -> None:
    load = tmp_path / "loadavg"
    load.write_text(line)
    assert threads.busy_processors(load) == busy


def test_a_system_that_tells_nothing_counts_as_idle(tmp_path: Path) -> None:
    assert threads.busy_processors(tmp_path / "none") == 0
    assert threads.processors(tmp_path / "none") >= 1


@pytest.mark.parametrize(
    ("limit", "most"),
    [("100000 100000", 1), ("50000 100000", 1), ("150000 100000", 2), ("1 0", None), ("", None)],
)
def test_a_containers_limit_is_kept(tmp_path: Path, limit: str, most: int | None) -> None:
    path = tmp_path / "cpu.max"
    path.write_text(limit)
    without = threads.processors(tmp_path / "none")
    assert threads.processors(path) == (without if most is None else min(without, most))


@pytest.mark.parametrize(("others", "left"), [(0, 4), (1, 3), (3, 1), (4, 1), (99, 1)])
def test_at_least_one_thread_is_left(
    monkeypatch: pytest.MonkeyPatch, others: int, left: int
) -> None:
    monkeypatch.setattr(threads, "processors", lambda: 4)
    monkeypatch.setattr(threads, "busy_processors", lambda: others)
    environment: dict[str, str] = {}
    threads.share_processors(environment)
    assert environment == {"OMP_NUM_THREADS": str(left)}
    chosen = {"OMP_NUM_THREADS": "7"}
    threads.share_processors(chosen)
    assert chosen == {"OMP_NUM_THREADS": "7"}


@pytest.mark.parametrize(("before", "after"), [(0, 10), (5, 10), (10, 10), (15, 15)])
def test_long_work_gives_way_once(before: int, after: int) -> None:
    program = (
        "import os; from data.threads import give_way; "
        f"os.nice({before} - os.nice(0)); give_way(); give_way(); print(os.nice(0))"
    )
    if os.nice(0) > before:
        pytest.skip("this process runs at a lower priority already")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == after


@pytest.mark.parametrize(
    ("program", "chosen"),
    [
        ("import ui.cli.main, sys; sys.argv = ['likeness', '--help']; ui.cli.main.run()", "10000"),
        ("import recognition.service", "10000"),
        ("import style.service", "10000"),
    ],
)
def test_every_door_chooses_before_torch_is_there(program: str, chosen: str) -> None:
    """What libgomp would read is asked at the moment in which somebody imports torch."""
    watch = (
        "import os, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name in ('torch', 'faiss'):\n"
        "            print('seen', os.environ.get('GOMP_SPINCOUNT'), flush=True); os._exit(0)\n"
        "sys.meta_path.insert(0, Watch())\n"
        f"try:\n    {program}\nexcept SystemExit: pass\n"
        "import torch\n"
    )
    environment = {k: v for k, v in os.environ.items() if k not in threads._WAITING}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", watch], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == f"seen {chosen}"
