"""Deployments: YAML files that say what runs where."""

from pipeline.config.deployment import Deployment

__all__ = ["Deployment"]
