"""The shared folder of metrics: files of ended processes are merged, folders of dead masters removed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from running_server import ROOT

from parley.server import metric_files
from parley.server.metric_files import MetricFolder, remove_orphans
from parley.telemetry.metrics import SharedCollector

pytestmark = pytest.mark.row("RF-11")


def write(folder: MetricFolder, name: str, **values: float) -> None:
    """Write a file as prometheus_client does in a worker."""
    file = MmapedDict(str(Path(folder.path, name)))
    for key, value in values.items():
        file.write_value(key, value, 0.0)
    file.close()


def read(folder: MetricFolder, name: str) -> dict[str, float]:
    return {key: value for key, value, *_ in MmapedDict.read_all_values_from_file(Path(folder.path, name))}


def names(folder: MetricFolder) -> set[str]:
    return {file.name for file in Path(folder.path).iterdir()} - {metric_files.OWNER_LOCK}


@pytest.fixture
def folder(tmp_path: Path) -> MetricFolder:
    return MetricFolder(str(tmp_path), 2)


def test_ended_processes_are_merged_into_one_file_a_kind(folder: MetricFolder) -> None:
    for pid, value in ((11, 1.0), (12, 2.5), (13, 4.0)):
        write(folder, f"counter_{pid}.db", a=value, **{f"only{pid}": value})
        write(folder, f"histogram_{pid}.db", h=value)
        write(folder, f"gauge_livesum_{pid}.db", g=value)

    for pid in (11, 12, 12, 99):
        folder.merge(pid)

    left = {"counter_13.db", "histogram_13.db", "gauge_livesum_13.db", "counter_ended.db", "histogram_ended.db"}
    assert names(folder) == left
    assert read(folder, "counter_ended.db") == {"a": 3.5, "only11": 1.0, "only12": 2.5}
    assert read(folder, "histogram_ended.db") == {"h": 3.5}


def test_many_series_fit_into_the_merged_file(folder: MetricFolder) -> None:
    for pid in (1, 2):
        write(folder, f"counter_{pid}.db", **{f"{pid}-{number}-{'x' * 90}": 1.0 for number in range(3000)})
        folder.merge(pid)

    assert len(read(folder, "counter_ended.db")) == 6000


def test_without_space_the_files_stay_as_they_are(folder: MetricFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "no space")

    write(folder, "counter_1.db", a=1.0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    folder.merge(1)
    monkeypatch.undo()

    assert read(folder, "counter_1.db") == {"a": 1.0} and "counter_ended.db" not in names(folder)
    folder.merge(1)
    assert names(folder) == {"counter_ended.db"}


def test_folders_of_dead_masters_are_removed_and_no_others(folder: MetricFolder, tmp_path: Path) -> None:
    code = f"from parley.server.metric_files import MetricFolder; print(MetricFolder({str(tmp_path)!r}, 1).path)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    dead, unlocked = Path(done.stdout.strip()), tmp_path / "parley-metrics-unlocked"
    unlocked.mkdir()
    assert dead.exists()

    remove_orphans(str(tmp_path))

    assert not dead.exists() and unlocked.exists() and Path(folder.path).exists()


def test_the_folder_lives_as_long_as_its_master(folder: MetricFolder, tmp_path: Path) -> None:
    if (worker := os.fork()) == 0:
        folder.disown()
        remove_orphans(str(tmp_path))
        os._exit(0)
    os.waitpid(worker, 0)
    assert Path(folder.path).exists()

    folder.disown()
    remove_orphans(str(tmp_path))
    assert not Path(folder.path).exists()


def test_a_link_in_a_locks_place_is_not_followed(folder: MetricFolder, tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    trap = tmp_path / "parley-metrics-trap"
    trap.mkdir()
    (trap / metric_files.OWNER_LOCK).symlink_to(tmp_path / "precious")

    remove_orphans(str(tmp_path))

    assert trap.exists() and (tmp_path / "precious").exists()


def test_a_folder_that_another_start_took_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = iter([False, True])
    monkeypatch.setattr(metric_files, "is_free", lambda lock: next(told))

    folder = MetricFolder(str(tmp_path), 1)

    assert len(list(tmp_path.iterdir())) == 2 and Path(folder.path, metric_files.OWNER_LOCK).exists()


def test_a_merge_lowers_no_sum(folder: MetricFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another order 0.1 + 0.2 + 0.3 is less by a bit, which Prometheus would take for a restart."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", folder.path)
    key = mmap_key("seconds", "seconds_sum", [], [], "")
    seconds = [0.1, 0.2, 0.3, 1e6 / 3, 7e-7]
    for pid, value in enumerate(seconds, start=1):
        write(folder, f"histogram_{pid}.db", **{key: value})

    def total() -> float:
        (metric,) = SharedCollector(CollectorRegistry()).collect()
        (sample,) = metric.samples
        return float(sample.value)

    totals = [total()]
    for pid in (5, 3, 1, 4, 2):
        folder.merge(pid)
        totals.append(total())
    assert totals == [round(sum(seconds), 6)] * 6
