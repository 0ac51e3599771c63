//! flymq-types.
