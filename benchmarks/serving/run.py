"""Loopline's server against a bare loop and against its peers: same pictures, same graph, same machine, same run.

    python benchmarks/serving/run.py
    python benchmarks/serving/run.py --bundle FLOAT32 --fast OPTIMIZED --photos FOLDER

Without options it makes what it serves: EfficientNet-Lite0 over made-up JPEG files of 400×533, once with the usual
preprocess and once with the quick one. The peers get an environment of their own, with pinned versions, which later
runs find again. A server is measured only if it answers as the bundle does. Every figure is measured several times, in
turns; `results/latest.json` keeps all of them, `results/latest.md` what they say. A run of everything takes about half
an hour, with `--quick` some minutes, which are for seeing that everything works.
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
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from load import Load, run_wrk, write_bodies
from servers import Server, ServerError, check_answers, loopline_server, peer_servers, peers_python, running
from subject import bodies_of, labels_of, make_bundles, photos_of, write_contract

from loopline.bundle import read_bundle
from report import report

HERE = Path(__file__).parent
NUM_CORES = len(os.sched_getaffinity(0))
# Of the tiny network, and those at which a server may shed.
TINY_CONCURRENCY = (1, 16, 1)
MAX_OVERLOAD_CONNECTIONS = 512
# Of those that a server of ours runs on, named with their versions.
PACKAGES = ("fastapi", "uvicorn", "onnxruntime", "openvino", "pillow", "simplejpeg", "numpy")
# What was measured, by what and by figure: one value per repetition.
Figures = dict[str, dict[str, list[float]]]


def main() -> None:
    options = parse()
    if shutil.which("wrk") is None:
        sys.exit("error: the load generator 'wrk' is not installed.\n  next: apt-get install wrk")
    python = peers_python(options.environment)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), options, python)
        for repetition in range(options.repetitions):
            print(f"repetition {repetition + 1} of {options.repetitions} …", flush=True)
            bench.measure()
        found = {
            "about": about(python),
            "options": bench.described,
            "figures": bench.figures,
            "failures": bench.failures,
        }
    options.output.parent.mkdir(exist_ok=True)
    options.output.write_text(json.dumps(found, indent=2) + "\n")
    text = report(found)
    options.output.with_suffix(".md").write_text(text)
    print(f"\n{text}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="float32 bundle of pictures (default: made)")
    parser.add_argument("--fast", type=Path, help="optimized bundle of the same (default: with the quick preprocess)")
    parser.add_argument("--engine", help="engine for the optimized bundle (default: its own)")
    parser.add_argument("--photos", type=Path, help="folder of JPEG files (default: made up)")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32, 128], help="default 1 8 32 128")
    parser.add_argument("--seconds", type=int, default=8, help="of load per measurement (default 8)")
    parser.add_argument("--repetitions", type=int, default=3, help="of every measurement, in turns (default 3)")
    parser.add_argument("--only", nargs="+", help="peers to measure, by name (default: all)")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "loopline-serving-peers"
    parser.add_argument("--environment", type=Path, default=cache, help=f"of the peers (default {cache})")
    parser.add_argument("--output", type=Path, default=HERE / "results" / "latest.json")
    parser.add_argument("--quick", action="store_true", help="everything once, for a moment each")
    options = parser.parse_args()
    if options.quick:
        options.concurrency, options.seconds, options.repetitions = [1, 8], 2, 1
        options.output = options.output.with_name("quick.json")
    return options


@dataclass(frozen=True)
class Loop:
    """A bare loop over the pictures, without any server."""

    name: str
    bundle: Path
    python: Path = Path(sys.executable)
    engine: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


class Bench:
    """What is served, by whom, and what was found."""

    def __init__(self, folder: Path, options: argparse.Namespace, python: Path) -> None:
        from loopline.testing import make_bundle, make_png

        self.folder, self.options = folder, options
        self.figures: Figures = {}
        # Of servers that did not start or answered wrongly: why.
        self.failures: dict[str, str] = {}
        photos = photos_of(options.photos)
        made = make_bundles(folder / "bundles", photos) if options.bundle is None else (options.bundle, options.bundle)
        self.bundle, self.fast = made[0].resolve(), (options.fast or made[1]).resolve()
        self.tiny = make_bundle(folder / "tiny")
        self.pictures = {"photos": photos, "tiny": [make_png(seed=seed) for seed in range(8)]}
        self.labels = {
            bundle: labels_of(bundle, self.pictures[subject], engine=engine)
            for bundle, subject, engine in (
                (self.bundle, "photos", None),
                (self.fast, "photos", options.engine),
                (self.tiny, "tiny", None),
            )
        }
        (folder / "photos").mkdir()
        for index, raw in enumerate(photos):
            (folder / "photos" / f"{index:03}.jpg").write_bytes(raw)
        self.contracts = {
            "photos": write_contract(self.bundle, folder / "photos.json"),
            "tiny": write_contract(self.tiny, folder / "tiny.json"),
        }
        self.python = python
        self.described = {
            "num_bytes": sum(map(len, photos)) // len(photos),
            "seconds": options.seconds,
            "concurrency": options.concurrency,
            "repetitions": options.repetitions,
            "optimized": f"{self.fast.name} by {options.engine or read_bundle(self.fast).runtime.engine}",
        }

    def measure(self) -> None:
        """Everything once."""
        model = {"MODEL": str(self.contracts["photos"])}
        pillow = Loop("loop, Pillow", self.bundle, python=self.python, environment=model)
        for num_processes in (NUM_CORES, 1):
            self.run_loop(pillow, num_processes)
        engine = ("--engine", self.options.engine) if self.options.engine else ()
        ours = loopline_server("Loopline, float32", self.bundle, self.folder / "home")
        fast = loopline_server("Loopline, optimized", self.fast, self.folder / "home-fast", *engine)
        self.serve(ours, self.bundle, "photos", self.options.concurrency, beside=Loop("loop, float32", self.bundle))
        beside = Loop("loop, optimized", self.fast, engine=self.options.engine)
        self.serve(fast, self.fast, "photos", self.options.concurrency, beside=beside)
        self.overload(fast)
        for peer in self.peers("photos"):
            self.serve(peer, self.bundle, "photos", self.options.concurrency)
        tiny = loopline_server("Loopline", self.tiny, self.folder / "home-tiny")
        for server in [tiny, *self.peers("tiny")]:
            self.serve(server, self.tiny, "tiny", TINY_CONCURRENCY)

    def peers(self, subject: str) -> list[Server]:
        found = peer_servers(self.python, self.contracts[subject], NUM_CORES)
        if subject == "tiny":
            found = [peer for peer in found if peer.name in ("FastAPI, async", "LitServe")]
        return [peer for peer in found if not self.options.only or peer.name in self.options.only]

    def run_loop(self, loop: Loop, num_processes: int) -> dict[str, float]:
        """The bare loop for a while: pictures a second of all processes, and the milliseconds of one picture."""
        command = [str(loop.python), str(HERE / "loop.py"), str(loop.bundle), str(self.folder / "photos")]
        arguments = [str(self.options.seconds), str(num_processes), *([loop.engine] if loop.engine else [])]
        environment = {**os.environ, **loop.environment}
        run = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, check=True)
        found: dict[str, float] = json.loads(run.stdout)
        for figure, value in found.items():
            self.note(loop.name, f"{figure}/{num_processes}", value)
        return found

    def run_beside(self, loop: Loop | None, connections: int) -> list[dict[str, float]]:
        """The loop with as many processes as that many connections keep busy, where there is one."""
        return [self.run_loop(loop, min(connections, NUM_CORES))] if loop else []

    def serve(
        self, server: Server, bundle: Path, subject: str, concurrency: Sequence[int], *, beside: Loop | None = None
    ) -> None:
        """One server from its start to its end, at every concurrency, if it answers as the bundle does.

        The loop that it is held against runs right before each measurement and right after it.
        """
        content_type, bodies = bodies_of(self.pictures[subject], kind=server.body)
        name = f"{server.name} ({subject})"
        script = self.script(name, server, content_type, bodies)
        try:
            with running(server, content_type, bodies[0]) as process:
                check_answers(process, content_type, bodies, self.labels[bundle])
                self.note(name, "first_answer_s", process.first_answer_s)
                run_wrk(process.port, script, connections=4, seconds=1)
                for index, connections in enumerate(concurrency):
                    again = "/again" if connections in concurrency[:index] else ""
                    loops = self.run_beside(beside, connections)
                    load = run_wrk(process.port, script, connections=connections, seconds=self.options.seconds)
                    self.keep(name, f"{connections}{again}", load)
                    loops += self.run_beside(beside, connections)
                    for figure in ("rate", "p50_ms") if loops else ():
                        share = getattr(load, figure) / statistics.mean(loop[figure] for loop in loops)
                        self.note(name, f"{figure}_of_loop/{connections}", share)
                shared_once_mb, each_mb = process.memory_mb()
                self.note(name, "memory_mb", shared_once_mb)
                self.note(name, "memory_as_ps_mb", each_mb)
        except ServerError as error:
            if server.name.startswith("Loopline"):
                raise
            # A peer that fails is told of, and the others are measured.
            self.failures[name] = str(error)
            print(f"{name}: {error}", flush=True)

    def overload(self, server: Server) -> None:
        """Twice what the server carries, from connections that send at a fixed pace, between two looks at that."""
        content_type, bodies = bodies_of(self.pictures["photos"], kind=server.body)
        name, seconds = f"{server.name} (overload)", self.options.seconds
        full = self.script(name, server, content_type, bodies)
        shedding = Server(server.name, (*server.command, "--max-queue-size", "32"), server.environment)
        with running(shedding, content_type, bodies[0]) as process:
            run_wrk(process.port, full, connections=4, seconds=1)
            before = run_wrk(process.port, full, connections=32, seconds=seconds).rate
            # One request a second each, or as much oftener as it takes.
            connections = min(MAX_OVERLOAD_CONNECTIONS, max(1, round(2 * before)))
            delay_ms = max(1, round(1000 * connections / (2 * before)))
            script = self.script(name, server, content_type, bodies, delay_ms=delay_ms)
            # Connections ask for the first time anywhere within two seconds: it takes as long until all of them ask.
            load = run_wrk(process.port, script, connections=connections, seconds=max(5, 3 * seconds))
            after = run_wrk(process.port, full, connections=32, seconds=seconds).rate
            self.keep(name, "overload", load)
            self.note(name, "share_of_peak", load.good_rate / statistics.mean([before, after]))

    def script(self, name: str, server: Server, content_type: str, bodies: list[bytes], *, delay_ms: int = 0) -> Path:
        folder = self.folder / "load" / f"{len(list((self.folder / 'load').glob('*')))}"
        folder.parent.mkdir(exist_ok=True)
        return write_bodies(folder, content_type, bodies, path=server.path, delay_ms=delay_ms)

    def keep(self, name: str, at: str, load: Load) -> None:
        for figure in ("rate", "good_rate", "p50_ms", "p99_ms"):
            self.note(name, f"{figure}/{at}", getattr(load, figure))

    def note(self, name: str, figure: str, value: float) -> None:
        self.figures.setdefault(name, {}).setdefault(figure, []).append(round(value, 4))
        print(f"  {name}: {figure} {value:.4g}", flush=True)


def about(python: Path) -> dict[str, Any]:
    """The machine and the versions of what ran."""
    said = subprocess.run([str(python), "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    wanted = ("bentoml==", "fastapi==", "litserve==", "mlflow==", "ray==", "uvicorn==", "onnxruntime==")
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return {
        "processor": next(line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        "num_cores": NUM_CORES,
        "python": platform.python_version(),
        "loopline": {name: version(name) for name in PACKAGES},
        "peers": sorted(line for line in said.splitlines() if line.startswith(wanted)),
    }


if __name__ == "__main__":
    main()
