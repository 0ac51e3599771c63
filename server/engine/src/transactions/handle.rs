//! The name of exactly one transaction.

use std::fmt;
use std::str::FromStr;

use flymq_types::TransactionalId;

use super::state::Producer;

/// One transaction, for ever: its transactional id, and the producer id and epoch that it was begun with. As text, where doors
/// call it `transaction_id`: `PRODUCER.EPOCH.ID`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransactionHandle {
    pub id: TransactionalId,
    pub producer_id: u64,
    pub epoch: u16,
}

/// Text that names no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a transaction id: use the one that BeginTransaction gave")]
pub struct InvalidTransaction;

impl TransactionHandle {
    pub(crate) fn producer(&self) -> Producer {
        Producer { id: self.producer_id, epoch: self.epoch }
    }
}

impl fmt::Display for TransactionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.producer_id, self.epoch, self.id)
    }
}

impl FromStr for TransactionHandle {
    type Err = InvalidTransaction;

    fn from_str(text: &str) -> Result<Self, InvalidTransaction> {
        let mut parts = text.splitn(3, '.');
        let mut next = || parts.next().ok_or(InvalidTransaction);
        let producer_id = next()?.parse().map_err(|_| InvalidTransaction)?;
        let epoch = next()?.parse().map_err(|_| InvalidTransaction)?;
        let id = TransactionalId::any(next()?).map_err(|_| InvalidTransaction)?;
        Ok(Self { id, producer_id, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_with_any_id() {
        let id = TransactionalId::new("orders.v2/ü").unwrap();
        let handle = TransactionHandle { id, producer_id: 1_001, epoch: 7 };
        assert_eq!(handle.to_string(), "1001.7.orders.v2/ü");
        assert_eq!(handle.to_string().parse(), Ok(handle));
        for bad in ["", "1", "1.2", "1.2.", "x.2.id", "1.65536.id", "-1.2.id"] {
            assert_eq!(bad.parse::<TransactionHandle>(), Err(InvalidTransaction), "{bad}");
        }
    }
}
