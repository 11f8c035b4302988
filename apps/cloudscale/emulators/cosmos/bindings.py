"""Values bound to an SQL statement: nothing a user writes ever becomes SQL text."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Bindings:
    """The values of one statement by the name of their placeholder."""

    values: dict[str, object] = field(default_factory=dict)

    def bind(self, value: object) -> str:
        """The placeholder for ``value``."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f":{name}"
