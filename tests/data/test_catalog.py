"""The catalogue: what is bundled is what is promised, and downloads work or say why not."""

import gzip
import hashlib
import io
import os
import pickle
import re
import struct
import tarfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.data import catalog, download
from ganlab.data.catalog import CATALOG, DatasetUnavailable, is_ready, load, preview

ROOT = Path(__file__).parents[2]
BUNDLED = [name for name, entry in CATALOG.items() if entry.download_mb is None]
DOWNLOADS = [name for name in CATALOG if name not in BUNDLED]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of its own and empty caches for every test; no proxy before loopback."""
    monkeypatch.setenv("GANLAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(catalog, "_cache", type(catalog._cache)())
    catalog._make_preview.cache_clear()
    return tmp_path / "home"


def write_pictures(folder: Path, count: int = 3) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (40, 40), (i, 100, 200)).save(folder / f"{i}.png")
    return folder


# What is bundled -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_data_set_holds_what_its_entry_promises(name):
    entry = CATALOG[name]
    dataset = load(name)
    assert dataset.name == name
    assert dataset.tasks == entry.tasks
    assert len(dataset) == entry.pictures
    assert (dataset.size, dataset.channels) == (entry.size, entry.channels)
    per_task = torch.bincount(dataset.task_ids)
    assert (per_task == entry.pictures // len(entry.tasks)).all()


def test_the_bundled_data_sets_are_the_ones_that_were_announced():
    assert {name: CATALOG[name].pictures for name in BUNDLED} == {
        "avatars": 5 * 2000,
        "fashion": 10 * 1000,
        "robots": 60,
        "line-art": 60,
        "emoji": 60,
    }
    assert [name for name in BUNDLED if CATALOG[name].few_shot] == ["robots", "line-art", "emoji"]
    assert sorted(path.stem for path in catalog.BUNDLED_FOLDER.iterdir()) == sorted(BUNDLED)


def test_the_bundled_zips_are_small_enough_to_carry_along():
    assert sum(path.stat().st_size for path in catalog.BUNDLED_FOLDER.iterdir()) < 40e6


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_zip_is_sorted_stored_and_free_of_time_stamps(name):
    with zipfile.ZipFile(catalog.BUNDLED_FOLDER / f"{name}.zip") as bundle:
        infos = bundle.infolist()
    assert [info.filename for info in infos] == sorted(info.filename for info in infos)
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}


def test_no_two_few_shot_pictures_are_the_same():
    for name in ("robots", "line-art", "emoji"):
        images = load(name).images
        assert len(torch.unique(images.flatten(1), dim=0)) == len(images)


def test_every_bundled_data_set_and_task_is_named_in_the_notice():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for name in BUNDLED:
        assert f"{name}.zip" in notice
    for task in CATALOG["avatars"].tasks:
        assert f"avatars: {task} " in notice
    for licence in ("CC BY 4.0", "CC0 1.0", "SIL Open Font License", "Zalando SE", "DiceBear"):
        assert licence in notice


@pytest.mark.parametrize("name", CATALOG)
def test_every_entry_has_a_sentence_a_licence_and_sorted_tasks(name):
    entry = CATALOG[name]
    assert entry.name == name and entry.title
    assert entry.summary.endswith(".") and len(entry.summary) < 100
    assert entry.licence and "\n" not in entry.licence
    assert list(entry.tasks) == sorted(entry.tasks)
    assert entry.size in (32, 64) and entry.channels in (1, 3)


def test_the_scripts_name_no_download_host_and_no_path_of_a_machine():
    for path in (ROOT / "scripts").glob("**/*"):
        is_text = path.is_file() and path.suffix != ".zip"  # of pictures
        if is_text and "node_modules" not in path.parts:
            text = path.read_text(encoding="utf-8")
            assert '"resolved":' not in text and "https:" not in text and "/home/" not in text


# Loading -------------------------------------------------------------------------------------


def test_bundled_data_sets_load_in_another_size_and_only_the_chosen_tasks():
    dataset = load("avatars", size=32, tasks=["pixel-art", "micah"])
    assert dataset.tasks == ("pixel-art", "micah")
    assert dataset.images.shape == (4000, 3, 32, 32)


def test_a_folder_and_a_zip_load_by_their_path(tmp_path):
    folder = write_pictures(tmp_path / "mine")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as bundle:
        for path in folder.iterdir():
            bundle.write(path, path.name)
    assert load(str(folder)).tasks == ("mine",)
    assert load(str(tmp_path / "packed.zip")).tasks == ("packed",)


@pytest.mark.parametrize("source", ["avatar", "", "nowhere/at/all.zip"])
def test_an_unknown_source_is_answered_with_the_catalogue(source):
    with pytest.raises(ValueError, match=r"choose avatars, fashion.*path of a folder or a zip"):
        load(source)


def test_sizes_that_no_model_has_are_refused_before_anything_is_read():
    with pytest.raises(ValueError, match=r"48.*choose 32 or 64"):
        load("mnist", size=48)


def test_loading_tells_what_it_does_and_how_far_it_is():
    calls = []
    load("robots", on_progress=lambda done, text: calls.append((done, text)))
    assert calls[-1] == (1.0, "Reading Robots")


def test_a_second_load_gives_the_same_data_set_at_once(tmp_path):
    assert load("robots") is load("robots")
    assert load("robots") is not load("robots", size=32)
    folder = write_pictures(tmp_path / "mine")
    assert load(str(folder)) is load(str(folder))


def test_a_source_that_has_changed_is_read_again(tmp_path):
    folder = write_pictures(tmp_path / "mine", 3)
    assert len(load(str(folder))) == 3
    write_pictures(folder, 5)
    assert len(load(str(folder))) == 5
    os.utime(folder / "0.png", ns=(time.time_ns() + 10**9,) * 2)
    assert load(str(folder)) is load(str(folder))


def test_so_many_bytes_of_pictures_stay_in_memory_those_used_last(monkeypatch):
    robots, emoji = load("robots"), load("emoji")
    room = robots.images.nbytes + emoji.images.nbytes
    monkeypatch.setattr(catalog, "_CACHED_BYTES", room)
    assert load("robots") is robots
    assert load("emoji") is emoji
    load("line-art")
    assert load("emoji") is emoji
    assert load("robots") is not robots
    monkeypatch.setattr(catalog, "_CACHED_BYTES", 1)
    assert load("line-art") is load("line-art")  # the last one stays, however large it is


def test_all_tasks_named_in_their_order_are_the_whole_set():
    whole = load("robots")
    assert load("robots", tasks=list(whole.tasks)) is whole


def test_many_threads_may_load_at_once():
    names = ["robots", "emoji", "line-art"] * 8
    with ThreadPoolExecutor(6) as pool:
        loaded = list(pool.map(load, names))
    assert [dataset.name for dataset in loaded] == names


# Previews ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUNDLED)
def test_a_preview_is_a_strip_of_real_pictures(name):
    size = CATALOG[name].size
    strip = preview(name, 6)
    assert strip.size == (6 * size + 5 * 2, size)
    first = np.asarray(strip.crop((0, 0, size, size))).transpose(2, 0, 1)
    expected = load(name).images[0].expand(3, -1, -1).numpy()
    assert np.array_equal(first, expected)


def test_a_preview_shows_each_task_in_turn():
    strip = preview("avatars", 5)
    dataset = load("avatars")
    for place in range(5):
        shown = np.asarray(strip.crop((66 * place, 0, 66 * place + 64, 64))).transpose(2, 0, 1)
        first_of_task = int((dataset.task_ids == place).nonzero()[0])
        assert np.array_equal(shown, dataset.images[first_of_task].numpy())


def test_a_preview_skips_what_is_broken_and_shows_what_there_is(tmp_path):
    folder = write_pictures(tmp_path / "mine", 3)
    (folder / "0.png").write_bytes(b"broken")
    assert preview(str(folder), 12).size == (2 * 64 + 2, 64)


def test_there_is_no_preview_before_a_download():
    for name in DOWNLOADS:
        assert not is_ready(name) and preview(name) is None


# Downloads, from a server on loopback ----------------------------------------------------------


class Server:
    """Serves a folder over HTTP on loopback and notes what is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        asked = self.asked

        class Handler(SimpleHTTPRequestHandler):
            def log_message(self, *_args) -> None:
                asked.append(self.path)

        handler = partial(Handler, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, name: str, content: bytes) -> str:
        """Serve this, and give its md5."""
        (self.folder / name).write_bytes(content)
        return hashlib.md5(content).hexdigest()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(tmp_path):
    (tmp_path / "served").mkdir()
    server = Server(tmp_path / "served")
    yield server
    server.close()


