"""The named endpoint of the page's API: `blend`, for `gradio_client` and other programs."""

from pathlib import Path

import gradio as gr
from PIL import Image

from ganlab import mixing, sampling, threads
from ganlab.blending import MODES, PARAMETERS
from ganlab.files import told_if_refused
from ganlab.jobs import Jobs
from ganlab.mixing import Recipe, shares_from_text
from ganlab.ui.mixer import first_shares
from ganlab.ui.picker import open_picked
from ganlab.ui.scratch import scratch_file
from ganlab.ui.viewer import as_seed

ABOUT = (
    "Draws pictures of a mix of a generator's heads, as the Blend tab does. Gives one PNG: a grid, "
    "row by row, of as many columns as make it square or a little wider."
)


def build_api(jobs: Jobs, exports: Path) -> None:
    """Components that nobody sees give the endpoint its types and its docs."""

    def blend(
        checkpoint: str,
        weights: str,
        structure: str,
        texture: str,
        mode: str,
        seed: float,
        n: float,
    ) -> str:
        try:
            drawn = blended(jobs, checkpoint, weights, structure, texture, mode, seed, n)
            path = scratch_file(exports, "blend.png")
            with told_if_refused():
                drawn.save(path)
            return str(path)
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from None  # no page shows it

    with gr.Column(visible=False):
        of_mix = "name=share,name=share of any scale; heads not named have none."
        inputs = [
            gr.Textbox("avatars64", label="Checkpoint: a shipped one's name, or a run's id"),
            gr.Textbox("", label=f"Weights: {of_mix} Empty: the first two heads evenly"),
            gr.Textbox("", label="Structure: the same for coarse blocks alone; empty: as weights"),
            gr.Textbox("", label="Texture: the same for fine blocks alone; empty: as weights"),
            gr.Radio(list(MODES), value=PARAMETERS, label="Mode: what is mixed"),
            gr.Number(1, label="Seed of the latents, a whole number from 0", precision=0),
            gr.Number(16, label=f"How many pictures, 1 to {jobs.caps.api_pictures}", precision=0),
        ]
        picture = gr.Image(format="png", label="The pictures")
        gr.Button().click(
            blend,
            inputs,
            picture,
            api_name="blend",
            api_description=ABOUT,
            concurrency_limit=1,
            show_progress="hidden",
        )


def blended(
    jobs: Jobs,
    checkpoint: str,
    weights: str,
    structure: str,
    texture: str,
    mode: str,
    seed: float,
    n: float,
) -> Image.Image:
    """What `ABOUT` says.

    Raises:
        ValueError: no such generator, head or mode, or a number out of range.
    """
    opened = open_picked(jobs, checkpoint)
    if not opened.parts:
        raise ValueError(f"{checkpoint} has no heads to mix: choose another generator.")
    most = jobs.caps.api_pictures
    if type(n) not in (int, float) or not n >= 1:
        raise ValueError(f"{n} pictures: ask for 1 to {most}.")
    if n > most:
        raise jobs.caps.reached("api_pictures", f"{n} pictures: ask for 1 to {most}")
    names = [part.name for part in opened.parts]
    both = shares_from_text(weights, names) if weights else first_shares(len(names))
    coarse = shares_from_text(structure, names) if structure else both
    fine = shares_from_text(texture, names) if texture else both
    recipe = Recipe(coarse, fine if fine != coarse else (), mode)
    z = sampling.latents(int(n), opened.config.z_dim, as_seed(seed))
    with threads.quick_threads():
        pixels = mixing.draw(opened.parts, z, recipe)
    return sampling.to_image(sampling.grid(pixels, -(-int(n) // int(int(n) ** 0.5))))
