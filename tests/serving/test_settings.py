"""One declaration makes options, variables and documents; unknown and wrong values are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from loopline.cli import serve as cli_serve
from loopline.core.errors import UnknownName
from loopline.core.workspace import Workspace
from loopline.serving.settings import ENVIRONMENT_PREFIX, ServeSettings, variables

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[ServeSettings]:
    """What the commands would serve with, instead of serving."""
    seen: list[ServeSettings] = []

    def remember(_model: str, settings: ServeSettings, **_rest: Any) -> None:
        seen.append(settings)

    monkeypatch.setattr("loopline.loop.serve", remember)
    return seen


def call(command: click.Command, *arguments: str, **environment: str) -> str:
    result = CliRunner().invoke(
        command, ["fashion@champion", *arguments], obj=Workspace(Path("nowhere")), env=environment
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_every_setting_is_an_option_and_a_variable(served: list[ServeSettings]) -> None:
    """`--max-batch-size` and LOOPLINE_SERVE_MAX_BATCH_SIZE set the same field; the option wins."""
    options = {parameter.name: parameter for parameter in cli_serve.serve.params}
    for name, field in ServeSettings.model_fields.items():
        assert options[name].envvar == list(variables(name))
        assert variables(name)[0] == f"{ENVIRONMENT_PREFIX}{name.upper()}"
        assert str(field.description) in str(getattr(options[name], "help", ""))
    call(cli_serve.serve, "--max-batch-size", "4", "--no-ui")
    call(cli_serve.serve, LOOPLINE_SERVE_MAX_BATCH_SIZE="5", LOOPLINE_SERVE_LOG_INPUTS="1")
    call(cli_serve.serve, "--max-batch-size", "6", LOOPLINE_SERVE_MAX_BATCH_SIZE="5")
    assert [settings.max_batch_size for settings in served] == [4, 5, 6]
    assert served[1].log_inputs


def test_an_option_that_may_come_again(served: list[ServeSettings]) -> None:
    """On the command line one by one, in the environment with spaces between."""
    call(cli_serve.serve, "--api-key", "a:1", "--api-key", "b:2")
    call(cli_serve.serve, LOOPLINE_SERVE_API_KEY="a:1 b:2", LOOPLINE_SERVE_LOG="postgresql://db/log")
    assert [settings.api_key for settings in served] == [("a:1", "b:2")] * 2
    assert served[1].log == "postgresql://db/log"


def test_ui_is_serve_with_the_page(served: list[ServeSettings]) -> None:
    call(cli_serve.ui, "--port", "0")
    assert served[0].ui
    assert served[0].port == 0


def test_a_wrong_value_names_the_setting(served: list[ServeSettings]) -> None:
    with pytest.raises(ValueError, match="max_batch_size: 0 given; input should be greater than or equal to 1"):
        call(cli_serve.serve, "--max-batch-size", "0")
    with pytest.raises(ValidationError, match="extra_forbidden"):
        ServeSettings.model_validate({"max_batch": 3})


def test_a_mistyped_variable_is_an_error(served: list[ServeSettings]) -> None:
    """It would otherwise be a setting that silently does nothing."""
    with pytest.raises(UnknownName, match="Did you mean 'LOOPLINE_SERVE_MAX_BATCH_SIZE'"):
        call(cli_serve.serve, LOOPLINE_SERVE_MAX_BATCHSIZE="5")
    assert served == []


def test_opening_needs_a_page(served: list[ServeSettings]) -> None:
    call(cli_serve.ui, "--open")
    assert served[0].open
    with pytest.raises(ValueError, match="there is no page to open"):
        call(cli_serve.serve, "--open")


def test_the_documents_name_every_setting() -> None:
    """docs/serve.md has a row for each setting, with its default."""
    text = (DOCS / "serve.md").read_text(encoding="utf-8")
    missing = [name for name in ServeSettings.model_fields if f"`--{name.replace('_', '-')}`" not in text]
    assert missing == []
    for name, field in ServeSettings.model_fields.items():
        if field.default not in (None, ()) and not isinstance(field.default, bool):
            (row,) = [line for line in text.splitlines() if line.startswith(f"| `--{name.replace('_', '-')}` ")]
            assert f"| {field.default} |" in row, row


def test_the_documents_name_every_route_and_metric(serving: Any) -> None:
    text = (DOCS / "serve.md").read_text(encoding="utf-8")
    with serving() as client:
        routes = client.http.get("/openapi.json").json()["paths"]
        families = [line.split()[2] for line in client.http.get("/metrics").text.splitlines() if "# TYPE" in line]
    assert [route for route in routes if f"{route}`" not in text] == []
    wanted = {name for name in families if not name.endswith("_created")}
    assert [name for name in sorted(wanted) if f"`{name}" not in text] == []
