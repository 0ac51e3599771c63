//! flymq-storage.
