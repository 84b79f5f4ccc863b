"""Do some settings paint nearer to the style than others, equally near to the photograph?

    python benchmarks/style_settings.py --shared ../shared --out var/style_settings
        [--size 256] [--base NAME=VALUE …] [--against NAME=VALUE …] [--strengths 0.5 0.7 0.9]
        [--baseline] [--kept BSDS_FOLDER] [--second NAME FILE] [--only TEXT] [--json]

Without --base and --against, `balanced` and `fine`, both at --size. Eight pairs are painted at
several strengths. The settings compared with paint at that strength, between two of those, at
which the mean content distance is that of the base at its own strength; style distances there are
interpolated pair by pair. One strength alone is compared as it is, and the mean content distances
of both are told. With --baseline the scheme of `style_baseline.py` is what is compared
with instead, at the one balance it has, and our settings at the strength of equal mean content.

--kept paints three more pairs, which share no picture with the eight and by which nothing may be
chosen: they are for the end. --second adds the verdict of a network that no setting was chosen by.
Pictures stay in --out, by a hash of all they depend on, and are painted anew only where that
changes.
"""

import argparse
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from style_baseline import Settings, paint
from style_pairs import PAIRS
from style_quality import override
from torch import Tensor, nn

from backbones.features import FeatureExtractor
from backbones.weights import LoadedBackbone, load_backbone
from data.files import sha256_of
from data.images import load_image, save_image, to_image, to_tensor
from style.config import PaintingQuality, StyleConfig, settings_of
from style.evaluation.judge import Judge, Verdict
from style.network import StyleNetwork
from style.presets.registry import PREFIX, find_preset
from style.stylize import stylize

