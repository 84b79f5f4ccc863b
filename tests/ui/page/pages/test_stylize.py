import json
import re
import sys
import time

import pytest

from data.errors import AppError
from style.config import (
    ColorMethod,
    Colors,
    PaintingQuality,
    RegionManner,
    StyleConfig,
    settings_of,
)
from style.presets.registry import PRESETS
from ui.jobs import orders, store, tasks
from ui.jobs.store import JobState
from ui.page import style_fields

PAINTER = """
import json, pathlib, signal, sys, time
from PIL import Image
signal.signal(signal.SIGINT, lambda *_: stopped.append(True))
stopped = []
given = dict(word[2:].split("=", 1) for word in sys.argv if word.startswith("--") and "=" in word)
finish = pathlib.Path(given["preview"]).with_name("finish")
picture = Image.new("RGB", (64, 64), "gold")
for step in range(1, 401):
    picture.save("{}.new".format(given["preview"]), "JPEG")
    pathlib.Path("{}.new".format(given["preview"])).replace(given["preview"])
    print(json.dumps({"step": step, "total": 400, "losses": {}, "elapsed": step / 10}), flush=True)
    while step == 40 and {waits} and not (stopped or finish.exists()):
        time.sleep(0.05)
    if stopped:
        break
picture.save(given["output"])
sys.exit(130 if stopped else 0)
"""


@pytest.fixture
def painter(monkeypatch):
    """Puts a stand-in into the command line's place, which may wait until a picture is wanted."""

    def install(*, waits):
        program = PAINTER.replace("{waits}", str(waits))
        monkeypatch.setattr(orders, "likeness", lambda *_: [sys.executable, "-c", program])

    return install


@pytest.fixture
def easel(home, monkeypatch, open_page):
    """The page with weights of one network at hand."""
    from safetensors.torch import save_file
    from torch import zeros

    folder = home / "weights"
    folder.mkdir(parents=True)
    save_file({"x": zeros(1)}, folder / "squeezenet1_0.safetensors")
    return open_page("stylize")


@pytest.fixture
def asked_for(monkeypatch):
    """What the page asks the tasks for; nothing is painted."""
    orders = []

    def stylize(settings, content, styles, config, regions):
        orders.append((styles, config, regions))
        raise AppError("not today")

    monkeypatch.setattr(tasks, "stylize", stylize)
    return orders


@pytest.fixture
def choose(monkeypatch):
    """Chooses presets, as a click in the browser would."""

    def choose(*names):
        monkeypatch.setattr(style_fields, "choose_presets", lambda *_, **__: list(names))

    return choose


def drawn(page):
    """The components that show something: what closes the menu or scrolls does not."""
    found = [element.proto for element in page.get("bidi_component")]
    unseen = {"likeness.menu", "likeness.arrival"}
    return [proto for proto in found if proto.component_name not in unseen]


def press(page, label):
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception


def order(page, picture):
    page.file_uploader[0].set_value(("../../c.png", picture("red"), "image/png")).run()
    page.file_uploader[1].set_value([("s.png", picture("blue"), "image/png")]).run()
    assert not page.exception
    press(page, "Paint")


def until(page, condition):
    deadline = time.monotonic() + 280
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
        page.run()
        assert not page.exception


def test_the_empty_page_says_what_to_do_and_offers_what_is_at_hand_first(easel, said):
    assert "The picture appears here" in said(easel)
    network = easel.selectbox(key="network")
    assert network.value.spec.name == "squeezenet1_0"
    assert network.options[0] == "squeezenet1_0"
    assert "vgg19 (no weights yet)" in network.options


def test_painting_shows_progress_then_the_picture_beside_the_photograph(easel, picture, painter):
    painter(waits=True)
    order(easel, picture)
    (job,) = store.all_jobs()
    assert job.state is JobState.RUNNING
    assert job.id in easel.query_params["job"]
    until(easel, lambda: any("of 400" in (bar.proto.text or "") for bar in easel.get("progress")))
    (job.folder / "finish").touch()
    until(easel, lambda: easel.get("download_button"))
    gallery, shown = drawn(easel)
    assert gallery.component_name == "likeness.styles"
    assert shown.component_name == "likeness.compare"
    assert json.loads(shown.json)["size"] == [64, 64]


def test_a_second_press_starts_no_second_picture(easel, picture, painter):
    painter(waits=True)
    order(easel, picture)
    press(easel, "Paint")
    assert len(store.all_jobs()) == 1
    easel.number_input(key="steps-balanced").set_value(100).run()
    press(easel, "Paint")  # another order
    assert len(store.all_jobs()) == 2
    for job in store.all_jobs():
        store.cancel(job)


