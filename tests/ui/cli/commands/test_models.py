"""`models`: what there is, and downloads only after consent."""

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

import backbones.weights
import data.assets
import data.images
from backbones.dlib_file import installed_file
from backbones.metadata import weights_metadata
from backbones.registry import available, create, spec_of
from backbones.visualisation import figures
from backbones.visualisation.sheet import SheetRow
from backbones.visualisation.units import Unit
from backbones.weights import load_backbone
from data.errors import WeightsError
from data.progress import Progress
from data.tensors import write_tensors
from ui.cli.commands.models import _weights
from ui.cli.main import main
from ui.settings import Settings


@pytest.fixture(autouse=True)
def own_home(home: Path) -> None:
    """No test sees this machine's weights."""


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names whose weights would have been fetched."""
    names: list[str] = []

    def fetch(name: str, *, home: Path | None, progress: Progress) -> SimpleNamespace:
        names.append(name)
        progress(50, 100)
        progress(100, 100)
        metadata = {"source_sha256": "ab" * 32}
        return SimpleNamespace(path=tmp_path / "weights.safetensors", metadata=metadata)

    monkeypatch.setattr(backbones.weights, "download_weights", fetch)
    return names


def test_the_list_says_what_a_network_is_and_where_its_weights_are(
    capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert main(["models", "list", "--json"]) == 0
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    vgg = models["vgg19"]
    assert vgg["weights"] is None
    assert vgg["expected_at"] == str(home / "weights" / "vgg19.safetensors")
    assert {"name": "relu4_2", "channels": 512, "stride": 8, "least": 16} in vgg["taps"]
    assert vgg["content_taps"] == ["relu4_2"]
    assert vgg["downloads"][0]["licence"]
    assert models["mobilefacenet"]["parameters"] < 1_100_000
    assert not home.exists()


def test_the_list_for_people_has_a_line_a_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t") == [
        "name",
        "parameters",
        "taps",
        "weights",
        "their licence",
        "summary",
    ]
    assert any(line.startswith("vgg19\t") and "to download, 574.7 MB" in line for line in lines)


def test_the_list_is_made_without_loading_what_takes_long(home: Path) -> None:
    """It answers within a second, which leaves no time for tensors, pictures or a layout."""
    heavy = {"torch", "torchvision", "safetensors.torch", "numpy", "PIL", "rich"}
    code = (
        "import sys; from ui.cli.main import main; main(['models', 'list', '--json']);"
        f"sys.exit(' '.join({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.stderr.strip() == b""
    assert json.loads(done.stdout)


def test_a_network_is_described_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", "squeezenet1_1", "--input", "64x48", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["parameters"]) == ("squeezenet1_1", 722_496)
    assert found["input_size"] == [64, 48]
    assert found["multiply_accumulates"] == sum(
        layer["multiply_accumulates"] for layer in found["layers"]
    )
    assert found["peak_bytes"] > 0
    assert "Iandola" in found["paper"]
    assert found["licence"].startswith("BSD")
    first, *_, last = found["layers"]
    # (64 - 3) / 2 + 1 = 31 rows, and each cell sees 3 pixels.
    assert (first["name"], first["shape"], first["receptive_field"]) == ("relu1", [64, 31, 23], 3)
    assert last["stride"] == 16
    assert all(layer["gradient_norm"] > 0 for layer in found["layers"])


def test_a_network_is_described_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "info", "lenet5"]) == 0
    out = capsys.readouterr().out
    assert "parameters: 60,000\n" in out
    assert "LeCun" in out
    assert "input: 32x32" in out
    rows = [line.split("\t") for line in out.splitlines() if "\t" in line]
    assert rows[0][:4] == ["tap", "shape", "stride", "receptive field"]
    assert rows[-1][:4] == ["c5", "120x1x1", "4", "32"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lenet5", "--input", "wide"], "--input wide: expected a side in pixels such as 112"),
        (["lenet5", "--input", "0"], "expected a side"),
        (["lenet5", "--input", "16"], "at least 32 pixels, not 16x16"),
        (["vgg19", "--input", "8"], "takes no images of 8x8 pixels"),
        (["mobilefacenet", "--input", "100"], "multiple of 16"),
        (["vgg20"], "choose from"),
    ],
)
def test_what_cannot_be_described_is_refused_in_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "info", *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert says in err


def test_nothing_is_fetched_without_consent(
    fetched: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main(["models", "download", "vgg19"]) == 2
    err = capsys.readouterr().err
    assert "574.7 MB" in err
    assert "licence" in err
    assert "--yes" in err
    assert err.count("\n") == 1
    assert fetched == []


@pytest.mark.parametrize(("answer", "code", "names"), [("n\n", 130, []), ("y\n", 0, ["vgg19"])])
def test_a_person_is_asked(
    fetched: list[str], monkeypatch: pytest.MonkeyPatch, answer: str, code: int, names: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert main(["models", "download", "vgg19"]) == code
    assert fetched == names


class Terminal:
    """A keyboard with somebody at it."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        return True

    def readline(self, limit: int = -1) -> str:
        return self.answer


