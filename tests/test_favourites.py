"""Favourites as files and in a browser's store."""

import base64
import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from ganlab.favourites import (
    FORMAT,
    MOST,
    Favourite,
    from_file,
    merged,
    of_store,
    to_json,
    to_png,
    to_store,
)


def favourite(seed: int = 0, **changes) -> Favourite:
    z = np.random.default_rng(seed).normal(size=8).astype("<f4")
    values = {"model": "small", "title": "Klein & fein", "head": "a"}
    return Favourite(**values | {"z": base64.b64encode(z.tobytes()).decode()} | changes)


@pytest.mark.parametrize("kind", ["json", "png"])
def test_what_was_downloaded_is_loaded_again_bit_for_bit(tmp_path, kind):
    kept = [favourite(i, head="größe") for i in range(3)]
    path = tmp_path / f"mine.{kind}"
    if kind == "json":
        path.write_text(to_json(kept), encoding="utf-8")
    else:
        path.write_bytes(to_png(kept, Image.new("RGB", (24, 8))))
    assert from_file(path) == kept
    assert np.array_equal(from_file(path)[0].latent, kept[0].latent)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"x", b"[]", b"7", b"null", b"\xff\xfe", b"[" * 100_000, b"{}", b"\x89PNG\r\n\x1a\n",
        json.dumps({"format": "other", "favourites": []}).encode(),
        json.dumps({"format": FORMAT, "favourites": {}}).encode(),
        json.dumps({"format": FORMAT, "favourites": [7]}).encode(),
        json.dumps({"format": FORMAT, "favourites": [{}] * (MOST + 1)}).encode(),
    ],
)  # fmt: skip
def test_what_holds_no_favourites_is_refused_by_name(tmp_path, content):
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.json"):
        from_file(path)


def test_a_picture_without_favourites_is_refused(tmp_path):
    path = tmp_path / "holiday.png"
    Image.new("RGB", (8, 8)).save(path)
    with pytest.raises(ValueError, match=r"holiday\.png holds no favourites"):
        from_file(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": 7}, {"model": "x" * 201}, {"title": None}, {"head": "x" * 301}, {"z": ""},
        {"z": "?"}, {"z": "AA=="}, {"z": base64.b64encode(np.full(8, np.nan, "<f4")).decode()},
        {"z": "A" * 100_000},
    ],
)  # fmt: skip
def test_what_is_no_favourite_is_left_out_of_a_store(changes):
    odd = asdict(favourite()) | changes
    assert of_store({"odd": odd, **to_store([favourite(1)])}) == [favourite(1)]
    with pytest.raises(ValueError, match="it holds"):
        Favourite.from_dict(odd)


@pytest.mark.parametrize("store", [None, 7, "x", [], [{}], {}, {"a": None}, {"a": []}, {"a": {}}])
def test_a_store_that_holds_anything_else_is_empty(store):
    assert of_store(store) == []


def test_a_store_has_each_under_a_key_of_its_own_in_order():
    kept = [favourite(2), favourite(1), favourite(1, head="b")]
    store = to_store(kept)
    assert of_store(store) == kept and list(store) == [each.key for each in kept]


def test_each_is_kept_once_and_only_so_many():
    first = [favourite(i) for i in range(3)]
    assert merged(first, [favourite(2), favourite(9)]) == [*first, favourite(9)]
    with pytest.raises(ValueError, match=f"{MOST + 1} favourites, and {MOST} are kept"):
        merged([favourite(i) for i in range(MOST)], [favourite(MOST)])


def test_a_picture_that_is_huge_unpacked_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (4000, 4000)).save(path)
    with pytest.raises(ValueError, match=r"bomb\.png is damaged"):
        from_file(path)