def idx(values: np.ndarray) -> bytes:
    """A gzipped file of the MNIST family."""
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    return gzip.compress(header + values.tobytes(), mtime=0)


def serve_mnist(server: Server, monkeypatch, name: str = "mnist") -> np.ndarray:
    """Make torchvision's class point to a tiny data set of the true form; gives its pictures."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 28, 28), dtype=np.uint8)
    labels = (np.arange(20) % 10).astype(np.uint8)
    files = {
        "train-images-idx3-ubyte.gz": idx(images),
        "train-labels-idx1-ubyte.gz": idx(labels),
        "t10k-images-idx3-ubyte.gz": idx(images[:10]),
        "t10k-labels-idx1-ubyte.gz": idx(labels[:10]),
    }
    resources = [(file_name, server.add(file_name, files[file_name])) for file_name in files]
    family = download.torchvision_class(name)
    monkeypatch.setattr(family, "mirrors", [server.url])
    monkeypatch.setattr(family, "resources", resources)
    return images


def dead_url() -> str:
    """An address on loopback where nobody listens."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as once:
        return f"http://127.0.0.1:{once.server_port}/"


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
def test_a_download_arrives_padded_and_sorted_by_task(server, monkeypatch, name):
    images = serve_mnist(server, monkeypatch, name)
    dataset = load(name)
    assert dataset.tasks == CATALOG[name].tasks
    assert dataset.images.shape == (20, 1, 32, 32)
    assert np.array_equal(dataset.images[:, 0, 2:-2, 2:-2].numpy(), images)
    classes = download._CLASSES[name]
    assert [dataset.tasks[i] for i in dataset.task_ids] == [classes[i % 10] for i in range(20)]