def test_a_job_is_found_again_after_a_reload(easel, picture, painter, open_page, said):
    painter(waits=True)
    order(easel, picture)
    (job,) = store.all_jobs()
    again = open_page("stylize")
    assert any(button.key == f"open-{job.id}" for button in again.button)
    assert "painted" in said(again) or "Beginning" in said(again)
    again.query_params["job"] = job.id
    again.run()
    assert again.get("progress")
    again.switch_page("ui/page/pages/people.py").run()
    again.switch_page("ui/page/pages/stylize.py").run()
    assert again.get("progress")
    press(again, "Cancel")
    until(again, lambda: "Cancelled. This is what was painted so far." in said(again))
    assert again.get("download_button")


def test_discarding_leaves_nothing(easel, picture, painter):
    painter(waits=False)
    order(easel, picture)
    until(easel, lambda: easel.get("download_button"))
    assert store.all_jobs()
    press(easel, "Discard it")  # asked once more before
    assert not store.all_jobs()
    assert "job" not in easel.query_params


def test_of_two_pictures_both_stay_in_view_and_either_can_be_opened(easel, picture, painter, said):
    painter(waits=True)
    order(easel, picture)
    easel.slider(key="strength").set_value(0.7).run()
    press(easel, "Paint")
    second, first = store.all_jobs()
    assert second.id in easel.query_params["job"]  # a string or a list of one
    until(easel, lambda: "% painted" in said(easel).replace("\\", ""))
    easel.button(key=f"open-{first.id}").click().run()
    assert first.id in easel.query_params["job"]  # a string or a list of one
    assert any(button.key == f"open-{second.id}" for button in easel.button)
    press(easel, "Cancel")
    until(easel, lambda: "Cancelled. This is what was painted so far." in said(easel))
    assert any(button.key == f"open-{second.id}" for button in easel.button)
    store.cancel(second)


def test_a_finished_picture_can_be_kept_and_let_go_again(easel, picture, painter, said):
    painter(waits=False)
    order(easel, picture)
    until(easel, lambda: easel.get("download_button"))
    press(easel, "Keep")
    assert [job.kept for job in store.all_jobs()] == [True]
    press(easel, "Close")
    assert "Finished\\, kept" in said(easel)
    press(easel, "Open")
    press(easel, "Kept")
    assert [job.kept for job in store.all_jobs()] == [False]


def test_choices_and_pictures_are_there_again_after_another_page(easel, picture, choose, asked_for):
    choose("mosaic")
    photograph(easel, picture)
    easel.slider(key="strength").set_value(0.8)
    easel.button_group(key="quality").set_value(PaintingQuality.FINE)
    easel.number_input(key="seed").set_value(9).run()
    for other in ("verify", "people"):
        easel.switch_page(f"ui/page/pages/{other}.py").run()
        easel.switch_page("ui/page/pages/stylize.py").run()
    assert not easel.exception
    press(easel, "Paint")
    ((styles, config, _),) = asked_for
    assert (styles, config.strength, config.seed) == (["preset:mosaic"], 0.8, 9)
    assert config.size == settings_of(PaintingQuality.FINE)["size"]
    easel.file_uploader(key="content").set_value(("d.png", picture("blue"), "image/png")).run()
    assert not [button for button in easel.button if (button.key or "").startswith("take-away")]


def test_a_failed_job_says_why(easel, picture, monkeypatch):
    program = "import sys; sys.exit('error: the picture is too small')"
    monkeypatch.setattr(orders, "likeness", lambda *_: [sys.executable, "-c", program])
    order(easel, picture)
    until(easel, lambda: easel.error)
    assert "The picture is too small" in easel.error[0].value


def test_a_cancelled_job_that_could_not_finish_shows_its_last_preview(
    easel, picture, monkeypatch, said
):
    killed = PAINTER.replace("{waits}", "True").replace('picture.save(given["output"])', "")
    monkeypatch.setattr(orders, "likeness", lambda *_: [sys.executable, "-c", killed])
    order(easel, picture)
    (job,) = store.all_jobs()
    until(easel, lambda: job.read(tasks.PREVIEW))
    press(easel, "Cancel")
    until(easel, lambda: "Cancelled. This is what was painted so far." in said(easel))
    assert not job.read(tasks.PICTURE)
    gallery, shown = drawn(easel)
    assert gallery.component_name == "likeness.styles"
    assert shown.component_name == "likeness.compare"
    (download,) = easel.get("download_button")
    assert download.proto.url.endswith(".jpg")