def test_consent_may_be_given_beforehand(
    fetched: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["models", "download", "vgg19", "--yes"]) == 0
    out, err = capsys.readouterr()
    assert out == f"vgg19: {tmp_path / 'weights.safetensors'}\n"
    assert "BSD" in err
    assert fetched == ["vgg19"]


@pytest.mark.parametrize("name", [name for name in available() if spec_of(name).weights])
def test_whoever_agrees_to_a_file_whose_digest_is_known_in_part_is_told_so(
    name: str,
    fetched: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [source] = spec_of(name).weights
    said = (source.short_digest or "first 8 of the 64 digits").rstrip(".")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert main(["models", "download", name]) == 2
    assert (said in capsys.readouterr().err) is bool(source.short_digest)
    assert main(["models", "download", name, "--yes"]) == 0
    err = capsys.readouterr().err
    assert (said in err) is bool(source.short_digest)
    assert ("ab" * 32 in err) is bool(source.short_digest)  # to compare with somebody else's
    assert fetched == [name]


def test_progress_may_be_lines_of_json(
    fetched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "download", "vgg19", "--yes", "--json-lines"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["step"], line["total"]) for line in lines] == [(50, 100), (100, 100)]


@pytest.mark.parametrize("name", ["mobilefacenet", "no_such_network"])
def test_what_nobody_offers_is_refused(
    name: str, fetched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "download", name, "--yes"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert fetched == []


def test_a_failed_download_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str, **_: object) -> None:
        raise WeightsError("the server cannot be reached")

    monkeypatch.setattr(backbones.weights, "download_weights", fail)
    assert main(["models", "download", "vgg19", "--yes"]) == 1
    assert capsys.readouterr().err.endswith("error: the server cannot be reached\n")


def test_weights_at_hand_say_their_licence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backbones.places._ASSETS", Path(str(data.assets.__file__)).parent)
    monkeypatch.setattr("backbones.places.installed_file", installed_file)
    assert main(["models", "list", "--json"]) == 0
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert models["dlib_resnet"]["weights_licence"].startswith("CC0-1.0")
    assert models["vgg_slim"]["weights_licence"] == "MIT"  # by the file's own metadata
    assert "BSD" in models["vgg19"]["weights_licence"]  # not here: the publisher's
    assert models["mobilefacenet"]["weights_licence"] is None  # no licence is made up


