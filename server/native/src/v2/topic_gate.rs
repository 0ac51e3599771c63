//! Keeps the first produces to a topic in order.
//!
//! A produce to a topic that is there is appended in the first poll of its call. A produce to one that has to be
//! created waits before it appends, and another behind it could overtake. So while the connection's first produce to
//! a topic runs, the ones behind it to the same topic are held back.
//! A topic that is deleted and made anew while the connection lives is not noticed.

use std::collections::{HashMap, HashSet, VecDeque};

use flymq_api::CallContext;
use flymq_proto::pb;

use super::calls::Asked;

/// Topics remembered as existing.
const MAX_KNOWN: usize = 1_024;

/// A produce that waits for its topic.
pub(super) type Held = (Asked, CallContext, pb::ProduceRequest);

/// What the gate says of a produce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Start: the topic is there.
    Free,
    /// Start, and tell [`TopicGate::finished`]: it may have to create the topic.
    First,
    /// [`TopicGate::hold`] it: another one is finding out.
    Wait,
}

/// Topics that this connection has produced to, and produces that wait for one.
#[derive(Debug, Default)]
pub(super) struct TopicGate {
    known: HashSet<String>,
    first: HashMap<String, VecDeque<Held>>,
    held: usize,
    held_bytes: usize,
}

impl TopicGate {
    /// Whether a produce to `topic` may start now.
    pub(super) fn pass(&mut self, topic: &str) -> Pass {
        if self.known.contains(topic) {
            return Pass::Free;
        }
        if self.first.contains_key(topic) {
            return Pass::Wait;
        }
        self.first.insert(topic.to_owned(), VecDeque::new());
        Pass::First
    }

    /// Keeps a produce that has to wait.
    pub(super) fn hold(&mut self, held: Held) {
        self.held += 1;
        self.held_bytes += held.0.bytes;
        self.first.entry(held.2.topic.clone()).or_default().push_back(held);
    }

    /// The first produce to `topic` is done: gives the ones that waited for it, in their order, to ask
    /// [`TopicGate::pass`] again. After a success the topic is known and all pass; after a failure the next one is the
    /// first.
    pub(super) fn finished(&mut self, topic: &str, ok: bool) -> VecDeque<Held> {
        let Some(released) = self.first.remove(topic) else { return VecDeque::new() };
        if ok {
            if self.known.len() >= MAX_KNOWN {
                self.known.clear();
            }
            self.known.insert(topic.to_owned());
        }
        self.held -= released.len();
        self.held_bytes -= released.iter().map(|(asked, ..)| asked.bytes).sum::<usize>();
        released
    }

    pub(super) fn len(&self) -> usize {
        self.held
    }

    pub(super) fn bytes(&self) -> usize {
        self.held_bytes
    }
}

#[cfg(test)]
mod tests {
    use flymq_api::Door;
    use flymq_proto::pb;

    use super::*;

    fn produce(correlation: u32) -> Held {
        let asked = Asked { op: 1, correlation, as_protobuf: false, bytes: 10, waits: false, first_to: None };
        let produce = pb::ProduceRequest { topic: "t".to_owned(), ..Default::default() };
        (asked, CallContext::new(Door::NativeV2, "r"), produce)
    }

    fn correlations(held: VecDeque<Held>) -> Vec<u32> {
        held.into_iter().map(|(asked, ..)| asked.correlation).collect()
    }

    #[test]
    fn produces_behind_the_first_to_a_new_topic_wait_for_it() {
        let mut gate = TopicGate::default();
        assert_eq!(["t", "other", "t"].map(|topic| gate.pass(topic)), [Pass::First, Pass::First, Pass::Wait]);
        gate.hold(produce(2));
        gate.hold(produce(3));
        assert_eq!((gate.len(), gate.bytes()), (2, 20));
        assert_eq!(correlations(gate.finished("t", true)), [2, 3]);
        assert_eq!((gate.len(), gate.bytes()), (0, 0));
        assert_eq!(gate.pass("t"), Pass::Free);
    }

    #[test]
    fn after_a_failure_the_next_is_the_first() {
        let mut gate = TopicGate::default();
        assert_eq!(gate.pass("t"), Pass::First);
        gate.hold(produce(2));
        assert_eq!(correlations(gate.finished("t", false)), [2]);
        assert_eq!([gate.pass("t"), gate.pass("t")], [Pass::First, Pass::Wait]);
    }
}
