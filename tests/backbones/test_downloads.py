import dataclasses
import fcntl
import os
import pickle
import random
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from backbones.downloads import fetch, read_published
from backbones.registry import spec_of
from backbones.spec import WeightsSource
from data.errors import WeightsError
from data.files import sha256_of

CONTENT = random.Random(0).randbytes(1_000_000)

Publish = Callable[[bytes], Any]


def _source(url: str, **change: object) -> WeightsSource:
    [source] = spec_of("vgg19").weights
    return dataclasses.replace(
        source, url=url, sha256=sha256_of(CONTENT), size=len(CONTENT), **change
    )


def _left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_is_fetched_and_progress_told(publish: Publish, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = fetch(_source(publish(CONTENT).url), tmp_path, lambda *now: told.append(now))
    assert path.read_bytes() == CONTENT
    assert _left(tmp_path) == ["weights.pth"]
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)
    assert path.stat().st_mode & 0o077 == 0


def test_a_broken_connection_is_taken_up_where_it_broke(publish: Publish, tmp_path: Path) -> None:
    publisher = publish(CONTENT)
    publisher.cuts = [300_000, 200_000]
    assert fetch(_source(publisher.url), tmp_path).read_bytes() == CONTENT
    assert publisher.asked == [
        (None, None),
        ("bytes=300000-", '"first"'),
        ("bytes=500000-", '"first"'),
    ]


def test_one_that_stays_broken_is_taken_up_by_the_next_call(
    publish: Publish, tmp_path: Path
) -> None:
    publisher = publish(CONTENT)
    publisher.cuts = [400_000, 0]
    with pytest.raises(WeightsError, match="cut off; try again"):
        fetch(_source(publisher.url), tmp_path)
    assert _left(tmp_path) == ["weights.pth.etag", "weights.pth.part"]
    told: list[int] = []
    assert fetch(_source(publisher.url), tmp_path, lambda done, _: told.append(done)).is_file()
    assert told[0] == 400_000
    assert publisher.asked[-1] == ("bytes=400000-", '"first"')
    assert _left(tmp_path) == ["weights.pth"]


@pytest.mark.parametrize("ranges", [True, False])
def test_another_version_or_a_server_without_ranges_begins_anew(
    ranges: bool, publish: Publish, tmp_path: Path
) -> None:
    publisher = publish(bytes(len(CONTENT)))
    publisher.cuts = [400_000, 0]
    with pytest.raises(WeightsError, match="cut off"):
        fetch(_source(publisher.url), tmp_path)
    publisher.content, publisher.etag, publisher.ranges = CONTENT, '"second"', ranges
    assert fetch(_source(publisher.url), tmp_path).read_bytes() == CONTENT


def test_a_server_without_versions_is_resumed_all_the_same(
    publish: Publish, tmp_path: Path
) -> None:
    publisher = publish(CONTENT)
    publisher.etag, publisher.cuts = "", [1]
    assert fetch(_source(publisher.url), tmp_path).read_bytes() == CONTENT
    assert publisher.asked[-1] == ("bytes=1-", None)


@pytest.mark.parametrize("length", [len(CONTENT), len(CONTENT) + 5])
def test_a_beginning_that_is_too_long_is_thrown_away(
    length: int, publish: Publish, tmp_path: Path
) -> None:
    (tmp_path / "weights.pth.part").write_bytes(bytes(length))
    assert fetch(_source(publish(CONTENT).url), tmp_path).read_bytes() == CONTENT


def test_a_wrong_beginning_is_found_out_and_removed(publish: Publish, tmp_path: Path) -> None:
    (tmp_path / "weights.pth.part").write_bytes(b"something else")
    with pytest.raises(WeightsError, match="sha256"):
        fetch(_source(publish(CONTENT).url), tmp_path)
    assert _left(tmp_path) == []


def test_the_wrong_file_is_refused_and_removed(publish: Publish, tmp_path: Path) -> None:
    forged = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    publisher = publish(forged)
    with pytest.raises(WeightsError) as caught:
        fetch(_source(publisher.url), tmp_path)
    assert sha256_of(forged) in str(caught.value)
    assert sha256_of(CONTENT) in str(caught.value)
    assert _left(tmp_path) == []


def test_a_digest_known_in_part_is_compared_in_part(publish: Publish, tmp_path: Path) -> None:
    url = publish(CONTENT).url
    known = dataclasses.replace(
        _source(url), sha256=sha256_of(CONTENT)[:8], short_digest="No more is known."
    )
    assert fetch(known, tmp_path).is_file()
    (tmp_path / "weights.pth").unlink()
    other = f"{int(sha256_of(CONTENT)[:8], 16) ^ 1:08x}"
    with pytest.raises(WeightsError, match="sha256"):
        fetch(dataclasses.replace(known, sha256=other), tmp_path)


