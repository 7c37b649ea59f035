"""The model card of a checkpoint that ships, made from what its model.json tells."""

from typing import Any

from ganlab import __version__
from ganlab.config import ModelConfig, TrainConfig
from ganlab.transfer_config import config_from_dict

Row = dict[str, float]

PARTS = {  # what the heads are compared with: column, explanation
    "quick": ("quick look", "the page's quick look: 60 s on {cores}, this task alone"),
    "together": ("together", "all heads, trained together from nothing in {minutes:.0f} minutes"),
    "single": (
        "alone",
        "a generator of the same size for this task alone, in its share of {minutes:.0f} minutes "
        "for all",
    ),
}


def card(name: str, model: ModelConfig, about: dict[str, Any], faults: str) -> str:
    """Markdown: what it is, where it comes from, how good it is, what is wrong with it."""
    lineage = about["lineage"]
    config = TrainConfig.from_dict(lineage["trained_with"])
    images = lineage["step"] * config.fitted(len(model.tasks)).batch_size
    recipe = f"- Recipe: `{config.command()}`"
    if seconds := lineage["shallow_seconds"]:
        recipe += f"; until minute {seconds / 60:.0f} without residual convolutions"
    for setting, value in lineage["given_at_end"].items():
        recipe += f"; once it was trained, `{setting}` was set to {value}"
    if lineage["history"]:
        recipe += f". What ships differs: {lineage['history']}"
    return "\n".join(
        [
            f"# {name}",
            "",
            "![the same latents in every head](preview.jpg)",
            "",
            f"A generator of {model.size} px pictures: one trunk, {len(model.tasks)} heads. "
            "Columns share a latent vector, rows a head.",
            "",
            f"- Data: {lineage['data']['name']}, {lineage['data']['pictures']:,} pictures, of "
            f"which {lineage['data']['held_out']:,} never trained. {lineage['data_licence']}",
            recipe,
            f"- Trained: {images:,} pictures in {lineage['seconds'] / 60:.0f} minutes on one core "
            f"of a CPU; made with ganlab {__version__}",
            *_between(lineage.get("between", []), len(model.tasks)),
            f"- Known faults: {faults}",
            "",
            "## Metrics",
            "",
            f"{about['samples']} samples of each head against as many pictures of its task, in "
            f"features of {about['features']}, whose KID does not compare with Inception's. "
            "KID: lower is better. Copies: samples that are nearly the same as a training picture "
            "and, in brackets, how many held-out pictures are. Memorisation: 1 for samples "
            "that are as new as held-out pictures, towards 0 for copies.",
            "",
            *_table(
                "head | KID | coverage | density | diversity | copies | memorisation",
                [[task, *_figures(row)] for task, row in about["metrics"].items()],
            ),
            "",
            *_comparison(about),
        ]
    )


def _between(stories: list[dict[str, Any]], n_tasks: int) -> list[str]:
    """What it has learnt since between its heads."""
    lines = []
    for story in stories:
        config = config_from_dict(story["trained_with"])
        images = story["step"] * config.fitted(n_tasks).batch_size
        before = ", ".join(f"{task} {kid:.2f}" for task, kid in story["kid_before"].items())
        machine = "a GPU" if story.get("device") == "cuda" else "one core"
        lines.append(
            f"- Then between its heads: {images:,} pictures in {story['seconds'] / 60:.0f} minutes "
            f"on {machine}, {100 * config.blends:.0f} % of the generated ones drawn by blends, "
            f"{story['judged']}: `{config.command()}`. KID of the heads before: {before}"
        )
    return lines


def _figures(row: Row) -> list[str]:
    return [
        f"{row['kid']:.2f} ± {row['kid_std']:.2f}",
        *(f"{row[key]:.2f}" for key in ("coverage", "density", "diversity")),
        f"{100 * row['copied']:.1f} % ({100 * row['usually_copied']:.1f} %)",
        f"{row['memorisation']:.2f}" if "memorisation" in row else "–",
    ]


def _comparison(about: dict[str, Any]) -> list[str]:
    """KID and coverage of each head beside those of other ways to train it, as far as they are."""
    compared = {part: about["compared"][part] for part in PARTS if part in about["compared"]}
    if not compared:
        return []
    minutes = about["compared_seconds"] / 60
    threads = about["quick_look_threads"]
    cores = f"{threads} core" + "s" * (threads > 1)
    told = [
        f"*{title}*: {text.format(minutes=minutes, cores=cores)}"
        for title, text in (PARTS[part] for part in compared)
    ]
    given = " and ".join(f"`{setting}`" for setting in about["lineage"]["given_at_end"])
    later = f"; none was given {given} after its training" if given else ""
    rows = []
    for task, row in about["metrics"].items():
        others = [rows_of.get(task) for rows_of in compared.values()]
        rows.append([task, *map(_both, [row, *others])])
    return [
        "## Compared",
        "",
        f"KID, and coverage in brackets. {'; '.join(told)}. One seed each{later}.",
        "",
        *_table(" | ".join(["head", "this", *(PARTS[part][0] for part in compared)]), rows),
        "",
    ]


def _both(row: Row | None) -> str:
    return f"{row['kid']:.2f} ({row['coverage']:.2f})" if row else "–"


def _table(head: str, rows: list[list[str]]) -> list[str]:
    rule = " | ".join("---" for _ in head.split(" | "))
    return [f"| {line} |" for line in [head, rule, *(" | ".join(row) for row in rows)]]
