"""x"""

import pytest
import torch

from backbones.features import FeatureExtractor
from backbones.registry import create
from backbones.weights import load_backbone
from data.errors import ArgumentError, WeightsError
from data.tensors import write_tensors
from style.config import Colors, Region, RegionManner, StyleConfig
from style.draft import (
    ENCODER,
    NAME,
    TAPS,
    ChannelMoments,
    DraftDecoder,
    Drafter,
    adapted,
    draft,
    softened,
)

CHANNELS = (16, 32, 64, 128)


@pytest.fixture(scope="module")
def drafter():
    """Random networks: what they paint is ugly, and follows the arguments all the same."""
    torch.manual_seed(3)
    return Drafter(FeatureExtractor(create(ENCODER, seed=0), TAPS), DraftDecoder(CHANNELS))


def config(**values):
    return StyleConfig(**({"size": 96} | values))


@pytest.mark.parametrize(("height", "width"), [(96, 64), (61, 96), (96, 17)])
def test_a_draft_has_the_photographs_proportions(drafter, picture, height, width):
    made = draft(picture(0, 2 * height, 2 * width), [picture(1)], config(), drafter)
    assert made.picture.shape == (1, 3, height, width)
    assert made.picture.min() >= 0
    assert made.picture.max() <= 1


def test_the_same_arguments_give_the_same_draft(drafter, picture):
    first, second = (draft(picture(0), [picture(1)], config(), drafter) for _ in range(2))
    assert torch.equal(first.picture, second.picture)


def test_the_style_and_the_strength_matter(drafter, picture):
    def made(style, **values):
        return draft(picture(0), [picture(style)], config(**values), drafter).picture

    full, faint = made(1), made(1, strength=0.1)
    assert not torch.equal(full, made(2))
    assert torch.equal(made(1, strength=0), made(2, strength=0))  # nothing of either style
    nothing = made(1, strength=0)
    assert (faint - nothing).abs().mean() < (full - nothing).abs().mean()
    assert torch.equal(full, made(1, strength=0.9))  # more than all of it there is not


def test_several_styles_are_mixed(drafter, picture):
    def made(*styles, mix=()):
        return draft(
            picture(0), [picture(style) for style in styles], config(style_mix=mix), drafter
        ).picture

    torch.testing.assert_close(made(1, 2, mix=(1, 1e-6)), made(1), atol=1e-3, rtol=0)
    assert not torch.allclose(made(1, 2), made(1), atol=1e-3)


def test_where_the_photograph_is_to_stay_it_stays(drafter, picture):
    mask = torch.zeros(1, 1, 72, 96)
    mask[..., 48:] = 1
    stays = Region(mask=mask, style=RegionManner.NONE)
    photograph = picture(0)
    made = draft(photograph, [picture(1)], config(), drafter, regions=[stays]).picture
    assert torch.equal(made[..., 48:], photograph[..., 48:])
    assert not torch.allclose(made[..., :48], photograph[..., :48], atol=0.05)


def test_regions_are_painted_in_their_own_style(drafter, picture):
    mask = torch.zeros(1, 1, 72, 96)
    mask[..., 48:] = 1
    region = Region(mask=mask, style=picture(2))
    made = draft(picture(0), [picture(1)], config(), drafter, regions=[region]).picture
    first = draft(picture(0), [picture(1)], config(), drafter).picture
    second = draft(picture(0), [picture(2)], config(), drafter).picture
    # The coarsest maps see far: the other region fades rather than ends.
    for edge, own, other in ((slice(0, 8), first, second), (slice(-8, None), second, first)):
        error = (made[..., edge] - own[..., edge]).abs().mean()
        assert error < 0.1 * (made[..., edge] - other[..., edge]).abs().mean()


def test_the_colours_of_the_photograph_may_be_kept(drafter, picture):
    photograph = picture(0) * 0.4 + 0.3
    made = draft(photograph, [picture(1)], config(colors=Colors.CONTENT), drafter)
    chroma = made.picture - made.picture.mean(dim=1, keepdim=True)
    expected = photograph - photograph.mean(dim=1, keepdim=True)
    assert (chroma.flatten() @ expected.flatten()) > 0.5 * expected.square().sum()


@pytest.mark.parametrize(
    ("styles", "values", "message"),
    [
        ([], {}, "no style picture"),
        ([(72, 96)], {"style_mix": (1, 2)}, "2 weights for 1"),
        ([(72, 15)], {}, "15×72 px is too small"),
    ],
)
def test_what_cannot_be_drafted_is_refused(drafter, picture, styles, values, message):
    pictures = [picture(1, *size) for size in styles]
    with pytest.raises(ArgumentError, match=message):
        draft(picture(0), pictures, config(**values), drafter)


@pytest.fixture
def weights(home):
    """Random weights of encoder and decoder in the user's data folder."""
    folder = home / "weights"
    folder.mkdir(parents=True)
    write_tensors(folder / f"{ENCODER}.safetensors", create(ENCODER, seed=0).state_dict(), {})
    says = {"encoder": f"SHA-256 {load_backbone(ENCODER).weights.sha256}"}
    write_tensors(folder / f"{NAME}.safetensors", DraftDecoder(CHANNELS).state_dict(), says)
    return folder


def test_the_drafter_is_loaded_from_the_data_folder(weights, picture):
    drafter = Drafter.load(device=torch.device("cpu"))
    assert draft(picture(0), [picture(1)], config(), drafter).picture.isfinite().all()


def test_a_decoder_of_other_weights_is_refused(weights):
    write_tensors(weights / f"{ENCODER}.safetensors", create(ENCODER, seed=1).state_dict(), {})
    with pytest.raises(WeightsError, match="other weights of vgg_slim"):
        Drafter.load(device=torch.device("cpu"))


def test_a_damaged_or_absent_decoder_is_refused(weights):
    write_tensors(weights / f"{NAME}.safetensors", {"x": torch.zeros(1)}, {})
    with pytest.raises(WeightsError, match="no weights of the decoder"):
        Drafter.load(device=torch.device("cpu"))
    (weights / f"{NAME}.safetensors").unlink()
    with pytest.raises(WeightsError, match="train-style-net"):
        Drafter.load(device=torch.device("cpu"))


NARROW = (4, 6, 8, 12)


@pytest.fixture
def maps():
    """Feature maps at four taps, of a picture of 40×24 px, and rectified as those of a network."""
    source = torch.Generator().manual_seed(0)
    return {
        tap: torch.randn(2, count, 40 // 2**i, 24 // 2**i, generator=source).relu()
        for i, (tap, count) in enumerate(zip(TAPS, NARROW, strict=True))
    }


def test_it_makes_a_picture_of_the_size_of_the_finest_maps(maps):
    picture = DraftDecoder(NARROW)(maps)
    assert picture.shape == (2, 3, 40, 24)
    assert picture.min() > 0
    assert picture.max() < 1


def test_every_tap_matters(maps):
    decoder = DraftDecoder(NARROW).eval()
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
