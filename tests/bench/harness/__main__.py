"""The command line: prepare the peers, run the passes, write the report."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from . import report, scenarios
from .cluster import scenarios as cluster_scenarios
from .cluster import works as cluster_works
from .cluster.peers import ALL as CLUSTERS
from .model import Work
from .passes import Bench
from .peers import ALL
from .process import BenchError
from .works import choose, works

PARTS = ("node", "cluster")
ROOT = Path(__file__).resolve().parents[3]


def arguments() -> argparse.Namespace:
    """The parsed command line."""
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh", description="FlyMQ beside NATS JetStream and Kafka on the same work")
    parser.add_argument("--quick", action="store_true", help="a few minutes: smaller counts, three passes")
    parser.add_argument("--passes", type=int, help="how often all of it is repeated (full 5, quick 3; clusters at most 3, quick 1)")
    parser.add_argument("--peers", default=",".join(ALL), help="comma list out of %(default)s; the first is compared with the others")
    parser.add_argument("--works", default="", help="comma list of works, for example produce-1k,sync; all if not given, or none")
    parser.add_argument("--scenarios", default="all", help="comma list out of FlyMQ's own scenarios, for example cold,restart; all or none")
    parser.add_argument("--parts", default=",".join(PARTS), help="comma list: node (one node of each peer), cluster (three); default %(default)s")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the counts; small values try the harness, their figures mean nothing")
    parser.add_argument("--data-dir", type=Path, help="where the brokers write (default: under bench-results/, on the disk of the tree)")
    parser.add_argument("--no-report", action="store_true", help="leave docs/ as it is; print, and keep the raw results only")
    parser.add_argument("--report-from", type=Path, metavar="JSON", help="write the report from raw results; run nothing")
    return parser.parse_args()


def main() -> int:
    """0 when every run of every peer gave its figures, 1 when some failed, 2 when nothing could be run."""
    given = arguments()
    signal.signal(signal.SIGTERM, _leave)
    if given.report_from:
        results = json.loads(given.report_from.read_text(encoding="utf-8"))
        report.write(ROOT, results)
        return 0
    parts = given.parts.split(",")
    unknown = [f"peer {name}" for name in given.peers.split(",") if name not in ALL] + [f"part {name}" for name in parts if name not in PARTS]
    if unknown:
        print(f"unknown {', '.join(unknown)}; there are the peers {', '.join(ALL)} and the parts {', '.join(PARTS)}", file=sys.stderr)
        return 2
    try:
        results = _node(given) if "node" in parts else {}
        if "cluster" in parts:
            results["cluster"] = _cluster(given)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    raw = ROOT / "bench-results" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    raw.parent.mkdir(exist_ok=True)
    raw.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    for text in report.texts(results):
        print(f"\n{text}")
    print(f"raw results: {raw}")
    # Figures of a part, or of scaled counts, are for the eye; the document keeps whole runs only.
    whole = not given.works and given.scale == 1.0
    if whole and not given.no_report:
        for path in report.write(ROOT, results):
            print(f"written: {path}")
    measured = [part for part in (results, results.get("cluster", {})) if "runs" in part]
    return 1 if any(part["skipped"] or any(run["error"] for run in part["runs"]) for part in measured) else 0


def _node(given: argparse.Namespace) -> dict[str, Any]:
    """One node of each peer."""
    peers = [ALL[name]() for name in given.peers.split(",")]
    listed = _chosen(given, "node")
    bench = Bench(ROOT, peers, listed, given.passes or (3 if given.quick else 5), _scratch(given))
    results = bench.run(_command())
    if given.scenarios != "none":
        results["scenarios"] = scenarios.measure(ROOT, _scratch(given), given.quick, scenarios.scenarios(given.quick), _wanted(given))
    return results


def _cluster(given: argparse.Namespace) -> dict[str, Any]:
    """Three nodes of each peer that has clusters here."""
    peers = [CLUSTERS[name]() for name in given.peers.split(",") if name in CLUSTERS]
    listed = _chosen(given, "cluster")
    bench = Bench(ROOT, peers, listed, min(given.passes or 3, 1 if given.quick else 3), _scratch(given), alone=True)
    results = bench.run(_command())
    if given.scenarios != "none":
        listed_scenarios = cluster_scenarios.scenarios(given.quick)
        repeat = 1 if given.quick else scenarios.REPEAT
        results["scenarios"] = scenarios.measure(ROOT, _scratch(given), given.quick, listed_scenarios, _wanted(given), repeat)
    return results


def _chosen(given: argparse.Namespace, part: str) -> list[Work]:
    """What of `--works` there is in this part; a name that no part knows ends the program."""
    listed = {"node": works(given.quick, given.scale), "cluster": cluster_works.works(given.quick, given.scale)}
    named = [name for name in given.works.split(",") if name]
    known = {work.name for works_of in listed.values() for work in works_of}
    here = {work.name for work in listed[part]}
    if named == ["none"] or (named and not here & set(named)):
        return []
    return choose(listed[part], [name for name in named if name in here or name not in known])


def _wanted(given: argparse.Namespace) -> list[str]:
    return [] if given.scenarios == "all" else given.scenarios.split(",")


def _scratch(given: argparse.Namespace) -> Path:
    return given.data_dir or ROOT / "bench-results"


def _command() -> list[str]:
    return ["tests/bench/run.sh", *sys.argv[1:]]


def _leave(number: int, _: FrameType | None) -> None:
    """A polite kill unwinds the stack, so that the servers are stopped and the data is removed."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
