"""The tables of the feature `ai_chat`."""

from __future__ import annotations

from sqlalchemy import ForeignKeyConstraint

from ..chassis.ai_chat import ConversationColumns, ConversationMessageColumns, TokenBudgetColumns
from .base import Base


class Conversation(ConversationColumns, Base):
    """A conversation with the assistant; it goes with its user."""

    __tablename__ = "ai_conversations"
    __table_args__ = (ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),)


class ConversationMessage(ConversationMessageColumns, Base):
    """A message of a conversation."""

    __tablename__ = "ai_messages"
    __table_args__ = (ForeignKeyConstraint(["conversation_id"], ["ai_conversations.id"], ondelete="CASCADE"),)


class TokenBudget(TokenBudgetColumns, Base):
    """What was used on a day."""

    __tablename__ = "ai_token_budgets"
