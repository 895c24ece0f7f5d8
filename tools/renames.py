"""Where modules and names of 0.1 to 0.3 are now: what `make adopt` rewrites, and what the CHANGELOG lists.

Modules are named from the package on. A name that is in no table kept its own, in the module that its module became.
"""

from __future__ import annotations

from collections.abc import Mapping

MODULES: Mapping[str, str] = {
    "access": "chassis.access",
    "app": "chassis.application",
    "cli": "chassis.cli",
    "config.environment": "chassis.settings.environment",
    "config.groups": "chassis.settings.groups",
    "config.log_access": "chassis.logs.access",
    "config.log_chain": "chassis.logs.chain",
    "config.log_console": "chassis.logs.console",
    "config.log_destinations": "chassis.logs.destinations",
    "config.log_exceptions": "chassis.logs.exceptions",
    "config.log_hooks": "chassis.logs.hooks",
    "config.log_lines": "chassis.logs.lines",
    "config.log_masking": "chassis.logs.masking",
    "config.log_stdout": "chassis.logs.stdout",
    "config.log_writer": "chassis.logs.writer",
    "config.logging": "chassis.logs.setup",
    "config.secrets": "chassis.settings.secrets",
    "config.settings": "chassis.settings.loading",
    "config.values": "chassis.settings.values",
    "context": "chassis.context",
    "controllers.auth_gate": "chassis.auth.authorizer",
    "controllers.describe": "chassis.http.describe",
    "controllers.documentation": "chassis.http.documentation",
    "controllers.openapi": "chassis.http.openapi",
    "controllers.operations": "chassis.http.operations",
    "controllers.reading": "chassis.http.parsing",
    "controllers.writing": "chassis.http.responses",
    "errors": "chassis.errors",
    "exit_codes": "chassis.exit_codes",
    "lifecycle": "chassis.lifecycle",
    "metrics": "chassis.metrics",
    "middleware": "chassis.middleware",
    "middleware.cors": "chassis.middleware.cross_origin",
    "middleware.errors": "chassis.middleware.errors",
    "middleware.hosts": "chassis.middleware.hosts",
    "middleware.limits": "chassis.middleware.limits",
    "middleware.observation": "chassis.middleware.instrumentation",
    "middleware.rate_limit": "chassis.middleware.rate_limit",
    "migrations": "chassis.database.migrations",
    "migrations.__main__": "chassis.database.migrations.revision",
    "migrations.env": "chassis.database.migrations.env",
    "migrations.runner": "chassis.database.migrations.runner",
    "models.database": "chassis.database.types",
    "models.headers": "chassis.shapes.headers",
    "models.operations": "chassis.shapes.operations",
    "models.page": "chassis.shapes.page",
    "models.problem": "chassis.shapes.problem",
    "routes.documentation": "chassis.http.documentation",
    "routes.operations": "chassis.http.operations",
    "routes.table": "chassis.http.routing",
    "server": "chassis.server",
    "server.deadlines": "chassis.server.deadlines",
    "server.fields": "chassis.server.fields",
    "server.framing": "chassis.server.framing",
    "server.lifespan": "chassis.server.lifespan",
    "server.listener": "chassis.server.listener",
    "server.options": "chassis.server.options",
    "server.process": "chassis.server.process",
    "server.protocol": "chassis.server.protocol",
    "server.reading": "chassis.server.reading",
    "server.refusal": "chassis.server.rejection",
    "server.signal_watch": "chassis.server.signal_watch",
    "server.signals": "chassis.server.signals",
    "server.sockets": "chassis.server.sockets",
    "server.startup_failure": "chassis.server.startup_failure",
    "server.state": "chassis.server.state",
    "server.target": "chassis.server.target",
    "server.transfer": "chassis.server.transfer",
    "server.watchdog": "chassis.server.watchdog",
    "server.websocket": "chassis.server.websocket",
    "services.auth_attempts": "chassis.auth.attempts",
    "services.auth_redis_attempts": "chassis.auth.redis_attempts",
    "services.auth_tokens": "chassis.auth.tokens",
    "services.background": "chassis.background",
    "services.cache": "chassis.cache.memory",
    "services.database": "chassis.database.database",
    "services.engines": "chassis.database.engines",
    "services.health": "chassis.health",
    "services.passwords": "chassis.passwords",
    "services.rate_limits": "chassis.rate_limits",
    "services.redis_cache": "chassis.cache.redis",
    "services.schema": "chassis.database.schema",
    "services.single_flight": "chassis.cache.single_flight",
    "wiring": "chassis.service",
}
NAMES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("access", "ADMINS"): ("models.auth", "ADMINS"),
    ("access", "owner_or_admins"): ("models.auth", "owner_or_admins"),
    ("controllers.auth_gate", "BearerGate"): ("chassis.auth", "BearerAuthorizer"),
    ("controllers.openapi", "Undescribed"): ("chassis.errors", "ConfigurationError"),
    ("errors", "FieldError"): ("chassis.shapes.problem", "FieldError"),
    ("errors", "HostRefused"): ("chassis.errors", "HostNotAllowed"),
    ("errors", "Unreadable"): ("chassis.errors", "MalformedRequest"),
    ("middleware.cors", "Cors"): ("chassis.middleware.cross_origin", "CORSMiddleware"),
    ("middleware.errors", "Errors"): ("chassis.middleware.errors", "ErrorMiddleware"),
    ("middleware.hosts", "AllowedHosts"): ("chassis.middleware.hosts", "AllowedHostsMiddleware"),
    ("middleware.limits", "BodyLimit"): ("chassis.middleware.limits", "BodySizeLimitMiddleware"),
    ("middleware.limits", "RequestTimeout"): ("chassis.middleware.limits", "TimeoutMiddleware"),
    ("middleware.observation", "Observation"): ("chassis.middleware.instrumentation", "InstrumentationMiddleware"),
    ("middleware.rate_limit", "RateLimited"): ("chassis.middleware.rate_limit", "RateLimitMiddleware"),
    ("models.database", "Base"): ("models.base", "Base"),
    ("models.database", "ID_PATTERN"): ("chassis.shapes", "ID_PATTERN"),
    ("models.database", "IdSource"): ("chassis.shapes.ids", "IdSource"),
    ("models.database", "new_id"): ("chassis.shapes", "new_id"),
    ("models.user", "Email"): ("chassis.shapes", "Email"),
    ("models.user", "GivenPassword"): ("chassis.shapes", "GivenPassword"),
    ("models.user", "MAX_EMAIL_CHARACTERS"): ("chassis.shapes", "MAX_EMAIL_CHARACTERS"),
    ("models.user", "Name"): ("chassis.shapes", "Name"),
    ("models.user", "Password"): ("chassis.shapes", "Password"),
    ("models.user", "canonical_email"): ("chassis.shapes", "canonical_email"),
    ("routes.table", "Gate"): ("chassis.http", "Authorizer"),
    ("services.auth_tokens", "TokenRefused"): ("chassis.auth", "TokenRejected"),
}


def resolved(module: str, name: str, exports: Mapping[str, frozenset[str]]) -> tuple[str, str]:
    """Return module and name of what *name* of *module* is now; a public module, if *exports* has it there."""
    if f"{module}.{name}".lstrip(".") in MODULES:  # a module that is imported from its package
        moved, _, leaf = MODULES[f"{module}.{name}".lstrip(".")].rpartition(".")
        return moved, leaf
    target, new = NAMES.get((module, name), (MODULES.get(module, module), name))
    public = ".".join(target.split(".")[:2])
    return (public, new) if new in exports.get(public, ()) else (target, new)


def changelog() -> str:
    """Return the list of the CHANGELOG: modules by what they became, and then names."""
    by_target: dict[str, list[str]] = {}
    for old, target in sorted(MODULES.items()):
        by_target.setdefault(".".join(target.split(".")[:2]), []).append(f"`{old}`")
    modules = (f"- {', '.join(old)}: `{new}`" for new, old in sorted(by_target.items()))
    names = (f"- `{module}.{name}`: `{target}.{new}`" for (module, name), (target, new) in NAMES.items())
    return "".join(f"{line}\n" for line in (*modules, *names))
