import json
import sys
import time

import pytest

from ui import jobs, tasks
from ui.jobs import JobState

PAINTER = """
import json, pathlib, signal, sys, time
from PIL import Image
signal.signal(signal.SIGINT, lambda *_: stopped.append(True))
stopped = []
given = dict(word[2:].split("=", 1) for word in sys.argv if word.startswith("--") and "=" in word)
picture = Image.new("RGB", (64, 64), "gold")
for step in range(1, 401):
    picture.save("{}.new".format(given["preview"]), "JPEG")
    pathlib.Path("{}.new".format(given["preview"])).replace(given["preview"])
    print(json.dumps({"step": step, "total": 400, "losses": {}, "elapsed": step / 10}), flush=True)
    time.sleep({pause})
    if stopped:
        break
picture.save(given["output"])
sys.exit(130 if stopped else 0)
"""


@pytest.fixture
def painter(monkeypatch):
    """Puts a stand-in of a given slowness into the command line's place."""

    def install(pause):
        program = PAINTER.replace("{pause}", str(pause))
        monkeypatch.setattr(tasks, "_likeness", lambda *_: [sys.executable, "-c", program])

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


def press(page, label):
    next(button for button in page.button if button.label == label).click().run()
    assert not page.exception


def order(page, picture):
    page.file_uploader[0].set_value(("../../c.png", picture("red"), "image/png")).run()
    page.file_uploader[1].set_value([("s.png", picture("blue"), "image/png")]).run()
    assert not page.exception
    press(page, "Paint")


def until(page, condition):
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
        page.run()
        assert not page.exception


def test_the_empty_page_says_what_to_do_and_offers_what_is_at_hand_first(easel, said):
    assert "The picture appears here" in said(easel)
    assert easel.selectbox[0].value.spec.name == "squeezenet1_0"
    assert easel.selectbox[0].options[0] == "squeezenet1_0"
    assert "vgg19 (no weights yet)" in easel.selectbox[0].options


def test_painting_shows_progress_then_the_picture_beside_the_photograph(easel, picture, painter):
    painter(0.02)
    order(easel, picture)
    (job,) = jobs.all_jobs()
    assert job.state is JobState.RUNNING
    assert job.id in easel.query_params["job"]
    until(easel, lambda: any("of 400" in (bar.proto.text or "") for bar in easel.get("progress")))
    until(easel, lambda: easel.get("download_button"))
    (shown,) = (element.proto for element in easel.get("bidi_component"))
    assert shown.component_name == "likeness.compare"
    assert json.loads(shown.json)["size"] == [64, 64]


def test_a_second_press_starts_no_second_picture(easel, picture, painter):
    painter(0.05)
    order(easel, picture)
    press(easel, "Paint")
    assert len(jobs.all_jobs()) == 1
    easel.slider(key="steps").set_value(100).run()
    press(easel, "Paint")  # another order
    assert len(jobs.all_jobs()) == 2
    for job in jobs.all_jobs():
        jobs.cancel(job)


def test_a_job_is_found_again_after_a_reload(easel, picture, painter, open_page, said):
    painter(0.05)
    order(easel, picture)
    (job,) = jobs.all_jobs()
    again = open_page("stylize")
    assert "512 px · running" in said(again)
    again.query_params["job"] = job.id
    again.run()
    assert again.get("progress")
    again.switch_page("ui/pages/people.py").run()
    again.switch_page("ui/pages/stylize.py").run()
    assert again.get("progress")
    press(again, "Cancel")
    until(again, lambda: "Cancelled. This is what was painted so far." in said(again))
    assert again.get("download_button")


def test_discarding_leaves_nothing(easel, picture, painter):
    painter(0)
    order(easel, picture)
    until(easel, lambda: easel.get("download_button"))
    press(easel, "Discard")
    assert not jobs.all_jobs()
    assert "job" not in easel.query_params


def test_a_failed_job_says_why(easel, picture, monkeypatch):
    program = "import sys; sys.exit('error: the picture is too small')"
    monkeypatch.setattr(tasks, "_likeness", lambda *_: [sys.executable, "-c", program])
    order(easel, picture)
    until(easel, lambda: easel.error)
    assert "the picture is too small" in easel.error[0].value


def test_a_cancelled_job_that_could_not_finish_shows_its_last_preview(
    easel, picture, monkeypatch, said
):
    killed = PAINTER.replace("{pause}", "0.05").replace('picture.save(given["output"])', "")
    monkeypatch.setattr(tasks, "_likeness", lambda *_: [sys.executable, "-c", killed])
    order(easel, picture)
    (job,) = jobs.all_jobs()
    until(easel, lambda: job.read(tasks.PREVIEW))
    press(easel, "Cancel")
    until(easel, lambda: "Cancelled. This is what was painted so far." in said(easel))
    assert not job.read(tasks.PICTURE)
    (shown,) = (element.proto for element in easel.get("bidi_component"))
    assert shown.component_name == "likeness.compare"
    (download,) = easel.get("download_button")
    assert download.proto.url.endswith(".jpg")


def test_paint_without_pictures_is_refused(easel):
    press(easel, "Paint")
    assert len(easel.error) == 1
    assert not jobs.all_jobs()


def test_a_file_that_is_no_picture_is_refused_before_anything_starts(easel):
    easel.file_uploader[0].set_value(("c.png", b"not a picture", "image/png")).run()
    assert not easel.exception
    assert len(easel.error) == 1
    assert not jobs.all_jobs()


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
    program = PAINTER.replace("{pause}", "0").replace(line, f'{line}, "faces": [given_faces]')
    program = program.replace("else 0)", f"else {code})")
    program = f"given_faces = {face!r}\n" + program
    monkeypatch.setattr(tasks, "_likeness", lambda *_: [sys.executable, "-c", program])
    easel.toggle(key="keep").set_value(True).run()
    order(easel, picture)
    until(easel, lambda: easel.get("download_button"))
    (job,) = jobs.all_jobs()
    assert job.state is JobState.DONE
    words = "same person, 0.62" if code == 0 else "not the same person any more"
    shown = easel.caption if code == 0 else easel.warning
    assert any(words in element.value.replace("\\", "") for element in shown)
    record = json.loads((job.folder / "job.json").read_text())
    assert "--keep-identity" in record["command"]
