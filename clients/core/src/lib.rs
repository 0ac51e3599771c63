//! flymq-client.
