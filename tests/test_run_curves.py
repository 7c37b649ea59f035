"""A run's curves and grids."""

import pytest

from ganlab.runs import Run

# Its curves ---------------------------------------------------------------------------------


def test_logged_lines_come_back_in_order(run):
    lines = [{"step": step, "loss_d": 0.25 * step} for step in range(5)]
    for line in lines:
        run.log_metrics(line)
    assert Run(run.path).metrics() == lines


def test_numbers_are_logged_in_six_digits_but_for_steps(run):
    run.log_metrics({"step": 12_345_678, "loss_d": 2 / 3e7, "score_real": -1234.56789})
    line = {"step": 12_345_678, "loss_d": 6.66667e-08, "score_real": -1234.57}
    assert run.metrics() == [line]


def test_quality_is_a_curve_of_its_own(run):
    run.log_metrics({"step": 1, "loss_d": 0.5})
    run.log_quality({"step": 2, "kid": 1.5})
    with open(run.path / "quality.jsonl", "a") as file:
        file.write('{"step": 3')
    assert run.metrics() == [{"step": 1, "loss_d": 0.5}]
    assert Run(run.path).quality() == [{"step": 2, "kid": 1.5}]


@pytest.mark.parametrize("kept", range(1, len('{"step": 1, "loss_d": 0.5}\n')))
def test_a_line_cut_short_by_a_crash_is_left_out(run, kept):
    run.log_metrics({"step": 0, "loss_d": 0.25})
    path = run.path / "metrics.jsonl"
    with open(path, "a") as file:
        file.write('{"step": 1, "loss_d": 0.5}\n'[:kept])
    assert run.metrics() == [{"step": 0, "loss_d": 0.25}]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_never_logged(run, value):
    run.log_metrics({"step": 0, "loss_d": 0.25})
    with pytest.raises(ValueError):
        run.log_metrics({"step": 1, "loss_d": value})
    assert run.metrics() == [{"step": 0, "loss_d": 0.25}]
    assert (run.path / "metrics.jsonl").read_text().count("\n") == 1


# Its grids ----------------------------------------------------------------------------------


def test_grids_are_found_by_their_step_in_the_order_of_steps(run):
    for step in (0, 1_234_567, 99, 1000):
        run.save_grid(step, f"JPEG {step}".encode())
    assert run.grid_steps() == [0, 99, 1000, 1_234_567]
    assert run.grid(99) == b"JPEG 99"
    assert run.grid(1_234_567) == b"JPEG 1234567"


def test_going_on_from_a_step_forgets_the_curves_and_grids_past_it(run):
    for step in range(0, 50, 10):
        run.log_metrics({"step": step})
        run.log_quality({"step": step, "kid": 1.0})
        run.save_grid(step, b"JPEG")
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 4')
    run.forget_after(20)
    assert [line["step"] for line in run.metrics()] == [0, 10, 20]
    assert [line["step"] for line in run.quality()] == [0, 10, 20]
    assert run.grid_steps() == [0, 10, 20]
    run.log_metrics({"step": 21})
    assert [line["step"] for line in run.metrics()] == [0, 10, 20, 21]


def test_a_run_without_curves_has_nothing_to_forget(run):
    run.forget_after(0)
    assert run.metrics() == []
