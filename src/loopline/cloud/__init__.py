"""The loop on other machines, as plain functions: find out, deploy, train, pay, store. Wires the stages that do it."""

from loopline.cloud.costs import estimate, refresh_prices, running
from loopline.cloud.deployments import deploy, deployments, destroy, find_deployment, plan_deployment, prove, rollback
from loopline.cloud.deployments import logs as deployment_logs
from loopline.cloud.deployments import status as deployment_status
from loopline.cloud.inspection import preflight
from loopline.cloud.settings import read_settings
from loopline.cloud.stores import pull, push, stored
from loopline.cloud.training import plan_training, train_on

__all__ = [
    "deploy",
    "deployment_logs",
    "deployment_status",
    "deployments",
    "destroy",
    "estimate",
    "find_deployment",
    "plan_deployment",
    "plan_training",
    "preflight",
    "prove",
    "pull",
    "push",
    "read_settings",
    "refresh_prices",
    "rollback",
    "running",
    "stored",
    "train_on",
]
