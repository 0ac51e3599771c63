//! flymq-wire.
