"""`stylize`: refusals before any work, progress for people and programs, the picture so far."""

import errno
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import style.service
from data.errors import StyleError, WeightsError
from data.files import sha256_of
from data.formats import PICTURE_SUFFIXES
from data.images import read_settings, save_image
from data.tensors import write_tensors
from style.config import PaintingQuality, StyleConfig, settings_of
from style.planning import ResourcePlan, Room, ScalePlan
from style.presets import registry
from style.results import PaintingProgress, Resemblance
from ui.cli.commands.stylize import _HELP
from ui.cli.destinations import check_folder, check_picture
from ui.cli.main import main

PLAN = ResourcePlan(
    scales=(
        ScalePlan(size=(60, 80), steps=9, tile=None, memory=3 * 10**8, seconds=5.0),
        ScalePlan(size=(600, 800), steps=1, tile=512, memory=21 * 10**8, seconds=75.0),
    ),
    limit=25 * 10**8,
)
TOLD = (
    "takes about 0:01:20 and 2.1 GB of memory, of 2.5 GB at most; in tiles of 512 px from 800 px on"
)


class FakeService:
    """Paints a red picture in as many steps as asked for; remembers how it was called."""

    calls: list[SimpleNamespace]
    drafts: list[SimpleNamespace]
    no_decoder: bool
    interrupt_at: int | None
    closed: bool
    faces: tuple[Resemblance, ...]
    notes: tuple[str, ...]

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def load(self, backbone: str, *, weights: Path | None = None) -> SimpleNamespace:
        return SimpleNamespace(weights=SimpleNamespace(sha256=64 * "0"))

    def stylize(
        self, content: Tensor, styles: list[Tensor], config: Any, **options: Any
    ) -> Iterator[PaintingProgress]:
        call = SimpleNamespace(content=content, styles=styles, config=config, **options)
        FakeService.calls.append(call)
        if call.planned:
            call.planned(PLAN)
        return self._steps(call)

    def draft(self, content: Path, styles: list[Path], config: Any, **options: Any) -> Tensor:
        if FakeService.no_decoder:
            raise WeightsError("there is no decoder")
        FakeService.drafts.append(
            SimpleNamespace(content=content, styles=styles, config=config, **options)
        )
        return torch.tensor([0.0, 0.5, 0.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)

    def plan(self, content: Path, styles: list[Path], config: Any, **options: Any) -> ResourcePlan:
        FakeService.calls.append(SimpleNamespace(config=config, **options))
        return PLAN

    def _steps(self, call: SimpleNamespace) -> Iterator[PaintingProgress]:
        red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
        picture = Image.new("RGB", (8, 8), "red")
        try:
            for step in range(1, call.config.steps + 1):
                if step == FakeService.interrupt_at:
                    os.kill(os.getpid(), signal.SIGTERM)
                shown = call.preview_every and step % call.preview_every == 0
                yield PaintingProgress(
                    step=step,
                    total=call.config.steps,
                    losses={"content": 0.5, "total": 1.5},
                    elapsed=step / 10,
                    size=(8, 8),
                    image=picture if shown or step == call.config.steps else None,
                    render_tensor=lambda: red,
                    faces=FakeService.faces if step == call.config.steps else (),
                    notes=FakeService.notes,
                )
        finally:
            FakeService.closed = True


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    FakeService.drafts, FakeService.no_decoder = [], False
    FakeService.calls, FakeService.interrupt_at, FakeService.closed = [], None, False
    FakeService.faces = ()
    FakeService.notes = ()
    monkeypatch.setattr(style.service, "StyleService", FakeService)


@pytest.fixture
def pictures(tmp_path: Path) -> tuple[str, str]:
    """A content and a style picture."""
    for name in ("content.png", "style.png"):
        Image.new("RGB", (80, 80), "blue").save(tmp_path / name)
    return str(tmp_path / "content.png"), str(tmp_path / "style.png")


def test_a_picture_is_painted_with_the_settings_given(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    options = ["--steps", "7", "--size", "100", "--content-weight", "2.5", "--seed", "3"]
    options += ["--style-mix", "2", "--style-mix", "1", "--optimizer", "lbfgs"]
    code = main(["stylize", *pictures, pictures[0], "-o", str(out), "--model", "vgg16", *options])
    assert code == 0
    [call] = FakeService.calls
    assert (
        call.config.settings()
        | {
            "steps": 7,
            "size": 100,
            "content_weight": 2.5,
            "seed": 3,
            "style_mix": [2.0, 1.0],
            "optimizer": "lbfgs",
            "backbone": "vgg16",
        }
        == call.config.settings()
    )
    assert [tuple(style.shape) for style in call.styles] == [(3, 80, 80)] * 2
    written = read_settings(out)
    assert written is not None
    assert written == written | call.config.settings()
    assert [source["name"] for source in written["styles"]] == ["style.png", "content.png"]
    assert written["content"]["sha256"] == sha256_of(Path(pictures[0]))
    assert str(tmp_path) not in json.dumps(written)
    captured = capsys.readouterr()
    assert captured.out == f"{out}: 7 steps in 1 s\n"
    assert captured.err == f"{TOLD}\n"
    assert call.room == Room()


def test_the_plan_is_told_and_nothing_is_painted(
    pictures: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--plan", "--tile", "512", "--memory", "2.5"]
    assert main(["stylize", *pictures, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "size\tsteps\ttiles\tmemory\ttime",
        "80×60\t9\t–\t0.3 GB\t0:00:05",
        "800×600\t1\t512 px\t2.1 GB\t0:01:15",
        TOLD,
    ]
    [call] = FakeService.calls
    assert call.room == Room(tile=512, memory=2.5)
    assert main(["stylize", *pictures, "--plan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == PLAN.as_json()


def test_without_a_plan_asked_for_the_picture_needs_a_place(
    pictures: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stylize", *pictures]) == 2
    assert "name it with --output" in capsys.readouterr().err
    assert not FakeService.calls


def test_what_the_painter_says_is_a_line_or_part_of_the_line(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeService.notes = ("painting in tiles of 512 px",)
    out = str(tmp_path / "out.png")
    assert main(["stylize", *pictures, "-o", out, "--steps", "1"]) == 0
    assert capsys.readouterr().err == f"{TOLD}\npainting in tiles of 512 px\n"
    assert main(["stylize", *pictures, "-o", out, "--steps", "1", "--json-lines"]) == 0
    captured = capsys.readouterr()
    plan, step = map(json.loads, captured.out.splitlines())
    assert set(plan["plan"]) == {"memory", "limit", "seconds", "scales"}
    assert step["notes"] == ["painting in tiles of 512 px"]
    assert captured.err == ""


def test_the_finished_picture_leaves_no_half_painted_one(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, part = tmp_path / "out.png", tmp_path / "out.png.part"
    part.write_bytes(b"half")
    FakeService.interrupt_at = 2
    assert main(["stylize", *pictures, "-o", str(out), "--steps", "9", "--json-lines"]) == 130
    assert capsys.readouterr().err.endswith(f"is in {out}; the same command goes on\n")
    assert part.exists()
    FakeService.interrupt_at = None
    assert main(["stylize", *pictures, "-o", str(out), "--steps", "9"]) == 0
    assert not part.exists()


def weights_of(network: str | None, path: Path) -> str:
    """A file that says which network it is for, or does not."""
    metadata = {} if network is None else {"architecture": network}
    write_tensors(path, {"weight": torch.zeros(1)}, metadata)
    return str(path)


@pytest.mark.parametrize(
    ("says", "asked_for", "taken"),
    [
        ("squeezenet1_0", [], "squeezenet1_0"),
        (None, ["--backbone", "vgg16"], "vgg16"),
        ("squeezenet1_0", ["--model", "vgg16"], "vgg16"),  # the service refuses the file
    ],
)
def test_a_weights_file_alone_says_which_network_it_is_for(
    pictures: tuple[str, str], tmp_path: Path, says: str | None, asked_for: list[str], taken: str
) -> None:
    weights = weights_of(says, tmp_path / "weights.safetensors")
    options = ["--weights", weights, "--steps", "1", *asked_for]
    assert main(["stylize", *pictures, "-o", str(tmp_path / "out.png"), *options]) == 0
    [call] = FakeService.calls
    assert call.config.backbone == taken
    assert call.weights == Path(weights)


def test_a_weights_file_that_does_not_say_its_network_asks_for_it(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = weights_of(None, tmp_path / "weights.safetensors")
    out = tmp_path / "out.png"
    assert main(["stylize", *pictures, "-o", str(out), "--weights", weights]) == 1
    err = capsys.readouterr().err
    assert "does not say which network it is for; name it with --model" in err
    assert err.count("\n") == 1
    assert not FakeService.calls
    assert not out.exists()


def test_json_lines_tell_each_step_and_where_the_preview_is(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    preview = tmp_path / "preview.jpg"
    options = ["--steps", "4", "--json-lines", "--preview", str(preview), "--preview-every", "2"]
    assert main(["stylize", *pictures, "-o", str(tmp_path / "out.png"), *options]) == 0
    _plan, *lines = map(json.loads, capsys.readouterr().out.splitlines())
    losses = {"content": 0.5, "total": 1.5}
    assert lines[0] == {"step": 1, "total": 4, "losses": losses, "elapsed": 0.1}
    assert [line.get("preview") for line in lines] == [None, str(preview), None, str(preview)]
    assert preview.exists()


def test_stopping_keeps_the_picture_so_far(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeService.interrupt_at = 3
    before = signal.getsignal(signal.SIGTERM)
    out = tmp_path / "out.png"
    assert main(["stylize", *pictures, "-o", str(out), "--steps", "100"]) == 130
    err = capsys.readouterr().err
    assert err == f"{TOLD}\nerror: interrupted at step 3 of 100; the picture so far is in {out}\n"
    [call] = FakeService.calls
    written = read_settings(out)
    assert written is not None
    assert written == written | call.config.settings() | {"steps": 100, "steps_done": 3}
    assert FakeService.closed
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "options",
    [
        ["--steps", "-1"],
        ["--steps", "0"],
        ["--steps", "1000000000000"],
        ["--size", "0"],
        ["--size", "1000000"],
        ["--learning-rate", "nan"],
        ["--learning-rate", "-1"],
        ["--learning-rate", "inf"],
        ["--content-weight", "nan"],
        ["--style-mix", "-1"],
        ["--seed", "text"],
        ["--seed", "-1"],
        ["--preview-every", "0"],
        ["--preview", "no/such/folder.jpg"],
        ["--optimizer", "sgd"],
        ["--no-such-flag"],
    ],
)
def test_senseless_settings_are_refused_and_nothing_is_made(
    pictures: tuple[str, str],
    tmp_path: Path,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    assert main(["stylize", *pictures, "-o", str(tmp_path / "out.png"), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert FakeService.calls == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["content.png", "style.png"]


def test_a_missing_picture_is_refused(pictures: tuple[str, str], tmp_path: Path) -> None:
    out = str(tmp_path / "out.png")
    assert main(["stylize", str(tmp_path / "no.png"), pictures[1], "-o", out]) == 2
    assert main(["stylize", pictures[0], str(tmp_path / "no.png"), "-o", out]) == 2
    assert FakeService.calls == []


@pytest.mark.parametrize("place", ["content.png", "style.png", ".", "no/out.png", "out", "out.exe"])
def test_an_output_that_cannot_be_is_refused(
    pictures: tuple[str, str], tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content = Path(pictures[0]).read_bytes()
    assert main(["stylize", *pictures, "-o", str(tmp_path / place)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert FakeService.calls == []
    assert Path(pictures[0]).read_bytes() == content


def test_an_input_is_known_through_a_link(pictures: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(pictures[0])
    assert main(["stylize", *pictures, "-o", str(tmp_path / "link.png")]) == 2


def test_the_suffixes_are_those_that_can_be_saved(tmp_path: Path) -> None:
    for suffix in PICTURE_SUFFIXES:
        path = tmp_path / f"picture{suffix}"
        check_picture(path, inputs=())
        save_image(Image.new("RGB", (8, 8)), path)


def test_checking_a_place_leaves_nothing_behind(tmp_path: Path) -> None:
    check_picture(tmp_path / "out.png", inputs=(tmp_path / "absent.png",))
    check_folder(tmp_path / "run" / "one")
    assert list(tmp_path.iterdir()) == []


def test_regions_are_read_in_all_their_forms(pictures: tuple[str, str], tmp_path: Path) -> None:
    content, style = pictures
    words = [f"{content}={style}", f"{content}={style}:0.25", f"{content}=main:0.1"]
    words.append(f"{content}=none")
    options = [word for text in words for word in ("--region", text)]
    assert (
        main(["stylize", *pictures, "-o", str(tmp_path / "out.png"), "--steps", "1", *options]) == 0
    )
    [call] = FakeService.calls
    assert [region.mask for region in call.regions] == [Path(content)] * 4
    assert [region.style for region in call.regions] == [Path(style), Path(style), "main", "none"]
    assert [region.strength for region in call.regions] == [None, 0.25, 0.1, None]


@pytest.mark.parametrize(
    "region",
    [
        "",
        "{0}",
        "={1}",
        "{0}=",
        "no.png={1}",
        "{0}=no.png",
        "{0}={1}:2",
        "{0}={1}:nan",
        "{0}={1}:much",
        "{0}=none:0.5",
    ],
)
def test_a_region_that_makes_no_sense_is_refused(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], region: str
) -> None:
    out = tmp_path / "out.png"
    assert main(["stylize", *pictures, "-o", str(out), "--region", region.format(*pictures)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert FakeService.calls == []
    assert not out.exists()


def test_a_mask_is_an_input_that_is_not_overwritten(
    pictures: tuple[str, str], tmp_path: Path
) -> None:
    mask = tmp_path / "mask.png"
    Image.new("L", (80, 80), 255).save(mask)
    assert main(["stylize", *pictures, "-o", str(mask), "--region", f"{mask}=none"]) == 2


def test_who_is_still_the_person_is_said(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeService.faces = (Resemblance(similarity=0.62, threshold=0.39),)
    out = tmp_path / "out.png"
    assert main(["stylize", *pictures, "-o", str(out), "--steps", "2", "--keep-identity"]) == 0
    assert capsys.readouterr().out.endswith("s; same person, 0.62, where 0.39 is needed\n")
    [call] = FakeService.calls
    assert call.config.keep_identity
    assert callable(call.portrait)
    written = read_settings(out)
    assert written is not None
    assert written.items() >= call.config.settings().items()


def test_who_is_not_the_person_any_more_has_an_exit_code_and_a_picture(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeService.faces = (
        Resemblance(similarity=0.62, threshold=0.39),
        Resemblance(similarity=0.31, threshold=0.39),
    )
    out = tmp_path / "out.png"
    options = ["--steps", "2", "--keep-identity", "--json-lines"]
    assert main(["stylize", *pictures, "-o", str(out), *options]) == 3
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert "face 2: not the same person any more: 0.31, where 0.39 is needed" in printed.err
    _plan, first, last = map(json.loads, printed.out.splitlines())
    assert "faces" not in first
    assert [face["same_person"] for face in last["faces"]] == [True, False]
    assert out.exists()


def test_a_draft_is_one_pass_and_says_so(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.png"
    assert main(["stylize", *pictures, "-o", str(out), "--draft", "--strength", "0.3"]) == 0
    assert capsys.readouterr().out == f"{out}: a draft\n"
    assert not FakeService.calls
    [call] = FakeService.drafts
    assert call.config.strength == 0.3
    settings = read_settings(out)
    assert settings is not None
    assert settings["draft"] is True


def test_without_a_decoder_a_draft_is_refused(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeService.no_decoder = True
    out = tmp_path / "out.png"
    assert main(["stylize", *pictures, "-o", str(out), "--draft"]) == 1
    assert capsys.readouterr().err == "error: there is no decoder\n"
    assert not out.exists()


@pytest.mark.parametrize("no_decoder", [False, True])
def test_the_first_preview_is_a_draft_where_there_can_be_one(
    pictures: tuple[str, str], tmp_path: Path, no_decoder: bool
) -> None:
    FakeService.no_decoder = no_decoder
    preview = tmp_path / "preview.png"
    words = ["stylize", *pictures, "-o", str(tmp_path / "out.png"), "--steps", "3"]
    assert main([*words, "--preview", str(preview), "--preview-every", "5"]) == 0
    assert preview.exists()
    assert len(FakeService.drafts) == (0 if no_decoder else 1)


def test_a_depth_that_the_format_cannot_hold_is_refused(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("out.jpg", "out.webp"):
        assert main(["stylize", *pictures, "-o", str(tmp_path / name), "--depth", "16"]) == 2
        assert f"{name} cannot hold 16 bits a channel" in capsys.readouterr().err
    assert FakeService.calls == []


def test_without_pictures_it_says_which_are_missing(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out.png")
    for given, missing in (([], "CONTENT"), ([pictures[0]], "STYLE")):
        assert main(["stylize", *given, "-o", out]) == 2
        assert capsys.readouterr().err == (
            f"error: missing argument '{missing}'; see likeness stylize --help\n"
        )


@pytest.mark.parametrize(
    ("grid", "says"),
    [
        ("strengh", "is no setting for --grid: expected one or two of size, steps"),
        ("style-mix", "is no setting"),
        ("backbone", "is no setting"),
        ("", "it is empty"),
        ("strength,strength=1", "names strength twice"),
        ("strength,seed,steps", "one or two settings, not 3"),
        ("strength=7", "strength is 7.0: expected a number from 0 to 1"),
        ("strength=x", "'x' is no value of strength"),
        ("strength=nan", "strength is nan: expected"),
        ("colors=red", "'red' is no value of colors: expected style, content"),
        ("seed=" + ":".join(map(str, range(101))), "1 to 100 cells, not 101"),
        ("size=64:4096,seed=0:1:2:3", "8 cells of 4096 px are too large a sheet"),
        ("seed=" + ":".join(map(str, range(100))), "100 cells of 256 px are too large a sheet"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(
    pictures: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    grid: str,
    says: str,
) -> None:
    assert main(["stylize", *pictures, "-o", str(tmp_path / "out.png"), "--grid", grid]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line
    assert FakeService.calls == []


def test_every_setting_has_values_of_its_own_for_a_sheet(
    pictures: tuple[str, str], tmp_path: Path
) -> None:
    usual = StyleConfig()
    for name in (name for name in _HELP if not isinstance(getattr(usual, name), tuple)):
        FakeService.calls.clear()
        out, grid = str(tmp_path / "out.png"), name.replace("_", "-")
        assert main(["stylize", *pictures, "-o", out, "--grid", grid]) == 0
        values = [getattr(call.config, name) for call in FakeService.calls]
        assert len(set(values)) == len(values) >= 2
        assert name == "size" or {call.config.size for call in FakeService.calls} == {256}


def test_a_sheet_that_is_stopped_keeps_its_cells(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeService.interrupt_at = 3
    out = tmp_path / "out.png"
    options = ["--grid", "seed=0:1:2", "--steps", "5"]
    assert main(["stylize", *pictures, "-o", str(out), *options]) == 130
    assert "interrupted in cell 1 of 3" in capsys.readouterr().err
    written = read_settings(out)
    assert written is not None
    assert written["steps_done"] == 3


def test_a_cell_that_fails_stays_empty_and_the_rest_goes_on(
    pictures: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = FakeService.stylize

    def stylize(self: FakeService, *arguments: Any, **options: Any) -> Iterator[PaintingProgress]:
        if arguments[2].seed in failing:
            raise StyleError("the content loss became nan")
        return whole(self, *arguments, **options)

    monkeypatch.setattr(FakeService, "stylize", stylize)
    out = tmp_path / "out.png"
    words = ["stylize", *pictures, "-o", str(out), "--grid", "seed=0:1:2", "--steps", "2"]
    failing = {0, 1, 2}
    assert main(words) == 1
    assert not out.exists()
    failing = {1}
    capsys.readouterr()
    assert main(words) == 1
    printed, err = capsys.readouterr()
    assert err == "error: cell 2 of 3: the content loss became nan\n"
    assert printed == f"{out}: 3 cells, 4 steps\n"
    pixels = np.asarray(Image.open(out))
    assert (pixels == (255, 0, 0)).all(axis=2).sum() == 2 * 8 * 8
    assert (pixels == (239, 239, 241)).all(axis=2).sum() >= 8 * 8


@pytest.fixture
def album(pictures: tuple[str, str], tmp_path: Path) -> Path:
    """A folder of five photographs of several formats; one is broken."""
    folder = tmp_path / "album"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.jpg", "b.png", "c.bmp", "deep/d.webp"):
        Image.new("RGB", (80, 80), "blue").save(folder / name)
    (folder / "broken.jpg").write_bytes(b"<html>")
    return folder


PAINTED = ["a.jpg", "b.png", "c.bmp.png", "deep/d.webp"]


def below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_folder_is_painted_and_a_bad_picture_is_listed(
    album: Path, pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "out"
    words = ["stylize", str(album), pictures[1], "-o", str(out), "--steps", "2"]
    assert main([*words, "--json-lines"]) == 1
    printed, err = capsys.readouterr()
    assert below(out) == PAINTED
    assert err.count("\n") == 1
    assert "broken.jpg" in err
    lines = [json.loads(line) for line in printed.splitlines()]
    assert {line["image"] for line in lines} == set(below(album))
    assert [line["image"] for line in lines if "error" in line] == ["broken.jpg"]
    assert [line["output"] for line in lines if "output" in line] == [str(out / n) for n in PAINTED]
    written = read_settings(out / "a.jpg")
    assert written is not None
    assert written["content"]["name"] == "a.jpg"
    assert len(FakeService.calls) == 4


def test_what_is_painted_already_is_passed_over(
    album: Path, pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "broken.jpg").unlink()
    out = album / "painted"  # what lies there is no photograph of the folder
    words = ["stylize", str(album), pictures[1], "-o", str(out), "--steps", "2"]
    FakeService.interrupt_at = 1
    assert main(words) == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    assert not out.exists()
    FakeService.interrupt_at = None
    assert main(words) == 0
    assert capsys.readouterr().out == f"{out}: 4 painted, 0 there already, 0 failed\n"
    (out / "b.png").unlink()
    FakeService.calls.clear()
    assert main(words) == 0
    assert capsys.readouterr().out == f"{out}: 1 painted, 3 there already, 0 failed\n"
    assert len(FakeService.calls) == 1
    assert main([*words, "--overwrite"]) == 0
    assert len(FakeService.calls) == 5


def test_in_a_folder_sixteen_bits_take_a_format_that_holds_them(
    album: Path, pictures: tuple[str, str], tmp_path: Path
) -> None:
    (album / "broken.jpg").unlink()
    out = tmp_path / "out"
    words = ["stylize", str(album), pictures[1], "-o", str(out), "--steps", "1", "--depth", "16"]
    assert main(words) == 0
    assert below(out) == ["a.jpg.png", "b.png", "c.bmp.png", "deep/d.webp.png"]
    assert all((out / name).read_bytes()[24] == 16 for name in below(out))


def test_folders_that_make_no_sense_are_refused(
    album: Path, pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = below(tmp_path)
    (tmp_path / "empty").mkdir()
    for content, *more in (
        [str(tmp_path / "empty"), "-o", str(tmp_path / "out")],
        [str(album), "-o", str(album)],
        [str(album), "-o", pictures[0]],
        [str(album), "-o", str(tmp_path / "out"), "--grid", "strength"],
        [str(album), "-o", str(tmp_path / "out"), "--preview", str(album / "a.jpg")],
    ):
        assert main(["stylize", content, pictures[1], *more]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert below(tmp_path) == before
    assert FakeService.calls == []


def test_an_input_is_never_painted_over(
    album: Path, pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    style = out / "a.jpg"
    Image.new("RGB", (80, 80), "red").save(style)
    before = style.read_bytes()
    words = ["stylize", str(album), str(style), "-o", str(out), "--steps", "1", "--overwrite"]
    assert main(words) == 1
    assert "a.jpg is also an input" in capsys.readouterr().err
    assert style.read_bytes() == before


@pytest.fixture
def woodcut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets are drawn small."""
    monkeypatch.setattr(registry.Preset.draw, "__defaults__", (64, None))


def test_a_preset_is_a_style_and_a_regions_style(
    pictures: tuple[str, str], tmp_path: Path, home: Path, woodcut: None
) -> None:
    mask = pictures[1]
    command = ["stylize", pictures[0], "preset:woodcut", pictures[1], "-o", str(tmp_path / "o.png")]
    command += ["--region", f"{mask}=preset:engraving", "--region", f"{mask}=preset:woodcut:0.3"]
    assert main([*command, "--steps", "1"]) == 0
    [call] = FakeService.calls
    drawn, other = call.styles
    assert other.shape == (3, 80, 80)
    assert drawn.shape == (3, 64, 64)
    [kept] = (home / "presets").glob("woodcut-*")
    first, second = call.regions
    assert (first.style.name[:10], first.strength) == ("engraving-", None)
    assert (second.style, second.strength) == (kept, 0.3)
    written = read_settings(tmp_path / "o.png")
    assert written is not None
    assert [style["name"] for style in written["styles"]] == [kept.name, "style.png"]


def test_a_file_that_is_called_like_a_preset_is_named_by_a_path(
    pictures: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(pictures[1]).rename("preset:mine")
    assert main(["stylize", pictures[0], "./preset:mine", "-o", "out.png", "--steps", "1"]) == 0
    written = read_settings(Path("out.png"))
    assert written is not None
    assert [style["name"] for style in written["styles"]] == ["preset:mine"]
    assert main(["stylize", pictures[0], "preset:mine", "-o", "out.png", "--steps", "1"]) == 2


@pytest.mark.parametrize("name", ["preset:", "preset:moasic", "preset:../mosaic", "absent.png"])
def test_a_style_that_is_not_there_is_refused_in_one_line(
    pictures: tuple[str, str],
    tmp_path: Path,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    out = tmp_path / "out.png"
    for words in ([name], [pictures[1], "--region", f"{pictures[1]}={name}"]):
        assert main(["stylize", pictures[0], *words, "-o", str(out)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert ("expected one of mosaic, " in error) == name.startswith("preset:")
    assert FakeService.calls == []
    assert not out.exists()
    assert not home.exists()


def test_a_quality_sets_size_and_steps_and_options_beside_it_win(
    pictures: tuple[str, str], tmp_path: Path
) -> None:
    command = ["stylize", *pictures, "-o", str(tmp_path / "out.png")]
    assert main([*command, "--quality", "draft"]) == 0
    assert main([*command, "--quality", "draft", "--steps", "3"]) == 0
    assert (
        main([*command, "--steps", "300", "--quality", "draft"]) == 0
    )  # the usual number, asked for
    assert main([*command, "--quality", "balanced"]) == 0
    draft = settings_of(PaintingQuality.DRAFT)
    usual = StyleConfig()
    assert [(call.config.size, call.config.steps) for call in FakeService.calls] == [
        (draft["size"], draft["steps"]),
        (draft["size"], 3),
        (draft["size"], 300),
        (usual.size, usual.steps),
    ]


def test_an_unknown_quality_is_refused(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stylize", *pictures, "-o", str(tmp_path / "o.png"), "--quality", "best"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "balanced" in error


def folder_of_pictures(root: Path, *more: str) -> Path:
    for name in ("a.png", "b.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 80), "blue").save(root / name)
    for name in more:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


@pytest.mark.parametrize(
    "options",
    [[], ["--draft"], ["--grid", "strength=0.2:0.8"], ["--grid", "steps=1:2,seed=0:1"], ["--plan"]],
)
def test_as_json_stdout_is_one_document_in_every_mode(
    pictures: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    out = tmp_path / "out.png"
    words = ["stylize", *pictures, "-o", str(out), "--steps", "2", "--json"]
    assert main([*words, *options]) == 0
    found = json.loads(capsys.readouterr().out)
    if options != ["--plan"]:
        assert found["output"] == str(out)
        assert out.is_file()
    assert main([*words, *options, "--json-lines"]) == 2


def test_as_json_a_folder_is_one_list_with_what_failed_and_what_was_left(
    pictures: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder_of_pictures(tmp_path / "in", "bad.png", "raw.dng", "@eaDir/a.png", "a.xmp")
    words = ["stylize", str(root), pictures[1], "-o", str(tmp_path / "out"), "--steps", "1"]
    assert main([*words, "--json"]) == 1
    out, err = capsys.readouterr()
    painted, other, failed, account = json.loads(out)
    assert painted == {"image": "a.png", "output": str(tmp_path / "out" / "a.png")}
    assert set(other) == {"image", "output"}
    assert set(failed) == {"image", "error"}
    assert account["not_taken"] == {".dng": 1}
    assert account["passed_over"] == {"hidden": 1, "sidecar": 1}
    assert "not taken: 1 .dng (raw.dng)" in err
    (root / "raw.dng").unlink()
    (root / "bad.png").unlink()
    assert main(words) == 0
    assert "passed over: 1 hidden, 1 sidecar" in capsys.readouterr().err


def lose(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a folder be gone in the moment in which something is to be written into it."""
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if Path(target).parent == place:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.parametrize(
    "options",
    [[], ["--draft"], ["--grid", "strength=0.2:0.8"], ["--json"], ["--json-lines"]],
)
def test_a_finished_picture_is_kept_where_something_can_be_written(
    pictures: tuple[str, str],
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    out = tmp_path / "full" / "out.png"
    out.parent.mkdir()
    lose(out.parent, monkeypatch)
    words = ["stylize", *pictures, "-o", str(out), "--steps", "2", *options]
    for name in ("out.png", "2-out.png"):  # nothing that was rescued before is overwritten
        assert main(words) == 1
        told, err = capsys.readouterr()
        rescued = home / "rescued" / name
        assert f"cannot write {out} (No space left on device): it is kept as {rescued}" in err
        assert err.count("error: ") == 1
        Image.open(rescued).load()
        assert read_settings(rescued) is not None
        assert str(rescued) in told
    assert list(out.parent.iterdir()) == []


def test_where_the_data_folder_is_full_too_the_temporary_one_serves(
    pictures: tuple[str, str],
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "full" / "out.png"
    out.parent.mkdir()
    home.mkdir()
    (home / "rescued").write_bytes(b"a file in the way")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lose(out.parent, monkeypatch)
    words = ["stylize", *pictures, "-o", str(out), "--steps", "2"]
    assert main(words) == 1
    [rescued] = tmp_path.glob("likeness-*/out.png")
    assert f"it is kept as {rescued}" in capsys.readouterr().err
    assert rescued.parent.stat().st_mode & 0o077 == 0
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    assert main(words) == 1
    assert "nor anywhere else: make room" in capsys.readouterr().err


def test_in_a_folder_the_picture_without_a_place_is_kept_and_the_rest_goes_on(
    pictures: tuple[str, str],
    tmp_path: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = folder_of_pictures(tmp_path / "in")
    (root / "deep").mkdir()
    (root / "b.png").rename(root / "deep" / "b.png")
    lose(tmp_path / "out" / "deep", monkeypatch)
    words = ["stylize", str(root), pictures[1], "-o", str(tmp_path / "out"), "--steps", "1"]
    assert main([*words, "--json"]) == 1
    good, kept = json.loads(capsys.readouterr().out)
    assert good["output"] == str(tmp_path / "out" / "a.png")
    assert kept["output"] == str(home / "rescued" / "b.png")
    assert "it is kept as" in kept["error"]


def test_a_preview_that_cannot_be_written_does_not_cost_the_picture(
    pictures: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    preview, out = tmp_path / "full" / "preview.png", tmp_path / "out.png"
    preview.parent.mkdir()
    lose(preview.parent, monkeypatch)
    words = ["stylize", *pictures, "-o", str(out), "--steps", "4", "--preview", str(preview)]
    assert main([*words, "--preview-every", "1"]) == 0
    assert capsys.readouterr().err.count("there is no preview any more") == 1
    assert out.is_file()
