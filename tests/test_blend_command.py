"""`python -m ganlab blend`: pictures and films of a mix, and what a mistake is told."""

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from commands import ganlab
from PIL import Image
from sources import small_source, tiny_transfer, write_small_checkpoint

from ganlab import checkpoints, films, sampling, transfer
from ganlab.config import ModelConfig
from ganlab.data.dataset import Dataset
from ganlab.export import export
from ganlab.models import build_generator
from ganlab.perform import perform
from ganlab.runs import Run


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf with one checkpoint of two heads, a and b."""
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path / "shelf")
    return write_small_checkpoint(tmp_path / "shelf" / "small")


def blended(tmp_path: Path, *words: object) -> np.ndarray:
    out = tmp_path / "drawn.npz"
    assert ganlab("blend", "small", *words, "--out", out) == 0
    return np.load(out)["images"]


def of_weights(weights: list[float], n: int = 16, seed: int = 1) -> np.ndarray:
    network = small_source().build()
    return sampling.sample(network, sampling.latents(n, 8, seed), torch.tensor(weights))


@pytest.mark.parametrize(
    ("words", "weights"),
    [
        ([], [0.5, 0.5]),
        (["--weights", "a=0.25,b=0.75"], [0.25, 0.75]),
        (["--weights", "b=3, a=1"], [0.25, 0.75]),
        (["--weights", "b=1"], [0.0, 1.0]),
        (["--weights", "a=1", "--structure", "b=1", "--texture", "b=1"], [0.0, 1.0]),
    ],
)
def test_a_mix_is_drawn_by_the_shares_that_are_given(small, tmp_path, words, weights) -> None:
    np.testing.assert_array_equal(blended(tmp_path, *words), of_weights(weights))


def test_structure_and_texture_each_override_what_weights_set_for_both(small, tmp_path) -> None:
    apart = blended(tmp_path, "--structure", "a=1", "--texture", "b=1", "--at", 1, "--softness", 0)
    network = small_source().build()
    weights = torch.tensor([[1.0, 0.0]] + [[0.0, 1.0]] * (network.n_blocks - 1))
    expected = sampling.sample(network, sampling.latents(16, 8, 1), weights)
    np.testing.assert_array_equal(apart, expected)
    words = ["--at", 1, "--softness", 0]
    same = blended(tmp_path, "--weights", "a=1", "--texture", "b=1", *words)
    np.testing.assert_array_equal(same, expected)
    same = blended(tmp_path, "--weights", "b=1", "--structure", "a=1", *words)
    np.testing.assert_array_equal(same, expected)


def test_pixels_cross_fade_and_features_do_not(small, tmp_path) -> None:
    a, b = (of_weights(w).astype(float) for w in ([1.0, 0.0], [0.0, 1.0]))
    faded = blended(tmp_path, "--mode", "pixels")
    assert abs(faded - (a + b) / 2).max() <= 1  # rounded once more
    assert abs(blended(tmp_path, "--mode", "features") - (a + b) / 2).max() > 8


def test_seed_and_number_of_pictures_can_be_chosen(small, tmp_path) -> None:
    drawn = blended(tmp_path, "--seed", 5, "--n", 3)
    np.testing.assert_array_equal(drawn, of_weights([0.5, 0.5], 3, 5))


def test_pictures_become_a_grid_single_files_or_an_array_with_their_weights(
    small, tmp_path, capfd
) -> None:
    grid, folder, array = tmp_path / "new" / "grid.png", tmp_path / "single", tmp_path / "a.npz"
    for out in (grid, folder, array):
        assert ganlab("blend", "small", "--n", 5, "--out", out) == 0
        assert capfd.readouterr().out == f"5 pictures of a 50 %, b 50 % in {out}\n"
    kept = np.load(array)
    pictures = kept["images"]
    assert kept["parts"].tolist() == ["a", "b"]
    assert kept["weights"].tolist() == [[0.5, 0.5]] * small_source().build().n_blocks
    expected = sampling.grid(pictures, 3)
    with Image.open(grid) as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), expected)
    files = sorted(folder.iterdir())
    assert [file.name for file in files] == [f"{i:06d}.png" for i in range(5)]
    with Image.open(files[4]) as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), pictures[4])


def test_with_json_one_line_says_what_was_mixed_and_where_it_is(small, tmp_path, capfd) -> None:
    out, film = tmp_path / "a.png", tmp_path / "a.gif"
    words = ["--weights", "a=3,b=1", "--seconds", 0.5, "--fps", 10, "--film", film, "--out", out]
    assert ganlab("blend", "small", *words, "--json") == 0
    printed, progress = capfd.readouterr()
    assert printed.count("\n") == 1
    told = json.loads(printed)
    assert told["bytes"] == film.stat().st_size
    assert {**told, "bytes": 0} == {
        "parts": ["a", "b"], "mode": "parameters", "n": 16, "seed": 1, "mix": "a 75 %, b 25 %",
        "out": str(out), "film": str(film), "frames": 5, "bytes": 0,
    }  # fmt: skip
    assert "100%" in progress


def test_a_film_goes_from_head_to_head(small, tmp_path, capfd) -> None:
    film = tmp_path / "films" / "ab.mp4"
    words = ["--via", "a,b", "--seconds", 1, "--fps", 8, "--n", 4, "--film", film]
    assert ganlab("blend", "small", *words, "--zoom", 3) == 0
    with av.open(io.BytesIO(film.read_bytes())) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 8
    ends = []
    for weights in ([1.0, 0.0], [0.0, 1.0]):
        grid = Image.fromarray(sampling.grid(of_weights(weights, 4), 2))
        ends.append(np.asarray(grid.resize((192, 192), Image.Resampling.BICUBIC)).astype(float))
    far = [[abs(frame - end).mean() for frame in frames] for end in ends]  # it is lossy
    assert far[0][0] < 0.6 * far[1][0] and far[1][-1] < 0.6 * far[0][-1]
    assert far[1][0] > far[1][4] > far[1][-1]


def test_a_film_visits_all_parts_and_returns_unless_its_way_is_told(small, tmp_path) -> None:
    rates = {"--seconds": 2, "--fps": 4, "--n": 1, "--zoom": 1}
    words = [word for pair in rates.items() for word in pair]
    for name, via in (("told.gif", ["--via", "a, b, a"]), ("default.gif", [])):
        assert ganlab("blend", "small", *words, *via, "--film", tmp_path / name) == 0
    told, default = ((tmp_path / name).read_bytes() for name in ("told.gif", "default.gif"))
    assert told == default


def transferred(dataset: Dataset, folder: Path) -> Run:
    config = tiny_transfer("finetune", steps=2)
    run, _ = transfer.create(config, dataset, small_source(), path=folder)
    perform(run)
    return run


def test_relatives_mix_by_folder_id_and_zip(small, tmp_path, home, one_task: Dataset) -> None:
    run = transferred(one_task, home / "runs" / "AbCdEfGhIjKlMnOp")
    packed = export(run, tmp_path)
    model = ModelConfig.from_dict(run.about["model"])
    snapshot = checkpoints.restore_generator(model, run.snapshot())
    alone = sampling.sample(snapshot, sampling.latents(16, 8, 1), torch.zeros(16, dtype=torch.long))
    for second in (run.path, run.id):
        drawn = blended(tmp_path, "--with", second, "--weights", "discs, after=1")
        np.testing.assert_array_equal(drawn, alone)
    np.testing.assert_array_equal(
        blended(tmp_path, "--with", packed, "--weights", "discs=1"), alone
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights", "c=1"], "--weights: 'c=1' does not name a part and its share: write "
         "a=0.5,b=0.5, of a, b"),
        (["--texture", "a=x"], "--texture: the share of a is 'x': give a number"),
        (["--weights", "a=0"], "--weights: give at least one a share above zero"),
        (["--weights", "a=1", "--texture", "b=1", "--mode", "pixels"], "only parameters have "
         "blocks, in which texture can be apart"),
        (["--n", 0], "--n is 0: give at least 1"),
        (["--film", "a.avi"], "--film is a.avi: give it one of the endings .mp4, .webp, .gif"),
        (["--film", "a.gif", "--via", "a,z"], "--via: there is no part 'z': choose from a, b"),
        (["--film", "a.gif", "--via", "a"], "--via names one part: a film needs two or more to go "
         "between"),
        (["--film", "a.gif", "--fps", 0], "--fps is 0: choose between 1 and 50"),
        (["--film", "a.gif", "--seconds", 0], "--seconds is 0: at 24 frames in a second, choose "
         "between 0.083 and 416.667"),
        (["--film", "a.gif", "--seconds", "nan"], "--seconds is nan: at 24 frames in a second, "
         "choose between 0.083 and 416.667"),
        (["--film", "a.gif", "--n", 7, "--seconds", 400, "--zoom", 16], "--film: 9600 frames of "
         "1536 × 1536 pixels are more than a .gif can hold, which is in memory as a whole: make it "
         "shorter or smaller, or an .mp4"),
        (["--film", "a.webp", "--n", 3, "--seconds", 400, "--zoom", 16], "--film: 9600 frames of "
         "1024 × 1024 pixels are more than a .webp can hold, which is in memory as a whole: make "
         "it shorter or smaller, or an .mp4"),
        (["--film", "a.gif", "--zoom", 0], "--zoom is 0: choose between 1 and 16"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_says_what_to_do(small, tmp_path, capfd, words, message) -> None:
    assert ganlab("blend", "small", *words, "--out", tmp_path / "a.png") == 2
    assert capfd.readouterr() == ("", f"ganlab: {message}\n")
    assert not (tmp_path / "a.png").exists()


def test_only_films_that_are_in_memory_as_a_whole_are_bounded() -> None:
    frames = films.MOST_PIXELS_HELD // 100**2
    for kind in ("gif", "webp"):
        films.need_memory(kind, frames, 100, 100)
        with pytest.raises(ValueError, match=f"more than a .{kind} can hold"):
            films.need_memory(kind, frames + 1, 100, 100)
    films.need_memory("mp4", 10**6, 1000, 1000)


def test_something_has_to_be_asked_for(small, capfd) -> None:
    assert ganlab("blend", "small") == 2
    message = "ganlab: give --out for pictures, --film for a film, or both\n"
    assert capfd.readouterr().err == message
    assert ganlab("blend", "small", "--weights", "a=1", "--film", "a.gif") == 2
    assert "a film goes --via parts" in capfd.readouterr().err


def test_who_cannot_be_mixed_says_why(small, tmp_path, capfd, new_run) -> None:
    stranger = write_small_checkpoint(tmp_path / "stranger")
    about = json.loads((stranger / "model.json").read_text())
    (stranger / "model.json").write_text(json.dumps({**about, "name": "stranger"}))
    out = ["--out", tmp_path / "a.png"]
    single = write_small_checkpoint(tmp_path / "single", tasks=("only",))
    for words, reason in (
        (["small", "--with", stranger], "no common ancestor: small and stranger learnt apart"),
        (["nowhere"], "nowhere is neither small, nor a run's id, nor a folder or zip"),
        ([single], "single has one head, only, and nothing to mix it with: give a relative"),
        ([new_run().path], "this run has no snapshot yet"),
    ):
        assert ganlab("blend", *words, *out) == 2
        printed, complaint = capfd.readouterr()
        assert printed == "" and complaint.count("\n") == 1
        assert complaint.startswith(f"ganlab: {reason}"), complaint
    assert not (tmp_path / "a.png").exists()


def test_a_classic_cannot_be_mixed(small, tmp_path, capfd) -> None:
    config = ModelConfig("dcgan", 32, 3, ("a + b",), 8, 8)
    files = {"generator.safetensors": checkpoints.state_bytes(build_generator(config))}
    checkpoints.write_checkpoint(tmp_path / "old", config, files, {})
    assert ganlab("blend", tmp_path / "old", "--out", tmp_path / "a.png") == 2
    reason = "ganlab: old is a classic without heads: nothing of it can be mixed\n"
    assert capfd.readouterr().err == reason
