"""The tree of errors that CloudScale raises on purpose.

Each message says what happened, to what, and what to do about it, so that a person can act on the text alone.
"""


class CloudScaleError(Exception):
    """Root of every error that CloudScale raises on purpose."""


class ConfigurationError(CloudScaleError):
    """A resource, a setting or a command-line argument cannot be used as given."""


class InvalidPipelineError(ConfigurationError):
    """An EventPipeline breaks its schema or one of its cross-field rules.

    ``problems`` holds one line for each broken field, each starting with the field's path (``spec.queue.name: …``).
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class BackendError(CloudScaleError):
    """A backend (broker, store or cache) did not do what was asked."""


class BackendUnavailableError(BackendError):
    """A backend cannot be reached or answers that it is overloaded: the same call may succeed later."""


class OutcomeUnknownError(BackendUnavailableError):
    """A backend did not answer in time: the call may have taken effect, so only an idempotent retry is safe."""


class ThrottledError(BackendUnavailableError):
    """A backend asked to wait. ``retry_after_seconds`` is its own figure."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class CredentialError(BackendError):
    """A backend refused the credential: retrying cannot help, somebody has to mend the connection string or role."""
