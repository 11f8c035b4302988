"""What a page of a query has cost, for clients that ask for it.

"Query execution metrics in Azure Cosmos DB": one header of names and values, which SDKs add up over pages. What is not
measured here apart is 0: the emulator reads documents, compares and writes them in one pass.
"""

from dataclasses import dataclass
from typing import Final

from cloudscale.emulators.cosmos.query.execution import Page

QUERY_METRICS: Final = "x-ms-documentdb-query-metrics"
_UNMEASURED_TIMES: Final = (
    "queryLogicalPlanBuildTimeInMs",
    "queryPhysicalPlanBuildTimeInMs",
    "queryOptimizationTimeInMs",
    "indexLookupTimeInMs",
    "documentLoadTimeInMs",
    "systemFunctionExecuteTimeInMs",
    "userFunctionExecuteTimeInMs",
    "writeOutputTimeInMs",
)


@dataclass(frozen=True, slots=True)
class QueryTimes:
    """How long a page took, in seconds: to read the query, and to find its results."""

    compilation: float
    execution: float


def describe_metrics(page: Page, times: QueryTimes) -> str:
    """The header's value. Of documents that were read and are not in the page only the number is known."""
    milliseconds = {
        "totalExecutionTimeInMs": (times.compilation + times.execution) * 1000,
        "queryCompileTimeInMs": times.compilation * 1000,
        "VMExecutionTimeInMs": times.execution * 1000,
        **dict.fromkeys(_UNMEASURED_TIMES, 0.0),
    }
    counts = {
        "retrievedDocumentCount": page.read,
        "retrievedDocumentSize": page.size if page.read else 0,
        "outputDocumentCount": len(page.results),
        "outputDocumentSize": page.size,
    }
    used = min(1.0, len(page.results) / page.read) if page.read else 1.0
    parts = [f"{name}={value:.2f}" for name, value in milliseconds.items()]
    parts += [f"{name}={value}" for name, value in counts.items()]
    return ";".join([*parts, f"indexUtilizationRatio={used:.2f}"])
