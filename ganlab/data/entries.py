"""The catalogue: what the page shows of each data set, so that listing them reads no file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CatalogEntry:
    """A data set as the page shows it.

    Attributes:
        summary: one friendly sentence.
        licence: licence and author, in one line.
        size: of the pictures in pixels, as `load` gives them when not told otherwise.
        few_shot: a handful of pictures, meant as the target of a transfer.
        download_mb: None = bundled.
        first_task_only: one task keeps a first, short training sharp.
        mirrors: as of a `Dataset`.
    """

    name: str
    title: str
    summary: str
    licence: str
    tasks: tuple[str, ...]
    size: int
    channels: int
    pictures: int
    few_shot: bool = False
    download_mb: float | None = None
    first_task_only: bool = False
    mirrors: bool = True

    @property
    def suggested(self) -> tuple[str, ...]:
        """The tasks that a first training should take on."""
        return self.tasks[:1] if self.first_task_only else self.tasks


_FASHION_TASKS = (
    "ankle-boot",
    "bag",
    "coat",
    "dress",
    "pullover",
    "sandal",
    "shirt",
    "sneaker",
    "t-shirt",
    "trouser",
)

_ENTRIES = (
    CatalogEntry(
        name="avatars",
        title="Avatars",
        summary="Cartoon faces in five drawing styles, each style a task of its own.",
        licence=(
            "DiceBear styles: Avataaars by Pablo Stanley (free for personal and commercial use), "
            "Micah by Micah Lanier (CC BY 4.0), Open Peeps by Pablo Stanley (CC0 1.0), Personas "
            "by Draftbit (CC BY 4.0), Pixel Art by DiceBear (CC0 1.0)"
        ),
        tasks=("avataaars", "micah", "open-peeps", "personas", "pixel-art"),
        size=64,
        channels=3,
        pictures=10_000,
        first_task_only=True,
        mirrors=False,
    ),
    CatalogEntry(
        name="fashion",
        title="Fashion",
        summary="Small grey photos of clothes, shoes and bags: quick to train on.",
        licence="Fashion-MNIST, MIT, by Zalando SE",
        tasks=_FASHION_TASKS,
        size=32,
        channels=1,
        pictures=10_000,
        mirrors=False,
    ),
    CatalogEntry(
        name="robots",
        title="Robots",
        summary="Sixty robot heads: too few to train on alone, enough to teach a trained model.",
        licence="Bottts by Pablo Stanley (free for personal and commercial use), via DiceBear",
        tasks=("robots",),
        size=64,
        channels=3,
        pictures=60,
        few_shot=True,
    ),
    CatalogEntry(
        name="line-art",
        title="Line art",
        summary="Sixty portraits in black ink, a style for a trained model to take on.",
        licence="Lorelei by Lisa Wischofsky (CC0 1.0), via DiceBear",
        tasks=("line-art",),
        size=64,
        channels=3,
        pictures=60,
        few_shot=True,
        mirrors=False,
    ),
    CatalogEntry(
        name="emoji",
        title="Emoji",
        summary="Sixty round emoji faces: they grin, cry, freeze and melt.",
        licence="Noto Color Emoji, SIL Open Font License 1.1, by Google Inc.",
        tasks=("emoji",),
        size=64,
        channels=3,
        pictures=60,
        few_shot=True,
    ),
    CatalogEntry(
        name="mnist",
        title="MNIST",
        summary="Handwritten digits, the classic first data set.",
        licence="MNIST, CC BY-SA 3.0, by Yann LeCun and Corinna Cortes",
        tasks=tuple("0123456789"),
        size=32,
        channels=1,
        pictures=60_000,
        download_mb=11.6,
        mirrors=False,
    ),
    CatalogEntry(
        name="fashion-mnist",
        title="Full Fashion-MNIST",
        summary="All sixty thousand training pictures of Fashion-MNIST.",
        licence="Fashion-MNIST, MIT, by Zalando SE",
        tasks=_FASHION_TASKS,
        size=32,
        channels=1,
        pictures=60_000,
        download_mb=30.9,
        mirrors=False,
    ),
    CatalogEntry(
        name="kmnist",
        title="Kuzushiji-MNIST",
        summary="Brushed Japanese characters from old books.",
        licence="KMNIST, CC BY-SA 4.0, by CODH (ROIS-DS), adapted from the Kuzushiji Dataset",
        tasks=("ha", "ki", "ma", "na", "o", "re", "su", "tsu", "wo", "ya"),
        size=32,
        channels=1,
        pictures=60_000,
        download_mb=21.3,
        mirrors=False,
    ),
    CatalogEntry(
        name="cifar10",
        title="CIFAR-10",
        summary="Tiny colour photos of animals and vehicles: hard for a small model.",
        licence="CIFAR-10, no explicit licence, by Krizhevsky, Nair and Hinton",
        tasks=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        size=32,
        channels=3,
        pictures=50_000,
        download_mb=170.5,
    ),
)

CATALOG: dict[str, CatalogEntry] = {entry.name: entry for entry in _ENTRIES}
