//! flymq-tests.
