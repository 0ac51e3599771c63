//! flymq-replication.
