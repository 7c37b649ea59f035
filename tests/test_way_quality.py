"""What lies between heads, measured on ways and pictures of which the answer is known."""

import json

import numpy as np
import pytest
import torch
from commands import ganlab
from conftest import drawings
from PIL import Image, ImageDraw, ImageFilter
from sources import write_small_checkpoint
from test_blending import heads, three_heads

from ganlab import blend_bench, metrics, mixing, quality, sampling, way_quality
from ganlab.blending import FEATURES, MODES, PARAMETERS, PIXELS
from ganlab.mixing import Recipe
from ganlab.way_quality import Way, ghosting, measure, path

# The way ----------------------------------------------------------------------------------------


def straight(steps: int = 8, n: int = 5) -> torch.Tensor:
    """(steps + 1, n, 16): even steps from one random point to another."""
    rng = torch.Generator().manual_seed(0)
    first, last = torch.randn(2, n, 16, generator=rng)
    return torch.stack([torch.lerp(first, last, i / steps) for i in range(steps + 1)])


def test_a_straight_and_even_way_has_length_1_and_even_steps() -> None:
    assert path(straight()) == pytest.approx((1, 1 / 8), rel=1e-5)


def test_a_single_jump_is_one_step_of_all() -> None:
    x = straight()
    x[1:5], x[5:8] = x[0], x[8]
    assert path(x) == pytest.approx((1, 1))


def test_a_detour_is_longer() -> None:
    """Over the corner of a right-angled triangle."""
    corner = torch.tensor([[[0.0, 0.0]], [[3.0, 0.0]], [[3.0, 4.0]]])
    assert path(corner) == pytest.approx((7 / 5, 4 / 7))


def test_there_and_back_is_three_times_as_far() -> None:
    x = torch.tensor([0.0, 1.0, 0.0, 1.0]).view(4, 1, 1).expand(4, 3, 2)
    assert path(x) == pytest.approx((3, 1 / 3))


def test_the_scale_of_features_does_not_matter_and_a_still_latent_counts_little() -> None:
    x = straight()
    assert path(1000 * x) == pytest.approx(path(x))
    still = x[:1, :1].expand(9, 1, 16)
    assert path(torch.cat([x, still], 1)) == pytest.approx(path(x))


def test_what_is_no_way_is_refused() -> None:
    with pytest.raises(ValueError, match="are no way: give"):
        path(torch.zeros(2, 3, 4))
    with pytest.raises(ValueError, match="both ends draw the same pictures"):
        path(straight()[:1].expand(9, 5, 16))


# Ghosts -----------------------------------------------------------------------------------------

SIDE = 48


def discs(radius: float, shift: float = 0.0, n: int = 6) -> np.ndarray:
    """(n, SIDE, SIDE, 3): a disc in the middle of each, of another colour, drawn smoothly."""
    rng = np.random.default_rng(1)
    pictures = []
    for _ in range(n):
        ink, paper = (tuple(int(v) for v in rng.integers(a, a + 100, 3)) for a in (0, 150))
        big = Image.new("RGB", (4 * SIDE, 4 * SIDE), paper)
        centre, r = 2 * SIDE + 4 * shift, 4 * radius
        box = (centre - r, 2 * SIDE - r, centre + r, 2 * SIDE + r)
        ImageDraw.Draw(big).ellipse(box, fill=ink)
        pictures.append(np.asarray(big.resize((SIDE, SIDE), Image.Resampling.BOX)))
    return np.stack(pictures)


SMALL, LARGE = discs(8), discs(18)


def faded(share: float = 0.5) -> np.ndarray:
    return ((1 - share) * SMALL + share * LARGE.astype(float)).round().astype(np.uint8)


def test_a_cross_fade_is_a_ghost() -> None:
    assert ghosting(faded(), SMALL, LARGE) == pytest.approx(1, abs=0.01)


def test_a_shape_of_its_own_between_the_two_is_none() -> None:
    assert ghosting(discs(13), SMALL, LARGE) < 0.02


@pytest.mark.parametrize("end", [SMALL, LARGE])
def test_a_copy_of_an_end_is_none(end: np.ndarray) -> None:
    assert ghosting(end, SMALL, LARGE) < 1e-9


