"""Pictures as an animated GIF."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from moedsr_core.errors import InputError
from moedsr_core.plugin_task import Tell, run


def indexed(pictures: list[Path]) -> Iterator[Image.Image]:
    """Pictures in colours that they all share, so that nothing flickers.

    Raises:
        InputError: If there is none.
    """
    if not pictures:
        raise InputError("an animation needs at least one picture, got none")
    palette = common_palette(pictures)
    for path in pictures:
        with Image.open(path) as picture:
            yield picture.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)


def common_palette(pictures: list[Path]) -> Image.Image:
    """255 colours of the first, middle and last picture, and white."""
    chosen = []
    for k in (0, len(pictures) // 2, len(pictures) - 1):
        with Image.open(pictures[k]) as picture:
            chosen.append(picture.convert("RGB"))
    width, height = chosen[0].size
    strip = Image.new("RGB", (3 * width, height))
    for place, rgb in enumerate(chosen):
        strip.paste(rgb, (place * width, 0))
    colors = (strip.quantize(255).getpalette() or [])[: 3 * 255]
    palette = Image.new("P", (1, 1))
    palette.putpalette([*colors, *[255] * (3 * 256 - len(colors))])
    return palette


def write_gif(target: Path, frames: Iterator[Image.Image], milliseconds: float) -> None:
    """Join frames into a GIF that loops.

    Args:
        target: The file.
        frames: As :func:`indexed` gives them.
        milliseconds: Time that each is shown; a GIF counts in hundredths of a second.
    """
    first = next(frames)
    first.save(
        target, save_all=True, append_images=frames, duration=milliseconds, loop=0, disposal=1
    )


def _work(folder: Path, request: dict[str, Any], tell: Tell) -> None:
    pictures = [Path(name) for name in request["pictures"]]

    def frames() -> Iterator[Image.Image]:
        for k, frame in enumerate(indexed(pictures)):
            tell("writing the GIF", k, len(pictures))
            yield frame

    write_gif(folder / "movie.gif", frames(), request["milliseconds"])


if __name__ == "__main__":
    sys.exit(run(_work))
