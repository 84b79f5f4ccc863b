"""Jobs in the background, with a stand-in for the command that they run."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from data.environment import NETWORK
from data.errors import AppError
from ui.jobs import reports, store, supervisor
from ui.jobs.store import Job, JobState

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


@dataclass(frozen=True)
class Asked:
    """An order of a test."""

    kind: str = "stylize"
    title: str = "a title"

    def as_json(self) -> dict[str, Any]:
        return {"for": "a test"}

    def command(self, settings: object, folder: Path) -> list[str]:
        raise NotImplementedError


def start(folder: Path, *words: str, program: str = PAINTER) -> Job:
    return store.start(folder, [sys.executable, "-c", program, *words], Asked())


def done_before() -> Job:
    """A job as it lies there once it is done, without the processes that it took."""
    record = {"kind": "stylize", "title": "t", "created": 1.5, "order": {}}
    files = {"job.json": record, "ended.json": {"exit_code": 0}}
    folder = store.prepare({name: json.dumps(value).encode() for name, value in files.items()})
    for name in ("lock", "progress.jsonl", "complaints.txt"):
        (folder / name).touch()
    found = store.find(folder.name)
    assert found is not None
    assert found.state is JobState.DONE
    return found


def processes_of(job: Job) -> list[int]:
    """The supervisor of a job, and the command that it has started."""
    leader = int((job.folder / "lock").read_text())
    return [leader, *(child.pid for child in psutil.Process(leader).children(recursive=True))]


def is_there(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], object], seconds: float = 280) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def state(job: Job) -> JobState:
    found = store.find(job.id)
    assert found is not None
    return found.state


def ended(job: Job) -> Job:
    wait_for(lambda: state(job) is not JobState.RUNNING)
    found = store.find(job.id)
    assert found is not None
    return found


def test_a_job_reports_and_leaves_what_it_made(home: Path) -> None:
    folder = store.prepare({"content": b"pixels"})
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
    folder = store.prepare({"content": b"pixels"})
    job = ended(start(folder, str(folder), "1", "0"))
    assert [path.stat().st_mode & 0o777 for path in (job.folder, job.folder.parent)] == [0o700] * 2
    assert not [path.name for path in job.folder.iterdir() if path.stat().st_mode & 0o077]


def test_a_job_runs_at_low_priority(home: Path) -> None:
    folder = store.prepare({})
    program = (
        "import os, pathlib, sys; pathlib.Path(sys.argv[1], 'nice').write_text(str(os.nice(0)))"
    )
    ended(start(folder, str(folder), program=program))
    assert int((folder / "nice").read_text()) == min(19, os.nice(0) + 10)


def test_cancelling_stops_the_command_and_keeps_what_it_made(home: Path) -> None:
    folder = store.prepare({})
    job = start(folder, str(folder), "100000", "0.01")
    wait_for(lambda: reports.progress(job))
    store.cancel(job)
    cancelled = ended(job)
    assert cancelled.state is JobState.CANCELLED
    assert cancelled.read("picture.png")
    store.cancel(cancelled)  # once more does nothing
    assert state(job) is JobState.CANCELLED


def test_a_job_that_has_ended_can_be_started_once_more(home: Path) -> None:
    job = start(store.prepare({}), program="import time; time.sleep(600)")
    store.cancel(job)
    cancelled = ended(job)
    again = store.go_on(cancelled, ["true"], Asked())
    assert (again.id, again.state) == (job.id, JobState.RUNNING)
    assert ended(again).state is JobState.DONE


def test_a_job_that_was_discarded_meanwhile_is_not_started_once_more(home: Path) -> None:
    job = ended(start(store.prepare({}), program="pass"))
    store.discard(job)
    with pytest.raises(AppError, match="discarded"):
        store.go_on(job, ["true"], Asked())


def test_a_job_that_runs_is_not_started_a_second_time(home: Path) -> None:
    folder = store.prepare({})
    job = start(folder, str(folder), "100000", "0.01")
    wait_for(lambda: reports.progress(job))
    assert store.go_on(job, ["true"], Asked()).state is JobState.RUNNING
    store.cancel(job)
    wait_for(lambda: state(job) is JobState.CANCELLED)
    assert len(store.all_jobs()) == 1


def test_what_a_job_will_take_is_what_it_says_first(home: Path) -> None:
    said = {"plan": {"seconds": 12.0, "memory": 3e6, "scales": [{"tile": None}, {"tile": 512}]}}
    program = f"import time; print({json.dumps(said)!r}); print('{{}}')"
    job = start(store.prepare({}), program=program)
    assert reports.plan(ended(job)) == reports.Plan(seconds=12.0, memory=3e6, in_tiles=True)
    assert reports.plan(ended(start(store.prepare({}), program="print('{}')"))) is None


def test_a_cancelled_command_has_time_for_a_long_step_and_for_saving(home: Path) -> None:
    assert supervisor._PATIENCE >= 60  # seconds that a step of a large picture may take
    folder = store.prepare({})
    job = start(folder, str(folder), "2", "4")
    wait_for(lambda: reports.progress(job))
    store.cancel(job)
    assert ended(job).read("picture.png") == b"picture of 1 steps"


def test_cancelling_at_once_stops_a_command_that_has_hardly_begun(home: Path) -> None:
    job = start(store.prepare({}), program="import time; time.sleep(600)")
    store.cancel(job)
    assert ended(job).state is JobState.CANCELLED


def test_a_command_that_fails_says_why(home: Path) -> None:
    program = "import sys; print('noise\\nerror: no such picture\\n', file=sys.stderr); sys.exit(2)"
    job = ended(start(store.prepare({}), program=program))
    assert (job.state, job.error) == (JobState.FAILED, "no such picture")


def test_a_command_that_fails_without_a_word_is_reported(home: Path) -> None:
    job = ended(start(store.prepare({}), program="raise SystemExit(7)"))
    assert job.state is JobState.FAILED
    assert "exit code 7" in str(job.error)


def test_a_job_whose_processes_are_killed_is_not_taken_for_alive(home: Path) -> None:
    job = start(store.prepare({}), program="import time; time.sleep(600)")
    wait_for(lambda: (job.folder / "progress.jsonl").exists())
    os.killpg(int((job.folder / "lock").read_text()), signal.SIGKILL)
    failed = ended(job)
    assert failed.state is JobState.FAILED
    assert "ended from outside" in str(failed.error)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_a_command_does_not_outlive_its_supervisor(home: Path) -> None:
    folder = store.prepare({})
    job = start(folder, str(folder), "100000", "0.02")
    wait_for(lambda: reports.progress(job))
    leader, command = processes_of(job)
    os.kill(leader, signal.SIGKILL)
    wait_for(lambda: not is_there(command))
    failed = ended(job)
    assert (failed.state, failed.read("picture.png")) == (JobState.FAILED, None)


def test_what_a_killed_supervisor_leaves_behind_can_be_cancelled(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the system does not end the command by itself; one that is deaf to requests."""
    program = (
        "import ctypes, signal, time, pathlib, sys; ctypes.CDLL(None).prctl(1, 0, 0, 0, 0);"
        "[signal.signal(it, signal.SIG_IGN) for it in (signal.SIGTERM, signal.SIGINT)];"
        "pathlib.Path(sys.argv[1], 'ready').touch(); time.sleep(600)"
    )
    folder = store.prepare({})
    job = start(folder, str(folder), program=program)
    wait_for(lambda: (folder / "ready").exists())
    leader, command = processes_of(job)
    os.kill(leader, signal.SIGKILL)
    wait_for(lambda: not is_there(leader))
    assert is_there(command)
    assert state(job) is JobState.RUNNING
    store.cancel(job)
    wait_for(lambda: not is_there(command))
    assert ended(job).state is JobState.CANCELLED


