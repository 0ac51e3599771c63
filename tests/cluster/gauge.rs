//! What the processes of the nodes hold: memory and open files, over time.

use std::{collections::BTreeMap, fs, time::Instant};

use crate::cluster::Cluster;

/// The growth of a start says nothing about an hour.
const LEAST_MINUTES: f64 = 3.0;

/// Taken at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    hours: f64,
    rss_mib: f64,
    files: f64,
}

/// By node and process.
#[derive(Debug)]
pub struct Gauges {
    began: Instant,
    lives: BTreeMap<(u8, i32), Vec<Sample>>,
}

impl Gauges {
    pub fn new() -> Self {
        Self { began: Instant::now(), lives: BTreeMap::new() }
    }

    /// Looks at every node that runs.
    pub fn take(&mut self, cluster: &Cluster) {
        for (number, process) in cluster.running() {
            let pid = process.pid();
            let Some((rss_mib, files)) = held(pid) else { continue };
            let hours = self.began.elapsed().as_secs_f64() / 3_600.0;
            self.lives.entry((number, pid)).or_default().push(Sample { hours, rss_mib, files });
        }
    }

    /// The most that a process had, and how it grew within the lives of processes: the line of least squares that all
    /// lives have in common, each about its own mean.
    pub fn note(&self) -> String {
        let most = |of: fn(&Sample) -> f64| self.lives.values().flatten().map(of).fold(0.0, f64::max);
        let longest = self.lives.values().map(|life| span(life)).fold(0.0, f64::max) * 60.0;
        let growth = if longest < LEAST_MINUTES {
            "no process lived for long enough to say how they grow".to_owned()
        } else {
            let (rss, files) = (self.slope(|sample| sample.rss_mib), self.slope(|sample| sample.files));
            format!("{rss:+.1} MiB/h, {files:+.1} files/h, the longest life {longest:.0} min")
        };
        format!(
            "memory at most {:.0} MiB, open files at most {:.0}; {growth}; {} processes",
            most(|sample| sample.rss_mib),
            most(|sample| sample.files),
            self.lives.len(),
        )
    }

    fn slope(&self, of: fn(&Sample) -> f64) -> f64 {
        let (mut both, mut square) = (0.0, 0.0);
        for life in self.lives.values() {
            let (hour, value) = (mean(life, |sample| sample.hours), mean(life, of));
            for sample in life {
                both += (sample.hours - hour) * (of(sample) - value);
                square += (sample.hours - hour).powi(2);
            }
        }
        if square > 0.0 { both / square } else { 0.0 }
    }
}

fn span(life: &[Sample]) -> f64 {
    match life {
        [first, .., last] => last.hours - first.hours,
        [] | [_] => 0.0,
    }
}

// A handful of samples.
#[expect(clippy::cast_precision_loss)]
fn mean(life: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    life.iter().map(of).sum::<f64>() / life.len().max(1) as f64
}

/// Resident MiB and open files of a process; none where nobody tells (it has ended, or this is not Linux).
fn held(pid: i32) -> Option<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u32 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    let files = u32::try_from(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count()).ok()?;
    Some((f64::from(kib) / 1_024.0, f64::from(files)))
}
