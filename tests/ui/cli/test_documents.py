"""Every command line of the README and the documents is run as it is written.

In a folder that has whatever they name. What networks and hours would do is stood in for: faces are
colours, pictures are painted in no time, and a training, an evaluation, an alignment or a benchmark
ends where its work would begin. So what is tried is what a document can get wrong: commands,
options, what goes with what, files and recipes.
"""

import argparse
import importlib.util
import json
import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
import typer
from PIL import Image

import style.service
from data.errors import AppError
from data.tensors import write_tensors
from recognition.gallery.gallery import Gallery
from recognition.gallery.locations import Server
from recognition.gallery.storage import encryption
from recognition.gallery.templates import EmbeddingModel, Template
from recognition.service import RecognitionService
from style.presets.registry import Preset
from ui.cli import passphrase
from ui.cli.main import commands, main
from ui.settings import Settings

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "data" / "assets").glob("*.md"))


@dataclass(frozen=True)
class Line:
    """A command line of a document.

    Attributes:
        page: Which document's.
        text: As it is written, without the comment behind it.
    """

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def commands_of(page: Path) -> Iterator[Line]:
    """The command lines in a page: in blocks of code, and within a sentence where whole."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.M | re.S)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    lines = [
        line for block in blocks for line in re.sub(r"\\\n\s*", "", block).splitlines()
    ] + re.findall(r"`([^`\n]+)`", prose)
    for line in lines:
        bare = re.sub(r"\s#\s.*$", "", line).strip().removeprefix("Example: ")
        words = bare.split()
        start = next((word for word in words if "=" not in word or word.startswith("-")), "")
        complete = start == "likeness" and len(words) > 2 and "…" not in bare
        complete = complete and not is_mention(words)
        # A script's bare name in a sentence is no command line.
        benchmark = (
            start == "python"
            and len(words) > 2
            and words[words.index("python") + 1].startswith("benchmarks")
        )
        if (complete or benchmark) and "usage" not in bare.lower() and "[" not in bare:
            yield Line(page.name, bare)


TREE = commands()


def is_mention(words: list[str]) -> bool:
    """Whether these are only the name of a command that cannot be run without more."""
    command: Any = TREE
    for word in words[1:]:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            return False
    return any(p.required for p in command.params) or bool(getattr(command, "commands", {}))


LINES = list(dict.fromkeys(line for page in PAGES for line in commands_of(page)))
UNIQUE = list({line.text: line for line in LINES}.values())
OURS = [line for line in UNIQUE if " likeness " in f" {line.text} "]
PARSED_ONLY = (
    "gallery re-embed",  # needs a gallery of another network, or one that has just been moved
    "likeness app --",  # serves until it is stopped
    "--check-gradient",  # minutes
    "models look squeezenet1_0",  # needs weights that are fetched first
    "train-matching",  # needs forty people, three photographs each
    "--match attention",  # needs what that has trained for these weights
)
"""Parts of command lines that are read as they are written, and stopped by what is not there."""

NOT_RUN = ("benchmarks/contact_sheet.py",)
"""Scripts that this does not start."""

BENCHMARKS = [
    line
    for line in UNIQUE
    if line not in OURS and not any(script in line.text for script in NOT_RUN)
]


class BegunError(AppError):
    """The work would begin now: everything before it has been done."""


def begin(*_: object, **__: object) -> NoReturn:
    raise BegunError("the work has begun")


def beside(name: str) -> ModuleType:
    """Another module of tests, for its stand-ins."""
    path = Path(__file__).parent / "commands" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"beside_{name}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


FACES, PAINTING = beside("test_recognise"), beside("test_stylize")
PICTURES = [
    "party",
    "passport",
    "selfie",
    "harbour",
    "starry_night",
    "street",
    "houses",
    "ann",
    "other",
    "photo",
    "P",
    "face",
    "sky",
    "holiday/ann1",
    "holiday/ann2",
    "photographs/Ann/1",
    "photographs/Bob/1",
    "others/Cyd/1",
    "others/Dan/1",
    "enrolled/Ann/1",
    "enrolled/Bob/1",
    "painted/harbour",
    "DIR/a",
]
RECIPE = r"```toml\n(.*?)```"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with whatever the documents name, and a gallery with whomever they name."""
    folder, home = tmp_path / "here", tmp_path / "home"
    monkeypatch.setenv("LIKENESS_HOME", str(home))
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("LIKENESS_WEIGHTS", "LIKENESS_GALLERY", "LIKENESS_INDEX", "LIKENESS_KEY"):
        monkeypatch.delenv(variable, raising=False)
    for name in PICTURES:
        suffixes = (".png", ".jpg") if "/" not in name else (".jpg",)
        for suffix in suffixes:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (64 if name == "party" else 32, 32), _colour(name)).save(
                folder / f"{name}{suffix}"
            )
    for name in ("PEOPLE", "PHOTOGRAPHS", "people", "others", "third", "faces", "crowd", "lfw-112"):
        for person in ("Ann", "Bob"):
            (folder / name / person).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (112, 112), "teal").save(folder / name / person / "1.jpg")
    people = [f"P{number}" for number in range(36)]
    for person in people:
        for number in (1, 2):
            path = folder / "lfw" / person / f"{person}_000{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((folder / "ann.jpg").read_bytes())
    pairs = ["9\t1"]
    for fold in range(9):
        one, two = people[2 * fold], people[2 * fold + 1]
        pairs += [f"{one}\t1\t2", f"{one}\t1\t{two}\t1"]
    (folder / "pairs.txt").write_text("\n".join(pairs) + "\n")
    for name in (
        *("test-identities", "train-identities", "kept-out", "people", "test", "v", "unseen"),
    ):
        (folder / f"{name}.txt").write_text("\n".join([*people, "Ann", "Bob"]))
    (folder / "datasets").mkdir()
    (folder / "datasets" / "lfw").symlink_to(folder, target_is_directory=True)
    weights = "A B OTHER.safetensors mobilefacenet-casia.safetensors RUN/best.safetensors"
    for name in (*weights.split(), "teacher.safetensors", "pretrained.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    for name in ("best.safetensors", "run/best.safetensors"):
        (folder / name).parent.mkdir(exist_ok=True)
        write_tensors(folder / name, {"weight": torch.zeros(1)}, {"architecture": "yolo_v3"})
    for place, content in (("crowds", "a.jpg"), ("crowds-boxed", "a.xml")):
        (folder / place).mkdir()
        (folder / place / content).write_text("<annotation/>")
    (folder / "styles").mkdir()
    shutil.copy(folder / "starry_night.jpg", folder / "styles")
    manifest = [
        {"picture": "painted/harbour.jpg", "content": "harbour.jpg", "styles": ["face.png"]}
    ]
    (folder / "pictures.json").write_text(json.dumps(manifest))
    (folder / "recipes").symlink_to(ROOT / "recipes", target_is_directory=True)
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks", target_is_directory=True)
    plain = f'data.folder = "people"\nout = "{tmp_path / "run"}"\n'
    (folder / "recipe.toml").write_text(plain)
    (folder / "RUN" / "config.toml").write_text(plain.replace('"people"', '"../people"'))
    _enrol(home / "gallery")
    monkeypatch.chdir(folder)
    return folder


def _colour(name: str) -> tuple[int, int, int]:
    """Another one for each picture, so that no two are the same photograph."""
    return 60 + len(name) * 7, 40 + sum(map(ord, name)) % 200, 90


def _enrol(folder: Path) -> None:
    model = EmbeddingModel(model_id="colours", weights_digest="c" * 64, dimension=3)
    random = np.random.default_rng(0)
    with Gallery.open(folder, model=model, create=True) as gallery:
        for person in ("Ann", "Bob", "Ann S.", "Ann Smith", "NAME"):
            vectors = random.normal(size=(16, 3)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            digests = [f"{random.integers(2**60):064x}" for _ in vectors]
            gallery.enrol(
                person, [Template(*one) for one in zip(vectors, digests, strict=True)],
                groups=["family", "staff"],
            )  # fmt: skip


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would take a network or hours, and who sits at the terminal."""
    monkeypatch.setattr("typer.main.get_command", lambda _: TREE)
    monkeypatch.setattr(encryption, "SCRYPT", (2**4, 8, 1))
    monkeypatch.setattr(
        Settings,
        "recognition_service",
        lambda *_, **__: RecognitionService(pipeline=FACES.ColourPipeline(), ask=passphrase.ask),
    )
    monkeypatch.setattr(passphrase, "_is_on_terminal", lambda: True)
    monkeypatch.setattr(
        passphrase.getpass, "getpass", lambda *_, **__: "tidal quartz nomad lantern"
    )
    for place in ("ui.cli.confirmation", "ui.cli.commands.people"):
        monkeypatch.setattr(f"{place}.is_on_terminal", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: True)
    fake = PAINTING.FakeService
    fake.drafts, fake.no_decoder, fake.calls, fake.interrupt_at = [], False, [], None
    fake.closed, fake.faces, fake.notes = False, (), ()
    monkeypatch.setattr(style.service, "StyleService", fake)
    monkeypatch.setattr(Preset, "draw", lambda *_: Image.new("RGB", (80, 80)))
    monkeypatch.setattr("recognition.gallery.search.kinds.FEWEST_TRAINED", 20)
    monkeypatch.setattr(
        "recognition.bulk_enrolment.decoding_apart",
        lambda _: nullcontext(SimpleNamespace(workers=1)),
    )
    monkeypatch.setattr("backbones.weights.download_weights", begin)
    monkeypatch.setattr("ui.cli.commands.doctor.examine", begin)
    monkeypatch.setattr("ui.cli.commands.models._ask", lambda *_, **__: None)
    monkeypatch.setattr("ui.cli.commands.models._weights", begin)
    monkeypatch.setattr("ui.page.server.serve", begin)
    monkeypatch.setattr("recognition.maintenance.MilvusGallery", begin)
    monkeypatch.setattr("recognition.gallery.search.milvus_index.MilvusVectors", begin)
    monkeypatch.setattr(Server, "open", begin)
    monkeypatch.setattr("recognition.thresholds.Thresholds.calibrate", begin)
    monkeypatch.setattr("ui.cli.commands.evaluate_style._judged", begin)
    monkeypatch.setattr("recognition.detection.detector.make_detector", begin)
    monkeypatch.setattr("recognition.detection.training.trainer.train", begin)
    monkeypatch.setattr("ui.cli.embedding_options.Way.finders", begin)
    monkeypatch.setattr("ui.cli.embedding_options.Way.finder", begin)
    monkeypatch.setattr(Settings, "face_embedder", begin)
    monkeypatch.setattr(RecognitionService, "explain", begin)
    for work in (
        "recognition.learning.trainer.train",
        "recognition.learning.hyperparameter_search.tune",
        "recognition.learning.hyperparameter_search.nurse",
        "recognition.learning.folder_alignment.align_folder",
        "style.training.trainer.train",
    ):
        monkeypatch.setattr(work, begin)


def before(line: str) -> list[list[str]]:
    """What has to be done before a command line has something to do."""
    words = line.split()
    if "gallery restore" in line:
        return [["gallery", "backup", words[-1]]]
    if "gallery import" in line:
        return [["gallery", "export", words[-1]]]
    if "gallery rotate" in line or "gallery decrypt" in line:
        return [["gallery", "encrypt"]]
    if "people restore" in line:
        return [["people", "delete", words[3]]]
    if "people rename" in line:
        return [["people", "delete", "Ann Smith"]]
    if "--like painted.png" in line:
        return [["stylize", "harbour.jpg", "starry_night.jpg", "-o", "painted.png", "--steps", "1"]]
    if "gallery copy ~/" in line:
        return [["gallery", "copy", f"{os.environ['LIKENESS_HOME']}/gallery", words[3]]]
    if "--sources" in line:
        shutil.copy("harbour.jpg", "photographs")
        given = ["photographs/harbour.jpg", "styles/starry_night.jpg"]
        return [["stylize", *given, "-o", "painted/harbour.png", "--steps", "1"]]
    return []


@pytest.mark.parametrize("line", OURS, ids=str)
def test_a_command_line_does_what_the_document_says(
    line: Line, world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in before(line.text):
        assert main(words) == 0, capsys.readouterr().err
    capsys.readouterr()
    if "evaluate style" in line.text and "--sources" in line.text:
        (world / "painted" / "harbour.jpg").unlink()
    text = line.text.replace("COMMAND", "identify").replace("$S", str(world)).replace("$W", "A")
    text = text.replace("download NAME", "download vgg19").replace("~", os.environ["HOME"])
    words = shlex.split(text)
    while words[0] != "likeness":
        name, _, value = words.pop(0).partition("=")
        monkeypatch.setenv(name, value)
    code = main(words[1:])
    err = capsys.readouterr().err
    begun = err.splitlines()[-1:] == ["error: the work has begun"]
    # A word that the command does not know is told with the way to its help.
    parsed = any(part in line.text for part in PARSED_ONLY) and "--help" not in err
    assert begun or parsed or code in (0, 3), err
    assert "--debug shows where" not in err


@pytest.mark.parametrize("line", BENCHMARKS, ids=str)
def test_a_benchmark_takes_the_options_that_the_document_gives(
    line: Line, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_and_end(self: argparse.ArgumentParser, *arguments: Any) -> NoReturn:
        parse(self, *arguments)
        begin()

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_end)
    words = shlex.split(line.text.replace("$S", str(world)).replace("$W", "A"))
    script, *options = words[words.index("python") + 1 if "python" in words else 1 :]
    monkeypatch.setattr(sys, "argv", [script, *options])
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    with pytest.raises(BegunError):
        runpy.run_path(str(ROOT / script), run_name="__main__")


def recipes() -> Iterator[tuple[str, str]]:
    """The recipes that are written out in the documents, and those that come along."""
    for page in PAGES:
        for number, block in enumerate(re.findall(RECIPE, page.read_text("utf-8"), flags=re.S)):
            yield f"{page.name} {number}", block
    for path in sorted((ROOT / "recipes").glob("*.toml")):
        yield path.name, path.read_text("utf-8")


RECIPES = dict(recipes())


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_one_as_it_is_written(
    name: str, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (world / "deep").mkdir()
    recipe = world / "deep" / "recipe.toml"
    recipe.write_text(RECIPES[name])
    command = "train" if "epochs" in RECIPES[name] else "train-style-net"
    command = "train-detector" if "[mosaics]" in RECIPES[name] else command
    main([command, str(recipe)])
    assert capsys.readouterr().err == "error: the work has begun\n"


def test_the_documents_have_command_lines() -> None:
    assert len(OURS) > 80
    parsed = [line for line in OURS if any(part in line.text for part in PARSED_ONLY)]
    assert len(parsed) <= len(OURS) / 10
    assert len(RECIPES) >= 5
