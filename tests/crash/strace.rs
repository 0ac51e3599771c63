//! System calls that fail, by `strace -e inject`: the kernel is never asked, the broker gets the answer that we want.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// A fault for one life of the broker.
pub struct Injection {
    log: PathBuf,
    call: String,
    fault: String,
}

/// A call that was answered by us.
#[derive(Debug, Clone)]
pub struct Injected {
    /// Unix seconds.
    pub at: f64,
    pub path: PathBuf,
}

impl Injection {
    /// `fault` as strace takes it: `error=EIO:when=7`; it counts the calls of each thread.
    pub fn new(log: &Path, call: &str, fault: &str) -> Self {
        Self { log: log.to_owned(), call: call.to_owned(), fault: fault.to_owned() }
    }

    /// What the broker is started under.
    pub fn command(&self) -> Option<Vec<OsString>> {
        let (strace, call) = (strace()?, &self.call);
        let mut command = vec![strace.into_os_string()];
        command.extend(["-f", "--seccomp-bpf", "-qq", "-y", "-ttt", "-e", "signal=none"].map(OsString::from));
        command.extend(["-o".into(), self.log.clone().into_os_string(), "-e".into()]);
        command.extend(
            [format!("trace={call}"), "-e".into(), format!("inject={call}:{}", self.fault)].map(Into::into),
        );
        Some(command)
    }

    /// The calls that were answered by us so far.
    pub fn injected(&self) -> Vec<Injected> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| line.ends_with("(INJECTED)")).filter_map(parse).collect()
    }
}

/// The tracer, where there is one.
pub fn strace() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join("strace")).find(|file| file.is_file())
}

/// `1060  1795270725.930901 fdatasync(16</data/topics/…>) = -1 EIO (Input/output error) (INJECTED)`
fn parse(line: &str) -> Option<Injected> {
    let at = line.split_whitespace().nth(1)?.parse().ok()?;
    let (_, rest) = line.split_once('<')?;
    let (path, _) = rest.split_once('>')?;
    Some(Injected { at, path: PathBuf::from(path) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_names_time_and_file() {
        let line = "7  12.5 fdatasync(16</d/t/x.log>) = -1 EIO (Input/output error) (INJECTED)";
        let found = parse(line).expect("it is one");
        assert_eq!((found.at, found.path.as_path()), (12.5, Path::new("/d/t/x.log")));
    }
}
