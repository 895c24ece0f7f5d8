"""What a client sends and gets."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from ..shapes.ids import ID_PATTERN

MAX_CHARACTERS = 100_000
MAX_CONTEXT = 50


def _says_something(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("blank", "is blank")
    if "\x00" in text:
        raise PydanticCustomError("nul", "holds a NUL character")
    return text


Content = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS), AfterValidator(_says_something)]


class ContextMessage(BaseModel):
    """A message that came before, of a client that keeps the conversation itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["user", "assistant"] = Field(description="`system` is the service's own.")
    content: Content


class AssistantRequest(BaseModel):
    """A message to the assistant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    message: Content
    context: list[ContextMessage] = Field(
        default=[], max_length=MAX_CONTEXT, description="Messages before it, the oldest first; they are not kept."
    )
    conversation_id: str | None = Field(
        default=None,
        pattern=ID_PATTERN,
        description="Of an earlier response, whose messages come before it; without it, a conversation begins.",
    )


class TokenUsage(BaseModel):
    """As the provider counts; estimated where it does not."""

    input_tokens: int
    output_tokens: int


class AssistantResponse(BaseModel):
    """A whole completion."""

    conversation_id: str
    message: str
    finish_reason: str = Field(description="`stop`; `length` at the limit of tokens; or the provider's own word.")
    usage: TokenUsage


class ConversationMessage(BaseModel):
    """A message of a conversation."""

    role: str = Field(description="`user` or `assistant`.")
    content: str


class ConversationResponse(BaseModel):
    """A conversation."""

    id: str
    messages: list[ConversationMessage]
