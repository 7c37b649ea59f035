"""Who is related to whom, over transfers, races, branches, downloads: what may be mixed."""

import json
import zipfile
from pathlib import Path

import pytest
from commands import ganlab
from conftest import tiny
from sources import small_source, tiny_transfer, write_small_checkpoint

from ganlab import checkpoints, contest, kinship, transfer
from ganlab.data.dataset import Dataset
from ganlab.export import export, zip_shipped
from ganlab.kinship import fingerprint
from ganlab.opened import Opened, open_checkpoint, open_named, open_run, open_shipped, together
from ganlab.perform import perform
from ganlab.portable import open_run as open_download
from ganlab.portable import without_ids
from ganlab.runs import Run, new_id
from ganlab.source import open_source


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two checkpoints that learnt apart."""
    monkeypatch.setattr(checkpoints, "SHIPPED", tmp_path / "shelf")
    for name in ("small", "other"):
        folder = write_small_checkpoint(tmp_path / "shelf" / name)
        about = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps({**about, "name": name}))
    return tmp_path / "shelf"


@pytest.fixture
def learn(tmp_path: Path, one_task: Dataset):
    """Makes a transfer to discs: `learn("small")`, by a strategy, into a folder."""

    def make(
        source: str | Path, strategy: str = "finetune", path: Path | None = None, **changes
    ) -> Run:
        opened = open_source(str(source))
        config = tiny_transfer(strategy, steps=2, heads=opened.config.tasks[:1], **changes)
        where = {"path": path} if path else {"runs": tmp_path / "home" / "runs"}
        run, _ = transfer.create(config, one_task, opened, **where)
        perform(run)
        return run

    return make


@pytest.fixture
def trained(picture_folder: Path, new_run) -> Run:
    run = new_run(data=str(picture_folder), steps=2)
    perform(run)
    return run


def are_kin(one: Opened, other: Opened) -> bool:
    """Asks in both directions; a refusal has to be for want of an ancestor."""
    answers = []
    for first, second in ((one, other), (other, one)):
        try:
            answers.append(bool(together(first, second)))
        except ValueError as error:
            assert "no common ancestor" in str(error)
            answers.append(False)
    assert answers[0] == answers[1]
    return answers[0]


# Transfers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["finetune", "thaw", "freezed", "ewc"])
def test_a_transfer_is_kin_of_what_it_learnt_from(learn, strategy: str) -> None:
    child = open_run(learn("small", strategy))
    assert are_kin(child, open_shipped("small"))
    assert not are_kin(child, open_shipped("other"))


def test_a_transfer_of_a_transfer_is_kin_of_both(learn) -> None:
    child = learn("small")
    grandchild = open_run(learn(child.path))
    for ancestor in (open_shipped("small"), open_run(child)):
        assert are_kin(grandchild, ancestor)
    assert not are_kin(grandchild, open_shipped("other"))


def test_two_siblings_are_kin(learn) -> None:
    one, other, stranger = learn("small"), learn("small", "freezed"), learn("other")
    assert are_kin(open_run(one), open_run(other))
    assert not are_kin(open_run(one), open_run(stranger))


def test_what_began_as_noise_has_no_ancestor(learn) -> None:
    run = learn("small", "scratch")
    assert kinship.of_run(run) == [fingerprint(run.id)]
    assert not are_kin(open_run(run), open_shipped("small"))
    assert are_kin(open_run(learn(run.path)), open_run(run))  # but it can have children


def test_laps_of_a_race_are_kin_if_they_began_from_its_source(
    tmp_path: Path, one_task: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest, "SAMPLES", 32)
    config = tiny_transfer("race", racers=("scratch", "finetune", "freezed"), steps=2)
    race, _ = transfer.create(config, one_task, open_source("small"), runs=tmp_path / "runs")
    perform(race)
    laps = {name: open_run(contest.lap_run(race, name)) for name in config.laps}
    taken = {name: open_run(contest.take(race, name, tmp_path / "own")[0]) for name in config.laps}
    for each in (laps, taken):
        assert are_kin(each["finetune"], open_shipped("small"))
        assert are_kin(each["finetune"], each["freezed"])
        assert not are_kin(each["scratch"], open_shipped("small"))
        assert not are_kin(each["scratch"], each["freezed"])
    assert are_kin(laps["finetune"], taken["freezed"])


def test_edited_heads_are_kin_of_what_was_edited_and_of_its_kin(learn, tmp_path: Path) -> None:
    words = ["heads", "small", "--add", "half", "a=1,b=1", "--out", tmp_path / "edited"]
    assert ganlab(*words) == 0
    run = Run(tmp_path / "edited")
    for each in (open_run(run), open_checkpoint(export(run, tmp_path / "zips"))):
        assert are_kin(each, open_shipped("small"))
        assert are_kin(each, open_run(learn("small")))
        assert not are_kin(each, open_shipped("other"))
    assert are_kin(open_run(learn(run.path)), open_shipped("small"))


# Runs that go on --------------------------------------------------------------------------------


def test_a_run_that_goes_on_from_another_is_its_kin(trained: Run, tmp_path: Path) -> None:
    branch, _ = trained.branch(tiny(data=trained.config.data, steps=3), tmp_path / "runs", 2)
    again, _ = trained.branch(tiny(data=trained.config.data, steps=3), tmp_path / "runs", None)
    for run in (branch, again):
        perform(run)
    assert are_kin(open_run(branch), open_run(trained))
    assert not are_kin(open_run(again), open_run(trained))  # the same settings, from nothing


def test_a_remedy_of_a_remedy_is_kin_of_the_first_run(
    tmp_path: Path, picture_folder: Path, new_run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And stays so when the run between is deleted."""
    first = new_run(data=str(picture_folder), steps=2)
    perform(first)
    second, _ = first.branch(tiny(data=str(picture_folder), steps=3), tmp_path / "runs", 2)
    second.describe(ancestors=kinship.of_run(first))  # as `Jobs` does
    perform(second)
    third, _ = second.branch(tiny(data=str(picture_folder), steps=4), tmp_path / "runs", 3)
    third.describe(ancestors=kinship.of_run(second))
    perform(third)
    assert are_kin(open_run(third), open_run(first))


