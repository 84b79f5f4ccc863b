import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbones.metadata import WeightsMetadata, parse_metadata, weights_metadata
from backbones.registry import available, spec_of
from backbones.spec import IMAGENET, SIGNED, Alignment, Normalisation
from data.errors import WeightsError

TEACHER = {
    "architecture": "mobilefacenet",
    "alignment": "five-point similarity to the 112x112 ArcFace template",
    "input_size": "112x96 (height x width): columns 8..104 of the aligned 112x112 crop",
    "threshold": "0.267",
    "threshold_provenance": "measured somewhere",
    "normalisation": "RGB, (x - 127.5) / 128",
    "embedding": "128; concatenated with the mirrored image: 256",
    "lfw_accuracy": "0.9898",
}


def test_prose_for_people_is_understood() -> None:
    assert parse_metadata(TEACHER) == WeightsMetadata(
        architecture="mobilefacenet",
        input_size=(112, 96),
        embedding_size=128,
        mirror=True,
        alignment=Alignment.FIVE_POINT,
        normalisation=SIGNED,
        threshold=0.267,
        threshold_provenance="measured somewhere",
    )


def test_nothing_said_is_nothing_known() -> None:
    assert parse_metadata({}) == WeightsMetadata()
    assert parse_metadata({"note": "x", "source": "y"}) == WeightsMetadata()


@pytest.mark.parametrize(
    ("arch", "architecture"),
    [
        ("torchvision.models.squeezenet1_0", "squeezenet1_0"),
        ("resnet18", "resnet18"),
        ("VGG-19 up to conv5_1 with 16/32/64/128/128 channels", None),
        ("torchvision.models.mnasnet0_5", None),
    ],
)
def test_a_dotted_name_counts_and_prose_does_not(arch: str, architecture: str | None) -> None:
    assert parse_metadata({"arch": arch}).architecture == architecture


@pytest.mark.parametrize(
    ("text", "alignment"),
    [
        ("five-point-112", Alignment.FIVE_POINT),
        ("five-point similarity", Alignment.FIVE_POINT),
        ("two-eyes-96", Alignment.EYES),
        ("two-eyes similarity", Alignment.EYES),
        ("box-160-margin-14", Alignment.BOX),
        ("box with a margin", Alignment.BOX),
        ("none", Alignment.NONE),
    ],
)
def test_alignments(text: str, alignment: Alignment) -> None:
    assert parse_metadata({"alignment": text}).alignment is alignment


@pytest.mark.parametrize(
    ("text", "normalisation"),
    [
        ("RGB, (x - 127.5) / 128", SIGNED),
        ("RGB, mean 0.485 0.456 0.406, std 0.229 0.224 0.225", IMAGENET),
        ("(x-0)/255", Normalisation(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))),
    ],
)
def test_normalisations(text: str, normalisation: Normalisation) -> None:
    assert parse_metadata({"normalisation": text}).normalisation == normalisation


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("input_size", "large"),
        ("input_size", "0x112"),
        ("embedding", "many"),
        ("input_size", "99999x99999"),
        ("embedding", "0"),
        ("embedding", "123456789"),
        ("alignment", "noneuclidean"),
        ("alignment", "sideways"),
        ("normalisation", "as usual"),
        ("normalisation", "(x - 127.5) / 0"),
        ("normalisation", "mean 0 0 0, std 1 1 -1"),
        ("threshold", "high"),
        ("threshold", "nan"),
        ("threshold", "1.5"),
        ("mirror", "maybe"),
    ],
)
def test_what_is_said_and_not_understood_is_an_error(key: str, text: str) -> None:
    with pytest.raises(WeightsError) as caught:
        parse_metadata({key: text})
    assert key in str(caught.value)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


_unit = st.floats(0, 1)
_above_zero = st.floats(1e-3, 2)


@given(
    name=st.sampled_from(available()),
    input_size=st.tuples(st.integers(1, 999), st.integers(1, 999)),
    embedding_size=st.integers(1, 4096),
    alignment=st.sampled_from(Alignment),
    mean=st.tuples(_unit, _unit, _unit),
    std=st.tuples(_above_zero, _above_zero, _above_zero),
    mirror=st.booleans(),
    threshold=st.floats(-1, 1),
)
def test_what_is_written_is_read_back(
    name: str,
    input_size: tuple[int, int],
    embedding_size: int,
    alignment: Alignment,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    mirror: bool,
    threshold: float,
) -> None:
    spec = dataclasses.replace(
        spec_of(name),
        input_size=input_size,
        embedding_size=embedding_size,
        alignment=alignment,
        normalisation=Normalisation(mean=mean, std=std),
    )
    written = weights_metadata(
        spec, mirror=mirror, threshold=threshold, threshold_provenance="a test", source="here"
    )
    says = parse_metadata(written)
    assert says.adapt(spec_of(name)) == spec
    assert (says.architecture, says.mirror) == (name, mirror)
    assert (says.threshold, says.threshold_provenance) == (threshold, "a test")
    assert written["source"] == "here"


@pytest.mark.parametrize("name", available())
def test_a_registered_spec_survives_being_written(name: str) -> None:
    assert parse_metadata(weights_metadata(spec_of(name))).adapt(spec_of(name)) == spec_of(name)


def test_a_threshold_must_say_where_it_comes_from() -> None:
    with pytest.raises(ValueError, match="measured"):
        weights_metadata(spec_of("mobilefacenet"), threshold=0.3)
