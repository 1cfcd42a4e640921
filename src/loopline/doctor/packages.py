"""Python, the packages of each extra, and whether the builds of torch and torchvision fit the card and each other."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from loopline.doctor.check import Check, ok, problem, warning

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# Sums of the others.
_SUMS = {"all", "dev"}


def check_python() -> list[Check]:
    """Which Python is this, and is a virtual environment active?"""
    found = f"{platform.python_version()} at {sys.executable}"
    if sys.prefix == sys.base_prefix:
        return warning("python", f"{found}, no virtual environment", "python3 -m venv .venv && . .venv/bin/activate")
    return ok("python", found)


def check_byte_code() -> list[Check]:
    """Does every command compile all that it imports, because packages came without byte code and it may write none?"""
    # What every command imports, so that its byte code is there where any is.
    found = PathFinder.find_spec("pydantic")
    if found is None or found.cached is None or not sys.dont_write_bytecode or Path(found.cached).is_file():
        return ok("byte code", "there, or written when a module is first imported")
    site = Path(found.cached).parents[2]
    return warning(
        "byte code",
        "absent, and PYTHONDONTWRITEBYTECODE forbids to write it: every command compiles all that it imports",
        f"python -m compileall -q -j 0 '{site}'",
    )


def check_packages() -> list[Check]:
    """Per extra: are its packages installed, in versions that Loopline asks for?"""
    from packaging.requirements import Requirement

    try:
        ours = metadata.distribution("loopline")
    except metadata.PackageNotFoundError:
        return problem("packages", "loopline itself is not installed", "pip install -e .")
    requirements = [Requirement(line) for line in ours.requires or []]
    base = [each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    checks = _check_extra(f"loopline {ours.version}", base, "pip install loopline")
    for extra in ours.metadata.get_all("Provides-Extra") or []:
        if extra not in _SUMS:
            own = [each for each in requirements if each not in base and _asked_for(each, extra)]
            checks += _check_extra(f"extra {extra}", own, f"pip install 'loopline[{extra}]'")
    return checks


def check_torch() -> list[Check]:
    """Can the build of torch use the graphics card that the NVIDIA driver shows?"""
    text = _version_file("torch")
    if text is None:
        return []
    version, cuda = _assigned(text, "__version__"), _assigned(text, "cuda")
    if hip := _assigned(text, "hip"):
        return ok("torch", f"{version}, built for ROCm {hip}")
    build = f"built for CUDA {cuda}" if cuda else "a CPU build"
    driver_cuda = _driver_cuda()
    if driver_cuda is None:
        return ok("torch", f"{version}, {build}; no NVIDIA driver, so models train on what else there is")
    if not cuda:
        found = f"{version}, {build}, leaves the NVIDIA card of this machine idle"
        return warning("torch", found, "pip install --force-reinstall torch")
    if _major(cuda) > _major(driver_cuda):
        found = f"{version}, {build}, but the NVIDIA driver supports CUDA up to {driver_cuda}"
        return problem("torch", found, "update the NVIDIA driver, then: nvidia-smi")
    return ok("torch", f"{version}, {build}; the NVIDIA driver supports CUDA {driver_cuda}")


def check_torchvision() -> list[Check]:
    """Do the compiled operators of torchvision load beside this build of torch? Loopline itself does not need it."""
    ours, theirs = _version_file("torchvision"), _version_file("torch")
    if ours is None or theirs is None:
        return []
    version = _assigned(ours, "__version__") or "?"
    # Wheels of the same name come in builds; one for CUDA beside a torch without it fails as a whole on import.
    if version.partition("+")[2] == (_assigned(theirs, "__version__") or "").partition("+")[2]:
        return ok("torchvision", version)
    # The builds differ, so let another process try; here a failed import would stay half done.
    tried = subprocess.run(
        [sys.executable, "-c", "import torchvision"], capture_output=True, text=True, timeout=120, check=False
    )
    if tried.returncode == 0:
        return ok("torchvision", version)
    reason = (tried.stderr.strip().splitlines() or ["no message"])[-1]
    torch_version = _assigned(theirs, "__version__")
    found = f"{version} does not load beside torch {torch_version}: {reason}"
    return warning("torchvision", found, "pip uninstall --yes torchvision")


def _check_extra(name: str, requirements: list[Requirement], install: str) -> list[Check]:
    absent, wrong, present = [], [], []
    for requirement in requirements:
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            absent.append(requirement.name)
            continue
        if requirement.specifier.contains(version, prereleases=True):
            present.append(f"{requirement.name} {version}")
        else:
            wrong.append(f"{requirement.name} {version}, expected {requirement.specifier}")
    if wrong:
        return problem(name, "; ".join(wrong), install)
    if absent:
        return warning(name, f"absent: {', '.join(absent)}", install)
    return ok(name, ", ".join(present))


def _asked_for(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is not None and requirement.marker.evaluate({"extra": extra})


def _version_file(package: str) -> str | None:
    """The text of a package's `version.py`, which tells its build, without importing it; None where it is absent."""
    # Not importlib.util.find_spec, which asks the imported package where there is one, not the disk.
    found = PathFinder.find_spec(package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).with_name("version.py")
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _assigned(text: str, name: str) -> str | None:
    match = re.search(rf"^{name}\b[^=\n]*= *['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return match[1] if match else None


def _driver_cuda() -> str | None:
    """The newest CUDA that the NVIDIA driver supports, or None where no driver answers."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        answer = subprocess.run([program], capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - no input
    except subprocess.TimeoutExpired:
        return None
    match = re.search(r"CUDA Version: *([0-9.]+)", answer.stdout)
    return match[1] if match and answer.returncode == 0 else None


def _major(version: str) -> int:
    return int(version.partition(".")[0])
