"""Encode frames as mp4 and gif with the ffmpeg that imageio-ffmpeg ships, and options for that."""

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Literal

import imageio_ffmpeg
import numpy as np

from inr.errors import UserError
from inr.files import replace_atomically

Format = Literal["mp4", "gif"]
FORMATS: tuple[Format, ...] = ("mp4", "gif")

_CHOICE = "IMAGEIO_FFMPEG_EXE"  # environment variable of imageio-ffmpeg
_GIF_WIDTH = 960  # px at most
_GIF_FRAMES = 150  # at most: the palette is made from all frames, held in memory
# H.264 in yuv420p with the index in front is what browsers play while they load
_MP4 = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-movflags", "+faststart"]


def add_film_options(parser: argparse.ArgumentParser, fps: float) -> None:
    """Add ``--fps`` and ``--format``; ``fps`` is the default."""
    parser.add_argument(
        "--fps", type=between(0.1, 120), default=fps, help=f"frames per second (default: {fps:g})"
    )
    parser.add_argument(
        "--format", choices=FORMATS, action="append", help="file format (default: mp4 and gif)"
    )


def between(
    low: float, high: float, kind: Callable[[str], float] = float
) -> Callable[[str], float]:
    """The type of an option: a number from ``low`` to ``high``, of the type ``kind``."""

    def number(text: str) -> float:
        found = kind(text)
        if not low <= found <= high:  # nor is NaN
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
        return found

    return number


def encode(
    frames: Iterable[np.ndarray], count: int, fps: float, outputs: Mapping[Format, Path]
) -> None:
    """Write every frame once into one ffmpeg that makes all outputs, and replace these at the end.

    imageio's own writers would do, but do not look at the exit status of ffmpeg: on a full disk
    they leave half a video and say nothing.

    ``frames`` are RGBA pictures [row, column, 4] of bytes with even sides, ``fps`` a second,
    consumed one at a time; their ``count`` thins out a long gif.

    Raises:
        UserError: ffmpeg failed, or is none; says which one and its last line. Or a file cannot
            be written.
    """
    pictures = iter(frames)
    first = next(pictures)
    height, width, _ = first.shape
    source = ["-f", "rawvideo", "-pix_fmt", "rgba", "-s", f"{width}x{height}", "-r", f"{fps:g}"]
    ffmpeg = _find_ffmpeg()
    command = [ffmpeg, "-y", "-v", "error", *source, "-i", "-"]
    with ExitStack() as stack:
        paths = {f: stack.enter_context(replace_atomically(path)) for f, path in outputs.items()}
        if "mp4" in paths:
            command += ["-map", "0:v", *_MP4, "-f", "mp4", str(paths["mp4"])]
        if "gif" in paths:
            command += [*_gif_options(width, count, fps), "-f", "gif", str(paths["gif"])]
        # a pipe for messages could fill up and stop ffmpeg; a file cannot
        messages = stack.enter_context(tempfile.TemporaryFile())
        try:
            process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=messages
            )
        except OSError as error:
            raise _failure(ffmpeg, error.strerror or str(error)) from None
        try:
            assert process.stdin is not None
            for frame in chain([first], pictures):
                process.stdin.write(np.ascontiguousarray(frame).data)
        except BrokenPipeError:
            pass  # ffmpeg gave up: its message, below, says why
        except BaseException:
            process.kill()
            raise
        finally:
            process.communicate()
        if process.returncode != 0 or not all(path.stat().st_size for path in paths.values()):
            messages.seek(0)
            lines = messages.read().decode(errors="replace").strip().splitlines() or ["no message"]
            raise _failure(ffmpeg, lines[-1])


def _find_ffmpeg() -> str:
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise UserError(f"no videos: {error}") from None


def _failure(ffmpeg: str, reason: str) -> UserError:
    """``ffmpeg`` could not make a video; it may be one of the user's choice."""
    chosen = os.environ.get(_CHOICE) == ffmpeg
    remedy = f". {_CHOICE} chose it: unset that to use the one that comes with imageio-ffmpeg"
    return UserError(f"no video: ffmpeg failed ({ffmpeg}): {reason}{remedy if chosen else ''}")


def _gif_options(width: int, count: int, fps: float) -> list[str]:
    """One palette for the whole gif, so that colours do not flicker; loops for ever."""
    every = -(-count // _GIF_FRAMES)
    steps = [
        f"fps={fps / every:g}",
        f"scale={min(width, _GIF_WIDTH)}:-1:flags=lanczos",
        "split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=bayer:bayer_scale=5[gif]",
    ]
    pause = round(max(100, 100 / fps))  # hundredths of a second on the last frame
    graph = "[0:v]" + ",".join(steps)
    return ["-filter_complex", graph, "-map", "[gif]", "-loop", "0", "-final_delay", str(pause)]
