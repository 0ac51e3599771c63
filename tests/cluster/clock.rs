//! Wall clocks that can be set for each node alone: a library that is loaded before the broker's own shifts what
//! `clock_gettime(CLOCK_REALTIME)` says, by what a file says. The clocks that only ever rise are left alone, as a time
//! server or an administrator leaves them alone.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::cluster::{Cluster, PLACES};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster/clock/shift.c");

pub const SECOND: i64 = 1_000_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const YEAR: i64 = 365 * 24 * HOUR;

/// One clock for each node.
#[derive(Debug)]
pub struct Clocks {
    dir: tempfile::TempDir,
}

impl Clocks {
    /// # Errors
    /// Why this machine cannot have them.
    pub fn new() -> Result<Self, String> {
        if !cfg!(target_os = "linux") {
            return Err("no clocks of its own for a process here".to_owned());
        }
        let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
        let clocks = Self { dir };
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"])
            .arg(clocks.library())
            .arg(SOURCE)
            .arg("-ldl")
            .output()
            .map_err(|error| format!("no clocks of its own for a process: cc: {error}"))?;
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{SOURCE}: {said}");
        for number in 1..=PLACES {
            fs::write(clocks.file(number), 0_i64.to_ne_bytes()).map_err(|error| error.to_string())?;
        }
        clocks.check()?;
        Ok(clocks)
    }

    /// Whether a program that asks for the time is told another one.
    fn check(&self) -> Result<(), String> {
        self.set(1, -30 * YEAR);
        let year = Command::new("date").arg("+%Y").env_clear().envs(self.variables(1)).output();
        self.set(1, 0);
        let year = year.map_err(|error| format!("date: {error}"))?;
        let year = String::from_utf8_lossy(&year.stdout).trim().to_owned();
        match year.parse::<u32>() {
            Ok(year) if year < 2020 => Ok(()),
            Ok(_) | Err(_) => Err(format!("a preloaded library does not shift the clock here: {year}")),
        }
    }

    fn library(&self) -> PathBuf {
        self.dir.path().join("shift.so")
    }

    fn file(&self, number: u8) -> PathBuf {
        self.dir.path().join(format!("node-{number}"))
    }

    fn variables(&self, number: u8) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", self.library()), ("CLOCK_SHIFT", self.file(number))]
    }

    /// The nodes, which do not run yet, go by these clocks.
    pub fn give(&self, cluster: &mut Cluster) {
        let env = ["/usr/bin/env", "/bin/env"].into_iter().find(|path| Path::new(path).exists());
        for number in 1..=PLACES {
            let mut words = vec![env.unwrap_or("env").to_owned()];
            words.extend(self.variables(number).map(|(name, value)| format!("{name}={}", value.display())));
            cluster.run_under(number, words);
        }
    }

    /// From now on a node's clock is so many nanoseconds ahead, or behind where negative.
    pub fn set(&self, number: u8, shift: i64) {
        let file = fs::OpenOptions::new().write(true).open(self.file(number)).expect("the clock's file");
        // In place and at once: the process has it mapped.
        file.write_all_at(&shift.to_ne_bytes(), 0).expect("written");
    }
}
