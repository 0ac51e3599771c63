//! pyflymq-core.
