"""How long an upload of phone photographs takes, and how much memory.

    python -m scripts.measure_intake [--photos 500] [--form jpeg|heic]

Draws photographs of 12 megapixels, 3 to 5 MB each, with noise as cameras have it; takes them in
with the default limits, and prints seconds and the process's peak memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (4000, 3000)


def draw(number: int, file: Path, form: str) -> None:
    """A photograph: soft shapes of any colour, and grain."""
    rng = np.random.default_rng(number)
    coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
    fine = rng.integers(0, 256, (150, 200, 3), np.uint8)
    soft, detail = (
        np.asarray(Image.fromarray(part).resize(SIZE, Image.Resampling.BICUBIC), np.float32)
        for part in (coarse, fine)
    )
    grain = rng.standard_normal((SIZE[1], SIZE[0], 1), np.float32) * 5
    pixels = (0.8 * soft + 0.2 * detail + grain).clip(0, 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = (1, 6, 8)[number % 3]
    if form == "heic":
        import pillow_heif

        pillow_heif.from_pillow(Image.fromarray(pixels)).save(file, quality=60)
    else:
        Image.fromarray(pixels).save(file, "JPEG", quality=90, exif=exif)


def measure(folder: Path) -> None:
    from ganlab.data.intake import take_in

    steps = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as into:
        report = take_in([folder], into, on_progress=lambda done, _: steps.append(done))
    seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"usable": report.usable, "seconds": round(seconds, 1), "peak_mb": peak}))
    print(f"{len(steps)} reports of progress; {report.remarks}")
    print([f"{e.name} {e.notes}" for e in report.entries[:2]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=500)
    parser.add_argument("--form", choices=("jpeg", "heic"), default="jpeg")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.folder:
        measure(args.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        # Different photos are costly to draw, so each is linked to often enough; reading does not
        # know. Copies are then found, which costs nothing.
        drawn = [Path(folder, f"drawn-{i}.{args.form}") for i in range(min(20, args.photos))]
        for i, file in enumerate(drawn):
            draw(i, file, args.form)
        album = Path(folder, "album")
        album.mkdir()
        for i in range(args.photos):
            (album / f"IMG_{i:04d}.{args.form}").hardlink_to(drawn[i % len(drawn)])
        size = sum(file.stat().st_size for file in album.iterdir()) / 1e6
        print(f"{args.photos} photos, {size:,.0f} MB")
        # In a process of its own, whose memory is the intake's alone.
        subprocess.run(
            [sys.executable, "-m", "scripts.measure_intake", "--folder", str(album)], check=True
        )


if __name__ == "__main__":
    main()
