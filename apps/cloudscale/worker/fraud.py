"""The fraud check: flags events by all rules that a pipeline has, and raises one alert for what each is about."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from cloudscale.events.timestamps import as_utc
from cloudscale.limits.addresses import Networks
from cloudscale.limits.recent import Recent
from cloudscale.limits.velocity import VelocityWindows
from cloudscale.store.alerts import Alert, alert_id
from cloudscale.units import parse_duration
from cloudscale.worker.fraud_rules import Finding, ImpossibleTravelRule, SharedValueRule, UnusualAmountRule
from cloudscale.worker.velocity import VelocityRule, client_outside, user

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from redis.asyncio import Redis

    from cloudscale.cache.keys import Keys
    from cloudscale.circuit_breaker import CircuitBreaker
    from cloudscale.pipeline.processing import Fraud
    from cloudscale.store.batches import Document
    from cloudscale.worker.decoding import Accepted
    from cloudscale.worker.fraud_rules import Rule

RECENT_ALERTS = 10_000

About = tuple[str, str]
"""What one alert is about: its tenant, and its id there."""


class FraudCheck:
    """Evaluates events by velocity, and by what was seen before of their users and values."""

    def __init__(self, velocities: Sequence[VelocityRule], rules: Sequence[tuple[Rule, Recent]]) -> None:
        self._velocities = velocities
        self._rules = rules
        self._raised: OrderedDict[About, None] = OrderedDict()

    async def flag(self, documents: Sequence[Document], accepted: Sequence[Accepted]) -> dict[About, Alert]:
        """Set ``suspicious`` on each document, and ``fraud`` on those that are; the alerts that are to be raised.

        ``fraud`` is the evidence of the first rule that found something; that of others is in its ``also``.
        """
        columns = [await velocity.find(accepted) for velocity in self._velocities]
        columns += [await _find(rule, recent, documents, accepted) for rule, recent in self._rules]
        alerts: dict[About, Alert] = {}
        for event, document, row in zip(accepted, documents, zip(*columns, strict=True), strict=True):
            findings = [finding for finding in row if finding is not None]
            document["suspicious"] = bool(findings)
            if not findings:
                continue
            first, *others = ({"rule": finding.kind} | finding.evidence for finding in findings)
            document["fraud"] = first | ({"also": others} if others else {})
            for finding in findings:
                alert = _alert(event, finding)
                about = (event.tenant_id, alert.id)
                if about not in self._raised:
                    alerts.setdefault(about, alert)
        return alerts

    def remember(self, alerts: Iterable[About]) -> None:
        """Do not ask for these alerts again: they are raised. A flood would write the same one with each message."""
        for about in alerts:
            self._raised[about] = None
        while len(self._raised) > RECENT_ALERTS:
            self._raised.popitem(last=False)


def fraud_check(spec: Fraud, redis: Redis, *, keys: Keys, breaker: CircuitBreaker) -> FraudCheck:
    """The check that a resource asks for."""
    window = parse_duration(spec.velocity.window)
    windows = VelocityWindows(redis, key=keys.velocity_of, window=window, breaker=breaker)
    client = client_outside(Networks(spec.velocity.trusted_networks))
    velocities = [
        VelocityRule(
            windows, kind="velocity", per="clientAddress", sender=client, limit=spec.velocity.limit, window=window
        )
    ]
    if spec.user_velocity is not None:
        window = parse_duration(spec.user_velocity.window)
        windows = VelocityWindows(redis, key=keys.velocity_of, window=window, breaker=breaker)
        limit = spec.user_velocity.limit
        velocities.append(
            VelocityRule(windows, kind="user_velocity", per="userId", sender=user, limit=limit, window=window)
        )
    rules: list[Rule] = []
    if spec.unusual_amount is not None:
        rules.append(UnusualAmountRule(spec.unusual_amount))
    if spec.shared_value is not None:
        rules.append(SharedValueRule(spec.shared_value, window=parse_duration(spec.shared_value.window)))
    if spec.impossible_travel is not None:
        rules.append(ImpossibleTravelRule(spec.impossible_travel))
    remembered = [
        (rule, Recent(redis, key=keys.fraud_of, window=rule.window, kept=rule.kept, breaker=breaker)) for rule in rules
    ]
    return FraudCheck(velocities, remembered)


async def _find(
    rule: Rule, recent: Recent, documents: Sequence[Document], accepted: Sequence[Accepted]
) -> list[Finding | None]:
    looks = [rule.look(event, document) for event, document in zip(accepted, documents, strict=True)]
    before = iter(await recent.before([seen for seen in looks if seen is not None]))
    findings: list[Finding | None] = []
    for event, seen in zip(accepted, looks, strict=True):
        evidence = None if seen is None else rule.evaluate(seen, next(before))
        if seen is None or evidence is None:
            findings.append(None)
        else:
            findings.append(Finding(rule.kind, evidence, rule.about(event, seen)))
    return findings


def _alert(event: Accepted, finding: Finding) -> Alert:
    return Alert(
        id=alert_id(finding.kind, finding.about),
        kind=finding.kind,
        tenant_id=event.tenant_id,
        created_at=as_utc(event.received_at),
        user_id=event.user_id,
        client_address=event.client_address,
        correlation_id=event.correlation_id,
        evidence={"rule": finding.kind} | finding.evidence | {"eventId": event.id},
    )
