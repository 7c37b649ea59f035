"""Choosing how to compute: timed once, kept in a file, overridden by the environment."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ganlab import device
from ganlab.device import Plan
from ganlab.device import measure as really_measure

ROOT = Path(__file__).parents[1]
FOUND = Plan("cpu", "bf16", 3, 123.0)


@pytest.fixture
def timings(monkeypatch) -> list[Plan]:
    """Counts how often the machine is timed; each timing finds FOUND."""
    counted = []

    def measure() -> Plan:
        counted.append(FOUND)
        return FOUND

    monkeypatch.setattr(device, "measure", measure)
    return counted


@pytest.fixture
def cache(home) -> Path:
    return home / "cache" / "device.json"


# Kept in a file -----------------------------------------------------------------------------


def test_the_machine_is_timed_once_and_then_remembered(timings, cache):
    assert device.plan() == FOUND
    assert cache.exists()
    assert device.plan() == FOUND
    assert len(timings) == 1


def test_a_file_of_this_machine_is_believed_without_timing(timings, cache):
    device.plan()
    content = json.loads(cache.read_text())
    content["plan"] |= {"precision": "fp32", "threads": 1, "steps_per_second": 7.0}
    cache.write_text(json.dumps(content))
    assert device.plan() == Plan("cpu", "fp32", 1, 7.0)
    assert len(timings) == 1


@pytest.mark.parametrize("entry", ["cpu", "cores", "cuda", "torch"])
def test_a_file_of_another_machine_or_torch_is_timed_anew(timings, cache, entry):
    device.plan()
    content = json.loads(cache.read_text())
    content["machine"][entry] = "another"
    cache.write_text(json.dumps(content))
    assert device.plan() == FOUND
    assert len(timings) == 2
    device.plan()  # and from now on this machine's is remembered
    assert len(timings) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'"x"',
        b"null",
        b"{}",
        b'{"plan": {"device": "cpu"}}',
        b'{"machine": {}}',
    ],
)
def test_a_damaged_file_is_timed_anew_and_mended(timings, cache, content):
    device.plan()
    cache.write_bytes(content)
    assert device.plan() == FOUND
    assert len(timings) == 2
    assert device.plan() == FOUND
    assert len(timings) == 2


NOT_TIMED = {**FOUND.__dict__, "steps_per_second": 0.0}
DAMAGED = [{}, {"device": "cpu"}, {"steps_per_second": 1, "speed": 1}, [], None, 5]


def test_a_plan_that_was_not_timed_is_not_believed(timings, cache):
    device.plan()
    cache.write_text(json.dumps({**json.loads(cache.read_text()), "plan": NOT_TIMED}))
    assert device.plan() == FOUND
    assert len(timings) == 2


@pytest.mark.parametrize("plan", DAMAGED)
def test_a_damaged_plan_of_this_machine_is_timed_anew(timings, cache, plan, caplog):
    device.plan()
    content = json.loads(cache.read_text())
    cache.write_text(json.dumps({**content, "plan": plan}))
    with caplog.at_level(logging.WARNING):
        assert device.plan() == FOUND
    assert len(timings) == 2
    assert "is damaged" in caplog.text


class Processes:
    """Each finds the machine so busy, and so fast."""

    def __init__(self, monkeypatch):
        self.timings, self._patch = 0, monkeypatch

    def plan(self, steps_per_second: float, *, was_busy: bool) -> Plan:
        def measure() -> Plan:
            self.timings += 1
            return replace(FOUND, steps_per_second=steps_per_second, was_busy=was_busy)

        self._patch.setattr(device, "measure", measure)
        self._patch.setattr(device, "_of_this_process", {})
        first = device.plan()
        assert device.plan() == first  # within one process, it stays
        return first


def test_what_a_busy_machine_did_is_timed_again_by_the_next_process(monkeypatch, cache):
    processes = Processes(monkeypatch)
    assert processes.plan(10.0, was_busy=True).steps_per_second == 10
    assert processes.plan(120.0, was_busy=False).steps_per_second == 120
    assert processes.plan(110.0, was_busy=False).steps_per_second == 120
    assert processes.timings == 2


def test_a_machine_that_is_always_busy_is_timed_three_times_and_the_best_stays(monkeypatch, cache):
    processes = Processes(monkeypatch)
    speeds = [processes.plan(each, was_busy=True).steps_per_second for each in (30.0, 20, 40, 50)]
    assert speeds == [30, 30, 40, 40]
    assert processes.timings == 3


def test_what_cannot_be_kept_is_timed_once_in_each_process(timings, cache, monkeypatch, caplog):
    def full(file: Path, content: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(device, "write_json", full)
    assert device.plan() == device.plan() == FOUND
    assert len(timings) == 1 and not cache.exists()
    assert "No space left on device" in caplog.text


# Overridden ---------------------------------------------------------------------------------


def test_the_environment_overrides_what_was_found(timings, monkeypatch):
    monkeypatch.setenv("GANLAB_DEVICE", "cpu")
    monkeypatch.setenv("GANLAB_PRECISION", "fp32")
    monkeypatch.setenv("GANLAB_THREADS", "1")
    assert device.plan() == replace(FOUND, precision="fp32", threads=1)


def test_an_override_is_not_remembered(timings, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("GANLAB_THREADS", "1")
        assert device.plan().threads == 1
    assert device.plan().threads == 3


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_precision_of_a_run_comes_before_the_environment(timings, monkeypatch, precision):
    monkeypatch.setenv("GANLAB_PRECISION", "fp32" if precision == "bf16" else "bf16")
    assert device.plan(precision).precision == precision
    assert device.plan("auto").precision != precision


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("GANLAB_DEVICE", "tpu", "set it to cpu or cuda"),
        ("GANLAB_PRECISION", "int8", "set it to fp32 or bf16"),
        ("GANLAB_PRECISION", "auto", "set it to fp32 or bf16"),
        ("GANLAB_THREADS", "0", "set it to a whole number from 1"),
        ("GANLAB_THREADS", "-2", "set it to a whole number from 1"),
        ("GANLAB_THREADS", "1.5", "set it to a whole number from 1"),
        ("GANLAB_THREADS", "many", "set it to a whole number from 1"),
        ("GANLAB_THREADS", "", "set it to a whole number from 1"),
    ],
)
def test_a_wrong_override_is_named_together_with_the_remedy(
    timings, monkeypatch, name, value, remedy
):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError) as error:
        device.plan()
    assert str(error.value) == f"{name} is {value!r}: {remedy}"


def test_cuda_is_refused_where_there_is_none(timings, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("GANLAB_DEVICE", "cuda")
    with pytest.raises(ValueError, match="GANLAB_DEVICE is 'cuda', but PyTorch finds no CUDA"):
        device.plan()


def test_an_unknown_precision_is_named_together_with_the_remedy(timings):
    with pytest.raises(ValueError, match="precision is 'fp8': choose auto, fp32 or bf16"):
        device.plan("fp8")


def test_the_layout_can_be_set_and_an_unknown_one_is_named(timings, monkeypatch):
    monkeypatch.setenv("GANLAB_LAYOUT", "contiguous")
    assert device.plan().memory_format is torch.contiguous_format
    monkeypatch.setenv("GANLAB_LAYOUT", "diagonal")
    with pytest.raises(ValueError, match="GANLAB_LAYOUT is 'diagonal': set it to channels_last or"):
        device.plan()


# A GPU that is lent per call ----------------------------------------------------------------


@pytest.fixture
def lent(monkeypatch) -> None:
    """ZeroGPU, as its package patches PyTorch: there seems to be a GPU, and any use of it outside
    of a call that it is lent to fails the test."""

    def touched(*args) -> None:
        pytest.fail("CUDA was touched")

    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("get_device_name", "is_bf16_supported", "synchronize", "_lazy_init"):
        monkeypatch.setattr(torch.cuda, name, touched)


def test_a_lent_gpu_is_left_alone(lent, monkeypatch):
    monkeypatch.setattr(device, "measure", really_measure)
    monkeypatch.setattr(device, "_SECONDS_PER_CANDIDATE", 0.0)
    assert device.plan().device == "cpu"
    assert device.plan().device == "cpu"  # and as it was remembered
    assert device.in_words().endswith(
        ": this Space's GPU is lent per call, which a training cannot use"
    )


def test_a_lent_gpu_cannot_be_asked_for(lent, timings, monkeypatch):
    monkeypatch.setenv("GANLAB_DEVICE", "cuda")
    with pytest.raises(ValueError, match="'cuda', but this Space's GPU is lent per call"):
        device.plan()


def test_what_computes_here_is_told_in_words(timings, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.in_words() == "CPU, 3 threads, bf16: no GPU is here"
    monkeypatch.setenv("GANLAB_THREADS", "1")
    assert device.in_words() == "CPU, 1 thread, bf16: no GPU is here"


def test_a_gpu_is_told_by_its_name_and_why_it_rests(timings, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA A10G")
    monkeypatch.setenv("GANLAB_DEVICE", "cuda")
    assert device.in_words() == "NVIDIA A10G, bf16"
    monkeypatch.setenv("GANLAB_DEVICE", "cpu")
    assert device.in_words() == "CPU, 3 threads, bf16: GANLAB_DEVICE says so"


@pytest.mark.parametrize(
    ("text", "cores"),
    [("200000 100000\n", 2), ("150000 100000", 2), ("50000 100000", 1), ("max 100000", None),
     ("", None), (None, None)],
)  # fmt: skip
def test_a_container_is_given_the_time_of_some_cores(tmp_path, monkeypatch, text, cores):
    file = tmp_path / "cpu.max"
    if text is not None:
        file.write_text(text)
    given = device._cores_given(file)
    assert given == (cores or sys.maxsize)
    monkeypatch.setattr(device, "_cores_given", lambda: given)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)
    assert device.available_cores() == (cores or 16)


# Measured -----------------------------------------------------------------------------------


@pytest.mark.alone
def test_measuring_takes_under_two_seconds_and_leaves_the_threads_alone():
    torch.set_num_threads(1)
    for _ in range(3):  # whatever else the machine does may spoil one timing
        start = time.perf_counter()
        plan = really_measure()
        seconds = time.perf_counter() - start
        if seconds < 2:
            break
    assert seconds < 2
    assert torch.get_num_threads() == 1
    assert plan.steps_per_second > 1
    assert plan.precision in ("fp32", "bf16")
    assert 1 <= plan.threads <= device.available_cores()
    assert plan.device == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.alone
def test_whether_the_machine_had_something_else_to_do_is_known():
    assert any(not really_measure().was_busy for _ in range(3))
    busy = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(busy) for _ in range(2 * device.available_cores())]
    try:
        assert really_measure().was_busy
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_the_fastest_candidate_wins(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "available_cores", lambda: 8)
    last, plain = device.LAYOUTS
    speeds = {
        ("fp32", 8, last): 1.0,
        ("bf16", 8, last): 3.0,
        ("fp32", 8, plain): 2.0,
        ("bf16", 8, plain): 4.0,
        ("bf16", 4, plain): 5.0,  # half of the threads: only of the best so far
    }
    tried = []

    def timed(plans: list[Plan], step, deadline) -> list[Plan]:
        keys = [(plan.precision, plan.threads, plan.layout) for plan in plans]
        tried.extend(keys)
        return [replace(p, steps_per_second=speeds[k]) for p, k in zip(plans, keys, strict=True)]

    monkeypatch.setattr(device, "_time", timed)
    assert really_measure() == Plan("cpu", "bf16", 4, 5.0, plain)
    assert sorted(tried) == sorted(speeds)


def test_a_neighbour_who_is_busy_for_a_while_does_not_decide(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(device.time, "perf_counter", lambda: clock.now)
    quick, slow = Plan("cpu", "fp32", 1), Plan("cpu", "bf16", 1)

    def step(plan: Plan) -> None:
        busy = clock.now < device._SECONDS_PER_CANDIDATE  # while the first alone would be timed
        clock.now += (4 if busy else 1) * (0.02 if plan is quick else 0.03)

    timed = device._time([quick, slow], step, deadline=60.0)
    assert [round(plan.steps_per_second, 3) for plan in timed] == [50, 33.333]


def test_what_is_hopeless_is_timed_once(monkeypatch):
    clock, tried = SimpleNamespace(now=0.0), []
    monkeypatch.setattr(device.time, "perf_counter", lambda: clock.now)
    quick, emulated = Plan("cpu", "fp32", 1), Plan("cpu", "bf16", 1)
    odd = replace(quick, layout="contiguous")  # slow by chance, perhaps: its precision is not
    seconds = {quick: 0.02, odd: 0.2, emulated: 0.11}

    def step(plan: Plan) -> None:
        tried.append(plan)
        clock.now += seconds[plan]

    timed = device._time(list(seconds), step, deadline=60.0)
    assert [round(plan.steps_per_second, 3) for plan in timed] == [50, 5, 9.091]
    assert tried.count(emulated) == 2  # once to warm up
    assert tried.count(quick) == tried.count(odd) >= 6


def test_on_a_busy_machine_the_best_of_what_was_timed_soon_wins(monkeypatch):
    clock, tried = SimpleNamespace(now=0.0), []
    monkeypatch.setattr(device.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "available_cores", lambda: 8)

    def step(plan: Plan) -> None:
        tried.append((plan.precision, plan.layout, plan.threads))
        clock.now += 1.5 if plan.layout == "channels_last" else 0.5

    monkeypatch.setattr(device, "_timed_step", lambda: step)
    assert really_measure() == Plan("cpu", "fp32", 8, 2.0, "contiguous")
    assert len(tried) == 1 + 4 and clock.now == 1.5 + device._MOST_SECONDS


@pytest.mark.parametrize("seconds", [3.0, 30.0])
def test_however_slow_a_machine_is_its_plan_has_a_speed(monkeypatch, seconds):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(device.time, "perf_counter", lambda: clock.now)

    def step(plan: Plan) -> None:
        clock.now += seconds

    def prepare() -> Callable[[Plan], None]:
        clock.now += seconds  # PyTorch loads what it needs
        return step

    monkeypatch.setattr(device, "_timed_step", prepare)
    assert really_measure().steps_per_second == pytest.approx(1 / seconds)


def test_the_operations_of_the_timed_step_are_counted_right():
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        device._timed_step()(Plan("cpu", "fp32", 1))
    # The first layer needs no gradient of its pictures: the count may be a sixth too high.
    assert 5 / 6 <= counter.get_total_flops() / device.FLOPS_OF_TIMED_STEP <= 1


# Applied ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_a_plan_computes_convolutions_in_its_precision(precision, dtype):
    plan, layer = Plan("cpu", precision, 1), torch.nn.Conv2d(3, 3, 3)
    for _ in range(2):  # a fresh context each time
        with plan.autocast():
            assert layer(torch.zeros(1, 3, 8, 8)).dtype == dtype
    assert layer(torch.zeros(1, 3, 8, 8)).dtype == torch.float32


def test_a_plan_sets_the_threads_of_whoever_computes():
    def work() -> None:
        Plan("cpu", "fp32", 2).apply_threads()
        seen.append(torch.get_num_threads())

    seen: list[int] = []
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert seen == [2]
    Plan("cpu", "fp32", 1).apply_threads()
    assert torch.get_num_threads() == 1


def test_after_the_warm_up_an_optimiser_loads_nothing_more():
    code = """
import sys, torch
from ganlab import device
device.warm_up()
before = set(sys.modules)
torch.optim.Adam([torch.zeros(1, requires_grad=True)])
print(len(set(sys.modules) - before))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == ("0", "")
