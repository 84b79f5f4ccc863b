"""The contact sheet of the documentation: photographs downwards, styles from left to right.

    python benchmarks/contact_sheet.py --contents DIR --styles DIR
        --out docs/images/contact-sheet.jpg [--contents-named a b …] [--styles-named a b …]
        [--cell 256] [--steps 300] [--model NAME] [--weights FILE] [--keep DIR]
        [--most-kilobytes 600]

Pictures that are in --keep with the same settings are not painted again, so that an interrupted
run goes on where it was. The sheet is written as good as its size on disk allows.
"""

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from data.files import write_atomic
from data.images import find_images, load_image, read_settings, save_image
from style.config import StyleConfig
from style.contact_sheet import Axis, contact_sheet
from style.service import StyleService

QUALITIES = range(95, 40, -3)  # of JPEG, the best first


def chosen(folder: Path, names: Sequence[str], most: int) -> list[Path]:
    """The pictures of these names without suffix, in this order; else the first ones.

    Raises:
        SystemExit: One is not there.
    """
    found = {path.stem: path for path in find_images([folder])}
    if missing := [name for name in names if name not in found]:
        raise SystemExit(f"{folder} holds no {', '.join(missing)}: it has {', '.join(found)}")
    return [found[name] for name in names] if names else list(found.values())[:most]


def cell(
    service: StyleService,
    content: Path,
    style: Path,
    config: StyleConfig,
    weights: Path | None,
    keep: Path,
) -> Image.Image:
    """One picture, painted now or before, cut to 4:3 about its middle."""
    path = keep / f"{content.stem}-{style.stem}.png"
    if path.is_file() and read_settings(path) == json.loads(json.dumps(config.settings())):
        return cut(load_image(path), config.size)
    *_, last = service.stylize(content, [style], config, weights=weights)
    image = last.render()
    save_image(image, path, settings=config.settings())
    print(f"{path.stem}: {last.elapsed:.0f} s", file=sys.stderr, flush=True)
    return cut(image, config.size)


def cut(image: Image.Image, width: int) -> Image.Image:
    """A picture as wide as its neighbours, whatever its proportions."""
    return ImageOps.fit(image, (width, 3 * width // 4), Image.Resampling.LANCZOS)


def encoded(sheet: Image.Image, most: int) -> bytes:
    """The sheet as the best JPEG of at most so many bytes.

    Raises:
        SystemExit: Not even the worst is small enough.
    """
    for quality in QUALITIES:
        buffer = io.BytesIO()
        sheet.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        if buffer.tell() <= most:
            return buffer.getvalue()
    raise SystemExit(f"no JPEG of the sheet has at most {most} bytes: take a smaller --cell")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--contents", type=Path, required=True, metavar="DIR")
    parser.add_argument("--styles", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .jpg")
    parser.add_argument("--contents-named", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--styles-named", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--cell", type=int, default=256, help="longer side of a picture, px")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--model", default=StyleConfig().backbone, metavar="NAME")
    parser.add_argument("--weights", type=Path, metavar="FILE")
    parser.add_argument("--keep", type=Path, default=Path("var/contact-sheet"), metavar="DIR")
    parser.add_argument("--most-kilobytes", type=int, default=600)
    options = parser.parse_args(arguments)
    contents = chosen(options.contents, options.contents_named, most=4)
    styles = chosen(options.styles, options.styles_named, most=6)
    config = StyleConfig(size=options.cell, steps=options.steps, backbone=options.model)
    options.keep.mkdir(parents=True, exist_ok=True)
    service = StyleService(device="cpu")
    cells = [
        [cell(service, content, style, config, options.weights, options.keep) for style in styles]
        for content in contents
    ]
    sheet = contact_sheet(
        cells,
        Axis(name="style", labels=tuple(path.stem.replace("_", " ") for path in styles)),
        Axis(name="photograph", labels=tuple(path.stem.replace("_", " ") for path in contents)),
        title=f"{len(contents)} photographs in {len(styles)} styles",
        caption=f"{config.backbone}, {config.size} px, {config.steps} steps, seed {config.seed}",
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(options.out, encoded(sheet, 1000 * options.most_kilobytes), mode=0o644)
    print(
        f"{options.out}: {options.out.stat().st_size / 1000:.0f} kB, {sheet.width}×{sheet.height}"
    )


if __name__ == "__main__":
    main()
