//! Records with a time: PRODUCE_DELAYED, PRODUCE_WITH_TTL.

use bytes::Bytes;

use crate::codec::layout;

layout! {
    /// PRODUCE_DELAYED request.
    pub struct ProduceDelayed {
        /// Topic name.
        pub topic: String,
        /// Value.
        pub value: Bytes,
        /// Milliseconds from now; negative means at once.
        pub delay_ms: i64,
    }

    /// PRODUCE_WITH_TTL request.
    pub struct ProduceWithTtl {
        /// Topic name.
        pub topic: String,
        /// Value.
        pub value: Bytes,
        /// Milliseconds from now until the record expires.
        pub ttl_ms: i64,
    }
}
