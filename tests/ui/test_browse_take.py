"""Take home: files are what they say, the lines of Python run, and odd values are refused."""

import base64
import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from sources import own_run

from ganlab import sampling
from ganlab.checkpoints import load_generator
from ganlab.ui import filming, snippets, take_files
from ganlab.ui.browse_take import ABOUT, codes, file_of, film_of
from ganlab.ui.picker import open_picked
from ganlab.ui.subject import to_text

ROOT = Path(__file__).parents[2]


def quiet(share: float, desc: str = "") -> None:
    assert 0 <= share <= 1


def chosen(name="small", head="", seed=1, truncation=1, latent="") -> list:
    """As `Browse.subject`."""
    return [name, head, seed, truncation, latent]


def made(jobs, folder: Path, kind: str, n=6, **changes) -> Path:
    return file_of(jobs, kind, n, chosen(**changes), folder, quiet)


def in_zip(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        return {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in names}


# Pictures -------------------------------------------------------------------------------------


def test_pictures_are_those_of_the_seed(jobs, tmp_path):
    path = made(jobs, tmp_path, "pictures", n=5, head="b", seed=3, truncation=0.5)
    assert path.name == "ganlab-small-seed3-pictures.zip"
    found = in_zip(path)
    assert list(found) == [f"{i:04d}.png" for i in range(5)]
    opened = open_picked(jobs, "small")
    expected = opened.draw(sampling.latents(5, 8, 3) * 0.5, torch.full((5,), 1))
    assert (np.stack(list(found.values())) == expected).all()


def test_all_heads_take_turns(jobs, tmp_path):
    found = in_zip(made(jobs, tmp_path, "pictures", n=5))
    assert list(found) == [
        "01-a/0000.png", "02-b/0001.png", "01-a/0002.png", "02-b/0003.png", "01-a/0004.png",
    ]  # fmt: skip


def test_a_contact_sheet_has_heads_and_latents_or_a_square(jobs, tmp_path):
    with Image.open(made(jobs, tmp_path, "sheet")) as image:
        assert image.size == (12 * 32, 2 * 32) and image.format == "PNG"
    with Image.open(made(jobs, tmp_path, "sheet", head="a")) as image:
        assert image.size == (8 * 32, 8 * 32)
    with Image.open(made(jobs, tmp_path, "sheet", name="grey")) as image:
        assert image.size == (8 * 32, 8 * 32) and image.mode == "L"


def test_names_of_heads_become_names_of_folders():
    names = take_files._folders(["../../x", "a b", "a-b", "é" * 90])
    assert all(re.fullmatch(r"[\w-]{1,70}", name) for name in names)
    assert len(set(names)) == 4


# Films ----------------------------------------------------------------------------------------


def film_in(figure: str) -> bytes:
    return base64.b64decode(re.search(r"base64,([^\"]+)", figure)[1])


@pytest.mark.parametrize("kind", ["mp4", "webp", "gif", "smallest"])
def test_a_film_has_its_frames(jobs, kind):
    figure = film_of(jobs, 3, 1, 12, kind, chosen(head="a"), quiet)
    found = re.search(r'download="ganlab-small-walk\.(\w+)"', figure)[1]
    assert kind in (found, "smallest")
    content = io.BytesIO(film_in(figure))
    if found == "mp4":
        with av.open(content) as film:
            assert len(list(film.decode(video=0))) == 12
    else:
        with Image.open(content) as film:
            assert film.n_frames == 12 and film.info["loop"] == 0


def test_a_film_that_is_too_large_for_a_page_is_not_sent(jobs, monkeypatch):
    monkeypatch.setattr(filming, "MOST_SENT", 2_000)
    with pytest.raises(ValueError, match="came to 0 MB: make it shorter or slower, or choose MP4"):
        film_of(jobs, 3, 1, 12, "gif", chosen(head="a"), quiet)


def test_a_film_begins_at_the_picked_sample_and_shows_its_head(jobs, monkeypatch):
    seen = []
    monkeypatch.setattr(
        take_files, "film", lambda opened, heads, z, *_: seen.append((heads, z)) or ("mp4", b"", 8)
    )
    z = sampling.latents(1, 8, 77)
    film_of(jobs, 3, 1, 12, "mp4", chosen(latent=to_text(z, "b")), quiet)
    film_of(jobs, 3, 1, 12, "mp4", chosen(), quiet)
    (heads, walk), (every, other) = seen
    assert heads == [1] and every == [0, 1]
    torch.testing.assert_close(walk[:1], z)
    torch.testing.assert_close(other[:1], sampling.latents(1, 8, 1))


@pytest.mark.parametrize(("n", "columns"), [(1, 1), (2, 2), (5, 5), (6, 3), (10, 5), (11, 4)])
def test_heads_of_a_film_stand_without_a_gap(n, columns):
    assert take_files.columns_of(n) == columns


# What other programs read ---------------------------------------------------------------------


def lines_of(code: str) -> int:
    return len(code.splitlines())


def run_snippet(code: str, folder: Path, *, hides: tuple[str, ...] = ()) -> Image.Image:
    """Runs a snippet as it stands, beside the download, in a process of its own."""
    hidden = "".join(f"import sys; sys.modules[{name!r}] = None\n" for name in hides)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", hidden + code], cwd=folder, env=environment, check=True)
    with Image.open(folder / "pictures.png") as image:
        image.load()
        return image


@pytest.mark.parametrize("kind", ["onnx", "safetensors", "zip"])
def test_the_lines_of_python_draw_from_the_download(jobs, tmp_path, kind):
    code = codes(jobs, "small", "b")[kind]
    assert lines_of(code) <= snippets.MOST_LINES
    path = made(jobs, tmp_path, kind)
    assert f'"{path.name}"' in code
    hides = ("torch", "ganlab", "gradio") if kind == "onnx" else ("gradio",)
    image = run_snippet(code, tmp_path, hides=hides)
    assert image.mode == "RGB"
    assert image.size == ((3 * 32, 3 * 32) if kind == "zip" else (8 * 32, 32))
    if kind == "safetensors":  # seed 1 is what the page shows as seed 1
        expected = open_picked(jobs, "small").draw(sampling.latents(8, 8, 1), torch.full((8,), 1))
        assert (np.asarray(image) == sampling.grid(expected, 8)).all()


def test_a_grey_run_and_odd_names_do_as_well(jobs, tmp_path):
    code = codes(jobs, "grey", "")["onnx"]
    made(jobs, tmp_path, "onnx", name="grey")
    assert run_snippet(code, tmp_path, hides=("torch", "ganlab")).mode == "L"
    odd = 'x\nimport os"""' + "y" * 90
    for code in (
        snippets.of_onnx("f.onnx", (odd, odd), 1, 8),
        snippets.of_safetensors("f.safetensors", (odd, odd), 1),
    ):
        compile(code, "snippet", "exec")
        assert lines_of(code) <= snippets.MOST_LINES


def test_a_run_is_taken_home_by_its_owner_and_its_generator_by_whoever_has_the_link(jobs, tmp_path):
    run_id, token = own_run(jobs)
    for store in (None, {"tokens": {run_id: "x"}}, {"tokens": {run_id: None}}):
        with pytest.raises(ValueError, match="only the browser that started this run"):
            file_of(jobs, "zip", 1, chosen(run_id), tmp_path, quiet, store)
    store = {"tokens": {run_id: token}}
    path = file_of(jobs, "zip", 1, chosen(run_id), tmp_path, quiet, store)
    assert f'"{path.name}"' in codes(jobs, run_id, "")["zip"]
    assert load_generator(path)[1].tasks == ("a", "b")
    assert made(jobs, tmp_path, "onnx", name=run_id).stem == path.stem


# What a page may send -------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1001, 1.5, None, "7", True, float("nan"), float("inf"), [3]])
def test_odd_numbers_of_pictures_are_refused(jobs, tmp_path, n):
    with pytest.raises(ValueError, match="whole number from 1 to 1,000"):
        made(jobs, tmp_path, "pictures", n=n)
    assert list(tmp_path.iterdir()) == [] or not list(tmp_path.glob("*.zip"))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../small"}, {"name": None}, {"name": ["small"]}, {"seed": -1}, {"seed": "x"},
        {"truncation": 9}, {"truncation": None},
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["pictures", "sheet"])
def test_odd_choices_are_refused(jobs, tmp_path, kind, changes):
    with pytest.raises(ValueError):
        made(jobs, tmp_path, kind, **changes)


@pytest.mark.parametrize(
    "values",
    [
        (1, 5, 24, "mp4"), (99, 5, 24, "mp4"), (3, 0, 24, "mp4"), (3, 99, 24, "mp4"),
        (3, 5, 25, "mp4"), (3, 5, None, "mp4"), (3, 5, 24, "avi"), (3, 5, 24, None),
        (float("nan"), 5, 24, "mp4"), (3, [5], 24, "mp4"), (3, 5, [24], "mp4"),
        (3, 5, 24, ["mp4"]),
    ],
)  # fmt: skip
def test_odd_films_are_refused(jobs, values):
    with pytest.raises(ValueError):
        film_of(jobs, *values, chosen(), quiet)


def test_every_download_is_explained():
    assert all(what.endswith(".") for _, what in ABOUT.values())
    assert set(ABOUT) == {"film", *("pictures", "sheet"), *("onnx", "safetensors", "zip")}
