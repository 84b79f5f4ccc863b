"""The command lines that the page starts, run for real where the shared weights are."""

import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from data.errors import AppError, ImageError
from data.images import load_image, read_settings
from style.config import Colors, Region, RegionManner, StyleConfig
from style.presets.registry import PRESETS
from ui.jobs import orders, reports, store, tasks
from ui.jobs.store import Job, JobState
from ui.settings import Device, Settings


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((96, 72), 60).convert("RGB").save(file, "PNG")
    return file.getvalue()


def ended(job: Job, home: Path) -> Job:
    deadline = time.monotonic() + 280
    while (found := store.find(job.id, home=home)) and found.state is JobState.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert found is not None
    return found


def test_a_stylisation_paints_a_picture_with_its_settings(
    shared: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKENESS_WEIGHTS", str(shared / "weights"))
    config = StyleConfig(
        size=64, steps=4, backbone="squeezenet1_0", style_weight=3.0, seed=7, first_scale=64
    )
    settings = Settings(home=home, device=Device.CPU)
    job = tasks.stylize(settings, picture("red"), [picture("blue"), picture("green")], config)

    done = ended(job, home)

    assert (done.state, done.error) == (JobState.DONE, None)
    painted = done.folder / tasks.PICTURE
    assert load_image(painted).size == (64, 48)
    written = read_settings(painted)
    assert written is not None
    asked_for = {
        "size": 64,
        "steps": 4,
        "backbone": "squeezenet1_0",
        "style_weight": 3.0,
        "seed": 7,
    }
    assert {name: written[name] for name in asked_for} == asked_for
    assert done.read(tasks.PREVIEW)
    progress = reports.progress(done)
    assert progress is not None
    assert (progress.step, progress.total) == (4, 4)
    assert tasks.latest(settings, tasks.STYLIZE)[0].id == job.id
    assert not tasks.latest(settings, tasks.DOWNLOAD)


def with_a_place(size: tuple[int, int]) -> bytes:
    """A photograph that says where and how it was taken, and lies on its side."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "Camera Works"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    file = io.BytesIO()
    Image.effect_noise(size, 60).convert("RGB").save(file, "JPEG", exif=exif, comment=b"Tuesday")
    return file.getvalue()


def test_of_the_pictures_handed_over_only_the_pixels_are_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, manner = with_a_place((96, 72)), with_a_place((64, 64))
    with Image.open(io.BytesIO(content)) as given:
        assert given.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    folders: list[Path] = []
    monkeypatch.setattr(store, "start", lambda folder, command, order, **_: folders.append(folder))
    tasks.stylize(Settings(home=home), content, [manner], StyleConfig())
    (folder,) = folders
    kept = sorted(folder.iterdir())
    assert [path.name for path in kept] == ["content.png", "style-1.png"]
    for path, original in zip(kept, (content, manner), strict=True):
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert not image.getexif()
            assert not image.info
        assert not any(word in path.read_bytes() for word in (b"Camera", b"Exif", b"Tuesday"))
        assert load_image(path).tobytes() == load_image(original).tobytes()
    assert load_image(kept[0]).size == (72, 96)


def test_a_picture_that_cannot_be_read_is_refused_before_a_job_is_made(home: Path) -> None:
    for content, manner in ((b"no picture", picture("red")), (picture("red"), b"no picture")):
        with pytest.raises(ImageError, match="cannot read this picture"):
            tasks.stylize(Settings(home=home), content, [manner], StyleConfig())
    assert not (home / "jobs").exists()


def test_a_stylisation_asks_for_what_was_chosen_and_for_nothing_else(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(store, "start", lambda folder, command, order, **_: given.append(command))
    monkeypatch.setattr(orders, "likeness", lambda settings, verb: [verb])
    config = StyleConfig(
        backbone="vgg16", strength=0.7, style_mix=(2, 1), colors=Colors.CONTENT, steps=90
    )
    regions: list[Region[str | bytes]] = [
        Region(mask=picture("white"), style=RegionManner.NONE),
        Region(mask=picture("white"), style="preset:waves", strength=0.2),
        Region(mask=picture("white"), style=picture("blue")),
    ]
    styles = ["preset:mosaic", picture("blue")]
    tasks.stylize(Settings(home=home), picture("red"), styles, config, regions)
    ((verb, content, *rest),) = given
    folder = Path(content).parent
    assert verb == "stylize"
    words = [word.replace(str(folder), "…") for word in rest if not word.startswith("--preview")]
    assert words == [
        "preset:mosaic",
        "…/style-2.png",
        "--region=…/mask-1.png=none",
        "--region=…/mask-2.png=preset:waves:0.2",
        "--region=…/mask-3.png=…/region-3.png",
        "--output=…/picture.png",
        "--json-lines",
        "--backbone=vgg16",
        "--size=512",
        "--steps=90",
        "--strength=0.7",
        "--style-mix=2.0",
        "--style-mix=1.0",
        "--colors=content",
    ]
    made = {path.name for path in folder.iterdir()}
    assert made == {
        "content.png", "style-2.png", "mask-1.png", "mask-2.png", "mask-3.png", "region-3.png"
    }  # fmt: skip


@pytest.mark.parametrize("mask", [b"no picture", None])
def test_a_bad_mask_is_refused_before_a_job_is_made(home: Path, mask: bytes | None) -> None:
    if mask is None:
        file = io.BytesIO()
        Image.new("L", (96, 96), 255).save(file, "PNG")
        mask = file.getvalue()
    region: Region[str | bytes] = Region(mask=mask, style=RegionManner.MAIN)
    with pytest.raises(AppError, match="mask of region 1"):
        tasks.stylize(
            Settings(home=home), picture("red"), ["preset:mosaic"], StyleConfig(), [region]
        )
    assert not (home / "jobs").exists()


def test_without_weights_a_stylisation_fails_with_the_line_that_says_why(home: Path) -> None:
    config = StyleConfig(size=64, steps=1, backbone="vgg19")
    job = tasks.stylize(Settings(home=home), picture("red"), [picture("blue")], config)
    failed = ended(job, home)
    assert failed.state is JobState.FAILED
    assert "no weights for vgg19" in str(failed.error)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("mobilefacenet", "weights for mobilefacenet came with the application"),
        ("lenet5", "no download is known of weights for lenet5"),
    ],
)
def test_a_download_of_what_nobody_offers_fails_with_the_line_that_says_why(
    name: str, why: str, home: Path
) -> None:
    failed = ended(tasks.download(Settings(home=home), name), home)
    assert failed.state is JobState.FAILED
    assert why in str(failed.error)


def test_weights_are_fetched_by_one_job_at_a_time(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(orders, "likeness", lambda *_: waits)
    settings = Settings(home=home)
    first = tasks.download(settings, "vgg19")
    assert tasks.download(settings, "vgg19").id == first.id
    other = tasks.download(settings, "resnet18")
    assert other.id != first.id
    for job in (first, other):
        store.cancel(job)
        ended(job, home)


@pytest.mark.parametrize(
    "name", ["x; touch /tmp/x", "--help", "../x", "", "x y", "x\n", "é", "a" * 65, 7, None, ["x"]]
)
def test_what_is_no_networks_name_becomes_no_word_of_a_command(home: Path, name: Any) -> None:
    with pytest.raises(AppError, match="no network's name"):
        tasks.download(Settings(home=home), name)
    with pytest.raises(AppError, match=r"no network's name|backbone is .*: expected text"):
        orders.StylizeOrder(styles=("preset:waves",), config=StyleConfig(backbone=name))
    assert not (home / "jobs").exists()


ORDER = orders.StylizeOrder(
    styles=("preset:mosaic", "style-2.png"),
    config=StyleConfig(backbone="vgg16", strength=0.7, style_mix=(2, 1), steps=90, seed=3),
    regions=(
        Region(mask="", style=RegionManner.NONE),
        Region(mask="", style="preset:waves", strength=0.2),
        Region(mask="", style="region-3.png"),
    ),
)


def test_an_order_comes_back_from_its_record_as_it_was() -> None:
    for order in (ORDER, orders.DownloadOrder(network="vgg19")):
        kept = json.loads(json.dumps(order.as_json()))
        again = orders.order_of(order.kind, kept)
        assert again == order
        assert again.command(Settings(), Path("/f")) == order.command(Settings(), Path("/f"))


def test_every_preset_can_be_ordered() -> None:
    for preset in PRESETS:
        orders.StylizeOrder(styles=(f"preset:{preset.name}",), config=StyleConfig())


WRONG: dict[str, Any] = {
    "styles": ["--output=/tmp/x", "/etc/passwd", "style-1.png/../../x", "preset:../x", 5, None,
               "style-0.png", "preset:mosaic --json"],
    "config": [{"backbone": "vgg16", "steps": -1}, {"backbone": "--help"}, {"program": "sh"},
               {"size": "1; sh"}, {"optimizer": "lbfgs"}, [], "x", 5, None],
    "regions": [[{"style": "none; sh", "strength": None}], [{"style": "--x", "strength": 0.5}],
                [{"style": "region-1.png", "strength": "0.5:x"}], [{}], [5], 5, None],
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG.items() for value in values]
)
def test_an_order_that_the_page_could_not_give_is_not_gone_on_with(
    home: Path, field: str, value: Any
) -> None:
    folder = store.prepare({})
    kept = ORDER.as_json() | {field: [value] if field == "styles" else value}
    record = {"kind": "stylize", "title": "t", "created": 1.0, "order": kept}
    (folder / "job.json").write_text(json.dumps(record))
    job = store.find(folder.name)
    assert job is not None
    with pytest.raises(AppError, match="cannot be read any more"):
        tasks.go_on(Settings(home=home), job)
    assert sorted(path.name for path in folder.iterdir()) == ["job.json"]


@pytest.mark.parametrize("order", [None, [], "sh", {}, {"styles": []}, {"command": ["sh"]}])
@pytest.mark.parametrize("kind", ["stylize", "download", "train", "sh"])
def test_no_more_is_a_record_without_an_order(kind: str, order: Any) -> None:
    with pytest.raises(AppError, match="cannot be read any more"):
        orders.order_of(kind, order)
