"""How much of a body a route accepts."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """What one endpoint accepts; None leaves it to the setting."""

    max_bytes: int | None = None
    """In place of MAX_BODY_BYTES; lower, or higher."""
    max_json_values: int | None = None
    """Values and keys of a JSON body, in place of MAX_JSON_VALUES."""
    max_json_depth: int | None = None
    """Levels of lists and objects in a JSON body, in place of MAX_JSON_DEPTH."""

    def over(self, defaults: BodyLimits) -> BodyLimits:
        """These limits, and those of *defaults* where these are None."""
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return BodyLimits(**{name: getattr(defaults, name) if own[name] is None else own[name] for name in own})


DEFAULT_LIMITS = BodyLimits(max_bytes=1_048_576, max_json_values=10_000, max_json_depth=32)
"""Those of the settings' defaults."""
