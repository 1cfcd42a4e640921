"""The loop on other machines, as plain functions: find out, deploy, train, pay, store. Wires the stages that do it."""

from loopline.cloud.costs import estimate, refresh_prices, running
from loopline.cloud.inspection import preflight
from loopline.cloud.rollouts import (
    Release,
    deploy,
    destroy,
    find_deployment,
    list_deployments,
    plan_deployment,
    prove,
    rollback,
)
from loopline.cloud.rollouts import logs as deployment_logs
from loopline.cloud.rollouts import status as deployment_status
from loopline.cloud.settings import read_settings
from loopline.cloud.stores import pull, push, stored
from loopline.cloud.training import plan_training, train_on

__all__ = [
    "Release",
    "deploy",
    "deployment_logs",
    "deployment_status",
    "destroy",
    "estimate",
    "find_deployment",
    "list_deployments",
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
