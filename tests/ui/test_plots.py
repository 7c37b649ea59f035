"""What the page draws of a run: its pictures, and the curves of its losses and its quality."""

import base64
import io
import re

import pytest
from markup import jpeg, read
from PIL import Image

from ganlab.data import catalog
from ganlab.data.catalog import CATALOG
from ganlab.losses import LOSSES
from ganlab.ui import curves, figures

# Pictures -----------------------------------------------------------------------------------------


def test_a_grid_is_shown_as_it_is_with_its_step_and_its_tasks():
    picture = jpeg(64, 32)
    html = figures.grid_figure(picture, 12345, ("discs", "squares"))
    page = read(html)
    assert page.attributes["src"] == "data:image/jpeg;base64," + base64.b64encode(picture).decode()
    assert (page.attributes["width"], page.attributes["height"]) == ("64", "32")
    assert page.attributes["alt"] == "Generated pictures at step 12345"
    assert "Step 12,345" in page.text
    assert re.findall(r"<span>(.*?)</span>", html) == ["discs", "squares"]


def test_the_rows_of_one_task_need_no_name():
    assert "discs" not in figures.grid_figure(jpeg(64, 32), 7, ("discs",))


@pytest.mark.parametrize("name", CATALOG)
def test_the_card_of_a_data_set_shows_real_pictures_and_the_licence(name):
    entry = CATALOG[name]
    page = read(figures.data_card(entry, catalog.preview(name, 3)))
    assert entry.summary in page.text
    assert entry.licence in page.text
    assert f"{entry.pictures:,} pictures · {entry.size} px" in page.text
    if entry.download_mb is None:
        packed = page.attributes["src"].removeprefix("data:image/png;base64,")
        with Image.open(io.BytesIO(base64.b64decode(packed))) as strip:
            assert strip.height == entry.size
    else:
        assert f"Not on this machine yet: a download of {entry.download_mb:.0f} MB" in page.text


@pytest.mark.parametrize("html", [figures.EMPTY, figures.HEADER, figures.WAITING_FOR_GRID])
def test_fixed_parts_of_the_page_are_well_formed(html):
    assert read(html).text.strip()


# Curves -------------------------------------------------------------------------------------------

CURVE = [
    {"step": 1.0, "loss_g": 0.5, "loss_d": 1.5, "score_real": 3.0, "score_fake": 1.0},
    {"step": 9.0, "loss_g": 0.4, "loss_d": 1.4, "score_real": 7.0, "score_fake": 5.0},
]


def test_a_frame_has_a_row_for_each_step_and_series():
    frame = curves.frame(CURVE, curves.LOSS_SERIES)
    assert list(frame.columns) == ["step", "value", "series"]
    assert frame.values.tolist() == [
        [1.0, 0.5, "G"],
        [9.0, 0.4, "G"],
        [1.0, 1.5, "D"],
        [9.0, 1.4, "D"],
    ]


def test_a_frame_of_nothing_has_its_columns():
    frame = curves.frame([], curves.SCORE_SERIES)
    assert list(frame.columns) == ["step", "value", "series"]
    assert len(frame) == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_scores_are_centred_where_only_their_difference_counts(loss):
    values = curves.score_frame(CURVE, loss)["value"].tolist()
    centred = [1.0, 1.0, -1.0, -1.0]
    assert values == (centred if LOSSES[loss].shift_free else [3.0, 7.0, 1.0, 5.0])
    assert CURVE[0]["score_real"] == 3.0  # what was given is left as it was


def test_every_series_is_logged_by_the_training(new_run, dataset):
    from ganlab.training import train

    run = new_run(steps=2)
    run.move("running")
    train(run, dataset)
    logged = run.metrics()[-1]
    for series in (curves.LOSS_SERIES, curves.SCORE_SERIES, curves.NORM_SERIES):
        assert set(series) <= set(logged)
        assert len(curves.frame(run.metrics(), series)) == 2 * len(run.metrics())


LOOKS = [
    {"step": 100.0, "kid": 8.0, "diversity": 0.5},
    {"step": 200.0, "kid": 2.0, "diversity": 0.75},
    {"step": 300.0, "kid": 4.0, "diversity": 1.25},
]


def points(frame, series: str) -> list[list[float]]:
    return frame[frame["series"] == series][["step", "value"]].values.tolist()


def test_the_best_snapshot_is_an_upright_line_through_the_curve_of_kid():
    frame = curves.kid_frame(LOOKS, 200)
    assert points(frame, "KID") == [[100.0, 8.0], [200.0, 2.0], [300.0, 4.0]]
    (x, low), (also_x, high) = points(frame, "best snapshot")
    assert x == also_x == 200
    assert low == 0
    assert high > 8
    assert "best snapshot" not in set(curves.kid_frame(LOOKS, None)["series"])


def test_the_axis_of_a_negative_kid_reaches_below_nought():
    looks = [{"step": 1, "kid": -0.02}, {"step": 2, "kid": 0.5}]
    assert points(curves.kid_frame(looks, 1), "best snapshot")[0] == [1, -0.02]


def test_diversity_is_plotted_beside_that_of_the_data():
    frame = curves.diversity_frame(LOOKS, 200)
    assert points(frame, "generated") == [[100.0, 0.5], [200.0, 0.75], [300.0, 1.25]]
    assert points(frame, "real") == [[100.0, 1.0], [200.0, 1.0], [300.0, 1.0]]
    assert points(frame, "best snapshot")[1][1] > 1.25
    assert all("of_real" not in line for line in LOOKS)  # what was given is left as it was
