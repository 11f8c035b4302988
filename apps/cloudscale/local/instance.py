"""Finds the pipeline that a command is about: one that runs on this machine, or one that the environment names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cloudscale.archive.directory import read_identity
from cloudscale.archive.location import archive_path, pipeline_name
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


def archive_of(instance: Instance) -> Path:
    """The directory of a pipeline's archive.

    Raises:
        ConfigurationError: it has none, or nothing was archived yet.
    """
    return _archive(instance.pipeline, Path(instance.settings.pipeline_file))


def find_archive(data_directory: Path, *, environment: Mapping[str, str] = os.environ) -> Path:
    """The archive of the pipeline that the environment names, else of the last run in ``data_directory``.

    The pipeline need not run.

    Raises:
        ConfigurationError: there is no such pipeline, or it has no archive.
    """
    file = Path(environment.get(variable_name("pipeline_file"), data_directory / "pipeline.json"))
    if not file.exists():
        raise ConfigurationError(
            f"no pipeline has run in {data_directory.absolute()}: start one with `cloudscale run`, or point --data-dir "
            "to the directory of one"
        )
    return _archive(load_file(file), file)


def _archive(pipeline: EventPipeline, file: Path) -> Path:
    path = archive_path(pipeline, file)
    read_identity(path, pipeline=pipeline_name(pipeline))
    return path
