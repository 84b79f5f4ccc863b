"""`evaluate style`: pictures find their photographs, verdicts reach users, nonsense is refused."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from backbones.registry import create
from data.images import save_image, to_image
from data.tensors import write_tensors
from style.config import Region, StyleConfig
from style.presets.registry import find_preset
from style.presets.shelf import preset_file
from style.record import Record, SourceFile
from ui.cli.main import main

Shown = pytest.CaptureFixture[str]


def _smooth(seed: int, height: int = 72, width: int = 96) -> Tensor:
    coarse = torch.rand(1, 3, 6, 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, (height, width), mode="bilinear")


@pytest.fixture(autouse=True)
def judge(home: Path) -> None:
    """SqueezeNet at hand, with random weights."""
    backbone = create("squeezenet1_0", seed=0)
    (home / "weights").mkdir(parents=True)
    write_tensors(
        home / "weights" / "squeezenet1_0.safetensors",
        dict(backbone.state_dict()),
        {"architecture": "squeezenet1_0"},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A photograph, a style, and a folder of pictures: the photograph untouched, and the style."""
    folder = tmp_path / "pictures"
    (folder / "painted").mkdir(parents=True)
    for name, seed in (
        ("content", 0),
        ("style", 1),
        ("painted/untouched", 0),
        ("painted/style", 1),
    ):
        save_image(to_image(_smooth(seed)), folder / f"{name}.png")
    return folder


def _named(folder: Path, config: StyleConfig, **told: object) -> Path:
    """A picture beside its sources that says what it was painted from."""
    record = Record(
        config=config,
        content=SourceFile.of(folder / "content.png"),
        styles=(SourceFile.of(folder / "style.png"),),
        **told,  # type: ignore[arg-type]
    )
    path = folder / "named.png"
    save_image(to_image(_smooth(0)), path, settings=record.settings())
    return path


def _sources(folder: Path) -> list[str]:
    return ["--content", str(folder / "content.png"), "--style", str(folder / "style.png")]


def test_a_folder_is_judged_picture_by_picture(folder: Path, capsys: Shown) -> None:
    words = ["evaluate", "style", str(folder / "painted"), *_sources(folder), "--no-faces"]
    assert main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["judge"] == "squeezenet1_0"
    style, untouched = result["pictures"]
    assert style["picture"] == str(folder / "painted" / "style.png")
    assert style["style_distance"] == pytest.approx(0, abs=1e-6)
    assert untouched["style_distance"] == pytest.approx(1)
    assert untouched["content_distance"] == 0
    assert untouched["self_similarity"] == pytest.approx(1)
    assert "faces" not in untouched
    assert result["mean"]["style_distance"] == pytest.approx(0.5)
    assert result["mean"]["faces_kept"] is None


def test_people_get_a_table_and_the_means(folder: Path, capsys: Shown) -> None:
    assert (
        main(["evaluate", "style", str(folder / "painted"), *_sources(folder), "--no-faces"]) == 0
    )
    heads, style, untouched, mean = capsys.readouterr().out.splitlines()
    assert heads.split("\t")[1:3] == ["style distance", "content distance"]
    assert style.split("\t")[1] == "0.000"
    assert untouched.split("\t")[1:] == ["1.000", "0.000", "1.000", "–"]
    assert mean.split("\t")[:2] == ["mean", "0.500"]


