"""A project with code, settings, pins and a bundle, as `loopline image` finds one."""

from __future__ import annotations

from pathlib import Path

import pytest

from loopline.testing import make_bundle

IGNORE = "**\n!.image\n!conf\n!src\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "pets"
    for name, text in {
        "src/pets/model.py": "WIDTH = 3\n",
        "conf/recipe/pets.yaml": "name: pets\n",
        "pyproject.toml": '[project]\nname = "pets"\ndependencies = ["numpy", "pillow"]\n',
        "requirements.lock": "numpy==2.0.1\npillow==11.0.0\nunasked==1.0\n",
        ".dockerignore": IGNORE,
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles"))
