"""``python -m bench run [SCENARIO …]``, ``comparison``, ``access``, ``profile SERVICE``, ``report`` or ``list``."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

from bench import comparison, comparison_report, flames, machine, report
from bench.measurement import measure
from bench.scenarios import BY_NAME, SCENARIOS, Scenario

RESULTS = Path(__file__).resolve().parent / "results"
COMPARISON = RESULTS / "comparison.json"


def main() -> int:
    """Run the benchmarks that the command line names; 1 if a bound was broken."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the pipeline on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the scenarios")
    commands.add_parser("report", help="write the tables and plots from the recorded results")
    run = commands.add_parser("run", help="run scenarios and record their results")
    run.add_argument("scenarios", nargs="*", choices=[[], *BY_NAME], metavar="SCENARIO", help="all if none is named")
    run.add_argument("--runs", type=int, help="how often each is run, instead of its own number")
    compare = commands.add_parser("comparison", help="the same load on a bare handler, on CloudScale and on Benthos")
    compare.add_argument("--seconds", type=int, default=comparison.SECONDS, help="length of each load")
    known = commands.add_parser("access", help="what it costs to know who sends; many devices; strangers")
    known.add_argument("--small", action="store_true", help="a small load, printed and not recorded")
    profile = commands.add_parser("profile", help="where a service's CPU time goes under the sustained load")
    profile.add_argument("service", choices=flames.SERVICES)
    profile.add_argument("--seconds", type=int, default=flames.SECONDS, help="how long it is sampled")
    profile.add_argument("--rate", type=int, default=flames.SCENARIO.rate, help="events a second")
    arguments = parser.parse_args()

    if arguments.command == "list":
        for scenario in SCENARIOS:
            print(f"{scenario.name:16} {scenario.title}")
        return 0
    if arguments.command == "profile":
        folder = RESULTS / "scratch"
        print(flames.profile(arguments.service, seconds=arguments.seconds, rate=arguments.rate, folder=folder))
        return 0
    if arguments.command == "access":
        return _access(small=arguments.small)
    RESULTS.mkdir(exist_ok=True)
    broken = False
    if arguments.command == "run":
        broken = _run([BY_NAME[name] for name in arguments.scenarios or BY_NAME], runs=arguments.runs)
    if arguments.command == "comparison":
        result = comparison.measure(seconds=arguments.seconds)
        COMPARISON.write_text(json.dumps(result, indent=2) + "\n")
    report.write(RESULTS)
    comparison_report.write(COMPARISON, report.README)
    return int(broken)


def _access(*, small: bool) -> int:
    # It needs servers of the tests, which the other commands do without.
    from bench import access  # noqa: PLC0415

    facts = machine.describe(generator=False)
    result = {**access.measure(access.SMALL if small else access.Size()), "machine": facts}
    text = json.dumps(result, indent=2) + "\n"
    if not small:
        (RESULTS / "access.json").write_text(text)
    print(text)
    return int(bool(result["failures"]))


def _run(scenarios: list[Scenario], *, runs: int | None) -> bool:
    broken = False
    for scenario in scenarios:
        print(f"{scenario.name}: {scenario.title}", flush=True)
        facts = machine.describe()
        result = {**measure(replace(scenario, runs=runs or scenario.runs)), "machine": facts}
        (RESULTS / f"{scenario.name}.json").write_text(json.dumps(result, indent=2) + "\n")
        for number, figures in enumerate(result["runs"], start=1):
            for failure in figures["failures"]:
                broken = True
                print(f"  run {number}: {failure}")
        print(f"  {json.dumps(result['median'])}", flush=True)
    return broken


if __name__ == "__main__":
    sys.exit(main())
