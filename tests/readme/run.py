"""Runs the code blocks of README.md as a reader would, against a broker on the default ports.

Blocks in `sh`, `python` and `java` are run in their order, from the root of the repository; one that carries `no-run` after
the language is shown only. A `java` block is a whole source file, run against the client that is installed in the local
Maven repository. Where the next block is `text`, its lines must come out in that order; `...` stands for
anything. Standard library only.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PORTS = (9092, 9094, 9095, 9096, 9097)
FENCE = re.compile(r"^```(\S*)[ \t]*([^\n]*)\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)

#: A project that wants the Java client and nothing else.
POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>readme</groupId><artifactId>readme</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>com.firefly.flymq</groupId><artifactId>flymq-client-core</artifactId><version>1.0.0</version>
    </dependency>
  </dependencies>
</project>
"""


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, its language, what follows the language, its text."""

    line: int
    language: str
    attributes: tuple[str, ...]
    text: str


def blocks(markdown: str) -> list[Block]:
    """All fenced blocks, in order."""
    return [
        Block(markdown.count("\n", 0, m.start()) + 1, m[1], tuple(m[2].split()), m[3])
        for m in FENCE.finditer(markdown)
    ]


def missing_line(expected: str, output: str) -> str | None:
    """The first expected line that does not come out after the ones before it."""
    lines = output.splitlines()
    at = 0
    for wanted in filter(None, map(str.strip, expected.splitlines())):
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.split("...")))
        while at < len(lines) and not pattern.search(lines[at]):
            at += 1
        if at == len(lines):
            return wanted
        at += 1
    return None


@functools.cache
def java_classpath(scratch: Path) -> str:
    """The installed Java client with what it needs, as Maven resolves it for somebody's project."""
    (scratch / "pom.xml").write_text(POM, encoding="utf-8")
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath"
    subprocess.run(["mvn", "-B", "-q", "-f", scratch, goal, "-Dmdep.outputFile=classpath"], check=True, timeout=300)
    return (scratch / "classpath").read_text(encoding="utf-8").strip()


def command_of(block: Block, python: str, scratch: Path) -> list[str]:
    """How a block is run."""
    if block.language == "python":
        return [python, "-c", block.text]
    if block.language == "java":
        (scratch / "Block.java").write_text(block.text, encoding="utf-8")
        return ["java", "-cp", java_classpath(scratch), str(scratch / "Block.java")]
    return ["bash", "-euo", "pipefail", "-c", block.text]


def run(block: Block, expected: str | None, python: str, env: dict[str, str], scratch: Path) -> str | None:
    """Runs one block; what is wrong, or None."""
    done = subprocess.run(
        command_of(block, python, scratch),
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    missing = missing_line(expected, done.stdout) if expected is not None else None
    if done.returncode == 0 and missing is None:
        return None
    why = f"exit code {done.returncode}" if done.returncode else f"this line did not come out: {missing}"
    return f"{why}\n--- block\n{block.text}--- output\n{done.stdout}"


def wait_ready(broker: subprocess.Popen[bytes]) -> None:
    """Until every default port accepts connections."""
    deadline = time.monotonic() + 60
    for port in PORTS:
        while True:
            if broker.poll() is not None:
                sys.exit(f"the broker ended with exit code {broker.returncode}")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    sys.exit(f"nothing listens on port {port}")
                time.sleep(0.05)


def check_ports_free() -> None:
    """The README names the default ports, so they must be ours."""
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                sys.exit(f"port {port} is in use: stop the broker that runs on this machine")


def check(file: Path, python: str, env: dict[str, str], scratch: Path) -> tuple[int, list[str]]:
    """Runs a file's blocks: how many ran, and what was wrong."""
    ran, wrong = 0, []
    found = blocks(file.read_text(encoding="utf-8"))
    for block, after in zip(found, [*found[1:], None]):
        if block.language not in ("sh", "python", "java") or "no-run" in block.attributes:
            continue
        expected = after.text if after and after.language == "text" else None
        problem = run(block, expected, python, env, scratch)
        ran += 1
        print(f"{file.name}:{block.line}: {block.language} {'ok' if problem is None else 'FAILED'}", flush=True)
        if problem is not None:
            wrong.append(f"{file}:{block.line}: {problem}")
    return ran, wrong


def main() -> None:
    """Starts the broker, runs the blocks, stops the broker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="folder of flymq and flymq-cli")
    parser.add_argument("--tools", type=Path, default=ROOT / ".tools/bin", help="folder of grpcurl")
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has pyflymq")
    parser.add_argument("files", type=Path, nargs="*", default=[ROOT / "README.md"])
    options = parser.parse_args()
    check_ports_free()
    path = os.pathsep.join([str(options.bin.resolve()), str(options.tools.resolve()), os.environ["PATH"]])
    with tempfile.TemporaryDirectory() as data, tempfile.TemporaryDirectory() as scratch:
        env = {k: v for k, v in os.environ.items() if not k.startswith("FLYMQ_")} | {"PATH": path}
        broker = subprocess.Popen(
            [options.bin / "flymq", "-quiet"], env=env | {"FLYMQ_DATA_DIR": data, "FLYMQ_LOG_LEVEL": "warn"}, stdout=subprocess.DEVNULL
        )
        try:
            wait_ready(broker)
            results = [check(file, options.python, env, Path(scratch)) for file in options.files]
        finally:
            broker.terminate()
            broker.wait(timeout=30)
    ran, wrong = sum(r[0] for r in results), [w for r in results for w in r[1]]
    print("\n".join(wrong))
    print(f"{ran - len(wrong)} passed, {len(wrong)} failed")
    sys.exit(1 if wrong or ran == 0 else 0)


if __name__ == "__main__":
    main()
