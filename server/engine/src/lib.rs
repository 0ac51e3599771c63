//! flymq-engine.
