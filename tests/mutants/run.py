#!/usr/bin/env python3
"""Builds the broker's crates wrong on purpose, one mutant after the other, and sees that the named test notices.

`run.py --help` says how. Each mutant compiles only our own crates: `RUSTC_WORKSPACE_WRAPPER` adds the cfg to members of the
workspace, under a path of its own for each mutant, so that cargo keeps their results apart and shares every dependency.
"""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("FLYMQ_MUTANTS_TARGET", ROOT / "target/mutants"))
CARGO = shlex.split(os.environ.get("CARGO", "cargo"))
DOCS = ROOT / "docs/reliability.md"
# A mutant may make a test wait for ever: that, too, is noticed.
TEST_SECONDS = 90
LOOM_SECONDS = 600


def declared() -> set[str]:
    """The names that the workspace's lints allow."""
    lints = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["lints"]["rust"]
    mutants = next(cfg for cfg in lints["unexpected_cfgs"]["check-cfg"] if "mutant" in cfg)
    return set(re.findall(r'"(\w+)"', mutants))


def used() -> set[str]:
    """The names that stand in the sources."""
    sources = (path.read_text() for path in (ROOT / "server").glob("**/src/**/*.rs"))
    return {name for text in sources for name in re.findall(r'mutant = "(\w+)"', text)}


def wrapper(mutant: str | None, loom: bool) -> Path:
    """A compiler that adds the cfgs, at a path that only this build has."""
    path = TARGET / "wrappers" / ((mutant or "plain") + ("-loom" if loom else ""))
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = f"--cfg 'mutant=\"{mutant}\"'" if mutant else ""
    flags += " --cfg loom" if loom else ""
    text = f'#!/bin/sh\nexec "$@" {flags}\n'
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
        path.chmod(0o755)
    return path


def cargo_test(row: dict, mutant: str | None, *rest: str, seconds: int | None = None) -> subprocess.CompletedProcess:
    target = row.get("target", "lib")
    which = ["--lib"] if target == "lib" else ["--test", target]
    command = [*CARGO, "test", "-q", "-p", row["package"], *which, *rest]
    environment = os.environ | {
        "CARGO_TARGET_DIR": str(TARGET),
        "RUSTC_WORKSPACE_WRAPPER": str(wrapper(mutant, row.get("loom", False))),
        # Incremental files for each mutant would cost more than they save.
        "CARGO_INCREMENTAL": "0",
    }
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            stdout, stderr = child.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            # Cargo and the test that it started.
            os.killpg(child.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, child.returncode, stdout, stderr)


def build(row: dict, mutant: str | None) -> None:
    result = cargo_test(row, mutant, "--no-run")
    if result.returncode != 0:
        sys.exit(f"{mutant or 'the plain build'} does not compile:\n{result.stderr[-3000:]}")


def passes(row: dict, mutant: str | None) -> bool:
    """Whether the named test, and nothing but it, ran and passed."""
    try:
        result = cargo_test(row, mutant, "--", "--exact", row["test"], seconds=TEST_SECONDS)
    except subprocess.TimeoutExpired:
        # Said, as a busy machine may do so, too.
        print(f"{row['test']} has not ended after {TEST_SECONDS} s", flush=True)
        return False
    ran = re.search(r"test result: \w+\. (\d+) passed; (\d+) failed", result.stdout)
    if ran is None:
        # Ended by a signal or an abort, as a failed invariant may do.
        if result.returncode == 0:
            sys.exit(f"{row['test']}: no result:\n{result.stdout[-2000:]}{result.stderr[-2000:]}")
        return False
    if int(ran[1]) + int(ran[2]) != 1:
        sys.exit(f"{row['package']} has no test {row['test']}")
    return ran[1] == "1"