def test_a_download_tells_how_far_it_is_in_megabytes(server, monkeypatch):
    serve_mnist(server, monkeypatch)
    calls = []
    load("mnist", on_progress=lambda done, text: calls.append((done, text)))
    fractions = [done for done, text in calls if text.startswith("Downloading")]
    assert fractions == sorted(fractions) and fractions[0] == 0 < fractions[-1] <= 1
    pattern = r"Downloading MNIST: \d+\.\d of 11\.6 MB|Reading MNIST"
    assert all(re.fullmatch(pattern, text) for _, text in calls)
    assert calls[-1] == (1.0, "Reading MNIST")


def test_what_is_downloaded_once_needs_no_server_again(server, monkeypatch, home):
    serve_mnist(server, monkeypatch)
    first = load("mnist")
    assert is_ready("mnist") and len(server.asked) == 4
    assert preview("mnist").size == (12 * 34 - 2, 32)
    catalog._cache.clear()
    monkeypatch.setattr(download.torchvision_class("mnist"), "mirrors", [dead_url()])
    assert load("mnist").manifest() == first.manifest()
    assert load("mnist", tasks=["3"]).tasks == ("3",)
    assert load("mnist", size=64).size == 64
    assert all((home / "cache") in path.parents for path in home.rglob("*ubyte*"))


def test_a_download_goes_on_where_it_broke_off(server, monkeypatch):
    serve_mnist(server, monkeypatch)
    missing = server.folder / "t10k-labels-idx1-ubyte.gz"
    content = missing.read_bytes()
    missing.unlink()
    with pytest.raises(DatasetUnavailable, match="error 404"):
        load("mnist")
    assert not is_ready("mnist")
    server.asked.clear()
    missing.write_bytes(content)
    load("mnist")
    assert len(server.asked) == 1


