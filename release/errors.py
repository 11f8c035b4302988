"""What can be wrong with a release."""

from __future__ import annotations


class ReleaseError(Exception):
    """The checkout is not fit for the release that is asked for; each line of the message is one thing to mend."""
