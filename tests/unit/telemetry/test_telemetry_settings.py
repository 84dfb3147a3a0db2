"""What may be asked for, and what is served by default."""

from __future__ import annotations

import pytest

from millpond.errors import WrongUsage
from millpond.settings.telemetry import TelemetrySettings
from millpond.telemetry.observer import TelemetryOptions


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in TelemetrySettings.model_fields:
        monkeypatch.delenv(f"MILLPOND_{name.upper()}", raising=False)


def test_a_long_run_is_watched_on_this_machine_and_cannot_be_flushed_over_http() -> None:
    assert TelemetrySettings.from_flags([]).telemetry() == TelemetryOptions(8081, "127.0.0.1", False, "")


def test_a_run_that_ends_by_itself_takes_no_port_unless_one_is_named() -> None:
    assert TelemetrySettings.from_flags([]).telemetry(long_running=False).port is None
    assert TelemetrySettings.from_flags(["--metrics-port", "9000"]).telemetry(long_running=False).port == 9000
    assert TelemetrySettings.from_flags(["--allow-flush"]).telemetry(long_running=False).port == 8081


def test_port_0_is_no_port() -> None:
    assert TelemetrySettings.from_flags(["--metrics-port", "0"]).telemetry().port is None


def test_a_container_is_told_by_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLPOND_EMF", "shop")
    monkeypatch.setenv("MILLPOND_METRICS_ADDRESS", "0.0.0.0")
    found = TelemetrySettings.from_environment().telemetry()
    assert found == TelemetryOptions(8081, "0.0.0.0", False, "shop")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--metrics-port", "65536"], "--metrics-port"),
        (["--metrics-port", "-1"], "--metrics-port"),
        (["--emf", " "], "--emf"),
        (["--emf", "a\nb"], "--emf"),
        (["--emf", "shop", "--json"], "both write on standard output"),
        (["--allow-flush", "--metrics-port", "0"], "--allow-flush needs"),
    ],
)
def test_what_cannot_be_is_refused(flags: list[str], said: str) -> None:
    with pytest.raises(WrongUsage, match=said):
        TelemetrySettings.from_flags(flags)
