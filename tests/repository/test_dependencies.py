"""Every spelling of a dependency, with its place and what it allows."""

from __future__ import annotations

import pytest

from loopline.repository import Dependency, read_texts

CASES: dict[str, tuple[str, set[tuple[str, str, str]]]] = {
    "requirements.txt": (
        (
            "torch==2.8.0  # pinned\nScikit_Learn>=1.5; python_version > '3.10'\n-r other.txt\n--index x\n-e .\n./a\n"
            "git+https://example.com/x.git#egg=timm\npkg @ https://example.com/p.whl\nodd==1.*.x\n"
            "requests[security] == 2\n===\n"
        ),
        {
            ("torch", "==2.8.0", "runtime"),
            ("scikit-learn", ">=1.5", "runtime"),
            ("timm", "@", "runtime"),
            ("pkg", "@", "runtime"),
            ("odd", "==1.*.x", "runtime"),
            ("requests", "==2", "runtime"),
        },
    ),
    "requirements_dev.txt": ("pytest\n", {("pytest", "", "development")}),
    "pyproject.toml": (
        (
            "[project]\ndependencies = ['torch>=2']\n[project.optional-dependencies]\ndev = ['ruff']\nui = ['flask']\n"
            "[dependency-groups]\ntest = ['pytest', {include-group = 'x'}]\n"
            "[tool.poetry.dependencies]\npython = '^3.11'\n"
            "numpy = '1.26.4'\nany = '*'\nextra = {version = '^2'}\n[tool.poetry.group.dev.dependencies]\nmypy = '^1'\n"
            "[tool.uv]\ndev-dependencies = ['hypothesis']\n"
        ),
        {
            ("torch", ">=2", "runtime"),
            ("ruff", "", "development"),
            ("flask", "", "runtime"),
            ("pytest", "", "development"),
            ("numpy", "==1.26.4", "runtime"),
            ("any", "", "runtime"),
            ("extra", "^2", "runtime"),
            ("mypy", "^1", "development"),
            ("hypothesis", "", "development"),
        },
    ),
    "environment.yml": (
        "dependencies:\n  - python=3.11\n  - conda-forge::numpy=1.26=py311\n  - pip:\n    - wandb\n  - 5\n",
        {("python", "==3.11", "runtime"), ("numpy", "==1.26", "runtime"), ("wandb", "", "runtime")},
    ),
    "setup.cfg": (
        "[options]\ninstall_requires =\n    click\n[options.extras_require]\ntest =\n    pytest\n",
        {("click", "", "runtime"), ("pytest", "", "development")},
    ),
    "setup.py": (
        (
            "from setuptools import setup\nsetup(name='x', install_requires=['click>=8', n], "
            "extras_require={'dev': ['ruff']})\n"
        ),
        {("click", ">=8", "runtime"), ("ruff", "", "development"), ("dev", "", "development")},
    ),
    "Pipfile": (
        "[packages]\nflask = '*'\n[dev-packages]\npytest = '>=8'\n",
        {("flask", "", "runtime"), ("pytest", ">=8", "development")},
    ),
    "uv.lock": ('[[package]]\nname = "torch"\nversion = "2.8.0"\n', {("torch", "==2.8.0", "lock")}),
    "Pipfile.lock": (
        '{"default": {"flask": {"hashes": [], "version": "==3.0"}}}',
        {("flask", "==3.0", "lock")},
    ),
}


@pytest.mark.parametrize("path", CASES)
def test_declarations_are_read(path: str) -> None:
    """Name, versions and role of each."""
    text, expected = CASES[path]
    assert {(item.name, item.specifier, item.role) for item in read_texts({path: text}).declared} == expected


def test_the_views_tell_declared_from_locked() -> None:
    """A lock declares nothing, and a file's place is kept."""
    repository = read_texts(
        {"requirements.txt": "a\nb==1\n", "uv.lock": CASES["uv.lock"][0], "old/requirements.txt": "c\n"}
    )
    assert repository.dependencies == {
        "a": (Dependency("a", "", "requirements.txt", 1, "runtime"),),
        "b": (Dependency("b", "==1", "requirements.txt", 2, "runtime"),),
    }
    assert list(repository.locked) == ["torch"]
    assert repository.requirement_files == ["requirements.txt"]
    assert [repository.dependencies[name][0].is_pinned for name in "ab"] == [False, True]
