"""`millpond demo`: the whole story on this machine. It needs the project's checkout, because it deploys the CDK app."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from pydantic import Field

from millpond.cli.outcome import Outcome
from millpond.errors import WrongUsage
from millpond.settings.base import VerbSettings


class Settings(VerbSettings):
    """Backup, loss, restore and erasure, deployed on a local AWS beside a real Kafka."""

    verb: ClassVar[str] = "demo"

    keep: bool = Field(False, description="leave everything running until interrupted, and print the addresses")
    orders: int = Field(50_000, description="records to produce", ge=1000, le=5_000_000)


def run(settings: Settings) -> Outcome:
    try:
        story: Any = import_module("local.demo.story")
    except ModuleNotFoundError as error:
        raise WrongUsage(
            f"the demo needs the project's checkout with its local parts: {error}", hint="run `make demo` in a checkout"
        ) from error
    document, text = story.tell(orders=settings.orders, keep=settings.keep)
    return Outcome(document, text)
