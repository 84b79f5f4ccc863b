import contextlib
import io
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.errors import ArgumentError, WeightsError
from data.tensors import MAX_HEADER_BYTES, read_metadata, read_tensors, write_tensors

_TENSORS = {
    "weight": torch.arange(6, dtype=torch.float32).view(2, 3),
    "half": torch.ones(5, dtype=torch.bfloat16),
    "steps": torch.tensor(7),
    "empty": torch.zeros(0, 4),
    "flags": torch.tensor([True, False]),
}
_METADATA = {str(i): f"значение {i}" for i in range(9)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.safetensors"


def with_header(text: bytes, body: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text + body


class Payload:
    """What an attacker puts into a pickle."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.witness),)


def test_tensors_and_metadata_come_back(path: Path):
    write_tensors(path, _TENSORS, _METADATA)
    read = read_tensors(path)
    assert read.metadata == read_metadata(path) == _METADATA
    assert read.tensors.keys() == _TENSORS.keys()
    for name, tensor in _TENSORS.items():
        assert read.tensors[name].dtype == tensor.dtype
        assert torch.equal(read.tensors[name], tensor)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_library_itself_reads_the_file(path: Path):
    write_tensors(path, _TENSORS, _METADATA)
    assert torch.equal(safetensors.torch.load_file(path)["weight"], _TENSORS["weight"])


def test_equal_content_gives_equal_bytes_in_any_order_and_process(path: Path, tmp_path: Path):
    write_tensors(path, _TENSORS, _METADATA)
    shuffled = tmp_path / "b.safetensors"
    write_tensors(shuffled, dict(reversed(_TENSORS.items())), dict(reversed(_METADATA.items())))
    assert shuffled.read_bytes() == path.read_bytes()
    code = (
        "import sys; from pathlib import Path; from data.tensors import *\n"
        "file = read_tensors(Path(sys.argv[1]))\n"
        "write_tensors(Path(sys.argv[2]), file.tensors, file.metadata)"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, path, shuffled], check=True, cwd=root)
    assert shuffled.read_bytes() == path.read_bytes()


def test_tied_strided_and_trained_tensors_are_written(path: Path):
    base = torch.arange(12.0).view(3, 4)
    parameter = torch.nn.Parameter(torch.ones(2))
    write_tensors(path, {"a": base, "b": base, "t": base.T, "p": parameter}, {})
    read = read_tensors(path)
    assert torch.equal(read.tensors["t"], base.T)
    assert torch.equal(read.tensors["p"], parameter.detach())
    assert read.metadata == {}


def test_a_missing_file_is_a_bad_argument(tmp_path: Path):
    for name in ("missing", "a\0b"):
        for read in (read_tensors, read_metadata):
            with pytest.raises(ArgumentError, match="there is no file"):
                read(tmp_path / name)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["a.pkl", "a.pt", "a.safetensors"])
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int, name: str):
    path, witness = tmp_path / name, tmp_path / "witness"
    path.write_bytes(pickle.dumps(Payload(witness), protocol))
    for read in (read_tensors, read_metadata):
        with pytest.raises(WeightsError, match=r"pickle.*expected a safetensors file"):
            read(path)
    assert not witness.exists()


def test_torchs_own_format_is_refused(path: Path):
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer)
    path.write_bytes(buffer.getvalue())
    with pytest.raises(WeightsError, match="pickle"):
        read_tensors(path)


def test_a_header_whose_length_begins_like_a_pickle_is_read(path: Path):
    header = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode().ljust(0x0280)  # as bytes: 80 02 00 …, a pickle's beginning
    path.write_bytes(with_header(text, bytes(4)))
    assert read_tensors(path).tensors["a"].tolist() == [0]


def test_a_long_header_is_refused_before_it_is_read(path: Path):
    with path.open("wb") as file:
        file.write(struct.pack("<Q", 100_000_000) + b"{")
        file.truncate(100_000_008)
    for read in (read_tensors, read_metadata):
        with pytest.raises(WeightsError, match=f"100,000,000 bytes; at most {MAX_HEADER_BYTES:,}"):
            read(path)


@pytest.mark.parametrize("percent", range(0, 100, 5))
def test_a_cut_off_file_is_refused(path: Path, percent: int):
    write_tensors(path, _TENSORS, _METADATA)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * percent // 100])
    with pytest.raises(WeightsError) as refusal:
        read_tensors(path)
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html>404</html>",
        with_header(b"{nonsense}"),
        with_header(b"{" * 900_000),
        with_header(b'{"__metadata__": [1]}'),
        with_header(b'{"__metadata__": {"a": 1}}'),
        with_header(b'{"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}', bytes(4)),
        with_header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}', bytes(8)),
        with_header(b'{"a": {"dtype": "X99", "shape": [1], "data_offsets": [0, 4]}}', bytes(4)),
        with_header(b'{"\xff": 1}'),
    ],
    ids=["html", "no json", "deep", "list", "number", "shape", "tail", "type", "no text"],
)
def test_nonsense_is_refused_in_one_line(path: Path, content: bytes):
    path.write_bytes(content)
    with pytest.raises(WeightsError) as refusal:
        read_tensors(path)
    assert str(refusal.value).isprintable()


@given(st.binary(max_size=200), st.integers(0, 400))
def test_whatever_bytes_are_changed_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
):
    path = tmp_path_factory.mktemp("noise") / "a.safetensors"
    write_tensors(path, _TENSORS, _METADATA)
    content = path.read_bytes()
    path.write_bytes(content[:at] + noise + content[at + len(noise) :])
    with contextlib.suppress(WeightsError):
        read_tensors(path)


def test_a_pipe_and_a_folder_are_refused_at_once(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(WeightsError, match="not a regular file"):
            read_tensors(path)


def test_a_failed_write_keeps_the_old_file(path: Path, monkeypatch: pytest.MonkeyPatch):
    write_tensors(path, _TENSORS, _METADATA)
    before = path.read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_tensors(path, {}, {})
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_shared_weights_say_what_they_are(teacher_weights: Path, shared: Path):
    metadata = read_metadata(teacher_weights)
    assert metadata["architecture"] == "mobilefacenet"
    assert len(read_tensors(teacher_weights).tensors) > 100
