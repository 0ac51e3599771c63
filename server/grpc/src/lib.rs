//! flymq-grpc.