def test_the_fainter_one_end_the_less_of_a_ghost() -> None:
    found = [ghosting(faded(share), SMALL, LARGE) for share in (0.5, 0.7, 0.9, 1.0)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 2 * found[1] > 4 * found[2] > 0 and found[3] < 1e-9


def test_both_outlines_at_full_strength_are_a_ghost_too() -> None:
    small, large, paper = (each // 4 + 100 for each in (SMALL, LARGE, discs(0)))
    assert ghosting(small - paper + large, small, large) > 0.9


def test_a_ghost_beside_a_shape_of_its_own_counts_in_part() -> None:
    both = np.concatenate([faded()[:3], discs(13)[3:]])
    assert ghosting(both, SMALL, LARGE) == pytest.approx(0.5, abs=0.1)


def test_less_than_nothing_of_an_end_explains_nothing() -> None:
    difference = (128 + (SMALL.astype(int) - LARGE) / 2).round().astype(np.uint8)
    assert ghosting(difference, SMALL, LARGE) < 1e-9


def test_a_flat_picture_and_noise_are_no_ghosts() -> None:
    assert ghosting(np.full_like(SMALL, 99), SMALL, LARGE) == 0
    noise = np.random.default_rng(0).integers(0, 256, SMALL.shape, dtype=np.uint8)
    assert ghosting(noise, SMALL, LARGE) < 0.05


def test_brightness_and_contrast_do_not_hide_a_ghost() -> None:
    pale = (faded() * 0.4 + 90).round().astype(np.uint8)
    assert ghosting(pale, SMALL, LARGE) == pytest.approx(1, abs=0.05)


def test_a_soft_ghost_is_still_more_of_one_than_a_soft_shape() -> None:
    def soft(pictures: np.ndarray) -> np.ndarray:
        blur = ImageFilter.GaussianBlur(1)
        return np.stack([np.asarray(Image.fromarray(each).filter(blur)) for each in pictures])

    ghost, shape = (ghosting(soft(each), SMALL, LARGE) for each in (faded(), discs(13)))
    assert ghost > 0.4 and shape < 0.1


def test_which_end_is_first_does_not_matter() -> None:
    assert ghosting(faded(0.3), LARGE, SMALL) == pytest.approx(ghosting(faded(0.3), SMALL, LARGE))


def test_what_cannot_be_a_ghost_is_refused() -> None:
    with pytest.raises(ValueError, match="both ends have the same edges"):
        ghosting(SMALL, SMALL, SMALL)
    with pytest.raises(ValueError, match="do not fit"):
        ghosting(SMALL[:2], SMALL, LARGE)


# All of a generator -----------------------------------------------------------------------------


def pooled(images: torch.Tensor) -> torch.Tensor:
    """Features at no cost: small pictures."""
    return torch.nn.functional.adaptive_avg_pool2d(images.float() / 255, 6).flatten(1)


@pytest.fixture(scope="module")
def three() -> tuple:
    parts = heads(three_heads())
    pictures = drawings(("a", "b", "c"), 12)
    return parts, pictures, measure(parts, pictures, n=12, extract=pooled)


def test_every_pair_is_measured_in_every_mode(three) -> None:
    _, _, ways = three
    pairs = [("a", "b"), ("a", "c"), ("b", "c")]
    assert [(w.first, w.last, w.mode) for w in ways] == [(*p, m) for p in pairs for m in MODES]
    assert all(way.length >= 1 for way in ways)
    assert all(1 / way_quality.STEPS <= way.largest_step <= 1 for way in ways)


def test_mixing_pixels_is_a_ghost_and_the_other_modes_are_less_of_one(three) -> None:
    for way in three[2]:
        if way.mode == PIXELS:
            assert way.ghosting == pytest.approx(1, abs=0.02)
        else:
            assert way.ghosting < 0.98


@pytest.mark.parametrize("mode", MODES)
def test_the_numbers_are_those_of_the_pictures_that_the_mix_draws(three, mode: str) -> None:
    parts, pictures, ways = three
    (way,) = (way for way in ways if (way.first, way.last, way.mode) == ("a", "c", mode))
    z = sampling.latents(12, 8, quality.LATENT_SEED)

    def drawn(share: float) -> np.ndarray:
        return mixing.draw([parts[0], parts[2]], z, Recipe((1 - share, share), mode=mode))

    def features(share: float) -> torch.Tensor:
        return pooled(torch.from_numpy(drawn(share)).permute(0, 3, 1, 2))

    real = torch.cat([pooled(quality.choose(pictures.subset([t]), 12)) for t in "ac"])
    near = {"rel": 0.02} if mode == PIXELS else {"rel": 1e-6}  # which is rounded once more
    assert way.kid == pytest.approx(metrics.kid(real, features(0.5)).value, **near)
    ends = torch.cat([features(0)[:6], features(1)[6:]])
    assert way.ends_kid == pytest.approx(metrics.kid(real, ends).value, rel=1e-6)
    for told, pictures in ((way.precision, features(0.5)), (way.ends_precision, ends)):
        assert told == metrics.precision_recall(real, pictures).precision
    few = way_quality.WALKED
    walked = path(torch.stack([features(i / 8)[:few] for i in range(9)]))
    assert (way.length, way.largest_step) == pytest.approx(walked, **near)
    assert way.ghosting == pytest.approx(ghosting(drawn(0.5), drawn(0), drawn(1)), abs=0.02)


def test_only_heads_that_the_data_set_has_are_measured(three) -> None:
    parts, _, _ = three
    told = []
    ways = measure(
        parts, drawings(("c", "a", "other"), 12), n=8, modes=[FEATURES], extract=pooled,
        on_progress=told.append,
    )  # fmt: skip
    assert [(w.first, w.last, w.mode) for w in ways] == [("a", "c", FEATURES)]
    assert told == [0]


def test_what_cannot_be_measured_says_why(three) -> None:
    parts, pictures, _ = three
    with pytest.raises(ValueError, match="7 pictures are too few: measure at least 8"):
        measure(parts, pictures, n=7, extract=pooled)
    with pytest.raises(ValueError, match="has a, x, and the model mixes a, b, c: it takes two"):
        measure(parts, drawings(("a", "x"), 12), n=8, extract=pooled)


# The table --------------------------------------------------------------------------------------

WAYS = [
    Way(PARAMETERS, "a", "b", 1.0, 0.25, 0.5, 0.75, 1.25, 0.125, 0.25),
    Way(PIXELS, "a", "b", 3.0, 0.25, 0.0, 0.75, 1.5, 0.25, 1.0),
    Way(PARAMETERS, "a", "c", 2.0, 0.75, 0.25, 1.0, 1.75, 0.375, 0.75),
    Way(PIXELS, "a", "c", 5.0, 0.75, 0.25, 1.0, 1.5, 0.75, 1.0),
]


def test_the_table_has_a_row_for_each_mode_with_the_mean_of_all_pairs() -> None:
    assert blend_bench.table(WAYS) == [
        "| mode | KID half-way | precision | path length | largest step | ghosting |",
        "| --- | --- | --- | --- | --- | --- |",
        "| the heads themselves | 0.50 | 0.88 |  |  |  |",
        "| Parameters | 1.50 | 0.38 | 1.50 | 25 % | 0.50 |",
        "| Pixels | 4.00 | 0.12 | 1.50 | 50 % | 1.00 |",
    ]


def test_with_pairs_it_has_a_row_for_each_of_them_too() -> None:
    lines = blend_bench.table(WAYS, pairs=True)
    assert lines[0].startswith("| mode | pair |")
    assert lines[2:5] == [
        "| the heads themselves | a, b | 0.25 | 0.75 |  |  |  |",
        "| Parameters | a, b | 1.00 | 0.50 | 1.25 | 12 % | 0.25 |",
        "| Pixels | a, b | 3.00 | 0.00 | 1.50 | 25 % | 1.00 |",
    ]
    assert lines[-2] == "| Parameters | all | 1.50 | 0.38 | 1.50 | 25 % | 0.50 |"
    assert len(lines) == 2 + 6 + 3
    assert len({line.count("|") for line in lines}) == 1


def test_the_command_measures_the_modes_of_a_generator(tmp_path, picture_folder, capfd) -> None:
    source = write_small_checkpoint(tmp_path / "model", tasks=("discs", "squares"))
    words = ["bench", "blends", "--source", source, "--data", picture_folder, "--n", 8]
    assert ganlab(*words) == 0
    title, empty, head, _, *rows = capfd.readouterr().out.splitlines()
    assert title.startswith("model against pictures, 8 pictures half-way between each of 1 pairs")
    assert empty == "" and head.startswith("| mode | KID half-way")
    assert [row.split(" | ")[0] for row in rows] == [
        "| the heads themselves", "| Parameters", "| Features", "| Pixels",
    ]  # fmt: skip
    assert ganlab(*words, "--json") == 0
    ways = json.loads(capfd.readouterr().out)
    assert [way["mode"] for way in ways] == list(MODES)
    assert ganlab(*words[:-1], 3) == 2
    assert "3 pictures are too few" in capfd.readouterr().err
