//! Reflection, so that grpcurl and its like need no proto files, and can decode error details.

use tonic_reflection::server::{Builder, Error, v1, v1alpha};

/// Services that describe themselves: ours, health, and the `google.rpc` messages of error details.
fn builder() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(flymq_proto::DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// `grpc.reflection.v1`.
pub(crate) fn v1() -> Result<v1::ServerReflectionServer<impl v1::ServerReflection>, Error> {
    builder().build_v1()
}

/// `grpc.reflection.v1alpha`, which older tools still ask for.
pub(crate) fn v1alpha() -> Result<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>, Error> {
    builder().build_v1alpha()
}