def test_a_branch_of_a_transfer_is_kin_of_the_source(learn, tmp_path: Path) -> None:
    run = learn("small")
    branch, _ = run.branch(run.config.with_more_budget(), tmp_path / "runs", 2)
    perform(branch)
    assert are_kin(open_run(branch), open_shipped("small"))
    assert are_kin(open_run(branch), open_run(run))


# Downloads --------------------------------------------------------------------------------------


def test_a_download_is_kin_of_its_origin_as_a_run_and_as_a_model(learn, tmp_path: Path) -> None:
    run = learn("small")
    packed = export(run, tmp_path / "zips")
    copy = open_run(open_download(packed, runs=tmp_path / "there")[0])
    for each in (copy, open_checkpoint(packed)):
        assert are_kin(each, open_run(run))
        assert are_kin(each, open_shipped("small"))
        assert are_kin(each, open_run(learn("small", "freezed")))
        assert not are_kin(each, open_shipped("other"))


def test_a_download_of_a_download_is_kin_of_the_first_run(trained: Run, tmp_path: Path) -> None:
    second, _ = open_download(export(trained, tmp_path / "1"), runs=tmp_path / "there")
    third, _ = open_download(export(second, tmp_path / "2"), runs=tmp_path / "there")
    assert are_kin(open_run(third), open_run(trained))


def test_a_fingerprint_stays_what_it_is_however_often_it_is_told() -> None:
    run_id = new_id()
    known = fingerprint(run_id)
    assert kinship.hidden(run_id) == known == kinship.hidden(known)
    assert kinship.hidden("out") == "out"
    story = {"lineage": {"run": run_id}, "sources": [{"source": run_id}, {"source": "small"}]}
    once = without_ids(story)
    expected = {"lineage": {"run": known}, "sources": [{"source": known}, {"source": "small"}]}
    assert once == expected == without_ids(once)


def test_no_id_looks_like_a_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter(["0123456789abcdef", "0123456789abcdeF"])
    monkeypatch.setattr("ganlab.runs.secrets.token_urlsafe", lambda n: next(made))
    assert new_id() == "0123456789abcdeF"


def test_a_download_of_a_download_names_the_first_run_by_its_fingerprint(
    trained: Run, tmp_path: Path
) -> None:
    branch, _ = trained.branch(tiny(data=trained.config.data, steps=3), tmp_path / "runs", 2)
    perform(branch)
    second, _ = open_download(export(branch, tmp_path / "1"), runs=tmp_path / "there")
    assert set(kinship.of_run(second)) >= set(kinship.of_run(branch))
    third, _ = open_download(export(second, tmp_path / "2"), runs=tmp_path / "there")
    assert third.about["lineage"]["run"] == fingerprint(trained.id)
    assert third.about["imported"]["run"] == fingerprint(second.id)
    kin = {fingerprint(each.id) for each in (trained, branch, second, third)}
    assert set(kinship.of_run(third)) == kin


def test_an_older_download_without_ancestors_is_kin_by_its_fingerprints(
    trained: Run, tmp_path: Path
) -> None:
    second, _ = open_download(export(trained, tmp_path / "1"), runs=tmp_path / "there")
    about = second.about
    del about["ancestors"]
    (second.path / "run.json").write_text(json.dumps(about))
    assert are_kin(open_run(second), open_run(trained))