def test_a_picture_left_half_painted_is_gone_on_with(easel, picture, monkeypatch, said):
    half = PAINTER.replace("{waits}", "True").replace(
        "picture.save(given", 'open(given["output"] + ".part", "w")\npicture.save(given'
    )
    monkeypatch.setattr(orders, "likeness", lambda *_: [sys.executable, "-c", half])
    order(easel, picture)
    (job,) = store.all_jobs()
    until(easel, lambda: job.read(tasks.PREVIEW))
    press(easel, "Cancel")
    until(easel, lambda: "Cancelled. This is what was painted so far." in said(easel))
    press(easel, "Go on painting")
    until(easel, lambda: any("of 400" in (bar.proto.text or "") for bar in easel.get("progress")))
    (job.folder / "finish").touch()
    until(easel, lambda: easel.get("download_button"))
    assert [job.state for job in store.all_jobs()] == [JobState.DONE]
    assert "Go on painting" not in [button.label for button in easel.button]


def test_what_the_picture_will_take_is_said_before(easel, picture, monkeypatch):
    plan = {"memory": 6e8, "limit": 1e10, "seconds": 125.0, "scales": [{"tile": 512}]}
    line = json.dumps({"plan": plan})
    first = f"print({line!r}, flush=True)\nwhile not stopped: time.sleep(0.05)\n"
    slow = PAINTER.replace("{waits}", "False").replace("stopped = []\n", f"stopped = []\n{first}")
    monkeypatch.setattr(orders, "likeness", lambda *_: [sys.executable, "-c", slow])
    order(easel, picture)
    takes = "Takes about 2 min and 0.6 GB of memory, in tiles."
    until(easel, lambda: any(takes in bar.proto.text for bar in easel.get("progress")))
    press(easel, "Cancel")


def test_paint_without_pictures_is_refused(easel):
    press(easel, "Paint")
    assert len(easel.error) == 1
    assert not store.all_jobs()


def test_a_file_that_is_no_picture_is_refused_before_anything_starts(easel):
    easel.file_uploader[0].set_value(("c.png", b"not a picture", "image/png")).run()
    assert not easel.exception
    assert len(easel.error) == 1
    assert not store.all_jobs()


@pytest.mark.parametrize("identity", ["../../etc", "0" * 16, "<script>"])
def test_a_job_that_is_not_there_is_passed_over(easel, identity, said):
    easel.query_params["job"] = identity
    easel.run()
    assert not easel.exception
    assert "The picture appears here" in said(easel)


def test_without_weights_the_page_opens_and_says_where_to_get_them(open_page, said):
    page = open_page("stylize")
    assert "has no weights yet" in said(page)
    assert page.get("page_link")
    assert next(button for button in page.button if button.label == "Paint").disabled


@pytest.mark.parametrize(("similarity", "code"), [(0.62, 0), (0.31, 3)])
def test_a_portrait_says_who_it_is(easel, picture, monkeypatch, said, similarity, code):
    face = {"same_person": code == 0, "cosine_similarity": similarity, "threshold": 0.39}
    line = '{"step": step, "total": 400, "losses": {}, "elapsed": step / 10'
    program = PAINTER.replace("{waits}", "False").replace(line, f'{line}, "faces": [given_faces]')
    program = program.replace("else 0)", f"else {code})")
    program = f"given_faces = {face!r}\n" + program
    monkeypatch.setattr(orders, "likeness", lambda *_: [sys.executable, "-c", program])
    easel.toggle(key="keep").set_value(True).run()
    order(easel, picture)
    until(easel, lambda: easel.get("download_button"))
    (job,) = store.all_jobs()
    assert job.state is JobState.DONE
    words = "same person, 0.62" if code == 0 else "not the same person any more"
    shown = easel.caption if code == 0 else easel.warning
    assert any(words in element.value.replace("\\", "") for element in shown)
    record = json.loads((job.folder / "job.json").read_text())
    assert record["order"]["config"]["keep_identity"] is True


def photograph(page, picture):
    page.file_uploader(key="content").set_value(("c.png", picture("red"), "image/png")).run()
    assert not page.exception


