"""The root command: the table of commands in the order of the loop, and one way in which errors end."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import click

from loopline import __version__
from loopline.cli.commands import COMMANDS, Command


class LoopGroup(click.Group):
    """A group that imports a command's module when the command is called, and lists commands stage by stage."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [command.name for command in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        from loopline.core.tables import load

        for command in COMMANDS:
            if command.name == cmd_name:
                loaded: click.Command = load(command.target)
                return loaded
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args and args[0] not in known:
            from loopline.core.errors import closest

            guess = closest(args[0], known)
            hint = f" Did you mean '{guess}'?" if guess else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        stages: dict[str, list[Command]] = {}
        for command in COMMANDS:
            stages.setdefault(command.stage, []).append(command)
        width = max(len(command.name) for command in COMMANDS)
        for stage, commands in stages.items():
            with formatter.section(stage):
                formatter.write_dl([(command.name.ljust(width), command.help) for command in commands])


@click.command(cls=LoopGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, "--version", message="loopline %(version)s")
@click.option("--home", type=click.Path(path_type=Path), help="Workspace folder [$LOOPLINE_HOME or workspace].")
@click.option(
    "--extend",
    "extensions",
    metavar="KIND.NAME=MODULE:ATTRIBUTE",
    multiple=True,
    help="A network, input, transform, … of your own project; repeatable [$LOOPLINE_EXTEND].",
)
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, home: Path | None, extensions: tuple[str, ...]) -> None:
    """Take a PyTorch model around the whole loop: data, train, evaluate, bundle, register, serve, drift.

    Start with `loopline demo`, or with `loopline data get fashion` and go down this list.
    """
    from loopline.core.workspace import Workspace

    if extensions:
        from loopline.core.tables import extend

        extend(*extensions)
    ctx.obj = Workspace.default() if home is None else Workspace(home)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        sys.exit(cli.main(arguments, prog_name="loopline", standalone_mode=False) or 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        print("interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # The reader (`| head`) went away: point stdout at nothing, so that the interpreter's last flush is silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None or "--debug" in arguments:
            raise
        print(sentence, file=sys.stderr)
        sys.exit(1)


def _sentence(error: Exception) -> str | None:
    """The sentence that an expected error ends with; None for a defect of ours, which keeps its traceback."""
    from loopline.core.errors import LooplineError, missing_extra

    if isinstance(error, ModuleNotFoundError):
        error = missing_extra(error) or error
    if isinstance(error, LooplineError):
        after = "" if error.next_command is None else f"\n  next: {error.next_command}"
        return f"error: {error.message}{after}"
    if isinstance(error, OSError) and error.errno in _ADVICE:
        return f"error: {error.filename or 'a file'}: {error.strerror}.\n  next: {_ADVICE[error.errno]}"
    return None


_ADVICE = {
    errno.ENOSPC: "free some space, or choose another folder: loopline --home FOLDER …",
    errno.EDQUOT: "free some space, or choose another folder: loopline --home FOLDER …",
    errno.EROFS: "choose a folder that can be written: loopline --home FOLDER …",
    errno.EACCES: "choose a folder that you may write: loopline --home FOLDER …",
    errno.EPERM: "choose a folder that you may write: loopline --home FOLDER …",
    errno.ENOENT: "check the path for a typing error",
    errno.ENOTDIR: "check the path: a file stands where a folder is expected",
    errno.EEXIST: "check the path: a file stands where a folder is expected",
    errno.EISDIR: "check the path: a folder stands where a file is expected",
    errno.EADDRINUSE: "choose another port: loopline serve MODEL --port 8001",
}
