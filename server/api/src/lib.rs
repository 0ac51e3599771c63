//! flymq-api.