def test_all_presets_are_shown_to_choose_from(easel):
    (gallery,) = (json.loads(proto.json) for proto in drawn(easel))
    assert [style["name"] for style in gallery["styles"]] == [preset.name for preset in PRESETS]
    assert gallery["sheet"].startswith("data:image/jpeg;base64,")
    assert len(gallery["sheet"]) < 200_000  # it is sent with every change
    assert gallery["chosen"] == []


def test_a_preset_is_enough_of_a_style(easel, picture, choose, asked_for):
    choose("mosaic")
    photograph(easel, picture)
    press(easel, "Paint")
    ((styles, config, regions),) = asked_for
    assert styles == ["preset:mosaic"]
    assert config == StyleConfig(backbone="squeezenet1_0")
    assert list(regions) == []
    assert "Not today" in easel.error[0].value


@pytest.mark.parametrize("quality", PaintingQuality)
def test_a_quality_brings_its_settings(easel, picture, choose, asked_for, quality):
    choose("waves")
    photograph(easel, picture)
    easel.button_group(key="quality").set_value(quality).run()
    press(easel, "Paint")
    ((_, config, _),) = asked_for
    brought = settings_of(quality)
    assert {name: getattr(config, name) for name in brought} == brought


def test_every_control_reaches_the_settings(easel, picture, choose, asked_for):
    choose("waves", "woodcut")
    photograph(easel, picture)
    easel.slider(key="share-waves").set_value(80)
    easel.slider(key="strength").set_value(0.7)
    easel.button_group(key="colours").set_value(Colors.CONTENT)
    easel.selectbox(key="color-method").set_value(ColorMethod.LAB)
    easel.slider(key="style-scale").set_value(1.5)
    easel.number_input(key="seed").set_value(9)
    easel.select_slider(key="size-balanced").set_value(384)
    easel.number_input(key="steps-balanced").set_value(70).run()
    press(easel, "Paint")
    ((styles, config, _),) = asked_for
    assert styles == ["preset:waves", "preset:woodcut"]
    assert config == StyleConfig(
        backbone="squeezenet1_0",
        style_mix=(80, 50),
        strength=0.7,
        colors=Colors.CONTENT,
        color_method=ColorMethod.LAB,
        style_scale=1.5,
        seed=9,
        size=384,
        steps=70,
    )


def test_more_styles_than_are_mixed_are_refused(easel, picture, choose, asked_for):
    choose("mosaic", "waves", "batik")
    photograph(easel, picture)
    own = [(f"{n}.png", picture("blue"), "image/png") for n in range(2)]
    easel.file_uploader(key="styles").set_value(own).run()
    press(easel, "Paint")
    assert "one to 4 styles" in easel.error[0].value
    assert not asked_for


def test_regions_have_a_style_or_none_and_their_own_strength(easel, picture, choose, asked_for):
    choose("mosaic")
    photograph(easel, picture)
    assert [it.key for it in easel.file_uploader if it.key.startswith("mask")] == ["mask-1"]
    for number in (1, 2, 3):
        mask = (f"{number}.png", picture("white"), "image/png")
        easel.file_uploader(key=f"mask-{number}").set_value(mask).run()
    easel.selectbox(key="manner-2").set_value("waves").run()
    easel.slider(key="strength-2").set_value(0.25)
    easel.selectbox(key="manner-3").set_value("A picture of its own").run()
    assert "Add the picture of region 3" in easel.error[0].value
    own = ("own.png", picture("green"), "image/png")
    easel.file_uploader(key="picture-3").set_value(own).run()
    assert not easel.error
    press(easel, "Paint")
    ((_, _, regions),) = asked_for
    assert [region.style for region in regions] == [
        RegionManner.NONE,
        "preset:waves",
        picture("green"),
    ]
    assert [region.strength for region in regions] == [None, 0.25, 0.5]
    assert [it.key for it in easel.file_uploader if it.key.startswith("mask")][-1] == "mask-4"


def test_regions_are_there_again_after_another_page(easel, picture, choose, asked_for):
    choose("mosaic")
    photograph(easel, picture)
    for number in (1, 2):
        mask = (f"{number}.png", picture("white"), "image/png")
        easel.file_uploader(key=f"mask-{number}").set_value(mask).run()
    easel.selectbox(key="manner-2").set_value("waves").run()
    easel.slider(key="strength-2").set_value(0.25).run()
    for other in ("verify", "people"):
        easel.switch_page(f"ui/page/pages/{other}.py").run()
        easel.switch_page("ui/page/pages/stylize.py").run()
    assert not easel.exception
    masks = [it.key for it in easel.file_uploader if it.key.startswith("mask")]
    assert masks == ["mask-1", "mask-2", "mask-3"]
    press(easel, "Paint")
    ((_, _, regions),) = asked_for
    assert [region.style for region in regions] == [RegionManner.NONE, "preset:waves"]
    assert [region.strength for region in regions] == [None, 0.25]


