from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from data.errors import ArgumentError, DatasetError
from recognition.evaluation.choices import Whitening
from recognition.evaluation.whitening import fit_on_folder, fit_whitener, whitened


def correlated(rng: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    mixing = rng.normal(size=(dimension, dimension))
    return rng.normal(size=(count, dimension)) @ mixing + rng.normal(size=dimension)


@pytest.mark.parametrize("kind", Whitening)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_without_regularisation_the_covariance_becomes_the_identity(
    kind: Whitening, seed: int, dimension: int
):
    vectors = correlated(np.random.default_rng(seed), 40, dimension)
    white = fit_whitener(vectors, kind, regularisation=0).apply(vectors)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-8)
    np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(dimension), atol=1e-4)


def test_zca_is_symmetric_and_moves_vectors_least():
    rng = np.random.default_rng(0)
    vectors = correlated(rng, 200, 6)
    zca, pca = (
        fit_whitener(vectors, kind, regularisation=0) for kind in (Whitening.ZCA, Whitening.PCA)
    )
    np.testing.assert_allclose(zca.matrix, zca.matrix.T, atol=1e-12)
    centred = vectors - vectors.mean(axis=0)
    turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    nearest = np.square(zca.apply(vectors) - centred).sum()
    for other in (pca.apply(vectors), pca.apply(vectors) @ turn):
        assert nearest < np.square(other - centred).sum()


def test_pca_sorts_by_variance_and_keeps_the_first():
    rng = np.random.default_rng(1)
    spread = np.array([0.1, 5.0, 1.0])
    vectors = rng.normal(size=(5000, 3)) * spread
    whole = fit_whitener(vectors, Whitening.PCA)
    assert np.abs(whole.matrix).argmax(axis=1).tolist() == [1, 2, 0]
    two = fit_whitener(vectors, Whitening.PCA, dimension=2)
    assert two.apply(vectors).shape == (5000, 2)
    np.testing.assert_array_equal(two.matrix, whole.matrix[:2])
    # The regularised variance, in closed form.
    mean = np.mean(spread**2)
    expected = spread[[1, 2, 0]] ** 2 / (spread[[1, 2, 0]] ** 2 + 0.1 * mean)
    assert np.var(whole.apply(vectors), axis=0) == pytest.approx(expected, rel=0.1)


def test_all_axes_kept_pca_and_zca_give_the_same_cosines():
    rng = np.random.default_rng(2)
    vectors = correlated(rng, 50, 5).astype(np.float32)
    cosines = []
    for kind in Whitening:
        whitener = fit_whitener(vectors, kind)
        units = np.stack([whitener.apply_unit(vector) for vector in vectors])
        assert units.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(units, axis=1), 1, atol=1e-6)
        cosines.append(units @ units.T)
    np.testing.assert_allclose(cosines[0], cosines[1], atol=1e-5)


def test_fewer_photographs_than_numbers_still_whiten():
    vectors = np.random.default_rng(3).normal(size=(5, 64))
    white = fit_whitener(vectors, Whitening.ZCA).apply(vectors)
    assert np.isfinite(white).all()
    assert np.abs(white).max() < 10


@pytest.mark.parametrize(
    ("kind", "dimension", "count", "error"),
    [
        ("zca", 3, 9, ArgumentError),
        ("pca", 0, 9, ArgumentError),
        ("pca", 5, 9, ArgumentError),
        ("pca", 2, 1, DatasetError),
        ("pca", 2, 0, DatasetError),
    ],
)
def test_what_cannot_be_fitted_is_refused(kind, dimension, count, error):
    vectors = np.random.default_rng(4).normal(size=(count, 4))
    with pytest.raises(error):
        fit_whitener(vectors, Whitening(kind), dimension=dimension)
    with pytest.raises(DatasetError, match="all alike"):
        fit_whitener(np.ones((4, 3)), Whitening.PCA)


def by_colour(images):
    vectors = [np.array(image.getpixel((0, 0)), np.float32) for image in images]
    return [[v / np.linalg.norm(v)] if v.any() else [] for v in vectors]


def test_a_folder_without_the_tested_people_is_fitted_on(tmp_path: Path):
    rng = np.random.default_rng(5)
    for name in ("Ann", "Bo", "Cé", "Di"):
        (tmp_path / name).mkdir()
        for number in range(4):
            colour = tuple(rng.integers(1, 255, 3).tolist())
            Image.new("RGB", (8, 8), colour).save(tmp_path / name / f"{number}.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "Di" / "no face.png")
    whitener = fit_on_folder(tmp_path, by_colour, Whitening.ZCA, tested={"Zoe"})
    images = [Image.new("RGB", (8, 8), (200, 9, 30)), Image.new("RGB", (8, 8))]
    (vector,), nothing = whitened(by_colour, whitener)(images)
    np.testing.assert_allclose(vector, whitener.apply_unit(by_colour(images)[0][0]))
    assert nothing == []
    with pytest.raises(DatasetError, match=r"1 of the 4 people .* are in the test too, as Cé"):
        fit_on_folder(
            tmp_path, lambda _: pytest.fail("it began"), Whitening.ZCA, tested={"cE\u0301"}
        )
    (tmp_path / "list").write_text("Ann\nBo\n")
    fit_on_folder(
        tmp_path, by_colour, Whitening.PCA, tested={"Di"}, listing=tmp_path / "list", dimension=2
    )


@pytest.mark.parametrize("kind", Whitening)
@pytest.mark.parametrize(("photographs", "axes"), [(126, 256), (30, 16), (2, 3)])
def test_too_few_photographs_for_the_axes_are_warned_of(
    kind: Whitening, photographs: int, axes: int
) -> None:
    rng = np.random.default_rng(0)
    doubt = fit_whitener(rng.normal(size=(photographs, axes)), kind).doubt
    assert doubt is not None
    assert doubt.startswith(f"{photographs} photographs to whiten {axes} axes on")
    assert f"whiten on {4 * axes:,} or more" in doubt


def test_enough_photographs_or_fewer_axes_are_not() -> None:
    vectors = np.random.default_rng(0).normal(size=(126, 256))
    assert fit_whitener(vectors, Whitening.PCA, dimension=31).doubt is None
    said = fit_whitener(vectors, Whitening.PCA).doubt
    assert said is not None
    assert "keep 31 axes with --whiten-dimension" in said
    enough = np.random.default_rng(0).normal(size=(1024, 256))
    assert fit_whitener(enough, Whitening.ZCA).doubt is None
