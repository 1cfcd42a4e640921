"""Requests per second of `loopline serve` against a plain FastAPI handler: same bundle, same machine, same run.

    python benchmarks/serving/run.py

Makes a tiny bundle, so that what is measured is the server and not the model, starts both servers in processes of their
own, and loads them in turns with `wrk` (Debian's package of that name), one thread, connections that stay open. Checks
one answer of each against the other first, and every answer's status during the load. Everything is local; nothing
stays behind but `results/latest.json`.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
BOUNDARY = "loopline-benchmark"
START_TIMEOUT_S = 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 16], help="connections (default 1 16)")
    parser.add_argument("--seconds", type=int, default=5, help="of load per measurement (default 5)")
    parser.add_argument("--repetitions", type=int, default=3, help="of every measurement, in turns (default 3)")
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("error: the load generator 'wrk' is not installed.\n  next: apt-get install wrk")

    from loopline.testing import make_bundle, make_png

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = make_bundle(folder / "bundles")
        body = multipart(make_png(seed=7))
        script = wrk_script(folder, body)
        with server(ours(bundle, folder)) as our_port, server(plain(bundle)) as plain_port:
            ports = {"loopline": our_port, "plain": plain_port}
            check_answers(ports, body)
            rates = measure(ports, script, options)
    report(rates, options)


def ours(bundle: Path, folder: Path) -> list[str]:
    """One engine thread, as the peer has; the prediction log is on."""
    return ["-m", "loopline", "--home", str(folder), "serve", str(bundle), "--num-threads", "1", "--port"]


def plain(bundle: Path) -> list[str]:
    """The peer's command, up to its port."""
    return [str(HERE / "plain.py"), str(bundle)]


@contextmanager
def server(command: list[str]) -> Iterator[int]:
    """Runs a server on a free port and yields the port once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, *command, str(port)], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_listening(port):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"error: the server did not start: {' '.join(command)}")
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(START_TIMEOUT_S)


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def multipart(picture: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="picture.png"\r\n\r\n'
    return head.encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()


def wrk_script(folder: Path, body: bytes) -> Path:
    """What wrk sends, and how it counts answers other than 200."""
    (folder / "body").write_bytes(body)
    script = folder / "post.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = io.open("{folder / "body"}", "rb"):read("*a")\n'
        f'wrk.headers["Content-Type"] = "multipart/form-data; boundary={BOUNDARY}"\n'
    )
    return script


def check_answers(ports: dict[str, int], body: bytes) -> None:
    """Both servers must say the same: else their rates compare nothing."""
    answers = {name: post(port, body) for name, port in ports.items()}
    assert answers["loopline"]["label"] == answers["plain"]["label"], answers


def post(port: int, body: bytes) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", "/predict", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
    response = connection.getresponse()
    answer: dict[str, object] = json.loads(response.read())
    assert response.status == http.client.OK, answer
    connection.close()
    return answer


def measure(ports: dict[str, int], script: Path, options: argparse.Namespace) -> dict[str, dict[int, list[float]]]:
    rates: dict[str, dict[int, list[float]]] = {name: {} for name in ports}
    for name, port in ports.items():
        load(port, script, connections=8, seconds=1)
        rates[name] = {concurrency: [] for concurrency in options.concurrency}
    for _ in range(options.repetitions):
        for concurrency in options.concurrency:
            for name, port in ports.items():
                rates[name][concurrency].append(load(port, script, connections=concurrency, seconds=options.seconds))
    return rates


def load(port: int, script: Path, *, connections: int, seconds: int) -> float:
    """Answers per second; ends the benchmark where one was no success."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}/predict"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(f"error: some requests failed under load:\n{said}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def report(rates: dict[str, dict[int, list[float]]], options: argparse.Namespace) -> None:
    print(f"{os.cpu_count()} cores, {options.repetitions} × {options.seconds} s each; requests/s min / median / max")
    print(f"{'connections':>12} {'loopline':>22} {'plain FastAPI':>22} {'ratio':>7}")
    for concurrency in options.concurrency:
        mine, peer = rates["loopline"][concurrency], rates["plain"][concurrency]
        ratio = statistics.median(mine) / statistics.median(peer)
        print(f"{concurrency:>12} {spread(mine):>22} {spread(peer):>22} {ratio:>7.2f}")
    results = HERE / "results" / "latest.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(rates, indent=2) + "\n")


def spread(values: list[float]) -> str:
    return f"{min(values):.0f} / {statistics.median(values):.0f} / {max(values):.0f}"


if __name__ == "__main__":
    main()
