"""Tests of `chassis.ai_chat`."""
