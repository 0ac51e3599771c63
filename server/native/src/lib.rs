//! flymq-native.