EIGHT = (*PAIRS[256], *PAIRS[512])
KEPT = (
    ("100007", "vg_self"),
    ("226043", f"{PREFIX}watercolour"),
    ("97010", f"{PREFIX}stained-glass"),
)
"""By name alone: the first, the 101st and the last of BSDS's test folder, and styles not among
the eight."""
RATIO = 8  # of the baseline's time that is allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What a judge says of some settings, by strength and pair.

    Attributes:
        strengths: (S,), ascending.
        content: (S, P), content distances.
        style: (S, P), style distances.
        seconds: CPU time of a picture, the mean.
    """

    strengths: np.ndarray
    content: np.ndarray
    style: np.ndarray
    seconds: float

    def at_content(self, content: float) -> tuple[float, np.ndarray]:
        """The strength at which the mean content distance is that, and (P,) style distances there.

        Raises:
            SystemExit: It is at none of these strengths.
        """
        means = self.content.mean(axis=1)
        if not means.min() <= content <= means.max():
            raise SystemExit(
                f"no strength of {list(self.strengths)} has a mean content distance of "
                f"{content:.3f}, only {means.min():.3f} to {means.max():.3f}: give --strengths"
            )
        order = np.argsort(means)
        strength = float(np.interp(content, means[order], self.strengths[order]))
        style = [np.interp(content, means[order], pair[order]) for pair in self.style.T]
        return strength, np.array(style)


class Bench:
    """Paints, and remembers what was painted."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.shared, self.out, self.size = options.shared, options.out, options.size
        self.kept = options.kept
        self.out.mkdir(parents=True, exist_ok=True)
        weights = (
            options.weights or self.shared / "weights/vgg19-quarter-width-distilled.safetensors"
        )
        self.loaded = (
            load_backbone("vgg19_quarter", weights=weights)
            if options.baseline
            else load_backbone(options.network, weights=options.weights)
        )
        self.judges = {"squeezenet1_0": self.shared / "weights/squeezenet1_0-imagenet.safetensors"}
        if options.second:
            name, file = options.second
            self.judges[name] = Path(file)

    def ours(self, pair: tuple[str, str], settings: Mapping[str, Any]) -> tuple[Path, float]:
        """Our picture of a pair, and its CPU seconds."""
        name = self.loaded.backbone.spec.name
        config = StyleConfig(**{**settings, "size": self.size, "backbone": name})

        def work(content: Tensor, style: Tensor) -> Tensor:
            network = StyleNetwork.of(self.loaded.backbone, config)
            *_, last = stylize(content, [style], config, network)
            return last.render_tensor()

        return self._painted(pair, config.settings(), work)

    def baseline(self, pair: tuple[str, str]) -> tuple[Path, float]:
        """The other scheme's picture of a pair, and its CPU seconds."""
        scheme = Settings()

        def work(content: Tensor, style: Tensor) -> Tensor:
            extract = _as_baseline_sees(self.loaded, scheme)
            return paint(extract, content, style, self.size, scheme).picture

        return self._painted(pair, asdict(scheme) | {"scheme": "baseline"}, work)

    def verdicts(
        self, judge: str, pair: tuple[str, str], pictures: Sequence[Path]
    ) -> list[Verdict]:
        """What a judge says about pictures of a pair."""
        network = Judge.of(load_backbone(judge, weights=self.judges[judge]).backbone)
        content, style = self._pictures(pair)
        case = network.case(content, [style], size=self.size)
        return [case(_read(picture)) for picture in pictures]

    def curve(
        self,
        judge: str,
        pairs: Sequence[tuple[str, str]],
        settings: Mapping[str, Any],
        strengths: Sequence[float],
    ) -> Curve:
        """The curve of some settings."""
        content, style, seconds = [], [], []
        for pair in pairs:
            painted = [self.ours(pair, {**settings, "strength": each}) for each in strengths]
            verdicts = self.verdicts(judge, pair, [path for path, _ in painted])
            content.append([each.content_distance for each in verdicts])
            style.append([each.moment_distance for each in verdicts])
            seconds += [took for _, took in painted]
        return Curve(
            strengths=np.array(strengths),
            content=np.array(content).T,
            style=np.array(style).T,
            seconds=float(np.mean(seconds)),
        )

    def _painted(
        self, pair: tuple[str, str], settings: Mapping[str, Any], work: Any
    ) -> tuple[Path, float]:
        """A picture from --out, or painted now."""
        content, style = self._pictures(pair)
        made_of = {
            "settings": settings,
            "size": self.size,
            "weights": self.loaded.weights.sha256,
            "pictures": [sha256_of(each.numpy().tobytes()) for each in (content, style)],
        }
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]
        picture = self.out / f"{pair[0]}-{pair[1].removeprefix(PREFIX)}-{digest}.png"
        notes = picture.with_suffix(".json")
        if not (picture.is_file() and notes.is_file()):
            began = time.process_time()
            painted = work(content, style)
            took = time.process_time() - began
            save_image(to_image(painted), picture)
            notes.write_text(json.dumps(made_of | {"cpu_seconds": took}, indent=2))
        return picture, float(json.loads(notes.read_text())["cpu_seconds"])

    def _pictures(self, pair: tuple[str, str]) -> tuple[Tensor, Tensor]:
        """Photograph and style of a pair."""
        content, style = pair
        photograph = (
            self.kept / "test" / f"{content}.jpg"
            if pair in KEPT
            else self.shared / "images" / "content" / f"{content}.jpg"
        )
        if style.startswith(PREFIX):
            return _read(photograph), to_tensor(find_preset(style).draw(512)).unsqueeze(0)
        return _read(photograph), _read(self.shared / "images" / "style" / f"{style}.jpg")


def _read(path: Path) -> Tensor:
    """A picture (1, 3, H, W) in [0, 1]."""
    return to_tensor(load_image(path)).unsqueeze(0)


def _as_baseline_sees(loaded: LoadedBackbone, scheme: Settings) -> FeatureExtractor:
    """The network cut off, a copy with the first convolution padded by replication."""
    backbone = load_backbone(loaded.backbone.spec.name, weights=loaded.weights.path).backbone
    extract = FeatureExtractor(backbone, [*scheme.style_taps, *scheme.content_taps])
    convolutions = [layer for layer in extract.modules() if isinstance(layer, nn.Conv2d)]
    next(layer for layer in convolutions if layer.kernel_size == (3, 3)).padding_mode = "replicate"
    return extract


