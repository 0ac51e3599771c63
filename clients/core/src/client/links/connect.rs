//! Making a connection: to any server that answers, or to one node.

use std::{sync::atomic::Ordering, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};

use super::{Inner, Link, Target};
use crate::{ClientError, transport};

/// A server that has not answered by then gets company: the next one is tried beside it.
const COMPANY: Duration = Duration::from_millis(500);

impl Inner {
    pub(super) async fn connect(&self, target: Target) -> Result<Link, ClientError> {
        match target {
            Target::Any => self.connect_any().await,
            Target::Node { node, addr } => self.connect_node(&node, &addr).await,
        }
    }

    /// Those of the configuration, then the nodes that the cluster has told of.
    fn servers(&self) -> Vec<String> {
        let mut servers = self.config.bootstrap_servers.clone();
        let members = self.members.lock();
        let told = members.iter().map(|(_, addr)| addr.to_string()).filter(|addr| !addr.is_empty());
        let unknown: Vec<String> = told.filter(|addr| !servers.contains(addr)).collect();
        servers.extend(unknown);
        servers
    }

    /// Tries every server once, beginning with the one that answered last; the first that answers is taken.
    async fn connect_any(&self) -> Result<Link, ClientError> {
        let servers = self.servers();
        let first = self.server.load(Ordering::Relaxed);
        let mut untried = (0..servers.len()).map(|turn| (first + turn) % servers.len());
        let mut trying = FuturesUnordered::new();
        let mut failures = Vec::new();
        loop {
            if let Some(index) = untried.next() {
                let addr = &servers[index];
                trying.push(async move { (index, transport::connect(addr, &self.config).await) });
            }
            let company = tokio::time::sleep(if untried.len() > 0 { COMPANY } else { Duration::MAX });
            tokio::select! {
                tried = trying.next() => match tried {
                    Some((index, Ok(link))) => {
                        self.server.store(index, Ordering::Relaxed);
                        self.asking.lock().reconnected();
                        return Ok(link);
                    }
                    Some((_, Err(error))) => failures.push(error),
                    None => return Err(all_failed(failures)),
                },
                () = company => {}
            }
        }
    }

    /// Connects to a node, whose address may be one that only other machines can use: then one of the configured servers may
    /// still be that node.
    async fn connect_node(&self, node: &str, addr: &str) -> Result<Link, ClientError> {
        let error = match transport::connect(addr, &self.config).await {
            Ok(link) => return Ok(link),
            Err(error) => error,
        };
        let servers = &self.config.bootstrap_servers;
        if servers.iter().any(|server| server == addr) {
            return Err(error);
        }
        for server in servers {
            if let Ok(link) = transport::connect(server, &self.config).await
                && link.leads_for(node)
            {
                return Ok(link);
            }
        }
        Err(error)
    }
}

fn all_failed(mut failures: Vec<ClientError>) -> ClientError {
    if failures.len() > 1 {
        let all: Vec<&str> = failures.iter().map(|f| f.message.as_str()).collect();
        let message = format!("none of {} servers answered: {}", failures.len(), all.join("; "));
        let mut last = failures.pop().expect("there are several");
        last.message = message;
        return last;
    }
    failures.pop().unwrap_or_else(|| ClientError::invalid("no server address given"))
}
