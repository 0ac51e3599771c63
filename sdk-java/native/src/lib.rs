//! flymq-jni.
