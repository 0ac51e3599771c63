//! flymq-config.
