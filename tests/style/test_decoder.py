import pytest
import torch

from style.draft import TAPS, ChannelMoments, DraftDecoder, adapted, softened

CHANNELS = (4, 6, 8, 12)


@pytest.fixture
def maps():
    """Feature maps at four taps, of a picture of 40×24 px, and rectified as those of a network."""
    source = torch.Generator().manual_seed(0)
    return {
        tap: torch.randn(2, count, 40 // 2**i, 24 // 2**i, generator=source).relu()
        for i, (tap, count) in enumerate(zip(TAPS, CHANNELS, strict=True))
    }


def test_it_makes_a_picture_of_the_size_of_the_finest_maps(maps):
    picture = DraftDecoder(CHANNELS)(maps)
    assert picture.shape == (2, 3, 40, 24)
    assert picture.min() > 0
    assert picture.max() < 1


def test_every_tap_matters(maps):
    decoder = DraftDecoder(CHANNELS).eval()
    picture = decoder(maps)
    for tap in TAPS:
        assert not torch.equal(decoder(maps | {tap: maps[tap] + 1}), picture)


def test_its_weights_stay_under_five_megabytes():
    decoder = DraftDecoder((16, 32, 64, 128))
    assert sum(p.numel() * p.element_size() for p in decoder.parameters()) < 5_000_000


def test_adapted_maps_have_the_means_and_deviations_of_the_style(maps):
    style = torch.randn(2, 12, 9, 7) * 3 + 1
    found = adapted(maps[TAPS[3]], ChannelMoments.of(style))
    torch.testing.assert_close(found.mean(dim=(2, 3)), style.mean(dim=(2, 3)))
    expected = style.std(dim=(2, 3), correction=0)
    torch.testing.assert_close(found.std(dim=(2, 3), correction=0), expected, rtol=1e-4, atol=1e-4)


def test_strength_moves_means_and_deviations_in_a_line(maps):
    own = maps[TAPS[3]]
    manner = ChannelMoments.of(own.flip(1) * 2 + 1)
    torch.testing.assert_close(adapted(own, manner, 0.0), own, rtol=1e-4, atol=1e-5)
    half = adapted(own, manner, torch.full((2, 1, 1, 1), 0.5))
    full = adapted(own, manner)
    torch.testing.assert_close(half, (own + full) / 2, rtol=1e-4, atol=1e-4)


def test_a_channel_without_contrast_gets_the_mean_and_no_noise():
    plain = torch.full((1, 3, 8, 8), 0.7) + torch.rand(1, 3, 8, 8) * 1e-6
    style = torch.rand(1, 3, 8, 8)
    found = adapted(plain, ChannelMoments.of(style))
    assert found.std() < 0.2
    torch.testing.assert_close(found.mean(dim=(2, 3)), style.mean(dim=(2, 3)))


def test_manners_mix_by_their_moments():
    first, second = torch.rand(1, 5, 6, 6), torch.rand(1, 5, 6, 6) * 3
    mixed = ChannelMoments.mixed([ChannelMoments.of(first), ChannelMoments.of(second)], [3, 1])
    together = torch.cat([first, first, first, second], dim=3)
    torch.testing.assert_close(mixed.mean, ChannelMoments.of(together).mean)
    torch.testing.assert_close(mixed.deviation, ChannelMoments.of(together).deviation)


def test_only_the_finest_maps_are_softened_and_keep_their_means(maps):
    soft = softened(maps)
    for tap in TAPS:
        assert soft[tap].shape == maps[tap].shape
        if tap in TAPS[2:]:
            assert torch.equal(soft[tap], maps[tap])
        else:
            assert soft[tap].std() < 0.5 * maps[tap].std()
            torch.testing.assert_close(
                soft[tap].mean(dim=(2, 3)), maps[tap].mean(dim=(2, 3)), rtol=0.05, atol=0.01
            )


def test_odd_sizes_are_softened(maps):
    odd = {tap: each[..., :-1, :-1] for tap, each in maps.items()}
    assert all(each.shape == odd[tap].shape for tap, each in softened(odd).items())