def test_faces_are_those_of_the_photograph(
    folder: Path, astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch, capsys: Shown
) -> None:
    monkeypatch.undo()  # the bundled recognisers are wanted here, not an empty home
    weights = folder / "squeezenet1_0.safetensors"
    write_tensors(
        weights,
        dict(create("squeezenet1_0", seed=0).state_dict()),
        {"architecture": "squeezenet1_0"},
    )
    portrait = astronaut.resize((256, 256))
    save_image(portrait, folder / "content.png")
    save_image(portrait, folder / "painted" / "untouched.png")
    save_image(to_image(_smooth(1, 96, 96)), folder / "painted" / "style.png")
    words = ["evaluate", "style", str(folder / "painted"), *_sources(folder)]
    assert main([*words, "--weights", str(weights), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    style, untouched = result["pictures"]
    (face,) = untouched["faces"]
    assert face["same_person"] is True
    assert face["cosine_similarity"] == pytest.approx(1, abs=1e-3)
    assert [each["same_person"] for each in style["faces"]] == [False] * len(style["faces"])


def test_a_picture_names_what_it_was_painted_from(folder: Path, capsys: Shown) -> None:
    picture = _named(folder, StyleConfig(backbone="vgg19"))
    assert main(["evaluate", "style", str(picture), "--no-faces", "--json"]) == 0
    (judged,) = json.loads(capsys.readouterr().out)["pictures"]
    assert judged["content"] == str(folder / "content.png")
    assert judged["styles"] == [str(folder / "style.png")]


def test_sources_are_found_in_other_folders_by_their_content(
    folder: Path, tmp_path: Path, capsys: Shown
) -> None:
    picture = _named(folder, StyleConfig(backbone="vgg19"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "content.png").rename(elsewhere / "harbour.png")
    (folder / "style.png").rename(elsewhere / "style.png")
    words = ["evaluate", "style", str(picture), "--no-faces", "--json"]
    assert main(words) == 2
    assert "--sources" in capsys.readouterr().err
    assert main([*words, "--sources", str(elsewhere)]) == 0
    (judged,) = json.loads(capsys.readouterr().out)["pictures"]
    assert judged["content"] == str(elsewhere / "harbour.png")


@pytest.mark.parametrize("preset", ["mosaic", "woodcut", "terrazzo"])
def test_a_style_may_be_a_preset_on_the_command_line_and_in_a_list(
    folder: Path, preset: str, home: Path, capsys: Shown
) -> None:
    drawn = preset_file(find_preset(preset), home)
    words = ["evaluate", "style", str(folder / "painted"), "--no-faces", "--json"]
    words += ["--content", str(folder / "content.png")]
    assert main([*words, "--style", str(drawn)]) == 0
    by_file = json.loads(capsys.readouterr().out)
    assert main([*words, "--style", f"preset:{preset}"]) == 0
    assert json.loads(capsys.readouterr().out) == by_file
    pictures = [
        {"picture": f"painted/{name}.png", "content": "content.png", "styles": [f"preset:{preset}"]}
        for name in ("style", "untouched")
    ]
    listing = folder / "list.json"
    listing.write_text(json.dumps(pictures))
    assert main(["evaluate", "style", "--manifest", str(listing), "--no-faces", "--json"]) == 0
    by_list = json.loads(capsys.readouterr().out)
    assert by_list["mean"] == by_file["mean"]
    assert [each["styles"] for each in by_list["pictures"]] == [[str(drawn)]] * 2


def test_a_picture_of_a_preset_finds_it_where_presets_are_kept(
    folder: Path, home: Path, capsys: Shown
) -> None:
    drawn = preset_file(find_preset("batik"), home)
    record = Record(
        config=StyleConfig(backbone="vgg19"),
        content=SourceFile.of(folder / "content.png"),
        styles=(SourceFile.of(drawn),),
    )
    picture = folder / "named.png"
    save_image(to_image(_smooth(0)), picture, settings=record.settings())
    assert main(["evaluate", "style", str(picture), "--no-faces", "--json"]) == 0
    (judged,) = json.loads(capsys.readouterr().out)["pictures"]
    assert judged["styles"] == [str(drawn)]


def test_the_network_that_painted_does_not_judge_unless_it_is_asked_to(
    folder: Path, capsys: Shown
) -> None:
    picture = _named(folder, StyleConfig(backbone="squeezenet1_0"))
    words = ["evaluate", "style", str(picture), "--no-faces"]
    assert main(words) == 1
    assert "must not judge itself" in capsys.readouterr().err
    assert main([*words, "--judge", "squeezenet1_0"]) == 0
    assert "judges its own work" in capsys.readouterr().err


def test_regions_are_told_to_be_overlooked(folder: Path, capsys: Shown) -> None:
    mask = Region(
        mask=SourceFile.of(folder / "style.png"), style=SourceFile.of(folder / "style.png")
    )
    picture = _named(folder, StyleConfig(backbone="vgg19"), regions=(mask,))
    assert main(["evaluate", "style", str(picture), "--no-faces"]) == 0
    assert "regions" in capsys.readouterr().err


def test_a_list_names_pictures_and_how_they_were_painted(folder: Path, capsys: Shown) -> None:
    entry = {"picture": "painted/style.png", "content": "content.png", "styles": ["style.png"]}
    listing = folder / "list.json"
    listing.write_text(json.dumps([entry, entry | {"style_scale": 0.5, "backbone": "vgg16"}]))
    assert main(["evaluate", "style", "--manifest", str(listing), "--no-faces", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)["pictures"]
    assert first["style_distance"] == pytest.approx(0, abs=1e-6)
    assert second["style_distance"] > 0.001  # smaller strokes were asked for


def test_a_bad_picture_is_reported_and_the_rest_judged(folder: Path, capsys: Shown) -> None:
    (folder / "painted" / "torn.png").write_bytes(b"\x89PNG\r\n")
    words = ["evaluate", "style", str(folder / "painted"), *_sources(folder), "--no-faces"]
    assert main([*words, "--json"]) == 1
    shown = capsys.readouterr()
    assert [("error" in each) for each in json.loads(shown.out)["pictures"]] == [False, True, False]
    assert shown.err.count("error:") == 1
    assert "torn.png" in shown.err


def test_verdicts_are_written_into_a_folder_and_drawn(
    folder: Path, tmp_path: Path, capsys: Shown
) -> None:
    out, plot = folder / "painted" / "verdicts", tmp_path / "plot.svg"
    words = ["evaluate", "style", str(folder / "painted"), *_sources(folder), "--no-faces"]
    for _ in range(2):  # the second time the first one's drawing lies among the pictures
        assert main([*words, "-o", str(out), "--plot", str(plot)]) == 0
    assert len(json.loads((out / "verdicts.json").read_text())["pictures"]) == 2
    with Image.open(out / "verdicts.png") as drawn:
        assert drawn.width > 100
    assert plot.stat().st_size > 1000
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "give either pictures to judge, or --manifest"),
        (["painted", "--manifest", "list.json"], "give either pictures"),
        (["--manifest", "list.json", "--content", "content.png"], "give it alone"),
        (["--manifest", "list.json"], "is no list of pictures"),
        (["--manifest", "half.json"], "entry 1 of half.json"),
        (["--manifest", "wrong.json"], "style_scale is 9: expected a number from 0.1 to 4"),
        (["--manifest", "style.png"], "cannot read style.png"),
        (["painted"], "does not name its photograph: give --content"),
        (["painted", "--content", "content.png"], "does not name its style: give --style"),
        (["painted", "--content", "none.png"], "there is no file none.png"),
        (["painted", "--style", "preset:nothing"], "there is no preset 'nothing'"),
        (["--manifest", "preset.json"], "there is no preset 'nothing'"),
        (["none"], "there is no file or folder none"),
        (["empty", "--content", "content.png"], "there is no picture in what is given"),
        (["painted", "--plot", "plot.gif"], "does not say in which format"),
        (["painted", "-o", "content.png"], "is no folder"),
        (["painted", "--sources", "content.png"], "is no folder"),
        (
            ["painted", "--content", "content.png", "--style", "style.png", "--judge", "nobody"],
            "nobody",
        ),
    ],
)
def test_nonsense_is_refused_in_one_line_and_nothing_is_made(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Shown,
    words: list[str],
    complaint: str,
) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    entry = {"picture": "a.png", "content": "content.png"}
    (folder / "list.json").write_text("[]")
    (folder / "half.json").write_text(json.dumps([entry]))
    (folder / "wrong.json").write_text(
        json.dumps([entry | {"styles": ["style.png"], "style_scale": 9}])
    )
    (folder / "preset.json").write_text(json.dumps([entry | {"styles": ["preset:nothing"]}]))
    before = sorted(folder.rglob("*"))
    assert main(["evaluate", "style", *words]) == 2
    shown = capsys.readouterr()
    assert complaint in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert shown.out == ""
    assert sorted(folder.rglob("*")) == before
