"""The units a resource is written in: durations like ``500ms`` or ``1h30m``, quantities like ``5Gi``.

The grammar of durations is that of Go and Kubernetes (``time.ParseDuration`` without signs and sub-millisecond units),
so that the same text means the same to ``kubectl``, to CEL's ``duration()`` and to KEDA.
"""

from __future__ import annotations

import re
from datetime import timedelta

from cloudscale.errors import ConfigurationError

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"

_DURATION = re.compile(DURATION_PATTERN)
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str) -> timedelta:
    """Read a duration such as ``30s``, ``1h30m`` or ``500ms``.

    Raises:
        ConfigurationError: ``text`` is not a duration.
    """
    if not _DURATION.fullmatch(text):
        raise ConfigurationError(f"{text!r} is not a duration: write a number and a unit, like 500ms, 30s, 5m or 1h30m")
    return timedelta(seconds=sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text)))


def format_duration(duration: timedelta) -> str:
    """Write a duration with the largest units that keep it exact to the millisecond; zero is ``0s``."""
    milliseconds = round(duration.total_seconds() * 1000)
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"

_QUANTITY = re.compile(r"^([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$")
_MULTIPLIERS = {
    "m": 0.001,
    "": 1.0,
    **{unit: 1000.0**power for power, unit in enumerate("kMGT", start=1)},
    **{f"{unit}i": 1024.0**power for power, unit in enumerate("KMGT", start=1)},
}


def parse_quantity(text: str) -> float:
    """Read a Kubernetes quantity such as ``5Gi``, ``250m`` or ``2`` into its plain number (bytes, cores).

    Raises:
        ConfigurationError: ``text`` is not a quantity.
    """
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{text!r} is not a quantity: write a number and a unit, like 250m, 2, 512Mi or 5Gi")
    return float(match[1]) * _MULTIPLIERS[match[2] or ""]
