"""A decoder learns to paint: its pictures are looked at by the network that it is made for.

As in Huang and Belongie 2017: the picture's deep maps are to be the maps that it was made of, and
its statistics at each style tap those of the style. Departing from them, covariances count beside
means, so that strokes matter and not only the palette.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from backbones.features import FeatureExtractor
from backbones.network import Backbone

from ..draft import TAPS, ChannelMoments, DraftDecoder, adapted, softened
from ..losses import total_variation
from .config import StyleTrainingConfig
from .dataset import ContentPhotographs, cut, generator, held_out_batches, recoloured
from .distances import feature_distance, gram_matrices

_CONTENT = 0.15  # beside the style at 1
_VARIATION = 2.0
_LEAST = 1e-6  # of a variance that something is divided by
_FAINT = 0.25  # share of the pictures that are made at less than full strength
_DRAWN = 0.6  # share of the styles that are drawn ones, where there are any


class Drafting:
    """The lesson of a decoder; see `backbones.training.steps.Lesson`."""

    def __init__(
        self,
        config: StyleTrainingConfig,
        photographs: ContentPhotographs,
        drawn: Sequence[Tensor],
        encoder: Backbone,
        prose: Mapping[str, str],
        device: torch.device,
    ) -> None:
        """Put decoder and encoder together.

        Args:
            config: Of the run.
            photographs: What is painted, and, recoloured, part of the styles.
            drawn: Style pictures, each (3, H, W) uint8.
            encoder: Frozen, with trained weights and the taps of `draft.TAPS`.
            prose: What the weights' header says about their making.
            device: Where all of it runs.

        Raises:
            ArgumentError: The encoder lacks a tap.
        """
        self._config, self._device, self._prose = config, device, dict(prose)
        self._photographs, self._drawn = photographs, tuple(drawn)
        spec = encoder.spec
        self._style_taps = spec.style_taps
        taps = tuple(dict.fromkeys((*TAPS, *spec.content_taps, *self._style_taps)))
        self._content_taps = spec.content_taps
        self._encode = FeatureExtractor(encoder, taps)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.module: nn.Module = DraftDecoder([spec.tap(tap).channels for tap in TAPS])
        self.module.to(device).to(memory_format=torch.channels_last).train()
        self._held_out = [each.to(device) for each in held_out_batches(photographs, config.data)]

    def losses(self, step: int) -> dict[str, Tensor]:
        """Distances from the maps that a picture was made of and from the style; smoothness."""
        source = generator(self._config.seed, "step", step)
        content = cut(self._photographs.training, self._config.data, source)
        styles = self._styles(source)
        strength = torch.rand(len(content), 1, 1, 1, generator=source)
        faint = torch.rand(len(content), 1, 1, 1, generator=source) < _FAINT
        strength = torch.where(faint, strength, torch.ones(()))
        return self._judged(self.module, *map(self._placed, (content, styles, strength)))

    @torch.no_grad()
    def validate(self, module: nn.Module) -> dict[str, float]:
        """Content and style of photographs kept out, each in the manner of the batch's next one."""
        found: dict[str, list[float]] = {}
        for content in self._held_out:
            full = torch.ones(len(content), 1, 1, 1, device=self._device)
            styles = content.roll(1, 0)
            for name, value in self._judged(module, content, styles, full).items():
                found.setdefault(name, []).append(float(value))
        figures = {name: sum(values) / len(values) for name, values in found.items()}
        return {"distance": figures.pop("total")} | figures

    def weights(self, module: nn.Module) -> tuple[Mapping[str, Tensor], dict[str, str]]:
        """The decoder as it is."""
        return module.state_dict(), dict(self._prose)

    def _styles(self, source: torch.Generator) -> Tensor:
        """Pictures to take the manner from: drawn ones and photographs, strongly recoloured."""
        photographs = cut(self._photographs.training, self._config.data, source)
        if not self._drawn:
            return recoloured(photographs, source)
        drawn = cut(self._drawn, self._config.data, source)
        chosen = torch.rand(len(drawn), 1, 1, 1, generator=source) < _DRAWN
        return recoloured(torch.where(chosen, drawn, photographs), source)

    def _placed(self, pictures: Tensor) -> Tensor:
        return pictures.to(self._device, memory_format=torch.channels_last)

    def _judged(
        self, module: nn.Module, content: Tensor, styles: Tensor, strength: Tensor
    ) -> dict[str, Tensor]:
        """Paint, and say how well; the strength (B, 1, 1, 1) is the share of the style."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._config.in_bf16):
            with torch.no_grad():
                own = self._floats(self._encode(content))
                wanted = self._floats(self._encode(styles))
            soft = softened({tap: own[tap] for tap in TAPS})
            made_of = {
                tap: adapted(soft[tap], ChannelMoments.of(wanted[tap]), strength) for tap in TAPS
            }
            painted = module(made_of)
            seen = self._encode(painted)
        seen = self._floats(seen)
        painted = painted.float()
        content_loss = torch.stack(
            [feature_distance(_plain(seen[tap]), _plain(own[tap])) for tap in self._content_taps]
        ).mean()
        style = torch.stack(
            [
                _style_distance(seen[tap], own[tap], wanted[tap], strength)
                for tap in self._style_taps
            ]
        ).mean()
        variation = total_variation(painted)
        total = _CONTENT * content_loss + style + _VARIATION * variation
        return {"content": content_loss, "style": style, "variation": variation, "total": total}

    def _floats(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {tap: each.float() for tap, each in maps.items()}


def _plain(maps: Tensor) -> Tensor:
    """Maps without their channels' means and deviations: what is where, in whatever manner."""
    own = ChannelMoments.of(maps)
    return (maps - own.mean) / own.deviation


def _style_distance(seen: Tensor, own: Tensor, wanted: Tensor, strength: Tensor) -> Tensor:
    """Of means and covariances from those between the photograph's and the style's: a scalar.

    Apart, since the means would outweigh the covariances, which are what strokes are, in a Gram
    matrix. Raw moments are mixed, as for several styles.
    """
    share = strength[:, :, 0]  # (B, 1, 1)
    means = [maps.mean(dim=(2, 3)) for maps in (seen, own, wanted)]
    grams = [gram_matrices(maps) for maps in (seen, own, wanted)]
    mean = means[1].lerp(means[2], share[..., 0])  # (B, C)
    covariance = _centred(grams[1].lerp(grams[2], share), mean)
    spread = covariance.diagonal(dim1=1, dim2=2).sum().clamp_min(_LEAST)
    energy = covariance.square().sum().clamp_min(_LEAST)
    apart = (_centred(grams[0], means[0]) - covariance).square().sum() / energy
    return (means[0] - mean).square().sum() / spread + apart


def _centred(gram: Tensor, mean: Tensor) -> Tensor:
    """Covariances (B, C, C) of raw second moments and means (B, C)."""
    return gram - mean[:, :, None] * mean[:, None, :]
