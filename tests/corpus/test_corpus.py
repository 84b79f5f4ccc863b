"""Everything that a stranger may hand in, through every door; see `run.py` for the count."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from corpus.bench import Bench, Outcome
from corpus.checkpoints import checkpoints
from corpus.images import images
from corpus.item import Item
from corpus.make import write
from corpus.pictures import portrait
from corpus.sections import SECTIONS, rounds

from data import decoder_sandbox
from ui.page import resources

_MAKE = Path(__file__).with_name("make.py")
_ROUNDS = [
    pytest.param(section, door, items, id=f"{section}-{door}-{number}-{items[0].name}")
    for section, chosen in SECTIONS.items()
    for door in chosen.doors
    for number, items in enumerate(rounds(section, door))
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("corpus") / "bench") as made:
        yield made


@pytest.mark.parametrize(("section", "door", "items"), _ROUNDS)
def test_what_is_handed_in_gets_its_verdict(
    bench: Bench, section: str, door: str, items: list[Item]
) -> None:
    assert bench.attempt(items, SECTIONS[section].doors[door]) == Outcome()


@pytest.mark.parametrize("door", ["library", "command line", "page"])
def test_heic_without_its_reader_is_refused_with_the_hint(
    bench: Bench, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    monkeypatch.setattr(resources, "decode_apart", lambda: None)  # where the reader is still found
    monkeypatch.setattr(decoder_sandbox, "_pool", None)
    heic = next(item for item in images(portrait()) if item.name == "photograph.heic")
    item = replace(heic, accept=False)
    assert bench.attempt([item], SECTIONS["images"].doors[door]) == Outcome()


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    """Once in this process, and once in one whose sets have another order."""
    out = tmp_path / "other"
    environment = os.environ | {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, _MAKE, out], check=True, env=environment)
    other = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    here = [
        line
        for section in SECTIONS.values()
        for line in write(list(section.items()), tmp_path / "here")
    ]
    assert here == other
    names = [(line["section"], line["name"]) for line in here]
    assert len(set(names)) == len(names)


SAMPLE = {
    "a picture cut off": (1, ["detect", "{cut}"]),
    "no such option": (2, ["detect", "{good}", "--no-such-flag"]),
    "weights that are a pickle": (1, ["verify", "{good}", "{good}", "--weights", "{pickle}"]),
}


@pytest.mark.parametrize("name", SAMPLE)
def test_a_process_refuses_in_one_line(name: str, tmp_path: Path) -> None:
    handed_in = {"cut": "truncated-50.jpg", "good": "plain.webp", "pickle": "pickle.safetensors"}
    for item in (*images(portrait()), *checkpoints()):
        if item.name in handed_in.values():
            item.write(tmp_path)
    places = {word: tmp_path / file for word, file in handed_in.items()}
    code, words = SAMPLE[name]
    run = subprocess.run(
        [sys.executable, "-m", "ui.cli.main", *(word.format_map(places) for word in words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).resolve().parents[2],
        env=os.environ | {"LIKENESS_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == code, run.stderr
    assert run.stderr.startswith("error: ")
    assert run.stderr.count("\n") == 1
    assert not (tmp_path / "home").exists()
