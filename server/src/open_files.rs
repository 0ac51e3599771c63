//! Connections and segments are open files, and the usual soft limit of 1,024 is soon reached: each kind has its share, so
//! that partitions never keep the doors from accepting, nor connections the logs from writing.

use flymq_config::Config;
use flymq_gateway::HttpLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Below this a broker with many clients or partitions runs into the limit; the log says so at start.
const COMFORTABLE: u64 = 4_096;

/// Raises the soft limit on open files to the hard one, which needs no privilege.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        debug!(%error, ?current, ?maximum, "the limit on open files stays as it is");
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current.filter(|limit| *limit < COMFORTABLE) {
        warn!(limit, "few files may be open at once; raise the hard limit (ulimit -Hn, LimitNOFILE)");
    }
}

/// Descriptors by what needs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Files of logs that are open at once; idle ones are closed for others.
    pub log_files: usize,
    /// Connections of each door.
    pub native: usize,
    pub grpc: usize,
    /// Of each HTTP listener.
    pub http: usize,
}

/// Kept for everything else: listeners, the runtime, files that are open for a moment.
const SPARE: u64 = 64;
/// More log files at once are of no use.
const MAX_LOG_FILES: u64 = 1 << 20;

impl Shares {
    /// Divides the limit of this process.
    pub fn of_process(config: &Config) -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Self::of(limit, config.limits.max_connections as usize)
    }

    /// A quarter for the logs, the rest for connections: six parts native, two gRPC, two for the three HTTP listeners.
    fn of(limit: u64, max_connections: usize) -> Self {
        let http = HttpLimits::default().max_connections;
        let count = |descriptors: u64| usize::try_from(descriptors.max(8)).unwrap_or(usize::MAX);
        let log_files = (limit / 4).min(MAX_LOG_FILES);
        let connections = limit.saturating_sub(log_files).saturating_sub(SPARE);
        let share = |tenths: u64| count(connections / 10 * tenths);
        Self {
            log_files: count(log_files),
            native: share(6).min(max_connections),
            grpc: share(2).min(max_connections),
            http: (share(2) / 3).max(8).min(http),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_fit_into_the_limit() {
        for limit in [128, 256, 600, 1_024, 4_096, 20_000] {
            let Shares { log_files, native, grpc, http } = Shares::of(limit, 1_000_000);
            let used = (log_files + native + grpc + 3 * http) as u64;
            assert!(used + SPARE.min(limit / 4) <= limit, "{limit}: {used}");
        }
        let large = Shares::of(1 << 20, 10_000);
        assert_eq!((large.native, large.grpc, large.http), (10_000, 10_000, 1_024), "nothing is lost");
        Shares::of(u64::MAX, 10);
    }
}
