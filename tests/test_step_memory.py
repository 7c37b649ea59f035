"""How much memory a step takes, before it is done."""

import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ganlab.caps import CapReached, Caps
from ganlab.config import PRESETS, TrainConfig
from ganlab.data.catalog import CATALOG
from ganlab.step_memory import _kept, _weights, megabytes
from ganlab.transfer_config import TransferConfig

PUBLIC = Caps.of("public")
MOST = {
    "width": 128, "full_size_width": 64, "head_depth": 3, "residual": True, "z_dim": 512,
    "mapping_layers": 8, "palette": 64, "d_steps": 20, "size": 64,
}  # fmt: skip
# Peak of a real step, in MB, in a process of its own.
MEASURE = """
import re, sys, torch
from ganlab import device
from ganlab.config import ModelConfig, TrainConfig
from ganlab.data import catalog
from ganlab.state import fresh_state
from ganlab.step import train_step
def status(key):
    return int(re.search(key + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
def steps(config):
    state = fresh_state(config, ModelConfig.for_dataset(config, data), plan)
    for _ in range(2):
        train_step(state, config, plan, data, measure=False)
data, plan = catalog.load("avatars"), device.plan("fp32")
steps(TrainConfig(steps=1, batch_size=2, precision="fp32"))  # what is loaded once
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
steps(eval(sys.argv[1]))
print(status("VmHWM") - before)
"""


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 64},
        {"batch_size": 32, "width": 64},
        {"batch_size": 6, **MOST, "d_steps": 1},
    ],
    ids=["many", "wide", "all"],
)
def test_it_is_near_what_a_real_step_takes(settings):
    config = TrainConfig(precision="fp32", **{**settings, "d_steps": 1})
    told = subprocess.run(
        [sys.executable, "-c", MEASURE, repr(config)],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True,
    )  # fmt: skip
    taken, estimated = float(told.stdout), megabytes(config, 5)
    print(f"{settings}: {taken:.0f} MB, estimated {estimated:.0f}")
    assert 0.6 * taken < estimated < 1.5 * taken


@pytest.mark.parametrize("data", CATALOG)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_on_every_data_set_is_well_within_the_limit(data, preset):
    entry = CATALOG[data]
    for size in (0, 32, 64):
        config = TrainConfig.from_preset(preset, data=data, size=size)
        assert PUBLIC.bounded(config) == config
        assert megabytes(config, len(entry.tasks), size or entry.size) < 0.6 * PUBLIC.step_mb


def test_too_much_is_refused_with_what_to_lower_and_that_is_let_through():
    config = TrainConfig(batch_size=512)
    with pytest.raises(
        CapReached, match=r"about [\d,]+ MB.*at most 1,000.*GANLAB_MAX_STEP_MB"
    ) as no:
        PUBLIC.bounded(config)
    fits = int(re.search(r"a batch size of (\d+) fits", str(no.value))[1])
    assert PUBLIC.bounded(replace(config, batch_size=fits))
    with pytest.raises(CapReached, match="GANLAB_MAX_STEP_MB"):
        PUBLIC.bounded(replace(config, batch_size=fits + 4))
    with pytest.raises(CapReached, match="lower the width, or the depth of the heads"):
        PUBLIC.bounded(TrainConfig(batch_size=512, data="fashion", **MOST))
    with pytest.raises(CapReached, match="GANLAB_MAX_STEP_MB"):
        PUBLIC.bounded(TransferConfig(batch_size=512, strategy="race"))
    assert Caps().bounded(config) == config


def test_it_is_quick():
    megabytes(TrainConfig(), 1)  # what PyTorch loads at first
    _kept.cache_clear()
    _weights.cache_clear()
    began = time.process_time()
    megabytes(TrainConfig(batch_size=512, **MOST), 10)
    assert time.process_time() - began < 0.5  # 0.15 alone
