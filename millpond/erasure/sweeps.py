"""What sweeps looked for, this one and those that an archive's windows name: from their plans back to matchers."""

from __future__ import annotations

import re

from millpond.archive.documents import Json
from millpond.archive.keys import Layout
from millpond.archive.runs import Run
from millpond.erasure.match import Matcher
from millpond.erasure.policy import Policy, load_policy
from millpond.erasure.secret import ErasureSecret
from millpond.errors import MillpondError, TryAgain, WrongUsage
from millpond.storage.contract import ObjectStore

KIND = "redact"

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Redact run ids; they stand in the names of objects, in file metadata and in receipts."""


def redact_run(store: ObjectStore, layout: Layout, run_id: str) -> Run:
    """The folder of a redact run. `WrongUsage` where the id could not be one; it is not repeated."""
    if not RUN_ID.fullmatch(run_id):
        raise WrongUsage(
            "that is no id of a redact run", hint="letters, digits, dot, underscore and hyphen, at most 64"
        )
    return Run(store, layout, KIND, run_id)


class Sweeps:
    """Matchers by run and topic, made once each."""

    def __init__(self, store: ObjectStore, layout: Layout, secret: ErasureSecret, archive_id: str) -> None:
        self._store, self._layout, self._secret, self._archive_id = store, layout, secret, archive_id
        self._requests: dict[str, tuple[Json, Policy]] = {}
        self._matchers: dict[tuple[str, str], Matcher] = {}

    def check(self, run_id: str) -> None:
        """Raises what `matcher` would for any topic of this run."""
        self._request(run_id)

    def matcher(self, run_id: str, topic: str) -> Matcher:
        """What the run looks for in the topic.

        Raises:
            WrongUsage: No such run, or the secret is not the one it was planned with.
            DamagedArchive: The policy that it names is gone.
        """
        if (run_id, topic) not in self._matchers:
            self._matchers[run_id, topic] = self._made(run_id, topic)
        return self._matchers[run_id, topic]

    def earlier_matcher(self, run_id: str, topic: str) -> Matcher | None:
        """The same of a run that a window names; None where that cannot be found out, as in a forged window."""
        try:
            return self.matcher(run_id, topic)
        except TryAgain:
            raise
        except (MillpondError, ValueError, KeyError, TypeError):
            return None

    def _made(self, run_id: str, topic: str) -> Matcher:
        request, policy = self._request(run_id)
        hashes: dict[str, list[str]] = request["hashes"]
        keys = {kind: self._secret.derived(request["key_id"], self._archive_id, kind) for kind in hashes}
        searched = policy.searched(topic)
        return Matcher(searched.places_of(hashes) if searched else (), hashes, keys)

    def _request(self, run_id: str) -> tuple[Json, Policy]:
        if run_id not in self._requests:
            self._requests[run_id] = self._read(run_id)
        return self._requests[run_id]

    def _read(self, run_id: str) -> tuple[Json, Policy]:
        request: Json = redact_run(self._store, self._layout, run_id).plan()["request"]
        if self._secret.check(request["key_id"], self._archive_id) != request["key_check"]:
            raise WrongUsage(
                f"the erasure secret is not the one that redact run {run_id} was planned with",
                hint="with another secret nothing would match",
            )
        return request, load_policy(self._store, self._layout, request["policy"])
