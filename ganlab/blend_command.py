"""The command `python -m ganlab blend`: pictures and films of a mix of heads or of relatives."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from ganlab import device, films, mixing, sampling
from ganlab.blending import MODES, PARAMETERS, Part
from ganlab.files import write_atomically
from ganlab.mixing import Recipe
from ganlab.opened import Opened, open_named, together

MOST_FRAMES = 10_000


def add_command(commands: Any) -> None:
    """The parser of `blend`; `blend_pictures` runs what it reads."""
    blend = commands.add_parser(
        "blend",
        help="mix a generator's heads, or generators that are related",
        description="Mixes heads of a generator, or of two that are related, for the same latents. "
        "PARTS is name=share,name=share,… of any scale.",
    )
    blend.set_defaults(command=blend_pictures)
    blend.add_argument(
        "source", help="a shipped checkpoint, a run (folder or id), a checkpoint folder or a zip"
    )
    blend.add_argument(
        "--with", dest="second", metavar="SOURCE", help="a relative whose parts are mixed in, too"
    )
    blend.add_argument(
        "--weights", metavar="PARTS", help="how much of what (default: half of the first two each)"
    )
    blend.add_argument("--structure", metavar="PARTS", help="in the coarse blocks: shapes")
    blend.add_argument("--texture", metavar="PARTS", help="in the fine blocks: drawing")
    blend.add_argument(
        "--mode", choices=list(MODES), default=PARAMETERS, help=f"default: {PARAMETERS}"
    )
    blend.add_argument(
        "--at", type=float, metavar="BLOCKS", help="how many are coarse (default: half of them)"
    )
    blend.add_argument(
        "--softness", type=float, default=1.0, metavar="BLOCKS", help="over how many structure "
        "goes over into texture; 0 is a step (default: 1)"
    )  # fmt: skip
    blend.add_argument("--seed", type=int, default=1, help="of the latents (default: 1)")
    blend.add_argument("--n", type=int, default=16, help="how many pictures (default: 16)")
    blend.add_argument("--out", type=Path, help="GRID.png, FILE.npz, or a folder for PNG files")
    film = blend.add_argument_group("A film from part to part")
    film.add_argument(
        "--film", type=Path, help="FILM with the ending " + ", ".join(f".{k}" for k in films.KINDS)
    )
    film.add_argument(
        "--via", metavar="NAME,NAME,…", help="where it goes; with the first again at the end it is "
        "a loop (default: all parts and back)"
    )  # fmt: skip
    film.add_argument("--seconds", type=float, default=8.0, help="of the film (default: 8)")
    film.add_argument("--fps", type=int, default=24, help="frames in a second (default: 24)")
    film.add_argument(
        "--zoom", type=int, default=2, help="how many pixels each becomes per side (default: 2)"
    )
    blend.add_argument("--json", action="store_true", help="print one JSON line")


def blend_pictures(args: argparse.Namespace) -> int:
    """Draws what the flags ask for; gives the exit status."""
    _check(args)
    device.plan().apply_threads()
    opened = open_named(args.source)
    parts = _parts(opened, open_named(args.second) if args.second else None)
    names = [part.name for part in parts]
    z = sampling.latents(args.n, opened.config.z_dim, args.seed)
    told: dict[str, object] = {"parts": names, "mode": args.mode, "n": args.n, "seed": args.seed}
    # Whatever can be wrong is, before anything is drawn.
    recipe = _recipe(args, names) if args.out else None
    stops = _stops(args, names) if args.film else []
    if stops:
        _check_memory(args, opened.config.size)
    if recipe:
        weights = recipe.weights(parts[0].generator.n_blocks)
        pictures = mixing.draw(parts, z, recipe)
        sampling.save(pictures, args.out, parts=np.array(names), weights=weights.numpy())
        told |= {"mix": recipe.in_words(names), "out": str(args.out)}
        if not args.json:
            print(f"{args.n} pictures of {recipe.in_words(names)} in {args.out}")
    if stops:
        frames = round(args.seconds * args.fps)
        n_bytes = _write_film(args, _Frames(parts, z, stops, frames))
        told |= {"film": str(args.film), "frames": frames, "bytes": n_bytes}
        if not args.json:
            print(f"{frames} frames, {n_bytes / 1e6:.1f} MB: {args.film}")
    if args.json:
        print(json.dumps(told))
    return 0


def _check(args: argparse.Namespace) -> None:
    """What is wrong with the flags alone."""
    if not args.out and not args.film:
        raise ValueError("give --out for pictures, --film for a film, or both")
    if args.n < 1:
        raise ValueError(f"--n is {args.n}: give at least 1")
    if not args.film:
        return
    if args.film.suffix[1:] not in films.KINDS:
        kinds = ", ".join(f".{kind}" for kind in films.KINDS)
        raise ValueError(f"--film is {args.film}: give it one of the endings {kinds}")
    if not 1 <= args.fps <= films.MOST_FPS:
        raise ValueError(f"--fps is {args.fps}: choose between 1 and {films.MOST_FPS}")
    if not 2 <= args.seconds * args.fps <= MOST_FRAMES:
        raise ValueError(
            f"--seconds is {args.seconds:g}: at {args.fps} frames in a second, choose between "
            f"{2 / args.fps:.2g} and {MOST_FRAMES / args.fps:g}"
        )
    if not 1 <= args.zoom <= 16:
        raise ValueError(f"--zoom is {args.zoom}: choose between 1 and 16")
    if not args.out and (args.weights or args.structure or args.texture):
        raise ValueError("a film goes --via parts: shares are for pictures, so give --out, too")


def _check_memory(args: argparse.Namespace, size: int) -> None:
    columns = sampling.columns_of(args.n)
    rows, side = -(-args.n // columns), size * args.zoom
    kind, frames = args.film.suffix[1:], round(args.seconds * args.fps)
    try:
        films.need_memory(kind, frames, columns * side, rows * side)
    except ValueError as error:
        raise ValueError(f"--film: {error}") from None


def _parts(opened: Opened, second: Opened | None) -> tuple[Part, ...]:
    for each in filter(None, (opened, second)):
        if not each.parts:
            raise ValueError(f"{each.name} is a classic without heads: nothing of it can be mixed")
    parts = together(opened, second) if second else opened.parts
    if len(parts) < 2:
        raise ValueError(
            f"{opened.name} has one head, {parts[0].name}, and nothing to mix it with: give a "
            "relative by --with"
        )
    return parts


def _recipe(args: argparse.Namespace, names: Sequence[str]) -> Recipe:
    texts = {flag: getattr(args, flag) for flag in ("weights", "structure", "texture")}
    given = {}
    for flag, text in texts.items():
        if text is not None:
            try:
                given[flag] = mixing.shares_from_text(text, names)
            except ValueError as error:
                raise ValueError(f"--{flag}: {error}") from None
    both = given.get("weights", tuple(float(place < 2) for place in range(len(names))))
    structure, texture = given.get("structure", both), given.get("texture", both)
    is_apart = texture != structure
    return Recipe(structure, texture if is_apart else (), args.mode, args.at, args.softness)


def _stops(args: argparse.Namespace, names: Sequence[str]) -> list[Recipe]:
    places = [*range(len(names)), 0]
    if args.via is not None:
        try:
            places = mixing.parts_from_text(args.via, names)
        except ValueError as error:
            raise ValueError(f"--via: {error}") from None
        if len(places) < 2:
            raise ValueError("--via names one part: a film needs two or more to go between")
    return [Recipe(mixing.alone(place, len(names)), mode=args.mode) for place in places]


class _Frames(Sequence[np.ndarray]):
    """A film's frames, each drawn when it is asked for: a grid of the same latents (N, z_dim)."""

    def __init__(self, parts: Sequence[Part], z: Tensor, stops: Sequence[Recipe], n: int) -> None:
        self.parts, self.z, self.recipes = parts, z, list(mixing.way(stops, n))
        self._last: tuple[Recipe, np.ndarray] | None = None  # a film rests at its stops

    def __len__(self) -> int:
        return len(self.recipes)

    def __getitem__(self, place: int) -> np.ndarray:
        recipe = self.recipes[place]
        if self._last is None or self._last[0] != recipe:
            pictures = mixing.draw(self.parts, self.z, recipe)
            grid = sampling.grid(pictures, sampling.columns_of(len(pictures)))
            self._last = recipe, grid
        return self._last[1]


def _write_film(args: argparse.Namespace, frames: _Frames) -> int:
    """Draws and writes the film with a progress bar; gives its bytes."""
    with tqdm(total=1.0, bar_format="{percentage:3.0f}% |{bar}| {remaining}") as bar:

        def on_progress(share: float) -> None:
            bar.update(share - bar.n)

        kind = args.film.suffix[1:]
        _, content = films.encode(frames, args.fps, kind, zoom=args.zoom, on_progress=on_progress)
        on_progress(1.0)
    write_atomically(args.film, content)
    return len(content)
