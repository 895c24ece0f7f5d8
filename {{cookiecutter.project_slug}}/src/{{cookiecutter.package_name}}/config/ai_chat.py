"""Settings of the feature `ai_chat`: which model responds, and what a completion may take."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from ..chassis.ai_chat import ProviderKey, ProviderUrl
from ..chassis.settings import AppEnv, SettingsGroup

HARDENED_DEFAULTS = {"AI_PAGE_ENABLED": "false"}
"""In staging and production."""


class AiSettings(SettingsGroup):
    """An assistant."""

    api_key: ProviderKey = Field(
        default=None,
        validate_default=True,
        validation_alias="AI_API_KEY",
        description="Key of the provider; unset, in development and test, an echo without a model responds.",
    )
    base_url: ProviderUrl = Field(
        default="https://api.openai.com/v1",
        validation_alias="AI_BASE_URL",
        description="Where the provider's API is: OpenAI's, or that of a server that speaks its Chat Completions.",
    )
    model: str = Field(
        default="gpt-5.4-mini",
        min_length=1,
        max_length=200,
        validation_alias="AI_MODEL",
        description="Name of the model, as the provider calls it.",
    )
    first_token_seconds: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        validation_alias="AI_FIRST_TOKEN_SECONDS",
        description="How long the provider may take to the first token, in each attempt.",
    )
    token_seconds: float = Field(
        default=15.0,
        gt=0,
        le=3600,
        validation_alias="AI_TOKEN_SECONDS",
        description="How long it may take between two tokens.",
    )
    total_seconds: float = Field(
        default=120.0,
        gt=0,
        le=3600,
        validation_alias="AI_TOTAL_SECONDS",
        description="How long a whole completion may take; there it replaces REQUEST_TIMEOUT_SECONDS.",
    )
    attempts: int = Field(
        default=3,
        ge=1,
        le=10,
        validation_alias="AI_ATTEMPTS",
        description="How often the provider is asked before the first token, while its failures may pass.",
    )
    input_tokens: int = Field(
        default=8192,
        ge=256,
        le=1_000_000,
        validation_alias="AI_INPUT_TOKENS",
        description="How many tokens are sent to the provider, as estimated; of a long conversation the last messages.",
    )
    output_tokens: int = Field(
        default=1024,
        ge=1,
        le=100_000,
        validation_alias="AI_OUTPUT_TOKENS",
        description="How many tokens a completion may have.",
    )
    max_completions: int = Field(
        default=100,
        ge=1,
        le=10_000,
        validation_alias="AI_MAX_COMPLETIONS",
        description="How many completions one process makes at a time; one more is rejected with 503.",
    )
    max_completions_per_user: int = Field(
        default=3,
        ge=1,
        le=1000,
        validation_alias="AI_MAX_COMPLETIONS_PER_USER",
        description="How many of them one user, or the address of an anonymous one, may have; one more gets 429.",
    )
    daily_tokens: int = Field(
        default=200_000,
        ge=1,
        le=1_000_000_000_000,
        validation_alias="AI_DAILY_TOKENS",
        description="How many tokens, in and out, one user or address may use in a day (UTC); beyond them 429.",
    )
    max_messages: int = Field(
        default=40,
        ge=2,
        le=1000,
        validation_alias="AI_MAX_MESSAGES",
        description="How many messages of a conversation are kept; older ones are removed.",
    )
    keep_days: float = Field(
        default=30.0,
        gt=0,
        le=3650,
        validation_alias="AI_KEEP_DAYS",
        description="How long after its last message a conversation is kept.",
    )
    log_content: bool = Field(
        default=False,
        validation_alias="AI_LOG_CONTENT",
        description="Whether messages and completions, which may be private, are written to the log.",
    )
    page_enabled: bool = Field(
        default=True,
        validation_alias="AI_PAGE_ENABLED",
        description="Whether /assistant shows a page to ask on; anyone may load it.",
    )

    def warnings(self, app_env: AppEnv) -> Iterator[str]:
        if self.api_key is None:
            yield "AI_API_KEY: not set, so an echo responds in place of a model"
            if self.base_url != type(self).model_fields["base_url"].default:
                yield "AI_BASE_URL: has no effect without AI_API_KEY; where a server asks for none, any text is one"
        if self.log_content and app_env.hardened:
            yield "AI_LOG_CONTENT: true, so the log holds what users wrote"
        if self.first_token_seconds > self.total_seconds:
            yield "AI_FIRST_TOKEN_SECONDS: more than AI_TOTAL_SECONDS, which ends a completion before"
        if self.daily_tokens < self.input_tokens + self.output_tokens:
            yield "AI_DAILY_TOKENS: less than AI_INPUT_TOKENS and AI_OUTPUT_TOKENS, so a long request is never accepted"