def test_a_number_in_a_file_makes_no_other_process_end(home: Path) -> None:
    """The lock is held, and names a process that is not the job's."""
    folder = store.prepare({})
    job = start(folder, str(folder), "100000", "0.02")
    wait_for(lambda: reports.progress(job))
    leader, command = processes_of(job)
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as stranger:
        for number in (str(stranger.pid), "1", "-1", "0", "", "x", "9" * 30, str(os.getpid())):
            (folder / "lock").write_text(number)
            store.cancel(job)
            time.sleep(0.05)
            assert stranger.poll() is None
            assert is_there(leader)
        stranger.kill()
    os.kill(leader, signal.SIGTERM)
    wait_for(lambda: not is_there(command))


def test_a_job_gets_a_list_of_the_environment_and_no_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        "LIKENESS_KEY": "k", "LIKENESS_KEY_FILE": "/k", "LIKENESS_MILVUS_TOKEN": "t",
        "AWS_SECRET_ACCESS_KEY": "s", "SOMETHING_ELSE": "1", "PYTHONSTARTUP": "/x.py",
        "LD_PRELOAD": "", "BASH_ENV": "/x", "PYTHONWARNINGS": "", "STREAMLIT_SERVER_PORT": "1",
        "HTTPS_PROXY": "http://user:word@proxy",
    }  # fmt: skip
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["", ".", "relative", "/absolute"]))
    program = "import os, json; print(json.dumps(dict(os.environ) | {'cwd': os.getcwd()}))"
    job = ended(start(store.prepare({}), program=program))
    seen = json.loads((job.folder / "progress.jsonl").read_text())
    assert not secrets.keys() & seen.keys()
    assert seen["PYTHONPATH"] == "/absolute"
    assert seen["LIKENESS_HOME"] == str(home)
    assert Path(seen["cwd"]) == job.folder
    command = [sys.executable, "-c", program]
    job = ended(store.start(store.prepare({}), command, Asked(), environment=NETWORK))
    seen = json.loads((job.folder / "progress.jsonl").read_text())
    assert seen["HTTPS_PROXY"] == "http://user:word@proxy"
    assert "LIKENESS_KEY" not in seen


