import numpy as np
import pytest

from style.presets import ground


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def test_colours_are_read_as_they_are_written() -> None:
    assert ground.colours("#ff0000 #3380cc") == pytest.approx(
        np.array([[1, 0, 0], [0.2, 128 / 255, 0.8]]), abs=1e-6
    )


def test_a_ramp_passes_through_its_colours_and_stops_at_its_ends() -> None:
    palette = ground.colours("#000000 #ff0000 #ffffff")
    places = np.array([[-1.0, 0.0, 0.25], [0.5, 1.0, 7.0]], np.float32)
    found = ground.ramp(places, palette)
    wanted = [[[0, 0, 0], [0, 0, 0], [0.5, 0, 0]], [[1, 0, 0], [1, 1, 1], [1, 1, 1]]]
    assert found == pytest.approx(np.array(wanted), abs=1e-6)


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.6), (0.6, 0.2)])
def test_a_rise_goes_from_nothing_to_all_either_way(low: float, high: float) -> None:
    values = np.array([low, (low + high) / 2, high], np.float32)
    assert ground.rise(values, low, high) == pytest.approx(np.array([0, 0.5, 1]), abs=1e-6)


@pytest.mark.parametrize("cell", [0.3, 0.05])
def test_noise_is_centred_and_its_patches_have_the_size_asked_for(cell: float) -> None:
    size = 256
    field = np.mean([ground.noise(chance(n), size, cell, octaves=1) for n in range(9)], axis=0)
    assert abs(float(field.mean()) - 0.5) < 0.1
    one = ground.noise(chance(), size, cell, octaves=1) - 0.5
    spectrum = np.abs(np.fft.rfft2(one - one.mean())) ** 2
    down = np.fft.fftfreq(size)[:, None] * size
    across = np.fft.rfftfreq(size)[None] * size
    radius = np.hypot(down, across)
    mean = float((radius * spectrum).sum() / spectrum.sum())  # cycles in the picture
    assert 0.2 / cell < mean < 1.0 / cell


def test_noise_stretched_along_x_changes_less_along_x() -> None:
    field = ground.noise(chance(), 200, 0.05, stretch=(6, 1))
    down, right = np.gradient(field)
    assert np.abs(right).mean() < 0.4 * np.abs(down).mean()


def test_a_flat_relief_leaves_the_colours_and_a_slope_lights_one_side() -> None:
    colour = np.full((64, 64, 3), 0.5, np.float32)
    assert ground.lit(colour, np.zeros((64, 64), np.float32), 1.0) == pytest.approx(colour)
    x, y = ground.grid(64)
    hill = 0.1 * np.exp(-((x - 0.5) ** 2 + (y - 0.5) ** 2) / 0.02)
    light = ground.lit(colour, hill, 1.0)[..., 0]
    assert light[20, 20] > 0.52 > 0.48 > light[43, 43]  # the light comes from the upper left


def test_warping_by_whole_pixels_shifts() -> None:
    field = chance().random((32, 32)).astype(np.float32)
    shift = np.full((32, 32), 3 / 32, np.float32)
    moved = ground.warped(field, shift, np.zeros_like(shift))
    assert moved[:, :-3] == pytest.approx(field[:, 3:], abs=1e-5)
