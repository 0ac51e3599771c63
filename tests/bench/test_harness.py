"""Tests of the benchmark's orchestrator: python3 -m unittest discover -s tests/bench."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness import plot, reach, report, scenarios
from harness.cluster import peers as cluster_peers
from harness.cluster import scenarios as cluster_scenarios
from harness.cluster import works as cluster_works
from harness.model import Run, Spread, Work, shortened, spread
from harness.peers.base import options
from harness.process import BenchError, Server, free_ports, run
from harness.works import choose, works

PEERS = {"flymq": "FlyMQ", "nats": "NATS JetStream"}


def some_runs(listed: list[Work]) -> list[Run]:
    runs = []
    for number in (1, 2, 3):
        for work in listed:
            line = {"msgs_per_s": 1000.0 * number, "p50_us": 10.0 * number, "p99_us": 20.0, "p999_us": 30.0, "errors": 0}
            runs += [Run(peer, work.name, number, line) for peer in PEERS]
    return runs


def some_results(runs: list[Run], listed: list[Work]) -> dict[str, Any]:
    return {
        "date": "2026-01-01 00:00 UTC",
        "minutes": 1.0,
        "command": "tests/bench/run.sh",
        "passes": 3,
        "environment": {"CPU": "one"},
        "skipped": {"Kafka": "not available: mvn | does not start"},
        "works": [vars(work) for work in listed],
        "peers": [{"name": n, "title": t, "version": "1", "settings": "default", "acks": {"sync": "written"}} for n, t in PEERS.items()],
        "footprints": [{"peer": "nats", "round": 1, "ready_ms": 40.0, "rest_mib": 16.0, "peak_mib": 47.0}],
        "runs": [run.to_json() for run in runs],
    }


class Figures(unittest.TestCase):
    def test_spread_takes_only_runs_with_the_figure(self) -> None:
        runs = [Run("a", "w", 1, {"msgs_per_s": 5}), Run("a", "w", 2, {"msgs_per_s": 1}), Run("a", "w", 3, {"msgs_per_s": 3})]
        runs += [Run("a", "w", 4, error="died"), Run("a", "w", 5, {"msgs_per_s": None}), Run("b", "w", 1, {"msgs_per_s": 99})]
        self.assertEqual(spread(runs, "a", "w", "msgs_per_s"), Spread(1.0, 3.0, 5.0, 3))
        self.assertIsNone(spread(runs, "a", "w", "p50_us"))

    def test_shortened(self) -> None:
        self.assertEqual([shortened(value) for value in (633, 9_999, 12_345, 1_250_000)], ["633", "9,999", "12.3k", "1.25M"])


class Works(unittest.TestCase):
    def test_a_chosen_consume_brings_the_produce_that_it_reads(self) -> None:
        chosen = choose(works(quick=True, scale=1.0), ["consume-100"])
        self.assertEqual([work.name for work in chosen], ["produce-100", "consume-100"])

    def test_an_unknown_work_is_named(self) -> None:
        with self.assertRaisesRegex(SystemExit, "nosuch"):
            choose(works(quick=True, scale=1.0), ["nosuch"])

    def test_fsync_gives_each_producer_its_connection(self) -> None:
        work = next(work for work in works(quick=True, scale=1.0) if work.name == "fsync-64")
        words = options(work, "t", "all")
        self.assertEqual(words[words.index("--connections") + 1], "64")
        self.assertEqual(words[words.index("--in-flight") + 1], "1")

    def test_a_consume_reads_no_more_than_its_produce_wrote(self) -> None:
        for quick in (True, False):
            by_name = {work.name: work for work in works(quick, 1.0)}
            for work in by_name.values():
                if work.reads:
                    self.assertLessEqual(work.messages, by_name[work.reads].messages)


class Report(unittest.TestCase):
    def setUp(self) -> None:
        self.works = works(quick=True, scale=1.0)
        self.root = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.root / "docs").mkdir()
        self.target = self.root / report.TARGET

    def test_only_the_generated_block_changes_and_twice_is_the_same(self) -> None:
        self.target.write_text(f"above\n{report.BEGIN}\nold\n{report.END}\nbelow\n", encoding="utf-8")
        results = some_results(some_runs(self.works), self.works)
        report.write(self.root, results)
        first = self.target.read_text(encoding="utf-8")
        report.write(self.root, results)
        self.assertEqual(self.target.read_text(encoding="utf-8"), first)
        self.assertTrue(first.startswith("above\n") and first.endswith("\nbelow\n"))
        self.assertNotIn("old", first)
        self.assertIn("**2,000** (1,000-3,000)", first)

    def test_a_document_without_markers_is_left_alone(self) -> None:
        self.target.write_text("mine", encoding="utf-8")
        with self.assertRaises(SystemExit):
            report.write(self.root, some_results([], self.works))
        self.assertEqual(self.target.read_text(encoding="utf-8"), "mine")

    def test_failures_lost_messages_and_peers_left_out_are_told(self) -> None:
        runs = [Run("nats", "sync", 1, error="timed\nout"), Run("flymq", "sync", 2, {"msgs_per_s": 1.0, "errors": 7})]
        text = report.markdown(some_results(runs, self.works))
        self.assertIn("pass 1, sync, nats: timed out", text)
        self.assertIn("7 messages were not acked", text)
        self.assertIn("left out, not available: mvn \\| does not start", text)

    def test_memory_and_start_are_told(self) -> None:
        self.assertIn("| NATS JetStream | **40** (40-40) | **16** (16-16) | **47** (47-47) |", report.markdown(some_results([], self.works)))

    def test_the_plot_is_xml_with_a_panel_per_work(self) -> None:
        runs = [run for run in some_runs(self.works) if run.work != "sync"]
        root = ET.fromstring(plot.svg(self.works, runs, PEERS))
        texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
        for work in self.works:
            self.assertIn(work.title, texts)
        self.assertEqual(texts.count("no figure"), len(PEERS))

    def test_goals_are_ratios_of_medians_and_say_when_they_are_missed(self) -> None:
        lines = {"flymq": 5_000.0, "nats": 1_000.0, "kafka": 1_000.0, "bare": 10_000.0}
        runs = [Run(peer, "produce-1k", n, {"msgs_per_s": rate * n}) for peer, rate in lines.items() for n in (1, 2, 3)]
        text = "\n".join(reach.table(runs))
        self.assertIn("| produce 1 KiB to the bare loop | at least 0.6 | **0.50** | not reached |", text)
        self.assertNotIn("Redis", text)
        latencies = [Run("flymq", "sync", 1, {"p50_us": 80.0}), Run("nats", "sync", 1, {"p50_us": 100.0})]
        self.assertIn("at most 0.8 | **0.80** | reached |", "\n".join(reach.table(latencies)))

    def test_every_goal_names_works_and_figures_that_there_are(self) -> None:
        names = {work.name for work in self.works}
        for goal in reach.GOALS:
            self.assertIn(goal.work, names)
            self.assertIn(goal.other or goal.work, names)

    def test_a_scenario_tells_its_figure_or_why_there_is_none(self) -> None:
        cold = scenarios.Cold()
        results = some_results([], self.works)
        results["scenarios"] = [cold.result([0.5, 0.9, 0.8], ""), scenarios.Restart(quick=True).result([], "died")]
        text = report.markdown(results)
        self.assertIn("| at least 0.8 | **0.80** (0.50-0.90) | reached |", text)
        self.assertIn("| Restart with sealed segments | at most 1,000 ms | failed: died |", text)


class Clusters(unittest.TestCase):
    def setUp(self) -> None:
        self.works = cluster_works.works(quick=True, scale=1.0)
        self.root = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.root / "docs").mkdir()
        self.target = self.root / report.TARGET

    def test_names_of_works_differ_from_those_of_one_node(self) -> None:
        self.assertFalse({work.name for work in self.works} & {work.name for work in works(quick=True, scale=1.0)})

    def test_every_goal_names_works_and_peers_that_there_are(self) -> None:
        by_name = {work.name: work for work in self.works}
        for goal in reach.CLUSTER_GOALS:
            self.assertTrue(cluster_peers.ALL["flymq"]().does(by_name[goal.work]), goal)
            self.assertTrue(cluster_peers.ALL[goal.peer]().does(by_name[goal.other or goal.work]), goal)

    def test_only_what_was_measured_is_written(self) -> None:
        kept = f"{report.BEGIN}\none node\n{report.END}\n"
        self.target.write_text(f"{kept}{report.CLUSTER_BEGIN}\nold\n{report.CLUSTER_END}\nbelow\n", encoding="utf-8")
        results = some_results(some_runs(self.works), self.works)
        idle = cluster_scenarios.Idle()
        results["scenarios"] = [idle.result([4.0, 3.0, 5.0], "")]
        self.assertEqual(report.write(self.root, {"cluster": results}), [self.target])
        text = self.target.read_text(encoding="utf-8")
        self.assertTrue(text.startswith(kept + report.CLUSTER_BEGIN) and text.endswith("\nbelow\n"))
        self.assertNotIn("old", text)
        self.assertIn("| under 10 | **4** (3-5) % | reached |", text)

    def test_what_a_kafka_node_is_told_is_said_once(self) -> None:
        config = cluster_peers.KafkaCluster()._node(self.root / "kafka-2", 2, [1, 2, 3], [4, 5, 6])
        names = [line.partition("=")[0] for line in config.read_text(encoding="utf-8").splitlines() if line]
        self.assertEqual(len(names), len(set(names)))
        self.assertIn("controller.quorum.voters=1@127.0.0.1:4,2@127.0.0.1:5,3@127.0.0.1:6\n", config.read_text(encoding="utf-8"))


class Processes(unittest.TestCase):
    def setUp(self) -> None:
        self.here = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def test_a_run_over_its_time_is_stopped_with_its_children(self) -> None:
        child = self.here / "child"
        script = f"sleep 60 & echo $! > {child}; wait"
        began = time.monotonic()
        with self.assertRaisesRegex(BenchError, "longer than"):
            run(["sh", "-c", script], seconds=0.5)
        self.assertLess(time.monotonic() - began, 30)
        self.assertTrue(_gone(int(child.read_text())))

    def test_a_failed_run_tells_its_stderr(self) -> None:
        with self.assertRaisesRegex(BenchError, "exited with 3: reason"):
            run(["sh", "-c", "echo reason >&2; exit 3"], seconds=10)

    def test_a_command_that_is_not_there_is_named(self) -> None:
        with self.assertRaisesRegex(BenchError, "no-such-command does not start"):
            run(["no-such-command"], seconds=10)
        with self.assertRaisesRegex(BenchError, "no-such-server does not start"):
            Server("x", [self.here / "no-such-server"], self.here / "log")

    def test_a_server_that_dies_at_start_shows_its_log(self) -> None:
        command = ["sh", "-c", "echo port in use; exit 1"]
        with Server("x", command, self.here / "log") as server, self.assertRaisesRegex(BenchError, "port in use"):
            server.wait(lambda: False, seconds=30)

    def test_a_server_is_gone_after_its_block(self) -> None:
        pid = self.here / "pid"
        program = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
        with Server("x", [sys.executable, "-c", program], self.here / "log") as server:
            server.wait(lambda: pid.exists() and pid.read_text() != "", seconds=30)
            self.assertGreater(server.ready_ms, 0)
            self.assertGreater(server.memory_mib("VmHWM"), 1)
        self.assertTrue(_gone(int(pid.read_text())))

    def test_free_ports_differ(self) -> None:
        self.assertEqual(len(set(free_ports(7))), 7)

    def test_free_ports_are_given_once(self) -> None:
        with patch("harness.process.PORTS", (10_000, 10_400)):
            given = [port for _ in range(20) for port in free_ports(7)]
        self.assertEqual(len(set(given)), len(given))


def _gone(pid: int, seconds: float = 20.0) -> bool:
    """Whether a process ends (or is only a zombie that its new parent has not reaped) within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


if __name__ == "__main__":
    unittest.main()
