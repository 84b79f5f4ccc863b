"""Both engines of `style_quality.py` on pairs of photograph and style, and what a judge says."""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from style_baseline import Extract, Settings, paint
from torch import Tensor

from backbones.features import FeatureExtractor
from backbones.network import Backbone
from backbones.registry import create
from backbones.weights import load_backbone
from data.files import sha256_of
from data.images import load_image, save_image, to_image, to_tensor
from style.config import StyleConfig
from style.evaluation.judge import Judge, Verdict
from style.network import StyleNetwork
from style.stylize import stylize

PAIRS = {
    256: (
        ("tubingen", "starry_night"),
        ("golden_gate", "wave_crop"),
        ("hoovertowernight", "vg_la_cafe"),
        ("lion", "the_scream"),
        ("tubingen", "shipwreck"),
        ("golden_gate", "tahiti_guaguin"),
    ),
    512: (("tubingen", "vg_houses"), ("lion", "starry_night")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One engine's picture of one pair: what the judge says, and seconds."""

    verdict: Verdict
    cpu_seconds: float
    wall_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One pair.

    Attributes:
        pair: Photograph and style.
        size: Longer side, px.
        network: That our engine looked with.
        ours: Our picture.
        theirs: The baseline's, with `cpu_seconds` as measured beside ours.
        ratio: Our CPU time over the baseline's: with the same network, or with VGG-19 where ours
            looked with the bundled one.
    """

    pair: str
    size: int
    network: str
    ours: Side
    theirs: Side
    ratio: float

    @property
    def as_good(self) -> bool:
        """Whether our picture is no further from the style, nor from the photograph."""
        mine, other = self.ours.verdict, self.theirs.verdict
        nearer = mine.style_distance <= other.style_distance
        return nearer and mine.content_distance <= other.content_distance

    def to_json(self) -> dict[str, object]:
        """Everything as JSON's own types."""
        return asdict(self) | {"as_good": self.as_good}


class Bench:
    """The pictures, the networks and the judge of one run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.shared, self.out = options.shared, options.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.loaded = load_backbone("vgg19_quarter", weights=options.weights)
        own = load_backbone("vgg19_quarter", weights=options.weights).backbone  # to be changed
        self.scheme = Settings()
        self.overrides = dict(options.set)
        self.probe = options.probe
        if options.smoke:
            self.scheme = replace(self.scheme, first_steps=4, steps=2)
            self.overrides = {"steps": 4} | self.overrides
        self.judge = Judge.of(load_backbone(options.judge, weights=options.judge_weights).backbone)
        self.extract = self.as_baseline_sees(own)
        self.vgg = self.as_baseline_sees(create("vgg19", seed=0))

    def as_baseline_sees(self, backbone: Backbone) -> FeatureExtractor:
        """The network cut off, with the first convolution padded by replication, channels last."""
        extract = FeatureExtractor(backbone, [*self.scheme.style_taps, *self.scheme.content_taps])
        convolutions = [layer for layer in extract.modules() if isinstance(layer, torch.nn.Conv2d)]
        first = next(layer for layer in convolutions if layer.kernel_size == (3, 3))
        first.padding_mode = "replicate"
        return extract.to(memory_format=torch.channels_last)

    def read(self, kind: str, name: str) -> Tensor:
        """A picture of the shared folder, (1, 3, H, W) in [0, 1]."""
        return to_tensor(load_image(self.path(kind, name))).unsqueeze(0)

    def path(self, kind: str, name: str) -> Path:
        """Where that picture is."""
        path: Path = self.shared / "images" / kind / f"{name}.jpg"
        return path

    def baseline(self, content: str, style: str, size: int) -> tuple[Image, Mapping[str, Any]]:
        """The baseline's picture and what it took, from --out or painted now."""
        made_of = {
            "settings": asdict(self.scheme),
            "weights": self.loaded.weights.sha256,
            "content": sha256_of(self.path("content", content)),
            "style": sha256_of(self.path("style", style)),
            "size": size,
        }
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]
        picture = self.out / f"baseline-{content}-{style}-{size}-{digest}.png"
        notes = picture.with_suffix(".json")
        if not (notes.is_file() and picture.is_file()):
            painted = paint(
                self.extract,
                self.read("content", content),
                self.read("style", style),
                size,
                self.scheme,
                lambda done, total: report(picture.stem, done, total),
            )
            save_image(to_image(painted.picture), picture)
            took = {name: value for name, value in asdict(painted).items() if name != "picture"}
            notes.write_text(json.dumps(made_of | took, indent=2))
        return load_image(picture), json.loads(notes.read_text())

    def baseline_seconds(self, extract: Extract, content: str, size: int) -> float:
        """CPU time of a whole baseline as the machine is now: its steps at each scale's median."""
        short = replace(self.scheme, first_steps=self.probe, steps=self.probe)
        picture = self.read("content", content)
        medians = paint(extract, picture, picture, size, short).step_seconds
        return sum(steps * medians[side] for side, steps in self.scheme.plan(size))

    def ours(self, network: Backbone, content: str, style: str, size: int) -> tuple[Image, Side]:
        """Our picture."""
        name = network.spec.name
        config = StyleConfig(size=size, backbone=name, **self.overrides)
        pictures = self.read("content", content), [self.read("style", style)]
        cpu, wall = time.process_time(), time.perf_counter()
        *_, last = stylize(*pictures, config, StyleNetwork.of(network, config))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        image = last.render()
        saved = self.out / f"ours-{content}-{style}-{size}-{name}.png"
        save_image(image, saved, settings=config.settings())
        return image, Side(
            verdict=self.verdict(image, content, style), cpu_seconds=cpu, wall_seconds=wall
        )

    def verdict(self, image: Image, content: str, style: str) -> Verdict:
        """What the judge says about a picture of a pair."""
        case = self.judge.case(
            self.read("content", content), [self.read("style", style)], size=max(image.size)
        )
        return case(to_tensor(image).unsqueeze(0))

    def compare(self, network: Backbone, content: str, style: str, size: int) -> Row:
        """Both engines on one pair; the baseline's time is measured around ours."""
        same = network.spec.name == self.loaded.backbone.spec.name
        theirs = self.extract if same else self.vgg
        image, notes = self.baseline(content, style, size)
        before = self.baseline_seconds(theirs, content, size)
        _, ours = self.ours(network, content, style, size)
        cpu = (before + self.baseline_seconds(theirs, content, size)) / 2
        return Row(
            pair=f"{content} × {style}",
            size=size,
            network=network.spec.name,
            ours=ours,
            theirs=Side(
                verdict=self.verdict(image, content, style),
                cpu_seconds=cpu,
                wall_seconds=notes["wall_seconds"],
            ),
            ratio=ours.cpu_seconds / cpu,
        )


def report(name: str, done: int, total: int) -> None:
    """Say on stderr how far a baseline is, now and then."""
    if done % 250 == 0:
        print(f"{name}: {done} of {total}", file=sys.stderr, flush=True)