def test_what_learns_from_a_download_is_kin_of_the_run_behind_it(
    learn, trained: Run, tmp_path: Path
) -> None:
    child = learn(export(trained, tmp_path / "zips"))
    assert are_kin(open_run(child), open_run(trained))


def test_a_download_tells_nobody_an_id(learn, tmp_path: Path) -> None:
    parent = learn("small")
    run = learn(parent.path)
    assert parent.id not in " ".join(kinship.of_run(run))
    with zipfile.ZipFile(export(run, tmp_path)) as archive:
        for name in ("model.json", "run/run.json", "run/source/model.json"):
            text = archive.read(name).decode()
            assert run.id not in text and parent.id not in text, name


def test_a_shipped_generator_is_known_as_a_zip_too(tmp_path: Path, shelf: Path, learn) -> None:
    packed = zip_shipped(shelf / "small", tmp_path / "zips")
    assert are_kin(open_checkpoint(packed), open_shipped("small"))
    assert not are_kin(open_checkpoint(packed), open_shipped("other"))
    assert are_kin(open_run(learn(packed)), open_shipped("small"))


# Strangers --------------------------------------------------------------------------------------


def test_strangers_of_the_same_name_are_no_kin(learn, trained: Run, tmp_path: Path) -> None:
    """Folders and downloads are called as it comes."""
    one = open_run(learn("small", "scratch", tmp_path / "here" / "mine"))
    other = open_run(learn("small", "scratch", tmp_path / "there" / "mine"))
    assert not are_kin(one, other)
    packed = []
    for folder in ("x", "y"):
        run = learn("small", "scratch")
        packed.append(export(run, tmp_path / folder))
    assert packed[0].name == packed[1].name
    assert not are_kin(*map(open_checkpoint, packed))
    assert not are_kin(*(open_run(learn(path)) for path in packed))


def test_children_of_folders_of_the_same_name_are_no_kin(learn, tmp_path: Path) -> None:
    children = []
    for place in ("here", "there"):
        parent = learn("small", "scratch", tmp_path / place / "mine")
        children.append(learn(parent.path))
        assert are_kin(open_run(children[-1]), open_run(parent))
    assert not are_kin(*map(open_run, children))


def test_the_name_of_a_folder_makes_nobody_kin(trained: Run) -> None:
    """Of a run at the shell it is its id, and many are called out."""
    for name in ("out", "", 7, None):
        about = {"lineage": {"run": name, "step": 2}}
        assert kinship.of_checkpoint("small", about) == ["small"]
        trained.describe(**about, imported={"run": name})
        assert kinship.of_run(trained) == [fingerprint(trained.id)]
    parent = new_id()
    for told in (parent, fingerprint(parent)):
        about = {"lineage": {"run": told, "step": 2}}
        assert kinship.of_checkpoint("small", about) == ["small", fingerprint(parent)]
        trained.describe(**about, imported={})
        assert kinship.of_run(trained) == [fingerprint(trained.id), fingerprint(parent)]


def test_unrelated_ones_are_refused_with_the_reason() -> None:
    with pytest.raises(
        ValueError, match=r"no common ancestor: small and other learnt apart, .* Choose two"
    ):
        together(open_shipped("small"), open_shipped("other"))


def test_relatives_need_the_same_shape(tmp_path: Path, shelf: Path, one_task: Dataset) -> None:
    """One that has learnt colour from a grey source has another last layer than that."""
    write_small_checkpoint(shelf / "grey", tasks=("ink",), channels=1)
    (about := json.loads((shelf / "grey" / "model.json").read_text()))["name"] = "grey"
    (shelf / "grey" / "model.json").write_text(json.dumps(about))
    config = tiny_transfer("finetune", steps=2, heads=("ink",))
    run, _ = transfer.create(config, one_task, open_source("grey"), runs=tmp_path / "runs")
    perform(run)
    with pytest.raises(ValueError, match="no longer the same shape"):
        together(open_run(run), open_shipped("grey"))


def test_damaged_stories_have_no_kin_but_break_nothing() -> None:
    for about in (
        {"ancestors": "small"}, {"ancestors": [1, None, {}]}, {"lineage": {"run": 7}},
        {"lineage": "x"}, {"lineage": {"run": None}},
    ):  # fmt: skip
        kin = kinship.of_checkpoint("small", about)
        assert kin[0] == "small" and all(isinstance(each, str) for each in kin)


def test_whatever_is_found_by_its_text_is_the_same_kin(learn, tmp_path: Path) -> None:
    run = learn("small")
    packed = export(run, tmp_path)
    for text in ("small", run.id, str(run.path), str(packed), str(checkpoints.SHIPPED / "small")):
        assert are_kin(open_named(text), open_shipped("small"))
    assert small_source().config == open_named("small").config
