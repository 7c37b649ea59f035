"""What tests of the command line share: how they give a command, and what is small in it."""

from pathlib import Path

import numpy as np

from ganlab.__main__ import main

SMALL = ["--width", 8, "--z-dim", 8, "--batch-size", 8, "--precision", "fp32"]
TEN_STEPS = ["--steps", 10, "--precision", "fp32"]


def ganlab(*words: object) -> int:
    return main([str(word) for word in words])


def last_line(text: str) -> str:
    return text.replace("\r", "\n").splitlines()[-1]


def sampled(source: object, file: Path, *flags: object) -> dict[str, np.ndarray]:
    assert ganlab("sample", source, "--out", file, *flags) == 0
    with np.load(file) as arrays:  # allows no pickle
        return dict(arrays)
