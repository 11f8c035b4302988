"""What a worker writes of single events into its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.worker.harness import end, page_view

if TYPE_CHECKING:
    from tests.worker.harness import Harness


async def test_dead_letters_and_suspicious_events_are_found_by_their_ids_and_without_content(harness: Harness) -> None:
    (unknown,) = await harness.accept([page_view(url="https://shop.example/private")])
    unknown["eventType"] = "click"
    flood = await harness.accept([page_view() for _ in range(12)], address="198.51.100.7")
    worker = harness.start_process()
    try:
        await harness.send([unknown, *flood])
        await harness.send_body(b"no events")
        await harness.dead(2)
    finally:
        end(worker)

    log = (harness.directory / "worker.log").read_text()
    lines = log.splitlines()
    (dead,) = [line for line in lines if unknown["id"] in line]
    assert "dead letter" in dead
    assert f"correlation_id={unknown['correlationId']}" in dead
    assert "reason=UnknownEventType" in dead
    # Ten are within the limit; the two beyond it make one alert, which the eleventh raises.
    (suspicious,) = [line for line in lines if "suspicious" in line]
    assert f"event_id={flood[10]['id']}" in suspicious
    assert f"correlation_id={flood[10]['correlationId']}" in suspicious
    assert "client_address=198.51.100.7" in suspicious
    assert any("a message is no array of events" in line for line in lines)
    assert "private" not in log
