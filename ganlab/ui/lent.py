"""A Space on ZeroGPU starts only if it declares a function for the GPU that is lent per call.

ganlab has none: a training outlives such a call. It declares one that nobody calls, and stays on
the Space's CPU (see `device.gpu_is_lent`).
"""

from concurrent.futures import ThreadPoolExecutor

import torch

from ganlab import device


def _for_no_gpu() -> None:
    """What is declared."""


def _declare() -> None:
    import spaces  # of ZeroGPU alone, which installs it

    spaces.GPU(_for_no_gpu)
    # That package has PyTorch claim a GPU, which Adam then asks something at every step, on a CPU
    # too; the answer is an error. Outside of calls there is none, so that is what it says.
    torch.cuda.is_available = lambda: False


def declare_for_zero_gpu() -> None:
    """Does so, on ZeroGPU; to be called before the page is launched.

    In a thread that ends with it: the package puts the one that imports it into a mode in which all
    operations go through Python, and the plan would be made by timings of that.
    """
    if device.gpu_is_lent():
        with ThreadPoolExecutor(1) as apart:
            apart.submit(_declare).result()