def test_a_mask_of_other_proportions_is_refused_before_anything_starts(easel, picture, choose):
    choose("mosaic")
    photograph(easel, picture)
    mask = ("m.png", picture("white", (64, 32)), "image/png")
    easel.file_uploader(key="mask-1").set_value(mask).run()
    press(easel, "Paint")
    assert "The mask of region 1 has 64×32 px" in easel.error[0].value
    assert not store.all_jobs()


def test_a_mask_that_is_no_picture_is_refused_and_the_form_stays(easel, picture, choose):
    choose("mosaic")
    photograph(easel, picture)
    easel.file_uploader(key="mask-1").set_value(("m.png", b"no picture", "image/png")).run()
    assert not easel.exception
    assert len(easel.error) == 1
    assert any(button.label == "Paint" for button in easel.button)


def held(page):
    """What every field of the form holds, by its key."""
    kinds = (page.slider, page.select_slider, page.number_input, page.selectbox, page.toggle)
    fields = [field for kind in kinds for field in kind] + list(page.button_group)
    return {field.key: field.value for field in fields}


def test_choices_that_outlived_another_page_outlive_a_reload_after_that(easel, choose, open_page):
    """Every field of the form but uploads, which a browser does not hand over twice."""
    choose("mosaic", "waves")
    easel.slider(key="strength").set_value(0.8)
    easel.button_group(key="quality").set_value(PaintingQuality.FINE)
    easel.button_group(key="colours").set_value(Colors.CONTENT)
    easel.toggle(key="keep").set_value(True)
    easel.run()
    easel.selectbox(key="color-method").set_value(ColorMethod.LAB)
    easel.slider(key="style-scale").set_value(1.5)
    easel.number_input(key="seed").set_value(9)
    easel.select_slider(key="size-fine").set_value(768)
    easel.number_input(key="steps-fine").set_value(120)
    easel.slider(key="share-mosaic").set_value(75)
    easel.slider(key="share-waves").set_value(25).run()
    easel.selectbox(key="network").select_index(1).run()
    chosen = held(easel)
    assert len(chosen) >= 12
    assert not chosen.items() & held(open_page("stylize")).items()  # none of them is as usual
    for other in ("verify", "people"):
        easel.switch_page(f"ui/page/pages/{other}.py").run()
        easel.switch_page("ui/page/pages/stylize.py").run()
    easel.run()
    assert held(easel) == chosen
    reloaded = open_page("stylize", easel.query_params)
    assert held(reloaded) == chosen


def test_no_field_is_called_as_a_class_of_the_program_is(easel):
    kinds = (easel.slider, easel.select_slider, easel.number_input, easel.selectbox, easel.toggle)
    fields = [field for kind in kinds for field in kind]
    fields += [*easel.button_group, *easel.button, *easel.expander]
    assert len(fields) > 12
    assert [field.label for field in fields if re.search(r"[a-z][A-Z]", field.label or "")] == []


HOSTILE_LINES = [
    b'{"step": 0, "total": 0, "elapsed": 0}\n',
    b'{"step": "1", "total": [2], "elapsed": null}\n{"plan": {"seconds": "soon"}}\n',
    b'{"step": 1, "total": 2, "elapsed": 1, "faces": {"a": 1}}\n',
    b'{"step": 1, "total": 2, "elapsed": 1, "faces": [[], {"threshold": NaN}]}\n',
    b"[" * 5000 + b"\n",
]


@pytest.mark.parametrize("lines", HOSTILE_LINES)
def test_a_job_whose_files_are_damaged_is_shown_and_can_be_discarded(easel, said, lines):
    record = {"kind": "stylize", "title": "t", "created": time.time(), "order": {}}
    files = {"job.json": record, "ended.json": {"exit_code": 0, "ended": time.time()}}
    content = {name: json.dumps(value).encode() for name, value in files.items()}
    folder = store.prepare({**content, "progress.jsonl": lines, "picture.png": b"no picture"})
    easel.query_params["job"] = folder.name
    easel.run()
    assert not easel.exception
    assert "could not be read" in said(easel)
    assert "cannot be read any more" in said(easel)
    press(easel, "Discard it")
    assert not store.all_jobs()
