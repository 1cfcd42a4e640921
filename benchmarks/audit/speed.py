"""How long an audit takes: made-up repositories of 500 to 50,000 tracked files.

    python benchmarks/audit/speed.py [--sizes 500 5000 50000]

Of a hundred files twenty are Python of about 80 lines, twenty configuration, ten Markdown and fifty data. Prints wall
and processor time of one audit with every rule, each in a fresh process, what a file costs, and the most memory held.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

FUNCTION = '''
def step_{0}(batch: torch.Tensor, rate: float = 0.{0}) -> float:
    """One step of training, number {0}."""
    loss = torch.nn.functional.cross_entropy(model(batch), batch.argmax(dim=1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    logger.info("loss %.3f", loss.item())
    return float(loss) * rate
'''
HEADER = """import logging

import torch
from torch.utils.data import DataLoader

logger = logging.getLogger(__name__)
model = torch.nn.Linear(10, 10)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
loader = DataLoader(torch.zeros(8, 10), num_workers=2)
"""
AUDIT = """
import resource, sys, time
start, processor = time.perf_counter(), time.process_time()
from loopline.audit.findings import FINDINGS
from loopline.audit import audit
from loopline.repository import open_repository
result = audit(open_repository(sys.argv[1]), findings=FINDINGS)
done = sum(item.verdict == "done" for item in result.items)
print(result.num_files, time.perf_counter() - start, time.process_time() - processor)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, done, len(result.findings))
"""


def main() -> None:
    """Prints a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 5_000, 50_000])
    options = parser.parse_args()
    print(f"{'files':>8} {'wall s':>8} {'processor s':>12} {'ms a file':>10} {'memory MB':>10}")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_repository(Path(folder), size)
            answer = subprocess.run(
                [sys.executable, "-c", AUDIT, folder], capture_output=True, text=True, check=True
            ).stdout.split()
        num_files, wall_s, processor_s = int(answer[0]), float(answer[1]), float(answer[2])
        cost_ms, memory_mb = 1000 * processor_s / num_files, int(answer[3]) / 1000
        print(f"{num_files:8,} {wall_s:8.2f} {processor_s:12.2f} {cost_ms:10.2f} {memory_mb:10.0f}", flush=True)


def write_repository(root: Path, num_files: int) -> None:
    """A git repository of that many files, all of them tracked."""
    for index in range(num_files):
        path, text = file(index)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "All"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)


def file(index: int) -> tuple[str, str]:
    """The path and the text of one of them."""
    folder, kind = f"{index // 100:04d}", index % 100
    if kind < 20:
        return f"src/shop/p{folder}/m{kind}.py", HEADER + "".join(FUNCTION.format(number) for number in range(8))
    if kind < 40:
        return f"configs/p{folder}/c{kind}.yaml", "".join(
            f"key_{n}:\n  value: {n}\n  names: [a, b]\n" for n in range(15)
        )
    if kind < 50:
        return f"docs/p{folder}/d{kind}.md", "# Title\n\n" + "Some words about the shop and what it sells.\n" * 30
    return f"data/p{folder}/t{kind}.csv", "a,b,c\n" + "1,2,3\n" * 200


if __name__ == "__main__":
    main()
