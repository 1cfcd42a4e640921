"""Ten thousand bad requests with good ones in between: no 5xx, no restart, no memory growth, right answers.

python benchmarks/serving/bad_requests.py [--num-requests 10000] [--output FOLDER]

Starts `loopline serve` on a small bundle of colour pictures, warms it up with one pass through the corpus, and then
sends bad requests over several connections, every fifth request a good one whose answer is known. A connection that a
refusal closes is opened again. Prints the resident memory of all processes as it goes, and with --output draws it. At
the end a thousand good ones and a thousand bad ones meet in the same batches.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from loopline.predictor import LabelAnswer, open_predictor
from loopline.testing import make_bundle

BOUNDARY = "a-boundary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
SIDE_PX = 64
NUM_NEIGHBOURS = 1000


class Request(NamedTuple):
    """A POST to /predict and what it is called."""

    name: str
    body: bytes
    content_type: str = MULTIPART


# --- pictures ---------------------------------------------------------------------------------------------------------


def photo(height: int = 300, width: int = 400, seed: int = 0) -> Image.Image:
    """Something that compresses as a photograph does: smooth, with noise."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, size=(12, 16, 3), dtype=np.uint8))
    large = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    return Image.fromarray(np.clip(large + rng.integers(-9, 10, size=large.shape), 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, num_rows: int = 10) -> bytes:
    """A grey PNG file whose header says this size, with fewer rows than that, and more chunks."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = png_chunk(b"IDAT", zlib.compress(b"\0" * (width + 1) * num_rows, 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + rows + png_chunk(b"IEND", b"")


def jpeg_claiming(width: int, height: int) -> bytes:
    """A JPEG file whose header was changed to this size."""
    raw = bytearray(encoded(photo(), "JPEG"))
    start = raw.index(b"\xff\xc0") + 5
    raw[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(raw)


def broken_pictures(rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Files that are cut off at every kilobyte, or have a few bits flipped."""
    image = photo()
    for kind in ("JPEG", "PNG", "WebP", "GIF", "BMP"):
        raw = encoded(image, kind)
        step = max(1024, len(raw) // 60)
        for num_bytes in range(0, len(raw), 1024 if kind == "JPEG" else step):
            yield f"{kind} cut at {num_bytes}", raw[:num_bytes]
        for index in range(40):
            flipped = bytearray(raw)
            for _ in range(rng.randint(1, 8)):
                flipped[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            yield f"{kind} flipped {index}", bytes(flipped)


def odd_pictures() -> Iterator[tuple[str, bytes]]:
    """Bombs, animations, rare modes, other formats, and files that are two things at once."""
    image, small = photo(), photo(48, 64)
    jpeg = encoded(image, "JPEG")
    yield "12000×12000 PNG", png(12_000, 12_000)
    yield "60000×60000 JPEG", jpeg_claiming(60_000, 60_000)
    yield "PNG of height 2^31", png(1, 2**31 - 1)
    yield "PNG of width 0", png(0, 10)
    yield "PNG with rows for a hundred", png(64, 64, num_rows=100_000)
    packed = zlib.compress(b"\0" * 100_000_000, 9)
    yield "PNG with a text of 100 MB", png(64, 64, png_chunk(b"zTXt", b"Comment\0\0" + packed))
    yield "PNG with a profile of 100 MB", png(64, 64, png_chunk(b"iCCP", b"p\0\0" + packed))
    yield "PNG with a million chunks", png(64, 64, png_chunk(b"tEXt", b"a\0b") * 20_000)
    for kind in ("GIF", "WebP", "PNG"):
        yield f"animated {kind}", encoded(small, kind, save_all=True, append_images=[photo(48, 64, seed=1)] * 3)
    yield "CMYK", encoded(image.convert("CMYK"), "JPEG")
    yield "16-bit grey", encoded(Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)), "PNG")
    yield "1-bit", encoded(small.convert("1"), "PNG")
    yield "palette with transparency", encoded(small.convert("P"), "PNG", transparency=0)
    exif = Image.Exif()
    for orientation in (3, 6, 8, 200):
        exif[0x0112] = orientation
        yield f"EXIF {orientation}", encoded(small, "JPEG", exif=exif)
    yield "EXIF that is noise", encoded(small, "JPEG", exif=b"Exif\0\0" + bytes(range(256)) * 8)
    yield "progressive", encoded(image, "JPEG", progressive=True)
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "HEIC", struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic" + bytes(500)
    yield "TIFF", encoded(small, "TIFF")
    yield "ICO", encoded(small, "ICO")
    yield "PDF", encoded(small, "PDF")
    yield "ZIP", b"PK\x03\x04" + bytes(400)
    yield "JPEG that is HTML", jpeg + b"<script>alert(1)</script>" + b"PK\x05\x06" + bytes(18)
    yield "PNG and JPEG", encoded(small, "PNG") + jpeg
    yield "JPEG in a GIF", b"GIF89a" + jpeg
    yield "text", b"this is no picture"
    yield "nothing", b""
    yield "zeros", bytes(10_000)


# --- requests ---------------------------------------------------------------------------------------------------------


def part(content: bytes, *, name: str = "file", filename: str | None = "a.jpg") -> bytes:
    """One part of a multipart body."""
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode("utf-8", "surrogateescape") + content + b"\r\n"


def posted(content: bytes) -> bytes:
    """A body with one file."""
    return part(content) + f"--{BOUNDARY}--\r\n".encode()


def broken_bodies(good: bytes, rng: random.Random) -> Iterator[Request]:
    """Multipart and JSON that are not what they say."""
    whole = posted(good)
    yield Request("no boundary", whole, "multipart/form-data")
    yield Request("another boundary", whole, "multipart/form-data; boundary=x")
    yield Request("boundary of 10 kB", whole, f"multipart/form-data; boundary={'b' * 10_000}")
    for num_bytes in (0, 10, 60, 100, len(whole) - 30, len(whole) - 2):
        yield Request(f"multipart cut at {num_bytes}", whole[:num_bytes])
    yield Request("another field", part(good, name="image") + f"--{BOUNDARY}--".encode())
    yield Request("text for a file", part(b"hello", filename=None) + f"--{BOUNDARY}--".encode())
    yield Request("a thousand parts", part(b"x") * 1000 + f"--{BOUNDARY}--".encode())
    yield Request("odd names", part(b"x", filename="../../\udcff\u0000;é") + f"--{BOUNDARY}--".encode())
    yield Request("headers of 1 MB", f"--{BOUNDARY}\r\nX: {'h' * 1_000_000}\r\n\r\nx\r\n--{BOUNDARY}--".encode())
    yield Request("noise", rng.randbytes(5000))
    for name, text in {
        "no JSON": b"{",
        "deep": b'{"pixels":' + b"[" * 50_000,
        "NaN": b'{"pixels": [[NaN]]}',
        "a huge number": b'{"pixels": [[1e999]]}',
        "digits": b'{"pixels": [[' + b"9" * 5000 + b"]]}",
        "a surrogate": b'{"image": "\\ud800"}',
        "no UTF-8": b'{"image": "\xff\xfe"}',
        "unknown": b'{"picture": 1}',
        "twice": b'{"pixels": [[1]], "pixels": [[2]]}',
        "ragged": b'{"pixels": [[1, 2], [3]]}',
        "many": b'{"pixels": [' + b"[]," * 300_000 + b"[]]}",
        "base64 of noise": b'{"image": "AAAA"}',
    }.items():
        yield Request(f"JSON: {name}", text, "application/json")
    yield Request("XML", b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "application/xml")
    yield Request("a type of 10 kB", whole, "x" * 10_000)


def corpus(good: bytes, *, seed: int = 0) -> list[Request]:
    """Everything that is bad, and some that is only rare."""
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    pictures = [*broken_pictures(rng), *odd_pictures()]
    return [*(Request(name, posted(raw)) for name, raw in pictures), *broken_bodies(good, rng)]


# --- the run ----------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """What came back; several threads add to it."""

    statuses: Counter[int] = field(default_factory=Counter)
    # Names of bad requests that got a 5xx or no answer, and good ones that were answered wrongly.
    failures: list[str] = field(default_factory=list)
    num_right: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add_bad(self, name: str, status: int) -> None:
        """A bad request's answer."""
        with self.lock:
            self.statuses[status] += 1
            if status >= 500:
                self.failures.append(f"{name}: {status}")

    def add_good(self, status: int, body: bytes, label: str, confidence: float) -> None:
        """A good request's answer."""
        answer = json.loads(body) if status == 200 else {}
        right = answer.get("label") == label and abs(answer["confidence"] - confidence) < 1e-4
        with self.lock:
            self.num_right += right
            if not right:
                self.failures.append(f"good: {status} {body[:200]!r}")


class Caller:
    """One keep-alive connection, opened again where a refusal closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes, content_type: str) -> tuple[int, bytes]:
        """Status and body; a connection that ended between two requests is no failure."""
        for is_last in (False, True):
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            try:
                self._connection.request("POST", "/predict", body, {"Content-Type": content_type})
                response = self._connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException):
                self.close()
                if is_last:
                    raise
        raise AssertionError

    def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def send_all(
    port: int, bad: Sequence[Request], good: tuple[bytes, str, float], *, num_threads: int = 8, good_every: int = 5
) -> Tally:
    """Sends the bad requests over several connections, a good one among so many."""
    tally, turn = Tally(), iter(enumerate(bad))
    raw, label, confidence = good
    next_turn = threading.Lock()

    def work() -> None:
        caller = Caller(port)
        while True:
            with next_turn:
                taken = next(turn, None)
            if taken is None:
                break
            index, request = taken
            try:
                status, _ = caller.post(request.body, request.content_type)
                tally.add_bad(request.name, status)
                if index % good_every == 0:
                    tally.add_good(*caller.post(posted(raw), MULTIPART), label, confidence)
            except (OSError, http.client.HTTPException) as error:
                with tally.lock:
                    tally.failures.append(f"{request.name}: {type(error).__name__} {error}")
        caller.close()

    threads = [threading.Thread(target=work) for _ in range(num_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def resident_bytes(process_id: int) -> int:
    """The memory of a process and of those that it started, what they share counted once."""
    numbers = [process_id, *children(process_id)]
    total = 0
    for number in numbers:
        lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def children(process_id: int) -> list[int]:
    """The processes that a process has started and that run."""
    return [int(number) for number in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


def draw(points: Sequence[tuple[int, float]], output: Path) -> None:
    """The figure: memory against bad requests."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
    axes.plot(*zip(*points, strict=True), marker="o")
    axes.set(xlabel="bad requests", ylabel="resident memory (MB)", ylim=(0, None))
    output.mkdir(parents=True, exist_ok=True)
    figure.savefig(output / "bad_requests.svg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-requests", type=int, default=10_000)
    parser.add_argument("--num-workers", type=int, default=2)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        folder = make_bundle(Path(home) / "bundles", mode="RGB", height=SIDE_PX, width=SIDE_PX)
        raw = encoded(photo(seed=9), "JPEG")
        (answer,) = open_predictor(folder, num_threads=1).predict_raw([raw])
        assert isinstance(answer, LabelAnswer)
        good = (raw, answer.label, answer.confidence)
        bad = corpus(raw)
        command = [sys.executable, "-m", "loopline", "--home", home, "serve", str(folder), "--port", "0"]
        command += ["--num-workers", str(given.num_workers), "--max-queue-delay-ms", "5"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True)
        assert server.stdout is not None
        port = int(server.stdout.readline().strip().rpartition(":")[2])
        workers = children(server.pid)
        send_all(port, bad, good)
        points = [(0, resident_bytes(server.pid) / 1e6)]
        print(f"{len(bad)} kinds of bad requests, sent once to warm up; then {given.num_requests:,}")
        print(f"{'bad requests':>12}  {'good, right':>11}  {'5xx or none':>11}  {'MB':>7}")
        num_bad = num_right = num_failed = 0
        statuses: Counter[int] = Counter()
        while num_bad < given.num_requests:
            batch = [bad[(num_bad + index) % len(bad)] for index in range(min(1000, given.num_requests - num_bad))]
            tally = send_all(port, batch, good)
            num_bad += len(batch)
            num_right += tally.num_right
            num_failed += len(tally.failures)
            statuses += tally.statuses
            points.append((num_bad, resident_bytes(server.pid) / 1e6))
            print(f"{num_bad:>12,}  {num_right:>11,}  {num_failed:>11,}  {points[-1][1]:>7.1f}", flush=True)
            for failure in tally.failures[:5]:
                print(f"  {failure}")
        # One good one for each bad one, from so many at once that they meet in the same batches.
        neighbours = [Request("neighbour", posted(raw[:700]))] * NUM_NEIGHBOURS
        mixed = send_all(port, neighbours, good, num_threads=32, good_every=1)
        print(f"{mixed.num_right:,} of {NUM_NEIGHBOURS:,} good ones among as many bad ones were answered right")
        restarted = children(server.pid) != workers
        server.send_signal(signal.SIGTERM)
        print(f"statuses of the bad: {dict(sorted(statuses.items()))}; restarted: {'yes' if restarted else 'no'}")
        print(f"memory: {points[0][1]:.1f} MB before, {points[-1][1]:.1f} MB after; exit code {server.wait(60)}")
    if given.output is not None:
        draw(points, given.output)


if __name__ == "__main__":
    main()
