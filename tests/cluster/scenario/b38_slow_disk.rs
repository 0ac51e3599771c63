//! B38: the disk of a node becomes slow, and does not fail: each sync takes half a second longer.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::{a_while, alone, begin};
use crate::{effort, look, net::Net, run::Run};

/// How much longer a sync of the slow disk takes, µs.
const DELAY_US: u32 = 500_000;
/// By then the slow node leads nothing.
const MOVED: Duration = Duration::from_secs(30);
/// By then a tracer that can work has seen a sync.
const SEEN: Duration = Duration::from_secs(10);

/// A tracer that delays a node's syncs for as long as it lives.
struct SlowDisk(Child);

#[tokio::test(flavor = "multi_thread")]
async fn b38_leaders_leave_a_slow_disk() {
    let _alone = alone().await;
    let fault = "The disk of a node that leads becomes slow: fdatasync + 500 ms (strace)";
    let Some(mut scenario) = begin("B38", fault, "slow disks") else { return };
    let (cycles, mut rng) = (effort::cycles(1, 12), effort::rng("B38"));
    let measured = Duration::from_secs(if effort::is_long() { 5 } else { 2 });
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("strace");
    let mut run = Run::start(&mut scenario, Net::new().ok()).await;
    let (mut figures, mut slowest) = (Vec::new(), Duration::ZERO);
    for cycle in 0..cycles {
        a_while(&mut rng).await;
        let healthy = run.p99(measured).await;
        let node = run.leader(i32::try_from(cycle % 3).expect("below 3")).await.unwrap_or(1);
        let since = run.now();
        let slow = match SlowDisk::begin(run.cluster.pid(node), &log).await {
            Ok(slow) => slow,
            Err(why) => return scenario.skip(&why),
        };
        let began = Instant::now();
        slowest = slowest.max(leads_nothing(&run, node).await);
        if effort::is_long() {
            tokio::time::sleep_until(began + Duration::from_secs(10)).await;
        }
        let then = run.p99(measured).await;
        figures.push(format!("{} / {}", healthy.as_millis(), then.as_millis()));
        run.writes_flow(since).await;
        drop(slow);
        look::whole(&run.client).await;
        scenario.cycle(cycles);
    }
    scenario.note(format!("it led nothing after {} ms at most", slowest.as_millis()));
    scenario.note(format!("p99 of `all` before / with the slow disk, ms: {}", figures.join(", ")));
    run.finish(&mut scenario).await;
    scenario.finish();
}

/// Waits until a node leads no partition; how long that took.
async fn leads_nothing(run: &Run, node: u8) -> Duration {
    let (began, name) = (Instant::now(), format!("node-{node}"));
    loop {
        let led = look::metadata(&run.client).await;
        let led = led.map(|topic| topic.partitions.iter().filter(|p| p.leader == name).count());
        if led == Ok(0) {
            return began.elapsed();
        }
        let log = || run.cluster.log(node).join("\n");
        assert!(began.elapsed() < MOVED, "{name} still leads {led:?}:\n{}", log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl SlowDisk {
    /// Returns when the first sync has been delayed, or with the reason why none can be.
    async fn begin(pid: i32, log: &Path) -> Result<Self, String> {
        // What an earlier one has seen says nothing.
        let _ = std::fs::remove_file(log);
        let calls = "fdatasync,fsync,syncfs";
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "signal=none", "-e", &format!("trace={calls}")]);
        command.args(["-e", &format!("inject={calls}:delay_enter={DELAY_US}"), "-p", &pid.to_string(), "-o"]);
        command.arg(log).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let strace = command.spawn().map_err(|error| format!("no strace: {error}"))?;
        let (mut slow, began) = (Self(strace), Instant::now());
        while !std::fs::read_to_string(log).is_ok_and(|log| log.contains("sync")) {
            if let Ok(Some(status)) = slow.0.try_wait() {
                return Err(format!("strace cannot trace a process that runs: {status}"));
            }
            assert!(began.elapsed() < SEEN, "no sync was seen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(slow)
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        if let (Ok(None), Ok(pid)) = (self.0.try_wait(), i32::try_from(self.0.id())) {
            // It lets the node go on.
            let _ = Pid::from_raw(pid).map(|pid| kill_process(pid, Signal::TERM));
        }
        let _ = self.0.wait();
    }
}