def write_docs(rows: dict[str, dict], caught: list[str]) -> None:
    """Puts the rows of what was caught into the table; what was not run keeps its row."""
    text = DOCS.read_text()
    begin, end = "<!-- mutants: begin -->", "<!-- mutants: end -->"
    before, rest = text.split(begin, 1)
    table, after = rest.split(end, 1)
    known = {line.split("`")[1]: line for line in table.splitlines() if line.startswith("| `")}
    for name in caught:
        row = rows[name]
        test = row["test"].rsplit("::", 1)[-1]
        known[name] = f"| `{name}` | {row['breaks']} | `{row['package']}`: `{test}` |"
    lines = ["| Mutant | What it breaks | Caught by |", "|---|---|---|", *(known[name] for name in rows if name in known)]
    DOCS.write_text(f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{after}")


def put_row(number: int, line: str) -> None:
    """Puts a fault's row into the table of `make crash`; those of others stay."""
    lines = DOCS.read_text().splitlines()
    first, last = (next(n for n, text in enumerate(lines) if text.startswith(f"<!-- crash: {mark}")) for mark in ("begin", "end"))
    rows = {int(found[1]): text for text in lines[first:last] if (found := re.match(r"\| B(\d+) ", text))}
    rows[number] = line
    head = [text for text in lines[first:last] if not re.match(r"\| B\d+ ", text)]
    lines[first:last] = head + [rows[n] for n in sorted(rows)]
    DOCS.write_text("\n".join(lines) + "\n")


def loom() -> None:
    """Runs the models, every one of which must be there and pass; as part of `make crash` they have a row in docs/reliability.md."""
    row = {"package": "flymq-engine", "loom": True}
    build(row, None)
    began = time.monotonic()
    result = cargo_test(row, None, "--", "b36_", seconds=LOOM_SECONDS)
    print(result.stdout)
    ran = re.search(r"test result: ok\. (\d+) passed", result.stdout)
    if result.returncode != 0 or ran is None or int(ran[1]) < 4:
        sys.exit(result.stdout[-3000:] + result.stderr[-3000:])
    if "FLYMQ_CRASH_DOCS" in os.environ:
        fault = (
            "Watermark, its waiters, subscriptions and the request for a group commit in every order that threads can"
            " take, up to two preemptions (loom, on the engine's own code)"
        )
        seen = f"{time.strftime('%Y-%m-%d')}, debug build, {time.monotonic() - began:.0f} s; deadlocks and lost wake-ups 0"
        counts = f"{ran[1]} models | 0 / 0 | 0 | 0 / 0 / 0 / 0 | 0 | 0 of 0, 0 ms"
        put_row(36, f"| B36 | {fault} | {counts} | {seen} |")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("mutants", nargs="*", metavar="mutant", help="these instead of all of mutants.toml")
    parser.add_argument("--docs", action="store_true", help="write their rows into docs/reliability.md if all are caught")
    parser.add_argument("--loom", action="store_true", help="run the models of B36 instead")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.loom:
        return loom()
    rows = tomllib.loads((Path(__file__).parent / "mutants.toml").read_text())
    names = {"mutants.toml": set(rows), "Cargo.toml": declared(), "server/**/src": used()}
    for where, found in names.items():
        if found != set(rows):
            sys.exit(f"{where} and mutants.toml differ: {sorted(found ^ set(rows))}")
    wanted = given.mutants or list(rows)
    if unknown := sorted(set(wanted) - set(rows)):
        sys.exit(f"mutants.toml has no {', '.join(unknown)}")
    began = time.monotonic()
    plain = {rows[n]["test"]: rows[n] for n in wanted}
    for row in plain.values():
        build(row, None)
        if not passes(row, None):
            sys.exit(f"{row['test']} fails without any mutant")
    print(f"{len(plain)} tests pass in the plain build ({time.monotonic() - began:.0f} s)", flush=True)
    survivors = []
    for name in wanted:
        start = time.monotonic()
        build(rows[name], name)
        caught = not passes(rows[name], name)
        survivors += [] if caught else [name]
        verdict = "caught by" if caught else "SURVIVES"
        print(f"{name:28} {verdict} {rows[name]['test']} ({time.monotonic() - start:.0f} s)", flush=True)
    print(f"{len(wanted)} mutants, {len(wanted) - len(survivors)} caught, {time.monotonic() - began:.0f} s")
    if survivors:
        sys.exit(f"survived: {', '.join(survivors)}")
    if given.docs:
        write_docs(rows, wanted)


if __name__ == "__main__":
    main()
