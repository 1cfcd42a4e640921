"""Snapshot against `dvc add`: seconds for a new dataset, for one changed file, and how many objects are stored.

    python benchmarks/data/run.py --archive PATH

PATH is a tar file or a folder of pictures, a folder per class, with or without split folders. DVC is installed once
into `benchmarks/.env-dvc`, pinned; Loopline is what this interpreter imports. Both tools run as commands, as a user
runs them, in turns, each time from nothing: no cache, no index, no remote. Nothing is written outside a temporary
folder and `results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

DVC = "3.67.1"
# What the project promises, as parts of DVC's time in the same run.
PROMISES = {"add": 0.5, "re-add": 0.25}
HERE = Path(__file__).parent
ENVIRONMENT = HERE.parent / ".env-dvc"
Times = dict[str, list[float]]
# In the order of the commands: on a machine that does other things too, CPU time says more than wall time.
CPU: list[float] = []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, help="a tar file or a folder of pictures")
    parser.add_argument("--repetitions", type=int, default=3, help="of every measurement, in turns (default 3)")
    options = parser.parse_args()
    dvc = install_dvc()
    times: Times = {f"{tool} {step}": [] for tool in ("dvc", "loopline") for step in PROMISES}
    num_objects = {}
    with tempfile.TemporaryDirectory(prefix="loopline-bench-") as name:
        folder = Path(name)
        pictures = extract(options.archive, folder / "pictures")
        num_files = sum(path.is_file() for path in pictures.rglob("*"))
        print(f"{num_files:,} files, {size_mb(pictures):.1f} MB; {options.repetitions} repetitions", flush=True)
        for repetition in range(options.repetitions):
            num_objects["dvc"] = run_dvc(dvc, pictures, folder / "dvc", times)
            num_objects["loopline"] = run_loopline(pictures, folder / "workspace", times)
            print(f"repetition {repetition + 1}: " + ", ".join(f"{key} {row[-1]:.2f} s" for key, row in times.items()))
    report(times, num_objects, num_files)


def install_dvc() -> Path:
    """DVC's executable in an environment of its own: it shares many dependencies with nothing else here."""
    folder = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
    if not (folder / "dvc").exists():
        print(f"installing dvc {DVC} into {ENVIRONMENT} …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        subprocess.run([folder / "python", "-m", "pip", "install", "--quiet", f"dvc=={DVC}"], check=True)
    found = subprocess.run([folder / "dvc", "--version"], check=True, capture_output=True, text=True).stdout.strip()
    assert found == DVC, f"dvc {found} in {ENVIRONMENT}, expected {DVC}: remove the folder"
    return folder / "dvc"


def extract(archive: Path, folder: Path) -> Path:
    """A copy of the pictures that the benchmark may change."""
    if archive.is_dir():
        shutil.copytree(archive, folder)
    else:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
    return folder


def run_dvc(dvc: Path, pictures: Path, folder: Path, times: Times) -> int:
    """Adds the pictures, changes one, adds again; returns the number of objects in DVC's cache."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copytree(pictures, folder / "pictures")
    # DVC keeps an index of file states outside of its repository: give each repetition its own.
    environment = {**os.environ, "DVC_SITE_CACHE_DIR": str(folder / "site"), "DVC_NO_ANALYTICS": "1"}
    subprocess.run([dvc, "init", "--no-scm", "--quiet"], cwd=folder, env=environment, check=True)
    settle()
    times["dvc add"].append(seconds([dvc, "add", "--quiet", "pictures"], folder, environment))
    change_one(folder / "pictures")
    times["dvc re-add"].append(seconds([dvc, "add", "--quiet", "pictures"], folder, environment))
    return sum(path.is_file() for path in (folder / ".dvc" / "cache" / "files").rglob("*"))


def run_loopline(pictures: Path, folder: Path, times: Times) -> int:
    """The same with snapshots, where every picture is also decoded; returns the number of files in the dataset."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copytree(pictures, folder / "pictures")
    home = folder / "home"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "loopline",
        "--home",
        home,
        "data",
        "snapshot",
        "pictures",
        "--name",
        "bench",
    ]
    settle()
    times["loopline add"].append(seconds(command, folder, dict(os.environ)))
    change_one(folder / "pictures")
    times["loopline re-add"].append(seconds(command, folder, dict(os.environ)))
    return sum(path.is_file() for path in (home / "data" / "bench").rglob("*"))


def change_one(folder: Path) -> None:
    """Appends a byte to the first file: another content, the same picture."""
    first = min(path for path in folder.rglob("*") if path.is_file())
    with first.open("ab") as file:
        file.write(b"\0")


def settle() -> None:
    """What copying left to be written must not be paid by who comes next; files young by a tick are read twice."""
    if hasattr(os, "sync"):
        os.sync()
    time.sleep(2.5)


def seconds(command: list[str | Path], folder: Path, environment: dict[str, str]) -> float:
    """Wall time of a command; its output is shown only where it fails, its CPU time goes to `CPU`."""
    start, cpu = time.perf_counter(), children_cpu()
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - start
    CPU.append(children_cpu() - cpu)
    assert result.returncode == 0, f"{command} failed:\n{result.stdout}\n{result.stderr}"
    return elapsed


def children_cpu() -> float:
    """Seconds of CPU of all processes started here that have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system


def report(times: Times, num_objects: dict[str, int], num_files: int) -> None:
    """Prints the tables and writes the figures to `results/latest.json`."""
    print(f"\n{'':18}{'min':>8}{'median':>8}{'max':>8}{'CPU':>8}   seconds (CPU: median)")
    cpu = {key: statistics.median(CPU[place :: len(times)]) for place, key in enumerate(times)}
    for key, row in times.items():
        print(f"{key:18}{min(row):8.2f}{statistics.median(row):8.2f}{max(row):8.2f}{cpu[key]:8.2f}")
    print(f"\n{'':18}{'min':>8}{'median':>8}{'max':>8}{'promise':>8}   parts of DVC's time in the same turn")
    ratios = {}
    for step, promise in PROMISES.items():
        turns = zip(times[f"loopline {step}"], times[f"dvc {step}"], strict=True)
        ratios[step] = sorted(ours / theirs for ours, theirs in turns)
        median = statistics.median(ratios[step])
        verdict = "kept" if median <= promise else "MISSED"
        print(f"{step:18}{ratios[step][0]:8.3f}{median:8.3f}{ratios[step][-1]:8.3f}{promise:8.2f}   {verdict}")
    print(f"\nobjects: dvc {num_objects['dvc']:,}, loopline {num_objects['loopline']:,}")
    versions = {package: version(package) for package in ("loopline", "pillow", "pyarrow", "numpy")}
    versions |= {"dvc": DVC, "python": platform.python_version(), "platform": platform.platform()}
    print("versions: " + ", ".join(f"{name} {text}" for name, text in versions.items()) + f", {os.cpu_count()} cores")
    figures = {
        "seconds": times,
        "cpu_s": cpu,
        "ratios": ratios,
        "objects": num_objects,
        "num_files": num_files,
        "versions": versions,
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "latest.json").write_text(json.dumps(figures, indent=2, sort_keys=True) + "\n")


def size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main()
