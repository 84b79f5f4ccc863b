"""What memory there is, and what work takes."""

from pathlib import Path

import pytest
import torch

from style.memory import is_out_of_memory, left_in_groups, memory_at_hand, peak_of

MEGABYTE = 1_000_000


def test_the_peak_counts_what_is_held_at_once() -> None:
    def work() -> None:
        first = torch.zeros(MEGABYTE)  # 4 MB
        second = first + 1
        del first
        third = second * 2  # in the place of the first
        third.add_(1)  # in place: nothing new
        third.view(-1)

    assert peak_of(work) == 8 * MEGABYTE


def test_the_peak_counts_what_a_gradient_holds() -> None:
    def work() -> None:
        leaf = torch.zeros(MEGABYTE, requires_grad=True)
        leaf.exp().sum().backward()

    assert 12 * MEGABYTE <= peak_of(work) <= 20 * MEGABYTE


def test_there_is_memory_and_less_than_a_petabyte() -> None:
    assert 0 < memory_at_hand(torch.device("cpu")) < 1e15


def _group(folder: Path, limit: str, used: int, inactive: int, *, version: int = 2) -> None:
    names = {
        1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        2: ("memory.max", "memory.current"),
    }[version]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {inactive}\n")


def test_control_groups_of_both_versions_and_those_around_them_count(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("5:cpu,memory:/job\n0::/outer/inner\n3:pids:/\n")
    _group(tmp_path / "memory" / "job", "1000", 600, 100, version=1)
    _group(tmp_path / "outer", "5000", 4000, 0)
    _group(tmp_path / "outer" / "inner", "max", 10, 0)
    assert sorted(left_in_groups(tmp_path, own)) == [500, 1000]


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert list(left_in_groups(tmp_path, tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_for_want_of_memory_are_told_from_others(error: Exception, says: bool) -> None:
    assert is_out_of_memory(error) is says
