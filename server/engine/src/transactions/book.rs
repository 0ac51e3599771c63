//! The states of all transactional ids, in memory: what replaying `__transactions` gives.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use flymq_types::{TransactionalId, fnv1a_32};

use super::record::{decode, decode_key, encode, encode_key};
use super::state::Transaction;
use crate::durable_map::DurableMap;

/// One record.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// None: the id is forgotten.
    State(TransactionalId, Option<Arc<Transaction>>),
    /// Of a later build: kept as it is, so that nothing is begun anew in its place.
    Foreign(Bytes, Option<Bytes>),
}

/// All transactional ids of the partitions of `__transactions` that are loaded here.
#[derive(Debug, Default)]
pub(super) struct Book {
    known: HashMap<TransactionalId, Arc<Transaction>>,
    /// Records that this build cannot read, by key.
    foreign: BTreeMap<Bytes, Bytes>,
}

impl Book {
    pub(super) fn get(&self, id: &TransactionalId) -> Option<&Arc<Transaction>> {
        self.known.get(id)
    }

    /// Whether the id has a state that only a later build understands.
    pub(super) fn is_foreign(&self, id: &TransactionalId) -> bool {
        !self.foreign.is_empty() && self.foreign.contains_key(&encode_key(id)[..])
    }

    pub(super) fn len(&self) -> usize {
        self.known.len() + self.foreign.len()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&TransactionalId, &Arc<Transaction>)> {
        self.known.iter()
    }
}

/// Which of `of` partitions has the record with this key.
pub(super) fn index_of(key: &[u8], of: usize) -> usize {
    // The id alone, so that later kinds of records of the same id stand beside it.
    fnv1a_32(key.get(2..).unwrap_or_default()) as usize % of.max(1)
}

impl DurableMap for Book {
    type Change = Change;

    const WHAT: &'static str = "the states of transactions";

    /// An end that is forgotten would never come.
    const SKIPS_DAMAGE: bool = false;

    fn apply(&mut self, change: Change) {
        match change {
            Change::State(id, state) => {
                if !self.foreign.is_empty() {
                    self.foreign.remove(&encode_key(&id)[..]);
                }
                match state {
                    Some(state) => drop(self.known.insert(id, state)),
                    None => drop(self.known.remove(&id)),
                }
            }
            Change::Foreign(key, value) => {
                if let Ok(id) = decode_key(&key) {
                    self.known.remove(&id);
                }
                match value {
                    Some(value) => drop(self.foreign.insert(key, value)),
                    None => drop(self.foreign.remove(&key)),
                }
            }
        }
    }

    fn encode(change: &Change) -> (Vec<u8>, Option<Bytes>) {
        match change {
            Change::State(id, state) => (encode_key(id), state.as_deref().map(encode)),
            Change::Foreign(key, value) => (key.to_vec(), value.clone()),
        }
    }

    fn decode(key: &[u8], value: Option<&[u8]>) -> Option<Change> {
        let known = decode_key(key).and_then(|id| {
            let state = value.map(decode).transpose()?.map(Arc::new);
            Ok(Change::State(id, state))
        });
        let foreign = || Change::Foreign(Bytes::copy_from_slice(key), value.map(Bytes::copy_from_slice));
        Some(known.unwrap_or_else(|_| {
            tracing::warn!(
                "a transactional id has a record of a later version: its transactions are refused here"
            );
            foreign()
        }))
    }

    fn replace(&mut self, index: usize, of: usize, other: Self) {
        self.known.retain(|id, _| index_of(&encode_key(id), of) != index);
        self.foreign.retain(|key, _| index_of(key, of) != index);
        self.known.extend(other.known);
        self.foreign.extend(other.foreign);
    }

    fn changes_of(&self, index: usize, of: usize) -> Vec<Change> {
        let known = self.known.iter().filter(|(id, _)| index_of(&encode_key(id), of) == index);
        let known = known.map(|(id, state)| Change::State(id.clone(), Some(state.clone())));
        let foreign = self.foreign.iter().filter(|(key, _)| index_of(key, of) == index);
        known.chain(foreign.map(|(key, value)| Change::Foreign(key.clone(), Some(value.clone())))).collect()
    }

    fn extra_bytes(change: &Change) -> usize {
        match change {
            Change::State(_, state) => state.as_ref().map_or(0, |state| state.places.len() * 64),
            Change::Foreign(_, value) => value.as_ref().map_or(0, Bytes::len),
        }
    }
}

#[cfg(test)]
mod tests {
    use flymq_types::Timestamp;

    use super::*;

    #[test]
    fn a_record_of_a_later_build_is_kept_and_refused() {
        let id = TransactionalId::new("tx").unwrap();
        let mut book = Book::default();
        let state = Arc::new(Transaction::new(1, 1_000, Timestamp(1)));
        book.apply(Change::State(id.clone(), Some(state)));
        assert!(book.get(&id).is_some() && !book.is_foreign(&id));
        let key = encode_key(&id);
        book.apply(Book::decode(&key, Some(&[2, 9, 9])).unwrap());
        assert!(book.get(&id).is_none() && book.is_foreign(&id));
        let all = book.changes_of(index_of(&key, 3), 3);
        let (same, value) = Book::encode(&all[0]);
        assert_eq!((all.len(), same, value.as_deref()), (1, key.clone(), Some(&[2, 9, 9][..])));
        book.apply(Book::decode(&key, None).unwrap());
        assert!(!book.is_foreign(&id), "whoever wrote it has forgotten it");
    }
}
