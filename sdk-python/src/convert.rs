//! Records across the border, as tuples; the Python package makes its models of them.

use bytes::Bytes;
use flymq_client::{Acks, ClientError, Message, NewMessage, RecordMetadata};
use pyo3::{
    IntoPyObject, IntoPyObjectExt as _,
    prelude::*,
    pybacked::PyBackedBytes,
    types::{PyBytes, PyTuple},
};

/// `(value, key, headers, partition, timestamp_ms)` of a message to send.
pub type Outgoing =
    (Option<PyBackedBytes>, Option<PyBackedBytes>, Vec<(String, PyBackedBytes)>, Option<i32>, Option<i64>);

/// The message of [`Outgoing`].
pub fn message((value, key, headers, partition, timestamp_ms): Outgoing) -> NewMessage {
    let copy = |bytes: PyBackedBytes| Bytes::copy_from_slice(&bytes);
    NewMessage {
        key: key.map(copy).filter(|key| !key.is_empty()),
        value: value.map(copy),
        headers: headers.into_iter().map(|(name, value)| (name, copy(value))).collect(),
        timestamp_ms,
        partition,
    }
}

/// Acks by their documented names; `quorum` is an alias of `all`.
///
/// # Errors
/// `InvalidArgument` that lists the names.
pub fn acks(name: &str) -> Result<Acks, ClientError> {
    match name {
        "all" | "quorum" => Ok(Acks::All),
        "leader" => Ok(Acks::Leader),
        "none" => Ok(Acks::None),
        other => Err(ClientError::invalid(format!("unknown acks {other:?}: use one of all, leader, none"))),
    }
}

/// `(topic, partition, offset, timestamp_ms)`.
pub struct Stored(pub RecordMetadata);

impl<'py> IntoPyObject<'py> for Stored {
    type Target = PyTuple;
    type Output = Bound<'py, PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let RecordMetadata { topic, partition, offset, timestamp_ms } = self.0;
        (&*topic, partition, offset, timestamp_ms).into_pyobject(py)
    }
}

/// `(topic, partition, offset, timestamp_ms, key, value, tombstone, headers)`.
pub struct Received(pub Message);

impl<'py> IntoPyObject<'py> for Received {
    type Target = PyTuple;
    type Output = Bound<'py, PyTuple>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let message = self.0;
        let headers: Vec<_> =
            message.headers.iter().map(|(name, value)| (name.as_str(), PyBytes::new(py, value))).collect();
        let fields = [
            (&*message.topic).into_bound_py_any(py)?,
            message.partition.into_bound_py_any(py)?,
            message.offset.into_bound_py_any(py)?,
            message.timestamp_ms.into_bound_py_any(py)?,
            message.key.map(|key| PyBytes::new(py, &key)).into_bound_py_any(py)?,
            PyBytes::new(py, &message.value).into_any(),
            message.tombstone.into_bound_py_any(py)?,
            headers.into_bound_py_any(py)?,
        ];
        PyTuple::new(py, fields)
    }
}

/// Messages as a list.
pub fn received(messages: Vec<Message>) -> Vec<Received> {
    messages.into_iter().map(Received).collect()
}
