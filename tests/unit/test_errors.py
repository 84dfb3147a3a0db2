"""What errors may not tell."""

from __future__ import annotations

import pytest

from millpond.errors import MillpondError, TryAgain, without_values

KEY = "kafka/topics/orders/Qm3vXk1ZTb6R0nKXv0cV7w/3/parts/{}/orders-3-0-9-e0.avro"


@pytest.mark.parametrize("path", ["customer_id=canary%40example.com", "country=CANARY/date=2026-01-01", "path=canary"])
@pytest.mark.parametrize(
    "text",
    ["cannot put s3://b/{}: SlowDown", "{}", "'{}' is taken", 'not authorized on "arn:aws:s3:::b/{}" because', "{} {}"],
)
def test_no_error_tells_the_values_in_the_name_of_a_part(path: str, text: str) -> None:
    key = KEY.format(path)
    error = TryAgain(text.format(key, key), hint=f"look at {key}")
    for told in (str(error), error.args[0], error.hint):
        assert "canary" not in told.lower()
        assert "/parts/.../orders-3-0-9-e0.avro" in told


@pytest.mark.parametrize(
    "text", ["s3://b/kafka/topics/parts-7/x/0/parts-7-0-0-9.avro", "two parts / one", "", "/parts/ and so on"]
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert without_values(text) == text
    assert str(MillpondError(text)) == text
