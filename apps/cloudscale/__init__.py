"""Everything that runs in a pipeline: the services, the emulators, and the ``cloudscale`` command."""

__version__ = "0.2.0"
"""The version of package, image and charts. ``make version VERSION=…`` changes it here and where it is repeated."""
