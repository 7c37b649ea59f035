"""Vectors as text, whatever the text is."""

import numpy as np
import pytest
import torch

from ganlab.vectors import from_text, to_text


@pytest.mark.parametrize(
    "vector", [[1, -2.5], np.array([1, -2.5], ">f8"), torch.tensor([[1, -2.5]])]
)
def test_vectors_of_all_kinds_come_back_from_text(vector) -> None:
    assert to_text(vector) == "AACAPwAAIMA="
    assert from_text(to_text(vector)).tolist() == [1, -2.5]


@pytest.mark.parametrize("text", ["?", "§", "AA==", "AACAPw", "AACA PwAAIMA="])
def test_text_that_is_no_vector_is_refused(text) -> None:
    with pytest.raises(ValueError):
        from_text(text)
