"""The data set: airports of the United States, as vega-datasets ships it. `python dataset.py` counts it by state."""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections import Counter
from pathlib import Path

#: Of the topic; run.sh creates it.
PARTITIONS = 3


def airports() -> list[dict[str, str]]:
    """All rows. The file is found without importing its package, whose code asks for pandas."""
    package = importlib.util.find_spec("vega_datasets")
    if package is None or package.origin is None:
        sys.exit("vega-datasets is not installed: pip install --no-deps -r examples/python/requirements.txt")
    with (Path(package.origin).parent / "_data" / "airports.csv").open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def lines(states: Counter[str]) -> str:
    """`STATE COUNT` lines, sorted by state."""
    return "".join(f"{state} {n}\n" for state, n in sorted(states.items()))


if __name__ == "__main__":
    print(lines(Counter(row["state"] for row in airports())), end="")
