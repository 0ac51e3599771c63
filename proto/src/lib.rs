//! flymq-proto.