def test_the_next_mirror_is_asked_when_one_is_dead_or_gives_damaged_files(
    server, monkeypatch, tmp_path
):
    serve_mnist(server, monkeypatch)
    (tmp_path / "damaged").mkdir()
    damaged = Server(tmp_path / "damaged")
    damaged.add("train-images-idx3-ubyte.gz", b"damaged")
    family = download.torchvision_class("mnist")
    monkeypatch.setattr(family, "mirrors", [dead_url(), damaged.url, server.url])
    assert len(load("mnist")) == 20
    damaged.close()


def test_a_damaged_download_is_refused_and_leaves_nothing_behind(server, monkeypatch, home):
    serve_mnist(server, monkeypatch)
    server.add("train-images-idx3-ubyte.gz", b"damaged")
    with pytest.raises(DatasetUnavailable, match="what arrived is damaged"):
        load("mnist")
    assert not [path for path in home.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", DOWNLOADS)
def test_without_a_connection_one_sentence_says_what_how_large_and_what_to_do(name, monkeypatch):
    family = download.torchvision_class(name)
    monkeypatch.setattr(family, "mirrors", [dead_url()], raising=False)
    monkeypatch.setattr(family, "url", dead_url(), raising=False)
    started = time.monotonic()
    with pytest.raises(DatasetUnavailable) as caught:
        load(name)
    assert time.monotonic() - started < 5
    text, entry = str(caught.value), CATALOG[name]
    assert text.startswith(f"{entry.title} ({entry.download_mb:.0f} MB) is not on this machine")
    assert "no connection" in text and "choose a bundled data set (avatars, fashion)" in text
    assert text.endswith(".") and text.count(". ") == 0


def test_a_download_can_be_called_off_from_its_progress(server, monkeypatch):
    serve_mnist(server, monkeypatch)

    def stop(done: float, text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load("mnist", on_progress=stop)
    assert len(load("mnist")) == 20


def cifar_archive(rng: np.random.Generator) -> tuple[bytes, dict[str, bytes]]:
    """A tiny CIFAR-10 with traps among its members, and its true files."""
    batch = {"data": rng.integers(0, 256, (10, 3072), dtype=np.uint8), "labels": list(range(10))}
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    files = {name: pickle.dumps(batch) for name in names}
    files["batches.meta"] = pickle.dumps({"label_names": list(CATALOG["cifar10"].tasks)})
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        evil = tarfile.TarInfo("../../../evil")
        evil.size = 4
        archive.addfile(evil, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("cifar-10-batches-py/test_batch")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    return packed.getvalue(), files


def test_cifar_is_unpacked_without_following_the_paths_of_its_archive(
    server, monkeypatch, tmp_path
):
    content, files = cifar_archive(np.random.default_rng(0))
    md5s = {name: hashlib.md5(data).hexdigest() for name, data in files.items()}
    family = download.torchvision_class("cifar10")
    monkeypatch.setattr(family, "url", server.url + "cifar.tar.gz")
    monkeypatch.setattr(family, "tgz_md5", server.add("cifar.tar.gz", content))
    train = [[name, md5s[name]] for name in files if name.startswith("data_batch")]
    monkeypatch.setattr(family, "train_list", train)
    monkeypatch.setattr(family, "test_list", [["test_batch", md5s["test_batch"]]])
    monkeypatch.setattr(family, "meta", family.meta | {"md5": md5s["batches.meta"]})

    dataset = load("cifar10")
    assert dataset.images.shape == (50, 3, 32, 32)
    assert torch.bincount(dataset.task_ids).tolist() == [5] * 10
    expected = pickle.loads(files["data_batch_1"])["data"].reshape(-1, 3, 32, 32)
    assert np.array_equal(dataset.images[:10].numpy(), expected)
    assert not list(tmp_path.rglob("evil")) and not list(tmp_path.parent.glob("evil"))
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]