DAMAGE: dict[str, bytes | None] = {
    "empty": b"",
    "cut": b'{"kind": "styl',
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "no kind": b'{"title": "t", "created": 1}',
    "a kind that is a list": b'{"kind": [], "title": "t", "created": 1}',
    "a title that is none": b'{"kind": "stylize", "title": 5, "created": 1}',
    "an endless title": json.dumps({"kind": "stylize", "title": "t" * 9000, "created": 1}).encode(),
    "a date that is text": b'{"kind": "stylize", "title": "t", "created": "now"}',
    "a date that is no number": b'{"kind": "stylize", "title": "t", "created": NaN}',
    "a date beyond all": b'{"kind": "stylize", "title": "t", "created": 1e999}',
    "a date that is true": b'{"kind": "stylize", "title": "t", "created": true}',
    "not UTF-8": b"\xff\xfe\x00",
    "deep": b"[" * 90_000,
    "too long": b'{"kind": "' + b"x" * 200_000 + b'"}',
    "a folder": None,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_record_that_cannot_be_read_is_left_out_and_named(home: Path, damage: str) -> None:
    good, bad = done_before(), done_before()
    (bad.folder / "job.json").unlink()
    content = DAMAGE[damage]
    if content is None:
        (bad.folder / "job.json").mkdir()
    else:
        (bad.folder / "job.json").write_bytes(content)
    assert [job.id for job in store.all_jobs()] == [good.id]
    assert store.find(bad.id) is None
    assert store.unreadable() == [bad.id]
    store.tidy()
    assert store.prepare({}).is_dir()
    with pytest.raises(AppError, match="discarded"):
        store.go_on(bad, ["true"], Asked())
    store.discard_unreadable()
    assert (store.unreadable(), bad.folder.exists(), good.folder.exists()) == ([], False, True)


@pytest.mark.parametrize("name", ["ended.json", "lock", "progress.jsonl", "complaints.txt"])
@pytest.mark.parametrize("damage", ["pipe", "folder", "junk", "link", *list(DAMAGE)[:5]])
def test_no_other_file_of_a_job_breaks_the_list(home: Path, name: str, damage: str) -> None:
    job = done_before()
    (job.folder / name).unlink()
    match damage:
        case "pipe":
            os.mkfifo(job.folder / name)
        case "folder":
            (job.folder / name).mkdir()
        case "junk":
            (job.folder / name).write_bytes(bytes(range(256)) * 50)
        case "link":
            (job.folder / name).symlink_to(job.folder / name)
        case _:
            (job.folder / name).write_bytes(DAMAGE[damage] or b"")
    (found,) = store.all_jobs()
    assert found.state in (JobState.DONE, JobState.FAILED)
    reports.progress(found), reports.plan(found)
    store.cancel(found)


def test_a_record_that_is_a_pipe_is_not_waited_for(home: Path) -> None:
    job = done_before()
    (job.folder / "job.json").unlink()
    os.mkfifo(job.folder / "job.json")
    assert store.all_jobs() == []
    assert store.unreadable() == [job.id]


def test_a_record_holds_no_command_and_a_command_in_it_is_not_run(home: Path) -> None:
    job = ended(start(store.prepare({}), program="pass"))
    record = json.loads((job.folder / "job.json").read_text())
    assert set(record) == {"kind", "title", "created", "order"}
    touched = job.folder / "touched"
    (job.folder / "job.json").write_text(json.dumps(record | {"command": ["touch", str(touched)]}))
    ended(store.go_on(job, ["true"], Asked()))
    assert not touched.exists()


def test_the_files_of_all_jobs_have_a_bound(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MOST_BYTES_KEPT", 10_000)
    first = store.prepare({"content": bytes(6000)})
    with pytest.raises(AppError, match="discard pictures"):
        store.prepare({"content": bytes(6000)})
    assert [entry.name for entry in first.parent.iterdir()] == [first.name]
    monkeypatch.setattr(store, "MOST_BYTES_KEPT", 10**9)
    monkeypatch.setattr(store, "MOST_KEPT", 2)
    store.prepare({})
    with pytest.raises(AppError, match="discard pictures"):
        store.prepare({})


@pytest.mark.parametrize("many", [False, True])
def test_a_job_that_writes_without_end_is_ended(home: Path, many: bool) -> None:
    """One file is bounded by the system, and all of them by the supervisor."""
    program = (
        "import pathlib, sys, time\n"
        "for number in range(10**6):\n"
        f"    name = 'x' + str(number) * {many}\n"
        "    with open(pathlib.Path(sys.argv[1], name), 'ab') as file: file.write(bytes(100_000))\n"
        "    time.sleep(0.01)\n"
    )
    folder = store.prepare({})
    bounded = (
        "from pathlib import Path; import sys; from ui.jobs.supervisor import supervise;"
        "supervise(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:], most_bytes=3_000_000)"
    )
    with (folder / "lock").open("w") as lock:
        command = [sys.executable, "-c", program, str(folder)]
        subprocess.run(
            [sys.executable, "-c", bounded, str(folder), str(lock.fileno()), *command],
            pass_fds=[lock.fileno()],
            check=True,
            timeout=280,
        )
    written = sum(path.stat().st_size for path in folder.iterdir())
    assert written < 100_000_000
    told = json.loads((folder / "ended.json").read_text())
    assert told != {"exit_code": 0}
    assert not many or told["too_large"]


def test_a_job_is_found_again_by_its_id_alone(home: Path) -> None:
    folder = store.prepare({})
    job = start(folder, str(folder), "1", "0")
    found = store.find(job.id, home=home)
    assert found is not None
    assert (found.id, found.kind, found.title) == (job.id, "stylize", "a title")
    ended(job)


@pytest.mark.parametrize("identity", ["", "..", "../..", "/etc", "0" * 16, "x" * 16, "a/b", "\0"])
def test_an_id_is_never_a_path(home: Path, identity: str) -> None:
    store.prepare({})
    assert store.find(identity) is None


def test_the_newest_job_comes_first(home: Path) -> None:
    first = start(store.prepare({}), program="")
    second = start(store.prepare({}), program="")
    assert [job.id for job in store.all_jobs()] == [second.id, first.id]
    ended(first), ended(second)


def test_only_so_many_jobs_run_at_once(home: Path) -> None:
    running = [
        start(store.prepare({}), program="import time; time.sleep(600)")
        for _ in range(store.MOST_RUNNING)
    ]
    with pytest.raises(AppError, match="running already"):
        store.prepare({})
    for job in running:
        store.cancel(job)
        ended(job)
    assert store.prepare({}).is_dir()


def test_discarding_removes_every_file(home: Path) -> None:
    folder = store.prepare({"content": b"pixels"})
    job = ended(start(folder, str(folder), "1", "0"))
    store.discard(job)
    assert not folder.exists()
    assert store.find(job.id) is None


def test_what_was_discarded_meanwhile_cannot_be_kept(home: Path) -> None:
    job = ended(start(store.prepare({}), program=""))
    store.discard(job)
    with pytest.raises(AppError, match="cannot be kept"):
        store.keep(job)


def age(folder: Path, days: float) -> None:
    """As if a job had ended, or been started, or its folder been made so many days ago."""
    then = time.time() - days * 24 * 3600
    for name, key in (("ended.json", "ended"), ("job.json", "created")):
        if (folder / name).exists():
            about = json.loads((folder / name).read_text()) | {key: then}
            (folder / name).write_text(json.dumps(about))
    os.utime(folder, (then, then))


@pytest.fixture
def seen_for_days(home: Path) -> Path:
    """The clock was seen running for some days; where that is noted."""
    noted = home / "jobs" / "clock.json"
    noted.parent.mkdir(parents=True, exist_ok=True)
    before = [datetime.now(UTC) - timedelta(days=days) for days in (2, 3, 5)]
    noted.write_text(json.dumps([one.isoformat() for one in before]))
    return noted


def test_tidying_removes_what_ended_long_ago_and_nothing_else(
    home: Path, seen_for_days: Path
) -> None:
    old, looked_at, kept, new = (ended(start(store.prepare({}), program="")) for _ in range(4))
    store.keep(kept)
    running = start(store.prepare({}), program="import time; time.sleep(600)")
    never_begun = store.prepare({})
    stranger = old.folder.parent / "photographs"
    stranger.mkdir()
    folders = (old.folder, looked_at.folder, kept.folder, running.folder, never_begun, stranger)
    for folder in folders:
        age(folder, store.KEPT_DAYS + 1)
    os.utime(looked_at.folder)  # somebody looks at the picture, which is no new beginning
    assert {job.id for job in store.all_jobs()} == {kept.id, new.id, running.id}
    store.keep(kept, False)
    assert {job.id for job in store.all_jobs()} == {new.id, running.id}
    assert not old.folder.exists()
    assert not looked_at.folder.exists()
    assert not never_begun.exists()
    assert stranger.exists()
    store.cancel(running)
    ended(running)


def test_a_picture_that_is_kept_stays_though_its_record_is_damaged(
    home: Path, seen_for_days: Path
) -> None:
    kept, left = (ended(start(store.prepare({}), program="")) for _ in range(2))
    store.keep(kept)
    for job in (kept, left):
        age(job.folder, store.KEPT_DAYS + 1)
        (job.folder / "job.json").write_text("[")
    store.tidy()
    assert store.unreadable() == [kept.id]
    assert not left.folder.exists()


@pytest.mark.parametrize("ahead", [timedelta(days=5000), timedelta(days=-5000)])
def test_a_clock_that_is_wrong_tidies_nothing(
    home: Path, seen_for_days: Path, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    job = ended(start(store.prepare({}), program=""))
    age(job.folder, store.KEPT_DAYS - 1 if ahead > timedelta() else store.KEPT_DAYS + 6000)
    monkeypatch.setattr("data.clock._read", lambda: datetime.now(UTC) + ahead)
    for _ in range(3):
        store.tidy()
    assert job.folder.exists()
    monkeypatch.setattr("data.clock._read", lambda: datetime.now(UTC) + ahead + timedelta(days=8))
    store.tidy()
    assert not job.folder.exists()


def test_what_a_clock_showed_is_noted_where_the_note_is_damaged(
    home: Path, seen_for_days: Path
) -> None:
    job = ended(start(store.prepare({}), program=""))
    age(job.folder, store.KEPT_DAYS + 1)
    for damaged in ("", "[1", "[1]", "{}", '["yesterday"]', '["2026-01-01"]', "[" * 50_000):
        seen_for_days.write_text(damaged)
        store.tidy()
        assert job.folder.exists()
    assert len(json.loads(seen_for_days.read_text())) == 1


def test_what_a_killed_process_left_is_swept(home: Path) -> None:
    job = ended(start(store.prepare({}), program=""))
    left = job.folder.parent / ".likeness-0123456789abcdef.png"
    left.write_bytes(b"x")
    store.all_jobs()
    assert not left.exists()
    assert job.folder.exists()


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
    job = ended(start(store.prepare({}), program=""))
    (job.folder / "progress.jsonl").write_text(text)
    progress = reports.progress(job)
    assert (progress and progress.step) == step
    assert (progress and progress.seconds_left) == seconds_left


def test_the_time_left_follows_the_newest_speed(home: Path) -> None:
    """Coarse scales are quick: their speed says nothing about the last and largest."""
    job = ended(start(store.prepare({}), program=""))
    quick = [line(step, 0.001 * step) for step in range(1, 2001)]
    slow = [line(2000 + step, 2 + step) for step in range(1, 201)]
    text = "\n".join([*quick, *slow, ""]).replace('"total": 100', '"total": 2300')
    (job.folder / "progress.jsonl").write_text(text)
    progress = reports.progress(job)
    assert progress is not None
    assert progress.seconds_left == pytest.approx(100.0)


HOSTILE: dict[str, object] = {
    "null": None,
    "true": True,
    "not a number": float("nan"),
    "infinite": float("inf"),
    "huge": 10**400,
    "a little too large": 2**53 + 1,
    "negative": -1,
    "text": "12",
    "a list": [3],
    "deep": [[[[{"step": [1]}]]]],
    "an object": {"step": 3},
    "empty text": "",
}

GOOD_LINE = {"step": 3, "total": 4, "losses": {"total": 0.5}, "elapsed": 2.0, "seconds_left": 1.0}


def told(job: Job, *lines: object) -> None:
    """Let a job have said these lines."""
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (job.folder / "progress.jsonl").write_text(text)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("field", ["step", "total", "elapsed", "seconds_left", "losses"])
def test_of_a_line_of_progress_only_what_a_job_could_say_is_taken(
    home: Path, field: str, hostile: str
) -> None:
    job = done_before()
    told(job, GOOD_LINE | {field: HOSTILE[hostile]})
    found = reports.progress(job)
    assert (found is None) is (field in ("step", "total", "elapsed"))
    if found is not None:
        assert type(found.step) is type(found.total) is int
        assert 0 <= found.step <= found.total
        assert found.total >= 1
        assert all(isinstance(each, float) for each in found.losses.values())
        assert found.seconds_left is None or 0 <= found.seconds_left < 1e10
    else:
        assert reports.unreadable(job) == 1
    told(job, GOOD_LINE | {"step": 1}, GOOD_LINE | {field: HOSTILE[hostile]}, GOOD_LINE)
    assert reports.progress(job) == reports.JobProgress(
        step=3, total=4, losses={"total": 0.5}, elapsed=2.0, seconds_left=1.0
    )


@pytest.mark.parametrize(
    "line",
    [{"step": 0, "total": 0, "elapsed": 0}, {"step": 5, "total": 4, "elapsed": 1}, {"step": 1},
     {"Step": 1, "Total": 2, "Elapsed": 3}, {"step": 1, "total": 2, "elapsed": "soon"}],
)  # fmt: skip
def test_a_line_that_no_job_would_say_is_no_progress(home: Path, line: dict[str, object]) -> None:
    job = done_before()
    told(job, line)
    assert reports.progress(job) is None


def test_a_speed_that_cannot_be_tells_no_time(home: Path) -> None:
    job = done_before()
    for earlier, later in (((1, 1e9), (2, 0.0)), ((1, 0.0), (1, 5.0)), ((3, 0.0), (1, 5.0))):
        lines = [
            {"step": step, "total": 2**53, "elapsed": elapsed} for step, elapsed in (earlier, later)
        ]
        told(job, *lines)
        found = reports.progress(job)
        assert found is not None
        assert found.seconds_left is None
    told(
        job, {"step": 1, "total": 2**53, "elapsed": 0}, {"step": 2, "total": 2**53, "elapsed": 1e9}
    )
    found = reports.progress(job)
    assert found is not None
    assert found.seconds_left is None  # longer than anybody waits


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("field", ["plan", "seconds", "memory", "scales"])
def test_of_a_plan_only_what_a_job_could_say_is_taken(home: Path, field: str, hostile: str) -> None:
    job = done_before()
    plan: dict[str, object] = {"seconds": 3, "memory": 1e6, "scales": []}
    line = {"plan": HOSTILE[hostile] if field == "plan" else plan | {field: HOSTILE[hostile]}}
    told(job, line)
    found = reports.plan(job)
    assert found is None or (0 <= found.seconds < 1e10 and 0 <= found.memory < 1e19)
    assert found is not None or reports.unreadable(job) == 1
    told(job, {"plan": plan | {"scales": [HOSTILE[hostile], {"tile": HOSTILE[hostile]}]}})
    assert reports.plan(job) is not None


@pytest.mark.parametrize("hostile", HOSTILE)
def test_of_faces_only_what_a_job_could_say_is_taken(home: Path, hostile: str) -> None:
    job, bad = done_before(), HOSTILE[hostile]
    good = {"same_person": True, "cosine_similarity": 0.6, "threshold": 0.4}
    kept = reports.FaceKept(similarity=0.6, threshold=0.4)
    told(job, GOOD_LINE | {"faces": bad})
    assert reports.faces(job) == []
    told(job, GOOD_LINE | {"faces": [bad, good, good | {"threshold": bad}]})
    assert [one for one in reports.faces(job) if one == kept] == [kept]
    assert all(-1 <= one.threshold <= 1 for one in reports.faces(job))
    assert reports.unreadable(job) == 1
    told(job, GOOD_LINE | {"faces": [good | {"cosine_similarity": bad}]})
    for face in reports.faces(job):
        assert face.similarity is None or -1.1 < face.similarity < 1.1


def test_a_line_of_very_many_faces_is_read_in_part(home: Path) -> None:
    job = done_before()
    face = {"cosine_similarity": 0.6, "threshold": 0.4}
    told(job, GOOD_LINE | {"faces": [face] * 1000})
    assert len(reports.faces(job)) == 100
    told(job, GOOD_LINE | {"faces": [face] * 100_000})  # megabytes: not even looked at
    assert reports.faces(job) == []


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("field", ["exit_code", "ended", "too_large", "no_space"])
def test_how_a_job_ended_is_read_by_its_type(home: Path, field: str, hostile: str) -> None:
    job = done_before()
    (job.folder / "ended.json").write_text(json.dumps({field: HOSTILE[hostile]}))
    (found,) = store.all_jobs()
    assert found.state is JobState.FAILED
    assert len(found.error or "") < 200


@pytest.mark.parametrize("what", ["pipe", "folder", "link", "dangling"])
def test_a_lock_that_is_no_file_keeps_nobody_waiting(home: Path, tmp_path: Path, what: str) -> None:
    other = tmp_path / "somebody's"
    other.write_text("precious")
    job = done_before()
    lock = job.folder / "lock"
    lock.unlink()
    match what:
        case "pipe":
            os.mkfifo(lock)
        case "folder":
            lock.mkdir()
        case "link":
            lock.symlink_to(other)
        case _:
            lock.symlink_to(tmp_path / "nowhere")
    (found,) = store.all_jobs()
    assert found.state is JobState.DONE
    store.cancel(found)
    with pytest.raises(AppError, match=r"remove it|no file"):
        store.go_on(found, ["true"], Asked())
    assert other.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()
    (job.folder / "job.json").write_text("")
    store.discard_unreadable()
    assert not job.folder.exists()


@pytest.mark.parametrize("name", ["progress.jsonl", "complaints.txt"])
def test_a_pipe_or_a_link_in_the_place_of_what_a_job_prints_is_replaced(
    home: Path, tmp_path: Path, name: str
) -> None:
    other = tmp_path / "somebody's"
    other.write_text("precious")
    for make in (os.mkfifo, lambda path: path.symlink_to(other)):
        job = done_before()
        (job.folder / name).unlink()
        make(job.folder / name)
        assert ended(store.go_on(job, ["true"], Asked())).state is JobState.DONE
        assert other.read_text() == "precious"


def test_no_more_jobs_run_than_may_however_they_were_started(home: Path) -> None:
    """Prepared, or gone on with, while there was room for them."""
    sleeping = "import time; time.sleep(600)"
    prepared = [store.prepare({}) for _ in range(store.MOST_RUNNING + 1)]
    over = ended(start(store.prepare({}), program="pass"))
    running = [start(folder, program=sleeping) for folder in prepared[: store.MOST_RUNNING]]
    with pytest.raises(AppError, match="running already"):
        start(prepared[-1], program=sleeping)
    assert not prepared[-1].exists()  # nothing of it is left behind
    with pytest.raises(AppError, match="running already"):
        store.go_on(over, ["true"], Asked())
    assert over.folder.exists()
    assert state(over) is JobState.DONE
    for job in running:
        store.cancel(job)
        ended(job)
    assert ended(store.go_on(over, ["true"], Asked())).state is JobState.DONE


def test_of_many_who_go_on_at_once_no_more_begin_than_may(home: Path) -> None:
    over = [done_before() for _ in range(6)]
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    refused: list[AppError] = []

    def go_on(job: Job) -> None:
        try:
            store.go_on(job, command, Asked())
        except AppError as error:
            refused.append(error)

    threads = [threading.Thread(target=go_on, args=(job,)) for job in over]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    running = [job for job in store.all_jobs() if job.state is JobState.RUNNING]
    assert len(running) == store.MOST_RUNNING
    assert len(refused) == len(over) - store.MOST_RUNNING
    for job in running:
        store.cancel(job)
        ended(job)


def test_a_job_that_makes_all_files_take_too_much_room_is_ended_and_no_other(home: Path) -> None:
    store.prepare({"content": bytes(2_000_000)})
    program = (
        "import pathlib, sys, time\n"
        "for number in range(int(sys.argv[2])):\n"
        "    pathlib.Path(sys.argv[1], f'x{number}').write_bytes(bytes(100_000))\n"
        "    time.sleep(0.01)\n"
        "time.sleep(float(sys.argv[3]))\n"
    )
    bounded = (
        "from pathlib import Path; import sys; from ui.jobs.supervisor import supervise;"
        "supervise(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:], most_of_all=3_000_000,"
        " modest=500_000)"
    )
    folders, started = [store.prepare({}) for _ in range(2)], []
    for folder, words in zip(folders, (["60", "60"], ["3", "6"]), strict=True):
        (folder / "lock").touch()
        with (folder / "lock").open("r+b") as lock:
            command = [sys.executable, "-c", program, str(folder), *words]
            started.append(
                subprocess.Popen(
                    [sys.executable, "-c", bounded, str(folder), str(lock.fileno()), *command],
                    pass_fds=[lock.fileno()],
                )
            )
    for process in started:
        process.wait(280)
    greedy, modest = (json.loads((folder / "ended.json").read_text()) for folder in folders)
    assert greedy["no_space"] is True
    assert modest["exit_code"] == 0
    record = {"kind": "stylize", "title": "t", "created": 1.5, "order": {}}
    (folders[0] / "job.json").write_text(json.dumps(record))
    found = store.find(folders[0].name)
    assert found is not None
    assert found.state is JobState.FAILED
    assert "discard" in (found.error or "")


def test_a_job_is_not_gone_on_with_where_all_files_take_too_much_room(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = done_before()
    (job.folder / "picture.png").write_bytes(bytes(20_000))
    monkeypatch.setattr(store, "MOST_BYTES_KEPT", 10_000)
    with pytest.raises(AppError, match="discard pictures"):
        store.go_on(job, ["true"], Asked())
