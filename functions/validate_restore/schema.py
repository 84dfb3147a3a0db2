"""`python -m functions.validate_restore.schema`: the JSON schema of a restore request, for editors and other programs.

It says what fields there are and what they hold; what belongs together is checked by the first step of a restore.
"""

from __future__ import annotations

import json
import sys

from millpond.restore.request import RestoreRequest


def schema() -> str:
    """The text of `docs/restore-request.schema.json`."""
    return json.dumps(RestoreRequest.model_json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
