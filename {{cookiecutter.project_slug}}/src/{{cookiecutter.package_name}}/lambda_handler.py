"""The service as a function of AWS Lambda, for the setting `Handler` of it; `serve` does not use this."""

from __future__ import annotations

from .app import SERVICE
from .chassis.aws_lambda import LambdaHandler

handler = LambdaHandler(SERVICE)