def test_what_is_compressed_by_name_is_the_original_where_it_is_at_hand(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundled file of dlib's network is compressed itself."""
    monkeypatch.setattr("backbones.places._ASSETS", Path(str(data.assets.__file__)).parent)
    settings = Settings(home=home)
    bundled = _weights("dlib_resnet", settings, uncompressed=True)
    assert "compression" in bundled.metadata  # and is refused, with the original's name
    monkeypatch.setattr("backbones.places.installed_file", installed_file)
    assert _weights("dlib_resnet", settings, uncompressed=True).path.suffix == ".dat"
    assert _weights("dlib_resnet", settings).path == bundled.path


BUNDLED = str(Path(str(data.assets.__file__)).parent / "vgg_slim.safetensors")


@pytest.mark.parametrize("show", ["maps", "deconv", "saliency", "gradcam", "occlusion", "patches"])
def test_looking_into_a_network_draws_a_picture(
    show: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, out = tmp_path / "small.png", tmp_path / "drawn.png"
    Image.effect_mandelbrot((72, 56), (-2, -1.2, 0.8, 1.2), 60).convert("RGB").save(picture)
    words = ["models", "look", "vgg_slim", str(picture), "--show", show, "-o", str(out)]
    assert main([*words, "--unit", "relu2_1:3", "--weights", BUNDLED]) == 0
    assert capsys.readouterr().out == f"{out}: {show} of vgg_slim\n"
    with Image.open(out) as drawn:
        assert min(drawn.size) > 150
        assert len(drawn.getcolors(1 << 20) or ()) > 50


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--unit", "relu2_1"], "a unit is written TAP:CHANNEL"),
        (["--unit", "relu2_1:32"], "relu2_1 has channels 0 to 31"),
        (["--unit", "conv9:0"], "has no tap 'conv9'"),
        (["--show", "patches", "--unit", "relu5_1:0"], "needs 32 pixels each way for relu5_1"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_in_one_line(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, out = tmp_path / "small.png", tmp_path / "drawn.png"
    Image.new("RGB", (24, 24), "red").save(picture)
    given = ["models", "look", "vgg_slim", str(picture), "-o", str(out), "--weights", BUNDLED]
    assert main([*given, *words]) in (1, 2)
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert not out.exists()


def test_one_picture_at_a_time_and_never_over_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 64), "red").save(tmp_path / name)
    assert main(["models", "look", "vgg_slim", str(tmp_path), "-o", str(tmp_path / "c.png")]) == 2
    assert "takes one picture, and there are 2" in capsys.readouterr().err
    one = str(tmp_path / "a.png")
    assert main(["models", "look", "vgg_slim", one, "-o", one]) == 2
    assert "is also an input" in capsys.readouterr().err


@pytest.mark.parametrize("show", ["saliency", "gradcam", "occlusion"])
def test_what_explains_one_number_takes_one_unit(
    show: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, out = tmp_path / "small.png", tmp_path / "drawn.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    words = ["models", "look", "vgg_slim", str(picture), "--show", show, "-o", str(out)]
    words += ["--weights", BUNDLED, "--unit", "relu2_1:3", "--unit", "relu3_1:4"]
    assert main(words) == 2
    assert capsys.readouterr().err.strip().endswith("explains one number: give --unit once")


@pytest.mark.parametrize("show", ["maps", "deconv", "patches"])
@pytest.mark.parametrize("count", [1, 3])
def test_units_of_several_taps_share_a_sheet(
    show: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = list[str]()
    whole = figures.sheet

    def watched(title: str, rows: Sequence[SheetRow], **options: Any) -> Image.Image:
        labels.extend(
            text for row in rows for text in (row.label, *(cell.label for cell in row.cells))
        )
        return whole(title, rows, **options)

    monkeypatch.setattr(figures, "sheet", watched)
    _mandelbrots(tmp_path / "many", count, 120)
    out = tmp_path / "drawn.png"
    words = ["models", "look", "vgg_slim", str(tmp_path / "many"), "--show", show, "-o", str(out)]
    words += ["--weights", BUNDLED]
    for unit in ("relu3_1:4", "relu1_1:2", "relu3_1:7", "relu3_1:4"):
        words += ["--unit", unit]
    if show == "maps" and count > 1:
        assert main(words) == 2
        return
    assert main(words) == 0
    named = [label.split()[0] for label in labels if label.startswith("relu")]
    assert named == ["relu3_1:4", "relu1_1:2", "relu3_1:7"]


def test_of_many_pictures_each_patch_stands_beside_what_made_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The pictures projected back are those of the strongest peaks, whatever cannot be read."""
    folder, out = tmp_path / "many", tmp_path / "drawn.png"
    _mandelbrots(folder, 8, 120)
    for number in (0, 3):
        (folder / f"{number}a.png").write_text("no picture")
    network = load_backbone("vgg_slim", weights=Path(BUNDLED)).backbone
    back = figures.deconvolve
    peaks = dict[str, list[float]]()

    def peak(image: torch.Tensor, unit: Unit) -> float:
        return float(network.features(image[None], [unit.tap])[unit.tap][0, unit.channel].max())

    def watched(_: Any, image: torch.Tensor, unit: Unit) -> torch.Tensor:
        peaks.setdefault(str(unit), []).append(peak(image, unit))
        return back(network, image, unit)

    monkeypatch.setattr(figures, "deconvolve", watched)
    words = ["models", "look", "vgg_slim", str(folder), "--show", "deconv", "-o", str(out)]
    words += ["--weights", BUNDLED, "--unit", "relu2_1:3", "--unit", "relu3_1:4"]
    assert main(words) == 0
    assert "2 photographs are not used" in capsys.readouterr().err
    images = [data.images.to_tensor(data.images.load_image(p)) for p in folder.glob("?.png")]
    for unit in (Unit("relu2_1", 3), Unit("relu3_1", 4)):
        expected = sorted((peak(image, unit) for image in images), reverse=True)
        assert peaks[str(unit)] == pytest.approx(expected[: figures.PAIRS], rel=1e-4)


def test_units_that_nothing_excites_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = create("vgg_slim", seed=0)
    state = network.state_dict()
    first = next(key for key in state if key.endswith("bias"))
    state[first][5] = -1e6  # such a channel is never above 0
    weights, out = tmp_path / "net.safetensors", tmp_path / "drawn.png"
    write_tensors(weights, state, weights_metadata(network.spec))
    _mandelbrots(tmp_path / "many", 2, 64)
    for show in ("patches", "deconv"):
        words = ["models", "look", "vgg_slim", str(tmp_path / "many"), "--show", show]
        words += ["-o", str(out), "--weights", str(weights), "--unit", "relu1_1:5"]
        assert main([*words, "--unit", "relu1_1:4"]) == 2
        error = capsys.readouterr().err
        assert "none of these pictures excites relu1_1:5: take others" in error
    assert not out.exists()


def _mandelbrots(folder: Path, count: int, side: int) -> None:
    folder.mkdir()
    for number in range(count):
        extent = (-2 + 0.1 * number, -1.2, 0.8, 1.2)
        picture = Image.effect_mandelbrot((side, side - 8), extent, 30).convert("RGB")
        picture.save(folder / f"{number}.png")


def test_pictures_for_patches_are_read_one_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _mandelbrots(tmp_path / "many", 7, 400)
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []
    whole = data.images.to_tensor

    def watched(image: Image.Image) -> torch.Tensor:
        gc.collect()
        alive.append(sum(one() is not None for one in held))
        held.append(weakref.ref(found := whole(image)))
        return found

    monkeypatch.setattr(data.images, "to_tensor", watched)
    out = tmp_path / "drawn.png"
    words = ["models", "look", "vgg_slim", str(tmp_path / "many"), "--show", "patches"]
    assert main([*words, "--weights", BUNDLED, "-o", str(out), "--unit", "relu2_1:3"]) == 0
    assert len(alive) == 7
    assert max(alive) <= 1


def test_what_cannot_be_looked_at_is_passed_over_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "many", tmp_path / "drawn.png"
    _mandelbrots(folder, 3, 80)
    (folder / "0a.png").write_text("no picture")
    Image.new("RGB", (9, 40), "red").save(folder / "1a.png")
    words = ["models", "look", "vgg_slim", str(folder), "--show", "patches", "-o", str(out)]
    assert main([*words, "--weights", BUNDLED]) == 0
    answer = capsys.readouterr()
    assert answer.out == f"{out}: patches of vgg_slim\n"
    assert "2 photographs are not used; the first: " in answer.err
    assert "0a.png" in answer.err
    for good in folder.glob("?.png"):
        good.unlink()
    out.unlink()
    assert main([*words, "--weights", BUNDLED]) in (1, 2)
    error = capsys.readouterr().err.strip()
    assert "none of these pictures can be looked at: " in error
    assert len(error.splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize("show", ["saliency", "gradcam", "occlusion", "maps", "deconv", "patches"])
@pytest.mark.parametrize("size", [(8, 8), (9, 200)])
def test_a_picture_that_is_too_small_is_one_line(
    show: str, size: tuple[int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, out = tmp_path / "small.png", tmp_path / "drawn.png"
    Image.new("RGB", size, "red").save(picture)
    words = ["models", "look", "vgg_slim", str(picture), "-o", str(out), "--weights", BUNDLED]
    assert main([*words, "--show", show]) == 2
    error = capsys.readouterr().err.strip()
    assert "pixels each way" in error
    assert f"{size[0]}x{size[1]}" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("width", [0.5, 1.5])
def test_a_unit_is_one_of_the_network_that_the_file_holds(
    width: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = create("mobilenet_v1", width=width, seed=0)
    weights, picture = tmp_path / "net.safetensors", tmp_path / "small.png"
    write_tensors(weights, network.state_dict(), weights_metadata(network.spec))
    Image.effect_mandelbrot((96, 96), (-2, -1.2, 0.8, 1.2), 30).convert("RGB").save(picture)
    tap = network.spec.taps[1]
    assert tap.channels != spec_of("mobilenet_v1").taps[1].channels
    words = ["models", "look", "mobilenet_v1", str(picture), "--weights", str(weights)]
    words += ["-o", str(tmp_path / "drawn.png"), "--unit"]
    assert main([*words, f"{tap.name}:{tap.channels - 1}"]) == 0
    capsys.readouterr()
    assert main([*words, f"{tap.name}:{tap.channels}"]) == 2
    error = capsys.readouterr().err.strip()
    assert f"{tap.name} has channels 0 to {tap.channels - 1}" in error
    assert len(error.splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="asks for a device that is not there")
def test_a_network_is_looked_into_on_the_device_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "small.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    words = ["models", "look", "vgg_slim", str(picture), "-o", str(tmp_path / "drawn.png")]
    assert main(["--device", "cuda", *words, "--weights", BUNDLED]) == 2
    assert "no NVIDIA GPU" in capsys.readouterr().err