def compare(bench: Bench, judge: str, options: argparse.Namespace) -> dict[str, Any]:
    """The base, or the baseline, against the other settings, as one judge sees them."""
    pairs = [pair for pair in (KEPT if options.kept else EIGHT) if options.only in " ".join(pair)]
    against = bench.curve(judge, pairs, dict(options.against), options.strengths)
    if options.baseline:
        painted = [bench.baseline(pair) for pair in pairs]
        verdicts = [
            bench.verdicts(judge, pair, [path])[0]
            for pair, (path, _) in zip(pairs, painted, strict=True)
        ]
        content = [each.content_distance for each in verdicts]
        style = np.array([each.moment_distance for each in verdicts])
        seconds = float(np.mean([took for _, took in painted]))
    else:
        base = dict(options.base)
        own = base.pop("strength", StyleConfig().strength)
        curve = bench.curve(judge, pairs, base, [own])
        content, style, seconds = list(curve.content[0]), curve.style[0], curve.seconds
    if len(options.strengths) == 1:
        strength, found = options.strengths[0], against.style[0]
        content_against = float(against.content.mean())
    else:
        content_against = float(np.mean(content))
        strength, found = against.at_content(content_against)
    return {
        "judge": judge,
        "pairs": [" × ".join(pair) for pair in pairs],
        "content": float(np.mean(content)),
        "content_against": content_against,
        "strength": strength,
        "style": style.tolist(),
        "style_against": found.tolist(),
        "nearer": int((found < style).sum()),
        "seconds": [seconds, against.seconds],
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    shared = Path(os.environ.get("LIKENESS_SHARED", "../shared"))
    parser.add_argument("--shared", type=Path, default=shared, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="keeps pictures")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--network", default="vgg_slim", metavar="NAME")
    parser.add_argument("--weights", type=Path, metavar="FILE")
    parser.add_argument("--base", type=override, action="append", metavar="NAME=VALUE")
    parser.add_argument("--against", type=override, action="append", metavar="NAME=VALUE")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.4, 0.5, 0.6])
    parser.add_argument("--baseline", action="store_true", help="instead of the base")
    parser.add_argument("--kept", type=Path, metavar="DIR", help="the three pairs, with BSDS there")
    parser.add_argument("--second", nargs=2, metavar=("NAME", "FILE"), help="another judge")
    parser.add_argument("--only", metavar="TEXT", default="", help="pairs whose names hold it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    qualities = (
        PaintingQuality.BALANCED,
        PaintingQuality.BALANCED if options.baseline else PaintingQuality.FINE,
    )
    for name, quality in zip(("base", "against"), qualities, strict=True):
        if getattr(options, name) is None:
            setattr(options, name, [(k, v) for k, v in settings_of(quality).items() if k != "size"])
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    bench = Bench(options)
    results = [compare(bench, judge, options) for judge in bench.judges]
    if options.json:
        print(json.dumps(results, indent=2))
        return
    for result in results:
        rows = zip(result["pairs"], result["style"], result["style_against"], strict=True)
        for pair, base, against in rows:
            print(f"{pair:<32} style {base:.3f} → {against:.3f}  {against / base - 1:+.1%}")
        took, takes = result["seconds"]
        told = f"{result['judge']}: nearer to the style on {result['nearer']} of "
        told += f"{len(result['pairs'])}, mean {np.mean(result['style']):.3f} → "
        told += f"{np.mean(result['style_against']):.3f} at a mean content distance of "
        told += f"{result['content']:.3f} → {result['content_against']:.3f} "
        told += f"(strength {result['strength']:.2f}); "
        told += f"CPU {took:.1f} → {takes:.1f} s a picture"
        if options.baseline:
            told += f", an eighth allowed: {'held' if takes <= took / RATIO else 'not held'}"
        print(told)


if __name__ == "__main__":
    main()
