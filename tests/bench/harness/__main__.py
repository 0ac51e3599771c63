"""The command line: prepare the peers, run the passes, write the report."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from . import report, scenarios
from .passes import Bench
from .peers import ALL
from .process import BenchError
from .works import choose, works

ROOT = Path(__file__).resolve().parents[3]


def arguments() -> argparse.Namespace:
    """The parsed command line."""
    parser = argparse.ArgumentParser(prog="tests/bench/run.sh", description="FlyMQ beside NATS JetStream and Kafka on the same work")
    parser.add_argument("--quick", action="store_true", help="a few minutes: smaller counts, three passes")
    parser.add_argument("--passes", type=int, help="how often all of it is repeated (full 5, quick 3)")
    parser.add_argument("--peers", default=",".join(ALL), help="comma list out of %(default)s; the first is compared with the others")
    parser.add_argument("--works", default="", help="comma list of works, for example produce-1k,sync; all if not given, or none")
    parser.add_argument("--scenarios", default="all", help="comma list out of FlyMQ's own scenarios, for example cold,restart; all or none")
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
    passes = given.passes or (3 if given.quick else 5)
    named = [name for name in given.works.split(",") if name]
    listed = [] if named == ["none"] else choose(works(given.quick, given.scale), named)
    chosen = given.peers.split(",")
    unknown = [name for name in chosen if name not in ALL]
    if unknown:
        print(f"unknown peer {', '.join(unknown)}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    bench = Bench(ROOT, [ALL[name]() for name in chosen], listed, passes, given.data_dir or ROOT / "bench-results")
    try:
        results = bench.run(command=["tests/bench/run.sh", *sys.argv[1:]])
        if given.scenarios != "none":
            wanted = [] if given.scenarios == "all" else given.scenarios.split(",")
            results["scenarios"] = scenarios.measure(ROOT, given.data_dir or ROOT / "bench-results", given.quick, wanted)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    raw = ROOT / "bench-results" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    raw.parent.mkdir(exist_ok=True)
    raw.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\n{report.markdown(results)}\nraw results: {raw}")
    # Figures of a part, or of scaled counts, are for the eye; the document keeps whole runs only.
    whole = not given.works and given.scale == 1.0
    if whole and not given.no_report:
        for path in report.write(ROOT, results):
            print(f"written: {path}")
    return 1 if any(run["error"] for run in results["runs"]) or results["skipped"] else 0


def _leave(number: int, _: FrameType | None) -> None:
    """A polite kill unwinds the stack, so that the servers are stopped and the data is removed."""
    raise SystemExit(128 + number)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
