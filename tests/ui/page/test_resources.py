"""What the page's sessions share, and the page with the real service behind it."""

import io
import threading
from pathlib import Path

import psutil
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import ui
from data import decoding
from data.images import load_image
from ui.page import resources
from ui.settings import Device

APP = Path(str(ui.__file__)).parent.parent / "app.py"


def test_settings_come_from_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = resources.settings()
    assert (chosen.home, chosen.model, chosen.weights, chosen.device) == (
        home,
        None,
        None,
        Device.AUTO,
    )
    monkeypatch.setenv("LIKENESS_MODEL", "mobilefacenet")
    monkeypatch.setenv("LIKENESS_WEIGHTS_FILE", "/w.safetensors")
    monkeypatch.setenv("LIKENESS_DEVICE", "cpu")
    chosen = resources.settings()
    assert (chosen.model, chosen.weights, chosen.device) == (
        "mobilefacenet",
        Path("/w.safetensors"),
        Device.CPU,
    )


def test_all_sessions_share_one_service_for_each_choice_of_settings(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resources.recognition()
    assert resources.recognition() is first
    monkeypatch.setenv("LIKENESS_HOME", str(home / "another"))
    assert resources.recognition() is not first


def test_only_one_session_computes_at_a_time() -> None:
    inside, most = 0, 0

    def compute() -> None:
        nonlocal inside, most
        for _ in range(50):
            with resources.turn():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=compute) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_networks_with_weights_come_first_and_new_ones_are_noticed_when_told(home: Path) -> None:
    assert all(network.weights is None for network in resources.networks())
    assert resources.networks()[0].spec.name == "vgg_slim"  # the one that style asks for by default
    (home / "weights").mkdir(parents=True)
    from safetensors.torch import save_file
    from torch import zeros

    save_file({"x": zeros(1)}, home / "weights" / "resnet18.safetensors")
    resources.forget_networks()
    assert resources.networks()[0].spec.name == "resnet18"


def test_the_page_has_pictures_decoded_by_another_process(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    Image.new("RGB", (20, 20), "teal").save(file, "PNG")
    expected = load_image(file.getvalue()).tobytes()
    AppTest.from_file(APP, default_timeout=280).run()
    children = {child.pid for child in psutil.Process().children()}
    monkeypatch.delattr(decoding, "decode")  # nothing here can decode any more
    assert load_image(file.getvalue()).tobytes() == expected
    assert len({child.pid for child in psutil.Process().children()} - children) == 1


def test_somebody_enrolled_on_one_page_is_named_on_another(
    teacher_weights: Path, astronaut: Image.Image, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIKENESS_WEIGHTS_FILE", str(teacher_weights))
    file = io.BytesIO()
    astronaut.save(file, "PNG")
    page = AppTest.from_file(APP, default_timeout=280).run()
    page.text_input[0].set_value("Eileen Collins")
    page.file_uploader[0].set_value([("a.png", file.getvalue(), "image/png")]).run()
    next(button for button in page.button if button.label == "Enrol").click().run()
    assert not page.exception
    assert "1 photograph enrolled" in page.success[0].value
    page.switch_page("ui/page/pages/identify.py").run()
    mirrored = io.BytesIO()
    astronaut.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored, "PNG")
    page.file_uploader[0].set_value([("b.png", mirrored.getvalue(), "image/png")]).run()
    assert not page.exception
    assert not page.error
    shown = " ".join(element.proto.json for element in page.get("bidi_component"))
    assert "Eileen Collins" in shown
    assert "unknown" not in shown
    resources.recognition().close()
