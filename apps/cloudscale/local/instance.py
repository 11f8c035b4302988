"""Finds the pipeline that a command is about: one that runs on this machine, or one that the environment names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloudscale.local.directory import read_record
from cloudscale.pipeline import EventPipeline, load_file
from cloudscale.settings import Settings, read_settings, variable_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A running pipeline: its resource, and how its backends are reached."""

    pipeline: EventPipeline
    settings: Settings


def find_instance(data_directory: Path, *, environment: Mapping[str, str] = os.environ) -> Instance:
    """The pipeline of the ``CLOUDSCALE_…`` variables if they name one, else the run that holds ``data_directory``.

    Raises:
        ConfigurationError: there is neither.
    """
    if variable_name("pipeline_file") in environment:
        settings = read_settings(environment)
    else:
        settings = read_record(data_directory).settings
    return Instance(pipeline=load_file(settings.pipeline_file), settings=settings)
