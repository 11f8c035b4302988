"""Finds the pipeline that a command is about: one that runs on this machine, or one that the environment names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cloudscale.errors import ConfigurationError
from cloudscale.local.directory import read_record
from cloudscale.pipeline import EventPipeline, load_file
from cloudscale.settings import Settings, read_settings, variable_name

if TYPE_CHECKING:
    from collections.abc import Mapping


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


def find_pipeline(data_directory: Path, *, environment: Mapping[str, str] = os.environ) -> Instance:
    """The pipeline that the environment names, else that of the last run in ``data_directory``, which may have ended.

    Its settings have what the environment says, so an archive can be read and no other backend need be known.

    Raises:
        ConfigurationError: there is no such pipeline.
    """
    file = Path(environment.get(variable_name("pipeline_file"), data_directory / "pipeline.json"))
    if not file.exists():
        raise ConfigurationError(
            f"no pipeline has run in {data_directory.absolute()}: start one with `cloudscale run`, or point --data-dir "
            "to the directory of one"
        )
    told = {variable_name("pipeline_file"): str(file), variable_name("redis_url"): "", **environment}
    return Instance(pipeline=load_file(file), settings=read_settings(told))
