//! The door outlives a process that runs out of file descriptors. In a process of its own, which it starves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "native/support.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod support;

use std::sync::atomic::Ordering::Relaxed;

use flymq_wire::v1::{Empty, Request, op};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Broker, Client, eventually};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_failed_accept_does_not_end_the_door() {
    let broker = Broker::start().await;
    let mut before = broker.v1().await;
    assert_eq!(before.ask(Request::ListTopics(Empty)).await.op, op::LIST_TOPICS);
    let limit = getrlimit(Resource::Nofile);
    let mut starved = false;
    // A connection takes two descriptors: with an odd number left the last client has one, and its accept has none.
    for spare in [20, 21] {
        let used = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        setrlimit(Resource::Nofile, Rlimit { current: Some(used + spare), ..limit }).unwrap();
        let mut clients = Vec::new();
        while let Ok(client) = TcpStream::connect(broker.addr).await {
            clients.push(client);
            tokio::task::yield_now().await;
            assert!(clients.len() < 100, "the limit holds");
        }
        let listed = before.ask(Request::ListTopics(Empty)).await;
        assert_eq!(listed.op, op::LIST_TOPICS, "others go on");
        starved |= broker.node.connections.load(Relaxed) < clients.len() as i32 + 1;
        drop(clients);
        setrlimit(Resource::Nofile, limit).unwrap();
        let mut after = Client::connect(broker.addr).await;
        assert_eq!(after.ask(Request::ListTopics(Empty)).await.op, op::LIST_TOPICS);
        drop(after);
        eventually("all others are closed", || broker.node.connections.load(Relaxed) == 1).await;
    }
    assert!(starved, "no accept failed, so nothing was tested");
}
