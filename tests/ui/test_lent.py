"""A Space on ZeroGPU, by a stand-in: the `spaces` package itself needs PyTorch's CUDA build."""

import sys
import threading
from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from ganlab.ui.lent import declare_for_zero_gpu


@pytest.fixture
def spaces(monkeypatch) -> ModuleType:
    """What the package does as ganlab sees it: it notes what is declared, and claims a GPU."""
    package = ModuleType("spaces")
    package.declared, package.threads = [], []

    def gpu(function: Callable) -> None:
        package.declared.append(function)
        package.threads.append(threading.current_thread())

    package.GPU = gpu
    monkeypatch.setitem(sys.modules, "spaces", package)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return package


def test_on_zero_gpu_one_function_is_declared_and_no_gpu_is_claimed(spaces, monkeypatch):
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    declare_for_zero_gpu()
    assert len(spaces.declared) == 1
    assert not torch.cuda.is_available()
    (thread,) = spaces.threads  # whose mode is to end with it
    assert thread is not threading.current_thread() and not thread.is_alive()


def test_elsewhere_nothing_is_declared_and_a_gpu_stays(spaces, monkeypatch):
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    declare_for_zero_gpu()
    assert spaces.declared == []
    assert torch.cuda.is_available()
