//! Connections and segments are open files, and the usual soft limit of 1,024 is soon reached.

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
