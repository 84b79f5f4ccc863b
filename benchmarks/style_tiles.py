"""Whether a picture that is looked at in tiles is the one that is looked at whole.

    float32    gradient of the losses at 1024 px: relative distance of the tiled one from the whole
    float64    the same in float64
    picture    after 50 steps at 1024 px: PSNR of the tiled one against the whole one
    large      five steps at 4096 px: the process's peak of memory, and the steps' seconds

    python benchmarks/style_tiles.py --images DIR --weights FILE [--part float32] …

DIR holds `content/tubingen.jpg` and `style/starry_night.jpg`; FILE is of `vgg19_quarter`.
"""

import argparse
import json
import math
import resource
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from backbones.features import FeatureExtractor
from backbones.network import Backbone
from backbones.weights import load_backbone
from data.images import load_image, to_tensor
from style.config import PaintingPrecision, StyleConfig, StyleLossKind
from style.network import StyleNetwork
from style.objective import StyleObjective
from style.planning import Room
from style.regions import Area
from style.scales import fit, resize, size_of
from style.stylize import stylize
from style.tiling import Cutter, TiledObjective

NETWORK = "vgg19_quarter"
PARTS = ("float32", "float64", "picture", "large")
FLOAT32 = {"backbone": NETWORK, "precision": PaintingPrecision.FLOAT32}


def gradient(
    backbone: Backbone, content: Tensor, style: Tensor, tile: int, dtype: torch.dtype
) -> dict[str, float]:
    """Relative L2 distance of the gradients, by kind of style loss."""
    source = torch.Generator().manual_seed(0)
    content = resize(content, fit(size_of(content), 1024))
    noise = torch.randn(content.shape, generator=source)
    image, content, style = (
        it.to(dtype) for it in ((content + 0.1 * noise).clamp(0, 1), content, style)
    )
    network = StyleNetwork.of(backbone, StyleConfig(**FLOAT32))
    backbone.normalise.to(dtype)
    taps = tuple(dict.fromkeys((*network.content_taps, *network.style_taps)))
    extract = FeatureExtractor(backbone, taps, continued=True, dtype=dtype)
    network = replace(network, extract=extract)
    tiling = Cutter(network, image).tiling(tile)
    distances = {}
    for kind in StyleLossKind:
        config = StyleConfig(style_loss=kind, **FLOAT32)
        parts = (network, content, [Area(styles=(style,))], config)
        tiled = TiledObjective(*parts, tiling)(image)[1]
        leaf = image.clone().requires_grad_(True)
        (whole,) = torch.autograd.grad(StyleObjective(*parts)(leaf)["total"], leaf)
        distances[str(kind)] = float((tiled - whole).norm() / whole.norm())
    return distances


def picture(backbone: Backbone, content: Tensor, style: Tensor, tile: int) -> dict[str, float]:
    """PSNR of the pictures, dB."""
    config = StyleConfig(size=1024, first_scale=1024, steps=50, **FLOAT32)
    network = StyleNetwork.of(backbone, config)
    whole, tiled = (
        to_tensor(list(stylize(content, [style], config, network, room=Room(tile=it)))[-1].render())
        for it in ("none", tile)
    )
    error = float((whole - tiled).square().mean())
    return {"psnr": math.inf if error == 0 else -10 * math.log10(error)}


def large(backbone: Backbone, content: Tensor, style: Tensor, tile: int) -> dict[str, float]:
    """Peak of memory, GB, and seconds a step, at 4096 px; the tile is chosen by itself."""
    config = StyleConfig(size=4096, first_scale=4096, steps=5, **FLOAT32)
    network = StyleNetwork.of(backbone, config)
    plans = []
    began = time.process_time()
    for _ in stylize(
        content, [style], config, network, room=Room(memory=4.5), planned=plans.append
    ):
        pass
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "planned_gb": plans[0].memory / 1e9,
        "tile": plans[0].scales[-1].tile,
        "peak_gb": peak / 1e9,
        "cpu_seconds_a_step": (time.process_time() - began) / 5,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--tile", type=int, default=512, help="not of the large picture")
    given = parser.parse_args()
    content = to_tensor(load_image(given.images / "content" / "tubingen.jpg")).unsqueeze(0)
    style = to_tensor(load_image(given.images / "style" / "starry_night.jpg")).unsqueeze(0)
    for part in given.part or PARTS:
        backbone = load_backbone(NETWORK, weights=given.weights, device="cpu").backbone
        if part == "large":  # square, so that there are 16.8 million pixels
            content = content[..., : min(size_of(content)), : min(size_of(content))]
        measure = {
            "float32": partial(gradient, dtype=torch.float32),
            "float64": partial(gradient, dtype=torch.float64),
            "picture": picture,
            "large": large,
        }[part]
        print(json.dumps({part: measure(backbone, content, style, given.tile)}), flush=True)


if __name__ == "__main__":
    main()
