"""The table of commands, in the order of the loop. Help reads this table and imports no command."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A command: the stage it stands under in the help, its name, its import string, its line of help."""

    stage: str
    name: str
    target: str
    help: str


COMMANDS = (
    Command("Start", "demo", "loopline.cli.demo:demo", "The whole loop on Fashion-MNIST, in minutes, with a page."),
    Command("Start", "doctor", "loopline.cli.doctor:doctor", "Check this machine; each problem with what mends it."),
    Command("Start", "new", "loopline.cli.project:new", "Begin a project of your own from the template."),
    Command("Start", "update", "loopline.cli.project:update", "Bring later improvements into a project, keep edits."),
    Command("Data", "data", "loopline.cli.data:data", "get, snapshot, show, verify, diff: datasets as snapshots."),
    Command("Train", "train", "loopline.cli.train:train", "Train from a recipe with Hydra overrides; resume exactly."),
    Command("Train", "verify-resume", "loopline.cli.train:verify_resume", "Kill a run, resume it, compare weights."),
    Command("Sweep", "sweep", "loopline.cli.sweep:sweep", "Search a space of configurations; killed, it goes on."),
    Command("Sweep", "sweeps", "loopline.cli.sweep:sweeps", "show: what was searched, and what came out."),
    Command("Track", "runs", "loopline.cli.runs:runs", "What ran: with which code, data, configuration, result."),
    Command("Evaluate", "evaluate", "loopline.cli.evaluate:evaluate", "Metrics with intervals, tables and plots."),
    Command("Bundle", "export", "loopline.cli.export:export", "Turn a run into a bundle: graph, transforms, proof."),
    Command("Bundle", "bundle", "loopline.cli.export:bundle", "show, verify: look into a bundle and recompute it."),
    Command("Bundle", "optimize", "loopline.cli.optimize:optimize", "Make a bundle faster; what it loses is gated."),
    Command("Register", "register", "loopline.cli.registry:register", "Give a bundle a name and a version."),
    Command("Register", "promote", "loopline.cli.registry:promote", "Point an alias at a version, through the gate."),
    Command("Register", "rollback", "loopline.cli.registry:rollback", "Point an alias back at what it was before."),
    Command("Register", "models", "loopline.cli.registry:models", "Registered models, versions and aliases."),
    Command("Serve", "predict", "loopline.cli.predict:predict", "Predict files with the same predictor, no server."),
    Command("Serve", "serve", "loopline.cli.serve:serve", "Serve a model over HTTP with dynamic batching."),
    Command("Serve", "ui", "loopline.cli.serve:ui", "Serve it with a page to upload, paste or photograph."),
    Command("Serve", "api-key", "loopline.cli.api_key:api_key", "Make a key that a server takes; shown once."),
    Command("Serve", "loadtest", "loopline.cli.loadtest:loadtest", "Load a server, and see what it carries."),
    Command("Container", "image", "loopline.cli.image:image", "Build the image that trains, or that serves a model."),
    Command("Container", "run", "loopline.cli.run:run", "Run a server as Cloud Run, Vertex or Lambda would."),
    Command("Cloud", "preflight", "loopline.cli.deploy:preflight", "What would stop a deployment, before it costs."),
    Command("Cloud", "deploy", "loopline.cli.deploy:deploy", "Cloud Run, Vertex, Kubernetes, Compose; go back."),
    Command("Cloud", "smoke", "loopline.cli.deploy:smoke", "Does an address answer as the bundle does?"),
    Command("Cloud", "job", "loopline.cli.job:job", "Trainings on other machines: list, follow, stop."),
    Command("Cloud", "store", "loopline.cli.job:store", "Snapshots, runs, bundles in gs:// and s3://."),
    Command("Cloud", "cost", "loopline.cli.deploy:cost", "What runs because of us, and what it costs."),
    Command("Monitor", "drift", "loopline.cli.drift:drift", "Compare the prediction log with the bundle's reference."),
    Command("Monitor", "compare", "loopline.cli.compare:compare", "Champion and challenger, by what they answered."),
    Command("Report", "report", "loopline.cli.report:report", "new, check, html, fill: a project's Markdown report."),
    Command("Report", "audit", "loopline.cli.audit:audit", "What a project really does, proved from its files."),
)
