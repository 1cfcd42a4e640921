"""`loopline job` and `loopline store`: trainings elsewhere, and what lies in buckets."""

from __future__ import annotations

import sys

import click

from loopline.core.workspace import Workspace

_KIND = click.Choice(["data", "run", "bundle"])


@click.group()
def job() -> None:
    """Trainings on other machines: list, follow, stop. `loopline train --on vertex|vm` starts one."""


@job.command("list")
@click.pass_obj
def list_(workspace: Workspace) -> None:
    """List the trainings that were started from here, as they were last seen."""
    from loopline.cli.output import print_table
    from loopline.deployment.jobs import list_jobs

    rows = [
        (
            item.job_id,
            item.place,
            item.status,
            item.settings.job.machine,
            item.run_id or "",
            f"{item.cost.usd_per_hour:.2f}",
            " ".join(item.overrides),
        )
        for item in list_jobs(workspace)
    ]
    if not rows:
        click.echo("no training was started elsewhere.\nnext: loopline train --on vertex --dry-run recipe=fashion")
        return
    print_table(("job", "place", "status", "machine", "run", "USD per hour", "overrides"), rows)


@job.command("follow")
@click.argument("job_id")
@click.pass_obj
def follow(workspace: Workspace, job_id: str) -> None:
    """Show what a job says until it ends, and bring its runs home."""
    from loopline.cloud.rollouts import default_tools
    from loopline.deployment.jobs import find_job
    from loopline.deployment.jobs import follow as follow_job

    done = follow_job(find_job(job_id, workspace), workspace, default_tools())
    click.echo(f"next: loopline evaluate {done.run_id}")


@job.command("logs")
@click.argument("job_id")
@click.pass_obj
def logs(workspace: Workspace, job_id: str) -> None:
    """Show the last lines that a job wrote."""
    from loopline.cloud.rollouts import default_tools
    from loopline.deployment.job_places import open_job_place
    from loopline.deployment.jobs import find_job

    found = find_job(job_id, workspace)
    for line in open_job_place(found.place).logs(found, default_tools()):
        click.echo(line)


@job.command("stop")
@click.argument("job_id")
@click.pass_obj
def stop(workspace: Workspace, job_id: str) -> None:
    """End a job, so that it costs nothing any more; its runs stay in the bucket."""
    from loopline.cloud.rollouts import default_tools
    from loopline.deployment.jobs import find_job
    from loopline.deployment.jobs import stop as stop_job

    stop_job(find_job(job_id, workspace), workspace, default_tools())
    click.echo(f"job {job_id} is stopped.")


@job.command("work")
@click.argument("url")
@click.argument("overrides", nargs=-1)
@click.pass_obj
def work(workspace: Workspace, url: str, overrides: tuple[str, ...]) -> None:
    """Do the job at URL on this machine: what machines in a cloud run. Exits with 0 where the training completed."""
    from loopline.deployment.working import work as do

    state = do(url, overrides, workspace=workspace)
    click.echo(f"{state.status}{'' if state.error is None else f': {state.error}'}")
    sys.exit(0 if state.status == "completed" else 1)


@click.group()
def store() -> None:
    """Send snapshots, runs and bundles to gs://, s3:// or file://, and fetch them: parallel, resumable, checked."""


@store.command("push")
@click.argument("kind", type=_KIND)
@click.argument("reference")
@click.argument("url")
@click.pass_obj
def push(workspace: Workspace, kind: str, reference: str, url: str) -> None:
    """Send a snapshot (`data fashion`), a run (`run latest`) or a bundle (`bundle fashion@champion`) to URL."""
    from loopline.cloud import push as push_stored

    where, copied = push_stored(kind, reference, url, workspace=workspace)  # type: ignore[arg-type] # one of _KIND
    click.echo(
        f"{where}: {copied.num_files} files sent, {copied.num_bytes / 1e6:.1f} MB; {copied.num_present} were there."
    )


@store.command("pull")
@click.argument("kind", type=_KIND)
@click.argument("name")
@click.argument("url")
@click.pass_obj
def pull(workspace: Workspace, kind: str, name: str, url: str) -> None:
    """Fetch what `store list` shows of URL into the workspace; every file is checked before it takes its name."""
    from loopline.cloud import pull as pull_stored

    folder, copied = pull_stored(kind, name, url, workspace=workspace)  # type: ignore[arg-type] # one of _KIND
    click.echo(f"{folder}: {copied.num_files} files, {copied.num_bytes / 1e6:.1f} MB; {copied.num_present} were here.")


@store.command("list")
@click.argument("url")
def list_stored(url: str) -> None:
    """List what lies whole at URL."""
    from loopline.cloud import stored

    for kind in ("data", "run", "bundle"):
        for name in stored(kind, url):
            click.echo(f"{kind} {name}")
