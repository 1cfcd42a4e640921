"""Load by `wrk` (Debian's package of that name): one thread, connections that stay open, several bodies in turn."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

# wrk calls `init` once per thread: requests are made there, so that sending one is a look into a table.
_SCRIPT = """
local requests, n = {{}}, 0
init = function(args)
  for index = 0, {num_bodies} - 1 do
    local file = io.open("{folder}/body-" .. index, "rb")
    requests[index] = wrk.format("POST", "{path}", {{["Content-Type"] = "{content_type}"}}, file:read("*a"))
    file:close()
  end
end
request = function()
  n = n + 1
  return requests[n % {num_bodies}]
end
{delay}
"""
_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Load:
    """What one measurement saw; rates per second, latencies in milliseconds."""

    rate: float
    good_rate: float
    p50_ms: float
    p99_ms: float


def write_bodies(folder: Path, content_type: str, bodies: list[bytes], *, path: str, delay_ms: int = 0) -> Path:
    """Writes what wrk sends to a new folder; returns its script.

    Before each request stands a random delay, `delay_ms` in the mean: with a fixed one all connections ask at once.
    """
    folder.mkdir()
    for index, body in enumerate(bodies):
        (folder / f"body-{index}").write_bytes(body)
    delay = f"delay = function() return math.random(0, {2 * delay_ms}) end" if delay_ms else ""
    script = folder / "post.lua"
    script.write_text(
        _SCRIPT.format(num_bodies=len(bodies), folder=folder, path=path, content_type=content_type, delay=delay)
    )
    return script


def run_wrk(port: int, script: Path, *, connections: int, seconds: int) -> Load:
    """One measurement."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "60s", "-s", str(script)]
    said = subprocess.run([*command, f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True).stdout
    total = int(_found(r"(\d+) requests in", said))
    duration_s = float(_found(r"requests in ([\d.]+)s", said))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    num_bad = (int(bad[1]) if bad else 0) + (int(broken[4]) if broken else 0)
    return Load(total / duration_s, (total - num_bad) / duration_s, _percentile(said, 50), _percentile(said, 99))


def post(port: int, path: str, content_type: str, body: bytes) -> dict[str, object] | None:
    """One request: the answer, or None where there is none yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", path, body, {"Content-Type": content_type})
        response = connection.getresponse()
        said = response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if response.status != http.client.OK:
        return None
    answer = json.loads(said)
    # MLflow wraps its answers.
    found: dict[str, object] = answer["predictions"][0] if "predictions" in answer else answer
    return found


def _found(pattern: str, said: str) -> str:
    match = re.search(pattern, said)
    assert match is not None, said
    return match[1]


def _percentile(said: str, share: int) -> float:
    match = re.search(rf"^\s+{share}%\s+([\d.]+)(us|ms|s|m)", said, re.MULTILINE)
    assert match is not None, said
    return float(match[1]) * _UNITS_MS[match[2]]
