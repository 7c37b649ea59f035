"""Runs that are refused for what their settings, their states or their curves say."""

import json
import random

import numpy as np
import pytest

from ganlab import vetting
from ganlab.checkpoints import CheckpointError
from ganlab.portable import open_run
from portable.packed import DROP, refused


@pytest.mark.parametrize(
    ("file", "entries"),
    [
        ("run", {"config": "quick"}),
        ("run", {"config": {"unknown": 1}}),
        ("run", {"config": DROP}),
        ("run", {"model": DROP}),
        ("run", {"model": {"architecture": "mlp"}}),
        ("run", {"created": "today"}),
        ("run", {"created": 1e300}),
        ("run", {"created": float("nan")}),
        ("run", {"versions": ["a"]}),
        ("run", {"versions": {"ganlab": {"deep": 1}}}),
        ("run", {"data": {"name": "x"}}),
        ("run", {"data": None}),
        ("run", {"exploded": "yes"}),
        ("run", {"lineage": "x"}),
        ("run", {"lineage": {"run": 7}}),
        ("run", {"lineage": {"run": "\ud800"}}),
        ("run", {"exported": []}),
        ("run", {"name": 7}),
        ("run", {"name": "two\nlines"}),
        ("run", {"name": " spaced "}),
        ("run", {"name": "x" * 61}),
        ("run", {"ancestors": "x"}),
        ("run", {"ancestors": [7]}),
        ("run", {"ancestors": ["x"] * 2000}),
        ("status", {"state": "paused"}),
        ("status", {"state": ["stopped"]}),
        ("status", {"step": -1}),
        ("status", {"step": 1.5}),
        ("status", {"step": True}),
        ("status", {"seconds": float("inf")}),
        ("status", {"seconds": None}),
        ("status", {"message": 5}),
        ("status", {"message": "x" * 10_000}),
        ("status", {"step": DROP}),
    ],
    ids=str,
)
def test_descriptions_that_make_no_sense_are_refused(damaged, tmp_path, file, entries):
    refused(damaged(**{file: entries}), tmp_path / "there")


