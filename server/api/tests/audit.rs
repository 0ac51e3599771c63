//! Audit events. A test binary of its own: the process has one subscriber.

mod common;

use std::{
    io,
    sync::{Arc, Mutex},
};

use common::TestBroker;
use flymq_api::pb;
use tracing_subscriber::{
    Layer as _, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_changes_things_leaves_an_audit_event_with_its_result() {
    let lines = Lines::default();
    let writer = lines.clone();
    let layer = fmt::layer().json().with_writer(move || writer.clone());
    let targets = Targets::new().with_target("flymq::audit", tracing::Level::INFO);
    tracing_subscriber::registry().with(layer.with_filter(targets)).init();

    let broker = TestBroker::start().await;
    broker.create("audited", 1).await;
    let again = pb::CreateTopicRequest { name: "audited".to_owned(), ..pb::CreateTopicRequest::default() };
    assert!(broker.call::<_, pb::CreateTopicResponse>(again).await.is_err());
    broker.fetch("audited", 0, 0).await.expect("reading leaves no event");
    let forbidden = pb::DeleteTopicRequest { name: "__x".to_owned() };
    assert!(broker.call::<_, pb::DeleteTopicResponse>(forbidden).await.is_err());

    let text = String::from_utf8(lines.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    let events: Vec<&str> = text.lines().collect();
    assert_eq!(events.len(), 3, "{text}");
    for (event, parts) in events.iter().zip([
        ["topic.create", "audited", "\"OK\""],
        ["topic.create", "audited", "TOPIC_ALREADY_EXISTS"],
        ["access.denied", "__x", "PERMISSION_DENIED"],
    ]) {
        for part in parts.iter().chain(&["test-request", "in-process", "anonymous"]) {
            assert!(event.contains(part), "{event} lacks {part}");
        }
    }
}
