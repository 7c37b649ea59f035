"""Torchvision beside a CPU build of torch; in processes of their own, as imports happen once."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_torchvision_imports_in_a_fresh_process_once_prepared():
    code = """
from ganlab.compat import prepare_torchvision
prepare_torchvision()
prepare_torchvision()
import torch, torchvision
import torchvision.transforms.v2 as v2
print(tuple(v2.Resize(8)(torch.zeros(3, 16, 16)).shape), torchvision.datasets.MNIST.__name__)
"""
    assert run_python(code) == "(3, 8, 8) MNIST"


def test_preparing_leaves_operators_alone_that_are_there_already():
    code = """
import torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from ganlab import compat
compat.prepare_torchvision()
print(compat._declarations.cache_info().currsize)
"""
    assert run_python(code) == "0"


def test_the_data_modules_do_not_import_torchvision_before_it_is_needed():
    code = """
import sys
from ganlab.data import catalog
catalog.load("robots")
print([catalog.is_ready(name) for name in ("robots", "avatars")], "torchvision" in sys.modules)
"""
    assert run_python(code) == "[True, True] False"