@pytest.mark.parametrize(
    "settings",
    [{"width": 10**9}, {"learning_rate": "fast"}, {"seconds": None, "steps": None},
     {"tasks": [1]}, {"data": 5}, {"data": "x" * 10_000}, {"preset": "best"}, {"seed": 1e300}],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(damaged, tmp_path, settings):
    refused(damaged(config=settings), tmp_path / "there")


@pytest.mark.parametrize("name", ["model.json", "run/run.json", "run/status.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}', b"9" * 10_000],
    ids=lambda content: str(content[:8]),
)  # fmt: skip
def test_json_of_another_kind_is_refused(damaged, tmp_path, name, content):
    refused(damaged({name: content}), tmp_path / "there")


def test_names_of_tasks_that_would_fill_a_page_are_refused(parts):
    model = json.loads(parts["model.json"])["model"]
    names = [f"{place:03d}".ljust(100, "x") for place in range(200)]
    assert len(vetting.model_of({**model, "tasks": names}).tasks) == 200
    for tasks in ([*names[1:], "y" * 101], ["a", "b" * 2001]):
        with pytest.raises(CheckpointError, match="names that cannot be shown"):
            vetting.model_of({**model, "tasks": tasks})


def test_another_model_at_the_top_than_in_the_run_is_refused(damaged, parts, tmp_path):
    about = json.loads(parts["model.json"])
    about["model"]["z_dim"] += 1
    path = damaged({"model.json": json.dumps(about).encode()})
    refused(path, tmp_path / "there", "describe different models")


@pytest.mark.parametrize("name", ["metrics", "quality"])
@pytest.mark.parametrize(
    "change",
    [{"step": -1}, {"step": 0.5}, {"step": "1"}, {"seconds": float("nan")}, {"seconds": 1e400},
     {"seconds": [1]}, {"seconds": DROP}, {"<script>": 1}, {"x": 1}, {"x": 10**400}, {"copied": 7},
     {"images_per_second": -1}, {"samples": 0}, {"x": True}, {"x": None}, {"x": {"discs": 1}},
     {"kid_of": 1}, {"kid_of": {"discs": "1"}}, {"kid_of": {"discs": [1]}}, {"kid_of": [1]},
     {"d_right_of": {"discs": 1.5}}, {"kid_of": {"x" * 3000: 1}}],
    ids=str,
)  # fmt: skip
def test_curves_that_are_no_numbers_are_refused(damaged, parts, tmp_path, name, change):
    line = json.loads(parts[f"run/{name}.jsonl"].splitlines()[-1])
    line = {k: v for k, v in {**line, **change}.items() if v is not DROP}
    path = damaged({f"run/{name}.jsonl": (json.dumps(line) + "\n").encode()})
    refused(path, tmp_path / "there", f"line 1 of {name}.jsonl")


@pytest.mark.parametrize("content", [b"\xff\n", b"7\n", b"{}\n", b"{\n", b"\n"])
def test_curves_that_are_no_lines_are_refused(damaged, tmp_path, content):
    refused(damaged({"run/metrics.jsonl": content}), tmp_path / "there", "metrics.jsonl")


@pytest.mark.parametrize("name", ["metrics", "quality"])
def test_curves_longer_than_a_run_writes_are_refused(damaged, parts, tmp_path, monkeypatch, name):
    line = json.loads(parts[f"run/{name}.jsonl"].splitlines()[-1])
    lines = [json.dumps({**line, "step": step}) + "\n" for step in range(8)]
    monkeypatch.setattr(vetting, "MAX_LINES", 7)
    fits = damaged({f"run/{name}.jsonl": "".join(lines[:7]).encode()})
    run, _ = open_run(fits, runs=tmp_path / "fine")
    assert len(run.lines(name)) == 7
    path = damaged({f"run/{name}.jsonl": "".join(lines).encode()})
    refused(path, tmp_path / "there", f"{name}.jsonl is longer than any that a run writes")


def test_curves_that_go_back_or_are_cut_off_are_refused(damaged, parts, tmp_path):
    curve = parts["run/metrics.jsonl"]
    last = curve.splitlines(keepends=True)[-1]
    refused(damaged({"run/metrics.jsonl": curve + last}), tmp_path / "there", "out of order")
    refused(damaged({"run/metrics.jsonl": curve[:-1]}), tmp_path / "there", "cut off")


def agreement(**changes) -> bytes:
    line = {"step": 1, "seconds": 0.5, "moments": 1, "cosines": [[1, 0.5], [0.5, 1]], **changes}
    return (json.dumps(line) + "\n").encode()


@pytest.mark.parametrize(
    "content",
    [b"{}\n", b"7\n", agreement()[:-1], agreement() + agreement(), agreement(cosines=[[1]]),
     agreement(cosines=[[1, 2], [2, 1]]), agreement(cosines=[[1, "x"], [0, 1]]),
     agreement(cosines=7), agreement(cosines=[1, 1]), agreement(moments=0), agreement(step=0.5),
     agreement(seconds=-1), agreement(more=1), agreement(seen=[[1, 1]]), agreement(seen=7),
     agreement(seen=[[1, -1], [1, 1]]), agreement(seen=[[1, "x"], [1, 1]]), agreement(seen=None)],
)  # fmt: skip
def test_an_agreement_of_other_tasks_or_none_at_all_is_refused(tmp_path, content):
    path = tmp_path / "agreement.jsonl"
    path.write_bytes(agreement())
    vetting.agreement(path, 2)  # an older run's
    path.write_bytes(agreement(seen=[[1, 0.0], [0.0, 1]]))
    vetting.agreement(path, 2)
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"agreement\.jsonl"):
        vetting.agreement(path, 2)


def test_what_is_no_agreement_is_refused_with_the_run(damaged, tmp_path):
    path = damaged({"run/agreement.jsonl": agreement(cosines="<script>")})
    refused(path, tmp_path / "there", "agreement.jsonl")


def test_json_damaged_behind_the_checksums_is_refused_or_still_a_run(damaged, parts, tmp_path):
    dice = random.Random(1)
    for turn in range(150):
        name = dice.choice(["model.json", "run/run.json", "run/status.json", "run/metrics.jsonl"])
        data = bytearray(parts[name])
        for _ in range(dice.choice((1, 2, 5))):
            data[dice.randrange(len(data))] = dice.choice(b'0129-.e"{}[],:truefalsnN\\\n\xff')
        try:
            run, _ = open_run(damaged({name: bytes(data)}), path=tmp_path / "opened" / str(turn))
        except CheckpointError:
            continue
        assert run.config and run.metrics() and np.isfinite(run.status.seconds)
