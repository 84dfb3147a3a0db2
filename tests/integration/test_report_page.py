"""The page of a restore's report in a real browser: what a reader sees, on wide and narrow screens, light and dark."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from local.chromium import chromium
from millpond.archive.runs import Run
from millpond.restore.run import run_restore
from millpond.restore.writing import target
from millpond.storage.contract import read
from tests.browser import Page, browser
from tests.integration.restore_runs import Restore
from tests.unit.builders import make_rows
from tests.unit.restore.reported_run import BEGAN_MS, HOSTILE, ReportedRun, a_group, a_setting

if TYPE_CHECKING:
    from local.kafka import KafkaCluster

SCREENS = [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(chromium(), tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def one_topic() -> ReportedRun:
    return ReportedRun({"orders": [1_000, 0, 123_456, 7]})


def forty_topics() -> ReportedRun:
    names = (f"shop.team-{number}.events-of-a-very-long-name-{number * 'x'}" for number in range(40))
    return ReportedRun({name: [(7 * at * at) % 999 for at in range(60)] for name in names})


def written(run: Run, folder: Path, name: str = "report.html") -> Path:
    path = folder / name
    path.write_bytes(read(run.store, run.key(name)))
    return path


@pytest.mark.parametrize("made", [one_topic, forty_topics])
@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_verdict_and_every_topic_are_seen_on_any_screen_and_nothing_is_asked_for(
    page: Page, tmp_path: Path, made: Callable[[], ReportedRun], width: int, scheme: str
) -> None:
    run = made().whole()
    report = run.report()
    path = written(run.run, tmp_path)
    page.resize(width)
    page.scheme(scheme)
    page.open(path)
    assert page.requests == [path.as_uri()]
    shown = page.text()
    assert f"{report['written']:,} records are restored and proven equal" in shown
    assert [topic["topic"] for topic in report["topics"] if topic["topic"] not in shown] == []
    assert page.evaluate("document.documentElement.scrollWidth") == page.evaluate("innerWidth") == width
    image = page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000 and different_lines(image) > 200


def test_light_and_dark_are_what_the_reader_asked_for(page: Page, tmp_path: Path) -> None:
    run = one_topic().whole()
    run.report()
    brightness = {}
    for scheme in ("light", "dark"):
        page.scheme(scheme)
        page.open(written(run.run, tmp_path))
        colour = str(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        brightness[scheme] = sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(",")))
    assert brightness["light"] > 3 * 200 and brightness["dark"] < 3 * 60


def test_partitions_of_many_topics_are_a_click_away_and_their_digests_whole(page: Page, tmp_path: Path) -> None:
    run = forty_topics().whole()
    report = run.report()
    page.open(written(run.run, tmp_path))
    digest = report["partitions"][0]["digest_target"]
    assert digest[:12] not in page.text()
    page.evaluate("document.querySelector('details.topic summary').click()")
    assert digest[:12] in page.text()
    assert page.evaluate(f"document.querySelectorAll('code[title=\"{digest}\"]').length") == 1


def test_names_that_are_markup_stay_text_in_a_browser(page: Page, tmp_path: Path) -> None:
    run = ReportedRun({"orders": [5]}, warnings=[HOSTILE]).plan().prepare().work().reconcile().compare()
    run.groups(a_group(HOSTILE, "active")).finish(a_setting(HOSTILE, "partly", refused={HOSTILE: HOSTILE})).report()
    path = written(run.run, tmp_path)
    page.open(path)
    assert page.requests == [path.as_uri()]
    assert page.evaluate("document.title") == "Restore drill-7: done with exceptions"
    assert page.text().count(HOSTILE) >= 4 and page.evaluate("document.querySelectorAll('img, script').length") == 0


def test_a_failed_run_says_so_first_and_names_partitions_and_reasons(page: Page, tmp_path: Path) -> None:
    run = ReportedRun({"orders": [5, 6]}).plan().prepare().work(but=[1])
    run.run.write_failure(1, BEGAN_MS, "a digest is wrong", object_key="kafka/topics/orders/" + 200 * "x" + ".avro")
    run.report(reasons=["1 of 2 partitions are not restored"])
    page.resize(400)
    page.open(written(run.run, tmp_path, f"report-{BEGAN_MS + 52_000}.html"))
    shown = page.text()
    assert shown.startswith("failed") and "did not come to its end" in shown
    assert "restored.orders-1" in shown and "a digest is wrong" in shown and "1 of 2 partitions" in shown
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_it_can_be_printed(page: Page, tmp_path: Path) -> None:
    run = one_topic().whole()
    run.report()
    page.open(written(run.run, tmp_path))
    found = page.pdf()
    assert found.startswith(b"%PDF") and 1 <= found.count(b"/Type /Page\n") <= 4


def test_a_real_restore_ends_in_a_page_that_says_what_the_topics_hold(
    kafka: KafkaCluster,
    page: Page,
    tmp_path: Path,
    unique_name: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(target, "_STILL_S", 0.1)
    restore, topic = Restore(kafka.bootstrap()), unique_name("page")
    rows = {number: make_rows(0, 40 + number) for number in range(3)}
    for number, those in rows.items():
        restore.add(topic, those, number)
    restore.plan(topic, compare="whole")
    report = run_restore(restore.store, restore.layout, restore.cluster, run_id=restore.run_id, work=restore.work)
    restore.holds(topic, rows)
    assert (report["status"], report["written"], report["target_cluster_id"]) == (
        *("done", 123),
        restore.cluster.cluster_id(),
    )
    assert report["compared"]["differences"] == 0 and report["compared"]["equal"] == 123
    page.open(written(restore.run, tmp_path))
    shown = page.text()
    assert "123 records are restored and proven equal" in shown and topic in shown
    assert "Then all was read once more" in shown and "3 of 3 equal" in shown


def different_lines(png: bytes) -> int:
    """How many lines of pixels a picture has that are not like another: a blank one has one."""
    at, packed, height = 8, b"", 0
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        content = png[at + 8 : at + 8 + length]
        height = struct.unpack_from(">II", content)[1] if kind == b"IHDR" else height
        packed += content if kind == b"IDAT" else b""
        at += 12 + length
    lines = zlib.decompress(packed)
    width = len(lines) // height
    return len({lines[start : start + width] for start in range(0, len(lines), width)})
