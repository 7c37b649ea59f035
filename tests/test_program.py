"""The command line as a program: words that it does not know, its version, and Ctrl-C."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from commands import SMALL, ganlab

from ganlab import __version__, device
from ganlab.runs import Run

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["paint"],
        ["train", "--steps", "many"],
        ["train", "--steps", "2.5"],
        ["train", "--architecture", "vae"],
        ["train", "--preset", "best"],
        ["train", "--size", "48"],
        ["train", "--colour", "red"],
        ["train", "--tasks"],
        ["sample"],
        ["sample", "somewhere"],
        ["resume"],
        ["evaluate", "somewhere"],
        ["evaluate", "somewhere", "--data", "avatars", "--features", "vgg"],
        ["bench"],
        ["bench", "patience"],
    ],
)
def test_what_the_parser_does_not_know_ends_with_status_2(capfd, words):
    with pytest.raises(SystemExit) as ending:
        ganlab(*words)
    printed, complaint = capfd.readouterr()
    assert ending.value.code == 2
    assert printed == ""
    assert "error: " in complaint.splitlines()[-1]


def test_the_program_tells_its_version():
    words = [sys.executable, "-m", "ganlab", "--version"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"ganlab {__version__}\n")


def test_ctrl_c_stops_saves_and_measures(picture_folder, tmp_path):
    device.plan()  # in the home that both share, so that the program need not time
    out = tmp_path / "run"
    settings = [str(word) for word in SMALL]
    process = subprocess.Popen(
        [sys.executable, "-m", "ganlab", "train", "--data", picture_folder, "--seconds", "600",
         "--out", out, "--json", *settings],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 60
        while not ((out / "quality.jsonl").exists() and Run(out).quality()):  # its beginning
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.02)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        before = time.monotonic()
        while Run(out).status.state != "stopped":
            assert time.monotonic() < before + 5
            time.sleep(0.02)
        printed, complaint = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Traceback" not in complaint
    told, run = json.loads(printed), Run(out)
    assert told["state"] == run.status.state == "stopped"
    assert told["steps"] > 0
    assert run.snapshot_steps()[-1] == told["steps"] == run.quality()[-1]["step"]
    assert torch.tensor([line["step"] for line in run.metrics()]).diff().gt(0).all()
