//! Transactions: TXN_BEGIN ([`super::Empty`] request), TXN_COMMIT, TXN_ROLLBACK, TXN_PRODUCE.

use bytes::Bytes;

use crate::codec::layout;

layout! {
    /// TXN_COMMIT and TXN_ROLLBACK request.
    pub struct TxnRef {
        /// Transaction id: opaque text from TXN_BEGIN's reply.
        pub txn_id: String,
    }

    /// TXN_BEGIN, TXN_COMMIT and TXN_ROLLBACK reply. A commit that fails is `ok` = false, not an error frame.
    pub struct TxnReply {
        /// Transaction id.
        pub txn_id: String,
        /// Whether it was done.
        pub ok: bool,
    }

    /// TXN_PRODUCE request.
    pub struct TxnProduce {
        /// Transaction id.
        pub txn_id: String,
        /// Topic name.
        pub topic: String,
        /// Value.
        pub value: Bytes,
    }
}
