//! flymq-server.
