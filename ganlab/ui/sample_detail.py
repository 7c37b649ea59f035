"""One sample: large, with its latent vector, in every head, and what it is nearest to."""

from html import escape
from typing import Any

import numpy as np
import torch
from PIL import Image

from ganlab import originals, sampling, threads
from ganlab.copies import CLOSE, COPIED, NEW
from ganlab.jobs import Jobs
from ganlab.originals import NoOriginals
from ganlab.ui.figures import png_uri
from ganlab.ui.pickable import pickable
from ganlab.ui.picker import is_shipped
from ganlab.ui.subject import Subject

SIDE = 256  # pixels at which a sample is shown
VERDICTS = {
    NEW: ("✓", "New", "No training picture is as near as training pictures are to each other."),
    CLOSE: ("≈", "Close", "About as near to a training picture as these are to each other."),
    COPIED: ("!", "Copied", "Less than half as far from a training picture as is usual."),
}


def show_sample(sample: Subject) -> list[str]:
    """The sample large, and the same latent in every head (nothing of one head alone)."""
    tasks = sample.opened.config.tasks
    ids = torch.arange(len(tasks))
    with threads.quick_threads():
        pixels = sample.opened.draw(sample.z.expand(len(tasks), -1), ids)
    own = pixels[tasks.index(sample.head)]
    family = ""
    if len(tasks) > 1:
        family = pickable(
            pixels,
            sample.z.repeat(len(tasks), 1),
            tasks,
            min(len(tasks), 5),
            alt="The same latent vector in every head",
            caption="The same latent vector in every head",
            names=[f"The same in {task}" for task in tasks],
        )
    return [_large(own, sample), family]


def _large(pixels: np.ndarray, sample: Subject) -> str:
    image = sampling.to_image(pixels)
    small, large = png_uri(image), image
    if image.width < SIDE:
        large = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    z = sample.z[0].tolist()
    numbers = ", ".join(f"{value:.3f}" for value in z)
    length = float(sample.z.norm()) / len(z) ** 0.5
    return (
        f'<figure class="gl-sample"><img src="{png_uri(large)}" width="{SIDE}" height="{SIDE}" '
        f'alt="The sample that was picked, of {escape(sample.head)}"><figcaption>'
        f"<b>{escape(sample.head)}</b> · {len(z)} numbers of length {length:.2f} (1 is usual) · "
        f'<a href="{small}" download="ganlab-sample.png">PNG</a>'
        f"<details><summary>Latent vector</summary><code>{numbers}</code></details>"
        "</figcaption></figure>"
    )


def show_near(jobs: Jobs, name: Any, sample: Subject) -> str:
    """The nearest training pictures, with a verdict.

    Raises:
        ValueError: the training pictures are not here.
    """
    if is_shipped(name):
        found = originals.of_checkpoint(name, sample.head)
    else:
        found = originals.of_run(jobs.run(name), sample.head)
    with threads.quick_threads():
        pixels = torch.from_numpy(sample.opened.draw(sample.z, sample.ids)[0]).permute(2, 0, 1)
        try:
            near = found.originals.nearest(pixels)
        except ValueError as error:
            raise NoOriginals(f"No verdict: {error}.") from None
    sign, word, why = VERDICTS[near.verdict]
    also = ""
    if near.verdict == COPIED and found.usually_copied:
        also = f" So are {100 * found.usually_copied:.0f} % of the pictures that never trained."
    pictures = "".join(
        f'<figure><img src="{png_uri(sampling.to_image(picture))}" alt="A training picture">'
        f"<figcaption>{distance:.2f}</figcaption></figure>"
        for picture, distance in zip(near.pictures, near.distances, strict=True)
    )
    return (
        f'<div class="gl-near"><p><span class="gl-verdict-chip gl-{near.verdict}">'
        f"{sign} {word}</span> {why}{also}</p><div>{pictures}</div>"
        f'<p class="gl-meta">Nearest of {near.compared:,} training pictures of '
        f"{escape(sample.head)}, in thumbnails; below each, its distance over the usual one "
        "between a training picture and its nearest.</p></div>"
    )
