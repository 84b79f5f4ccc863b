"""Jobs in the background, with a stand-in for the command that they run."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from data.errors import AppError
from ui import jobs, reports
from ui.jobs import Job, JobState

PAINTER = """
import json, pathlib, signal, sys, time
folder, steps, pause = pathlib.Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
stopped = []
signal.signal(signal.SIGINT, lambda *_: stopped.append(True))
for step in range(1, steps + 1):
    line = {"step": step, "total": steps, "losses": {"total": 1 / step}, "elapsed": 0.5 * step}
    print(json.dumps(line), flush=True)
    time.sleep(pause)
    if stopped:
        break
(folder / "picture.png").write_bytes(b"picture of %d steps" % step)
sys.exit(130 if stopped else 0)
"""


def start(folder: Path, *words: str, program: str = PAINTER) -> Job:
    command = [sys.executable, "-c", program, *words]
    return jobs.start(folder, command, kind="stylize", title="a title")


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def state(job: Job) -> JobState:
    found = jobs.find(job.id)
    assert found is not None
    return found.state


def ended(job: Job) -> Job:
    wait_for(lambda: state(job) is not JobState.RUNNING)
    found = jobs.find(job.id)
    assert found is not None
    return found


def test_a_job_reports_and_leaves_what_it_made(home: Path) -> None:
    folder = jobs.prepare({"content": b"pixels"})
    job = start(folder, str(folder), "5", "0")
    assert job.state is JobState.RUNNING

    done = ended(job)

    assert done.state is JobState.DONE
    assert done.error is None
    assert done.read("picture.png") == b"picture of 5 steps"
    assert done.read("sketch.png") is None
    assert (folder / "content").read_bytes() == b"pixels"
    progress = reports.progress(done)
    assert progress is not None
    assert (progress.step, progress.total, progress.elapsed) == (5, 5, 2.5)
    assert progress.losses == {"total": 0.2}
    assert progress.seconds_left == 0


def test_everything_of_a_job_is_for_its_user_alone(home: Path) -> None:
    folder = jobs.prepare({"content": b"pixels"})
    job = ended(start(folder, str(folder), "1", "0"))
    assert [path.stat().st_mode & 0o777 for path in (job.folder, job.folder.parent)] == [0o700] * 2
    assert not [path.name for path in job.folder.iterdir() if path.stat().st_mode & 0o077]


def test_a_job_runs_at_low_priority(home: Path) -> None:
    folder = jobs.prepare({})
    program = (
        "import os, pathlib, sys; pathlib.Path(sys.argv[1], 'nice').write_text(str(os.nice(0)))"
    )
    ended(start(folder, str(folder), program=program))
    assert int((folder / "nice").read_text()) == min(19, os.nice(0) + 10)


def test_cancelling_stops_the_command_and_keeps_what_it_made(home: Path) -> None:
    folder = jobs.prepare({})
    job = start(folder, str(folder), "100000", "0.01")
    wait_for(lambda: reports.progress(job))
    jobs.cancel(job)
    cancelled = ended(job)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.read("picture.png")
    jobs.cancel(cancelled)  # once more does nothing
    assert state(job) is JobState.CANCELLED


def test_a_job_that_has_ended_can_be_started_once_more(home: Path) -> None:
    job = start(jobs.prepare({}), program="import time; time.sleep(60)")
    jobs.cancel(job)
    cancelled = ended(job)
    folder = cancelled.folder
    (folder / "job.json").write_text(
        json.dumps({**json.loads((folder / "job.json").read_text()), "command": ["true"]})
    )
    again = jobs.go_on(cancelled)
    assert (again.id, again.state) == (job.id, JobState.RUNNING)
    assert ended(again).state is JobState.DONE


def test_a_job_that_was_discarded_meanwhile_is_not_started_once_more(home: Path) -> None:
    job = ended(start(jobs.prepare({}), program="pass"))
    jobs.discard(job)
    with pytest.raises(AppError, match="discarded"):
        jobs.go_on(job)


def test_a_job_that_runs_is_not_started_a_second_time(home: Path) -> None:
    folder = jobs.prepare({})
    job = start(folder, str(folder), "100000", "0.01")
    wait_for(lambda: reports.progress(job))
    assert jobs.go_on(job).state is JobState.RUNNING
    jobs.cancel(job)
    wait_for(lambda: state(job) is JobState.CANCELLED)
    assert len(jobs.all_jobs()) == 1


def test_what_a_job_will_take_is_what_it_says_first(home: Path) -> None:
    said = {"plan": {"seconds": 12.0}}
    program = f"import time; print({json.dumps(said)!r}); print('{{}}')"
    job = start(jobs.prepare({}), program=program)
    assert reports.plan(ended(job)) == said["plan"]
    assert reports.plan(ended(start(jobs.prepare({}), program="print('{}')"))) is None


@pytest.mark.slow
def test_a_cancelled_command_has_time_for_a_long_step_and_for_saving(home: Path) -> None:
    folder = jobs.prepare({})
    job = start(folder, str(folder), "2", "22")
    wait_for(lambda: reports.progress(job))
    jobs.cancel(job)
    assert ended(job).read("picture.png") == b"picture of 1 steps"


def test_cancelling_at_once_stops_a_command_that_has_hardly_begun(home: Path) -> None:
    job = start(jobs.prepare({}), program="import time; time.sleep(60)")
    jobs.cancel(job)
    assert ended(job).state is JobState.CANCELLED


def test_a_command_that_fails_says_why(home: Path) -> None:
    program = "import sys; print('noise\\nerror: no such picture\\n', file=sys.stderr); sys.exit(2)"
    job = ended(start(jobs.prepare({}), program=program))
    assert (job.state, job.error) == (JobState.FAILED, "no such picture")


def test_a_command_that_fails_without_a_word_is_reported(home: Path) -> None:
    job = ended(start(jobs.prepare({}), program="raise SystemExit(7)"))
    assert job.state is JobState.FAILED
    assert "exit code 7" in str(job.error)


def test_a_job_whose_processes_are_killed_is_not_taken_for_alive(home: Path) -> None:
    job = start(jobs.prepare({}), program="import time; time.sleep(60)")
    wait_for(lambda: (job.folder / "progress.jsonl").exists())
    os.killpg(int((job.folder / "lock").read_text()), signal.SIGKILL)
    failed = ended(job)
    assert failed.state is JobState.FAILED
    assert "ended from outside" in str(failed.error)


def test_a_job_lives_as_long_as_its_command_even_without_its_supervisor(home: Path) -> None:
    folder = jobs.prepare({})
    job = start(folder, str(folder), "50", "0.02")
    wait_for(lambda: reports.progress(job))
    os.kill(int((folder / "lock").read_text()), signal.SIGKILL)
    assert state(job) is JobState.RUNNING
    assert ended(job).state is JobState.FAILED  # nobody knows how it ended


def test_a_job_is_found_again_by_its_id_alone(home: Path) -> None:
    folder = jobs.prepare({})
    job = start(folder, str(folder), "1", "0")
    found = jobs.find(job.id, home=home)
    assert found is not None
    assert (found.id, found.kind, found.title) == (job.id, "stylize", "a title")
    ended(job)


@pytest.mark.parametrize("identity", ["", "..", "../..", "/etc", "0" * 16, "x" * 16, "a/b", "\0"])
def test_an_id_is_never_a_path(home: Path, identity: str) -> None:
    jobs.prepare({})
    assert jobs.find(identity) is None


def test_the_newest_job_comes_first(home: Path) -> None:
    first = start(jobs.prepare({}), program="")
    second = start(jobs.prepare({}), program="")
    assert [job.id for job in jobs.all_jobs()] == [second.id, first.id]
    ended(first), ended(second)


def test_only_so_many_jobs_run_at_once(home: Path) -> None:
    running = [
        start(jobs.prepare({}), program="import time; time.sleep(60)")
        for _ in range(jobs.MOST_RUNNING)
    ]
    with pytest.raises(AppError, match="running already"):
        jobs.prepare({})
    for job in running:
        jobs.cancel(job)
        ended(job)
    assert jobs.prepare({}).is_dir()


def test_discarding_removes_every_file(home: Path) -> None:
    folder = jobs.prepare({"content": b"pixels"})
    job = ended(start(folder, str(folder), "1", "0"))
    jobs.discard(job)
    assert not folder.exists()
    assert jobs.find(job.id) is None


def test_tidying_removes_what_ended_long_ago_and_nothing_else(home: Path) -> None:
    old, new = (ended(start(jobs.prepare({}), program="")) for _ in range(2))
    running = start(jobs.prepare({}), program="import time; time.sleep(60)")
    never_begun = jobs.prepare({})
    stranger = old.folder.parent / "photographs"
    stranger.mkdir()
    long_ago = time.time() - (jobs.KEPT_DAYS + 1) * 24 * 3600
    for folder in (old.folder, running.folder, never_begun, stranger):
        os.utime(folder, (long_ago, long_ago))
    jobs.tidy()
    assert not old.folder.exists()
    assert not never_begun.exists()
    assert new.folder.exists()
    assert running.folder.exists()
    assert stranger.exists()
    jobs.cancel(running)
    ended(running)


def line(step: int, elapsed: float) -> str:
    return json.dumps({"step": step, "total": 100, "losses": {}, "elapsed": elapsed})


@pytest.mark.parametrize(
    ("text", "step", "seconds_left"),
    [
        ("", None, None),
        (line(1, 1.0), None, None),  # not yet a whole line
        (line(1, 1.0) + "\n", 1, None),
        (line(1, 1.0) + "\n" + line(2, 3.0) + "\n" + line(3, 9)[:7], 2, 2.0 * 98),
        (line(1, 1.0) + "\nnoise\n[1]\n{}\n" + line(5, 3.0) + "\n", 5, 0.5 * 95),
    ],
)
def test_progress_reads_whole_lines_and_passes_over_others(
    home: Path, text: str, step: int | None, seconds_left: float | None
) -> None:
    job = ended(start(jobs.prepare({}), program=""))
    (job.folder / "progress.jsonl").write_text(text)
    progress = reports.progress(job)
    assert (progress and progress.step) == step
    assert (progress and progress.seconds_left) == seconds_left


def test_the_time_left_follows_the_newest_speed(home: Path) -> None:
    """Coarse scales are quick: their speed says nothing about the last and largest."""
    job = ended(start(jobs.prepare({}), program=""))
    quick = [line(step, 0.001 * step) for step in range(1, 2001)]
    slow = [line(2000 + step, 2 + step) for step in range(1, 201)]
    text = "\n".join([*quick, *slow, ""]).replace('"total": 100', '"total": 2300')
    (job.folder / "progress.jsonl").write_text(text)
    progress = reports.progress(job)
    assert progress is not None
    assert progress.seconds_left == pytest.approx(100.0)
