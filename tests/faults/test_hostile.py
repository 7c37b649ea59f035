"""Files made to do harm, wherever a stranger's file comes in: refused in a sentence, soon, and
without much memory. (What else of a zip is refused, `tests/portable` knows.)"""

import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import drawings
from safetensors.torch import load, save
from sources import small_source, tiny_transfer

from faults.acts import refusal
from ganlab import transfer
from ganlab.export import export
from ganlab.perform import perform
from ganlab.runs import Run

MOST_MEMORY = 250_000_000  # of a process that could have 1.5 GB
OWN_MEMORY = 150_000_000  # what a server that has just started reads meanwhile
MOST_SECONDS = 30
MODEL, RUN, TOP = "model.json", "run/run.json", "generator.safetensors"
OF_SOURCE = ("run/source/generator.safetensors", "run/source/discriminator.safetensors")

PLACES = (TOP, "training", *OF_SOURCE)

Answer = dict[str, Any]


def in_turn(names: Iterable[str], places: Sequence[str]) -> list[tuple[str, str]]:
    """Each name with one of the places: what all of them share need not be tried at each."""
    return list(zip(names, cycle(places), strict=False))


@pytest.fixture(scope="module")
def opener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, Path], Answer]]:
    folder = tmp_path_factory.mktemp("opens") / "runs"
    folder.mkdir()
    command = [sys.executable, str(Path(__file__).with_name("opens.py")), str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "ready\n"

        def open_it(kind: str, path: Path) -> Answer:
            process.stdin.write(json.dumps([kind, str(path)]) + "\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            left = [] if kind == "zip" and not answer["refused"] else [*folder.parent.iterdir()]
            assert left in ([], [folder]) and not any(folder.glob(".*"))  # nothing outside
            return answer

        yield open_it
        process.stdin.close()


@pytest.fixture
def refuses(opener) -> Callable[[str, Path], str]:
    def check(kind: str, path: Path) -> str:
        answer = opener(kind, path)
        assert answer["refused"], answer
        assert answer["said"]
        assert len(answer["said"]) < 1000
        assert answer["grew"] < MOST_MEMORY, answer
        assert answer["seconds"] < MOST_SECONDS, answer
        return answer["said"]

    return check


@pytest.fixture
def parts(made_once, tmp_path: Path) -> dict[str, bytes]:
    """What is in the zip of a transfer."""

    def make() -> Path:
        config = tiny_transfer("finetune", steps=3)
        dataset = drawings(("discs",), 12)
        run, _ = transfer.create(config, dataset, small_source(), runs=tmp_path / "runs")
        perform(run)
        return run.path

    path = export(Run(made_once("hostile", make)), tmp_path / "export")
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def zipped(parts, tmp_path: Path) -> Callable[..., Path]:
    def make(changed: dict[str, bytes]) -> Path:
        path = tmp_path / "hostile.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in {**parts, **changed}.items():
                archive.writestr(name, content)
        return path

    return make


def test_what_nobody_has_changed_is_opened(opener, zipped):
    answer = opener("zip", zipped({}))
    assert answer["said"] == ""
    assert answer["grew"] < MOST_MEMORY


# Tensors.


def with_header(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(dtype: Any = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


MANY = 100_000
BOMBS: dict[str, bytes] = {
    "a header of 2^63 bytes": with_header({}, length=2**63),
    "a header of a terabyte": with_header({}, length=10**12),
    "a header one byte too long": with_header({"a": entry()}, length=10**6),
    "a deep header": with_header(b'{"a":' + b"[" * 5_000_000 + b"]" * 4),
    "a deep object": with_header(b'{"a":' * 1_000_000),
    "a long name": with_header({"a" * 9_000_000: entry()}, bytes(4)),
    "much about nothing": with_header({"__metadata__": {"a": "x" * 9_000_000}}),
    "many empty tensors": with_header({f"a{i}": entry("F32", [0], [0, 0]) for i in range(MANY)}),
    "many small tensors": with_header(
        {f"{i}": entry("U8", [1], [i, i + 1]) for i in range(MANY)}, bytes(MANY)
    ),
    "overlapping tensors": with_header({"a": entry(), "b": entry()}, bytes(4)),
    "a gap": with_header({"a": entry(), "b": entry(offsets=(8, 12))}, bytes(12)),
    "out of the file": with_header({"a": entry(offsets=(10**9, 10**9 + 4))}, bytes(4)),
    "backwards": with_header({"a": entry(offsets=(4, 0))}, bytes(4)),
    "negative": with_header({"a": entry(offsets=(-4, 0))}, bytes(4)),
    "a shape of 2^62": with_header({"a": entry(shape=(2**31, 2**31))}, bytes(4)),
    "a shape that overflows": with_header({"a": entry(shape=(2**33, 2**33))}, bytes(4)),
    "a shape beyond numbers": with_header({"a": entry(shape=(10**30,))}, bytes(4)),
    "a negative shape": with_header({"a": entry(shape=(-1, -1))}, bytes(4)),
    "a deep shape": with_header({"a": entry(shape=[1] * 500_000)}, bytes(4)),
    "a broken shape": with_header({"a": entry(shape=(1.5,))}, bytes(4)),
    "an unknown kind": with_header({"a": entry("PICKLE")}, bytes(4)),
    "a kind that is none": with_header({"a": entry({"__reduce__": "os.system"})}, bytes(4)),
    "the same name twice": with_header(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},'
        b'"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}', bytes(36)
    ),
    "a way out": with_header({"../../../etc/passwd": entry()}, bytes(4)),
}  # fmt: skip


def training_of(parts: dict[str, bytes]) -> str:
    return next(name for name in parts if name.endswith("/training.safetensors"))


@pytest.mark.parametrize(("bomb", "place"), in_turn(BOMBS, PLACES))
def test_tensors_made_to_do_harm_are_refused(refuses, zipped, parts, place, bomb):
    name = training_of(parts) if place == "training" else place
    refuses("zip", zipped({name: BOMBS[bomb]}))


def of_kind(dtype: torch.dtype) -> Callable[[dict], dict]:
    return lambda tensors: {name: tensor.to(dtype) for name, tensor in tensors.items()}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "change",
    [of_kind(torch.complex64), of_kind(torch.bool), of_kind(torch.float8_e5m2)],
    ids=["complex", "bool", "float8"],
)
def test_weights_of_an_odd_kind_are_refused_or_read_as_numbers(
    opener, zipped, parts, place, change
):
    name = training_of(parts) if place == "training" else place
    answer = opener("zip", zipped({name: save(change(load(parts[name])))}))
    assert answer["refused"] or not answer["said"], answer
    assert answer["grew"] < MOST_MEMORY


# JSON.


def changed(content: bytes, *path: str, value: Any) -> bytes:
    values = json.loads(content)
    inner = values
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return json.dumps(values).encode()


HUGE = 10**6
OF_MODEL = {
    "width": HUGE, "size": HUGE, "z_dim": 10**9, "channels": HUGE, "mapping_layers": HUGE,
    "palette": HUGE, "full_size_width": HUGE, "head_depth": HUGE, "mean_shift": HUGE,
    "tasks": [str(i) for i in range(50_000)], "architecture": "os.system",
}  # fmt: skip


@pytest.mark.parametrize("name", OF_MODEL)
def test_a_network_of_a_million_is_not_built(refuses, zipped, parts, name):
    for_source = changed(parts["run/source/model.json"], "model", name, value=OF_MODEL[name])
    refuses("zip", zipped({"run/source/model.json": for_source}))
    model = changed(parts[MODEL], "model", name, value=OF_MODEL[name])
    run = changed(parts[RUN], "model", name, value=OF_MODEL[name])
    refuses("zip", zipped({MODEL: model, RUN: run}))


def test_a_head_for_each_of_a_hundred_thousand_tasks_is_not_cut(refuses, zipped, parts):
    config = json.loads(parts[RUN])["config"]
    heads = config["heads"] * 100_000
    tasks = [str(i) for i in range(len(heads))]
    run = changed(parts[RUN], "config", "heads", value=heads)
    refuses("zip", zipped({RUN: changed(run, "config", "tasks", value=tasks)}))


TEXTS: dict[str, bytes] = {
    "deep": b"[" * 900_000,
    "deep objects": b'{"a":' * 150_000,
    "a number without end": b'{"format":1,"model":' + b"9" * 900_000 + b"}",
    "an endless number": b'{"format":1,"model":1e999999}',
    "no number": b'{"format":NaN,"model":Infinity}',
    "the same twice": b'{"format":1,"format":2,"model":{},"model":null}',
    "no text": b"\xff\xfe\x00{",
    "many": b'{"a":[' + b"[]," * 300_000 + b"[]]}",
}
FILES = (MODEL, RUN, "run/status.json", "run/source/model.json", "run/data/manifest.json")


@pytest.mark.parametrize(("text", "file"), [*in_turn(TEXTS, FILES), *in_turn(TEXTS, FILES[::-1])])
def test_json_made_to_do_harm_is_refused(refuses, zipped, file, text):
    refuses("zip", zipped({file: TEXTS[text]}))


@pytest.mark.parametrize("file", ["run/data/manifest.json", "run/metrics.jsonl"])
def test_json_that_takes_little_room_but_much_memory_is_refused(refuses, zipped, file):
    refuses("zip", zipped({file: b'{"pictures":[' + b"[]," * 6_000_000 + b"[]]}\n"}))


def test_more_pictures_than_an_upload_may_have_are_refused(refuses, zipped, parts):
    manifest = json.loads(parts["run/data/manifest.json"])
    manifest["pictures"] = [{**manifest["pictures"][0], "file": f"x/{i}.png"} for i in range(6000)]
    said = refuses("zip", zipped({"run/data/manifest.json": json.dumps(manifest).encode()}))
    assert "more than 5,000 pictures" in said


FAVOURITES: dict[str, bytes] = {
    **TEXTS,
    "much of nothing": b'{"format":"ganlab favourites 1","favourites":[' + b"{}," * 5_000_000,
    "long vectors": json.dumps(
        {
            "format": "ganlab favourites 1",
            "favourites": [{"model": "m", "title": "t", "head": "h", "z": "A" * 15_000_000}],
        }
    ).encode(),
    "a long name": json.dumps(
        {
            "format": "ganlab favourites 1",
            "favourites": [{"model": "m" * 15_000_000, "title": "t", "head": "h", "z": "AAAA"}],
        }
    ).encode(),
    "no vector": json.dumps(
        {
            "format": "ganlab favourites 1",
            "favourites": [{"model": "m", "title": "t", "head": "h", "z": "AADAfwAAwH8="}],
        }
    ).encode(),
}  # fmt: skip


@pytest.mark.parametrize("text", FAVOURITES)
def test_favourites_made_to_do_harm_are_refused(refuses, tmp_path, text):
    path = tmp_path / "favourites.json"
    path.write_bytes(FAVOURITES[text])
    refuses("favourites", path)


# Over the page.


def test_a_page_refuses_them_all_and_lives_on(server, visitor, zipped, parts, tmp_path):
    places, files = cycle(PLACES), cycle(FILES)
    zips = [{next(places): bomb} for bomb in BOMBS.values()]
    zips += [{next(files): text} for text in TEXTS.values()]
    zips = [{training_of(parts) if n == "training" else n: c for n, c in z.items()} for z in zips]
    mine = visitor.open_zip(zipped({}))
    before, runs = memory_of(server.pid), [*server.home.glob("runs/*")]
    for changes in zips:
        assert refusal(visitor.open_zip, zipped(changes)), changes.keys()
    for text in FAVOURITES.values():
        path = tmp_path / "favourites.json"
        path.write_bytes(text)
        (named,) = visitor.upload(path)
        assert refusal(visitor.press, "favourites-load", "upload", **{"favourites-load": named})
    assert memory_of(server.pid) - before < MOST_MEMORY + OWN_MEMORY
    assert [*server.home.glob("runs/*")] == runs
    assert visitor.told(mine) is not None
    assert "Traceback" not in server.said(), server.said()[-4000:]


def memory_of(pid: int) -> int:
    """The most bytes that a process has had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
