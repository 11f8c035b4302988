"""What the services of a busy pipeline have counted in two seconds, for tests of what is made of it."""

from __future__ import annotations

from cloudscale.telemetry.activity import Activity
from cloudscale.telemetry.distribution import Distribution

BUSY = Activity(
    seconds=2.0,
    accepted_by_type={"page_view": 30.0, "purchase": 10.0},
    accepted_by_tenant={"contoso": 25.0, "fabrikam": 15.0},
    persisted_by_type={"page_view": 36.0},
    responses={"202": 38.0, "400": 4.0, "503": 1.0, "500": 1.0},
    ingestion_seconds=Distribution(bounds=(0.1, 0.2, 0.5), counts=(30.0, 9.0, 1.0, 0.0), total=3.0),
    lag_seconds=Distribution(bounds=(1.0, 2.0, 5.0), counts=(30.0, 0.0, 6.0, 0.0), total=40.0),
    dead_letters={"ValidationFailed": 2.0},
    worker_processes=1,
)
