//! flymq-gateway.
