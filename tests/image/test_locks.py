"""An image installs the pins of what it needs, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

import loopline
from loopline.core.errors import StateError
from loopline.image.locks import checkout, closure, installed_pin, lock, loopline_requirement, read_pins

ROOT = Path(__file__).parents[2]


def test_pins_are_read_with_their_digests(project: Path) -> None:
    path = project / "requirements.lock"
    path.write_text("# by hand\nnumpy==2.0.1 \\\n    --hash=sha256:abc\npillow==11.0.0\nunasked==1.0\n")
    pins = read_pins(path)
    assert pins["numpy"] == "numpy==2.0.1 \\\n    --hash=sha256:abc"
    assert sorted(pins) == ["numpy", "pillow", "unasked"]
    assert read_pins(project / "missing.lock") == {}


def test_the_house_lock_is_read() -> None:
    """Every package of the project's own lock."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    names = {canonicalize_name(name) for name in re.findall(r"^([\w.-]+)==", text, re.MULTILINE)}
    assert set(read_pins(ROOT / "requirements.lock")) == names


def test_a_server_needs_no_torch() -> None:
    """Nor anything else of training; and it needs all that serving imports."""
    needed = closure(["loopline[serve]"])
    assert needed.isdisjoint({"torch", "lightning", "hydra-core", "mlflow", "optuna", "pandas", "scipy", "matplotlib"})
    assert needed >= {"loopline", "fastapi", "uvicorn", "onnxruntime", "numpy", "pillow", "pydantic", "httptools"}
    assert "torch" in closure(["loopline[train]"])


def test_a_lock_takes_pins_before_what_is_installed(project: Path) -> None:
    """Only what is needed, in the project's versions, Loopline and pip left out."""
    text = lock(["numpy", "pillow", "loopline"], pins=read_pins(project / "requirements.lock"))
    assert "\nnumpy==2.0.1\n" in text
    assert "\npillow==11.0.0\n" in text
    assert "unasked" not in text
    assert not re.search("^(loopline|pip|setuptools)=", text, re.MULTILINE)
    assert lock(["numpy"], pins={}) == f"{installed_pin('numpy')}\n"


def test_digests_are_for_all_or_for_none() -> None:
    """Pip refuses a mixture, so it is refused before a build."""
    with pytest.raises(StateError, match=r"has digests, but does not pin numpy; .* Next: make lock"):
        lock(["numpy"], pins={"pillow": "pillow==11.0.0 --hash=sha256:abc"})


def test_what_is_for_other_systems_is_left_out() -> None:
    """Markers are asked for Linux, wherever the lock is made."""
    assert "colorama" not in closure(["click"])


def test_a_package_that_nobody_knows_is_refused() -> None:
    with pytest.raises(StateError, match="package 'no-such-thing' is needed in the image and not installed here"):
        closure(["no-such-thing"])


def test_loopline_itself_has_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a checkout, whose wheel is built; an installed one says where it came from."""
    assert checkout() == ROOT
    assert loopline_requirement() == f"loopline=={loopline.__version__}"
