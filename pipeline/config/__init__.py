"""Deployments: YAML files that say what runs where."""

from pipeline.config.checks import find_problems, require_models, to_be_learnt
from pipeline.config.deployment import Deployment
from pipeline.config.loading import Loaded, Report, check_file, load, load_deployment
from pipeline.config.problems import Problem
from pipeline.config.schema import deployment_schema
from pipeline.config.settings_file import load_settings

__all__ = [
    "Deployment",
    "Loaded",
    "Problem",
    "Report",
    "check_file",
    "deployment_schema",
    "find_problems",
    "load",
    "load_deployment",
    "load_settings",
    "require_models",
    "to_be_learnt",
]