def test_a_web_page_is_refused_and_the_beginning_kept(publish: Publish, tmp_path: Path) -> None:
    publisher = publish(b"<html>Sign in</html>" * 50_000)
    publisher.content_type = "text/html; charset=utf-8"
    (tmp_path / "weights.pth.part").write_bytes(CONTENT[:1000])
    with pytest.raises(WeightsError, match="a web page instead of weights"):
        fetch(_source(publisher.url), tmp_path)
    assert (tmp_path / "weights.pth.part").read_bytes() == CONTENT[:1000]


def test_a_file_of_another_size_is_refused_before_it_is_fetched(
    publish: Publish, tmp_path: Path
) -> None:
    told: list[int] = []
    with pytest.raises(WeightsError, match="gave 900,000 bytes, expected 1,000,000"):
        fetch(_source(publish(CONTENT[:900_000]).url), tmp_path, lambda done, _: told.append(done))
    assert not told


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_an_answer_of_refusal_is_passed_on(status: int, publish: Publish, tmp_path: Path) -> None:
    publisher = publish(CONTENT)
    publisher.status = status
    with pytest.raises(WeightsError, match=f"the server answered {status}; try again"):
        fetch(_source(publisher.url), tmp_path)


def test_a_server_that_never_finds_the_range_is_not_asked_for_ever(
    publish: Publish, tmp_path: Path
) -> None:
    publisher = publish(CONTENT)
    publisher.status = 416
    (tmp_path / "weights.pth.part").write_bytes(CONTENT[:10])
    with pytest.raises(WeightsError, match="416"):
        fetch(_source(publisher.url), tmp_path)
    assert len(publisher.asked) == 2


def test_offline_one_line_says_what_to_fetch_and_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # held, so that nobody else listens there
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/weights.pth"
        with pytest.raises(WeightsError) as caught:
            fetch(_source(url), tmp_path)
    message = str(caught.value)
    assert url in message
    assert f"put it into {tmp_path}" in message
    assert "\n" not in message


def test_a_file_put_there_by_hand_is_checked_and_nothing_fetched(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(CONTENT)
    source = _source("https://nowhere.invalid/weights.pth?version=1")
    assert fetch(source, tmp_path) == tmp_path / "weights.pth"
    (tmp_path / "weights.pth").write_bytes(CONTENT[:-1])
    with pytest.raises(WeightsError, match="sha256"):
        fetch(source, tmp_path)


def test_two_processes_do_not_write_one_file(publish: Publish, tmp_path: Path) -> None:
    with (tmp_path / "weights.pth.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(WeightsError, match="by another process"):
            fetch(_source(publish(CONTENT).url), tmp_path)
    assert fetch(_source(publish(CONTENT).url), tmp_path).read_bytes() == CONTENT


def test_a_folder_that_takes_nothing_is_one_line(publish: Publish, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot write .*: No such file"):
        fetch(_source(publish(CONTENT).url), tmp_path / "missing")


# --- opening what was fetched ----------------------------------------------------------------


class _Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("zipped", [True, False])
def test_plain_tensors_come_out_of_new_and_old_files(zipped: bool, tmp_path: Path) -> None:
    state = {
        "a.weight": torch.nn.Parameter(torch.arange(6.0).view(2, 3)),  # as old publishers had it
        "a.count": torch.tensor(3),
    }
    path = tmp_path / "published.pth"
    # What publishers do; nothing but a test does it here.
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    torch.testing.assert_close(read_published(path), state)


@pytest.mark.parametrize("kind", ["pickle", "zip", "network", "list", "numbers", "empty", "text"])
def test_anything_else_is_refused_and_never_run(kind: str, tmp_path: Path) -> None:
    path, marker = tmp_path / "published.pth", tmp_path / "executed"
    payload = _Payload(marker)
    if kind == "pickle":
        path.write_bytes(pickle.dumps({"a": payload}, protocol=2))
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(payload, protocol=2))
            archive.writestr("archive/version", "3")
            archive.writestr("archive/byteorder", "little")
    elif kind == "network":
        torch.save(torch.nn.Linear(2, 2), path)
    elif kind == "list":
        torch.save([torch.zeros(1)], path)
    elif kind == "numbers":
        torch.save({"a": 1.0}, path)
    else:
        path.write_bytes(b"" if kind == "empty" else b"not weights at all")
    with pytest.raises(WeightsError, match=r"published\.pth is no") as caught:
        read_published(path)
    assert "\n" not in str(caught.value)
    assert not marker.exists()
