"""Vectors as text: base64 of little-endian float32, as pages send them and files hold them."""

import base64
from typing import Any

import numpy as np


def to_text(vector: Any) -> str:
    """Of an array or a tensor; its shape is lost."""
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()


def from_text(text: str) -> np.ndarray:
    """All numbers (n,), or ValueError if it is no such text."""
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4")
