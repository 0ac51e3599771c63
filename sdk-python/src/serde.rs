//! Serdes over the schema registry, by the client core: JSON documents as text on this side.

use bytes::Bytes;
use flymq_client::serde::{Codec as _, SchemaSerde as Inner};
use pyo3::{
    IntoPyObject,
    prelude::*,
    pybacked::{PyBackedBytes, PyBackedStr},
    types::PyBytes,
};

use crate::operation::Operation;

/// Documents as framed Avro or Protobuf, and back.
#[pyclass(frozen, module = "pyflymq._core")]
pub struct SchemaSerde {
    inner: Inner,
}

impl SchemaSerde {
    pub fn new(inner: Inner) -> Self {
        Self { inner }
    }
}

#[pymethods]
impl SchemaSerde {
    /// The framed value of a JSON document.
    fn encode(&self, topic: String, document: PyBackedStr) -> Operation {
        let serde = self.inner.clone();
        Operation::new(async move { serde.encode_text(&topic, &document).await.map(Value) })
    }

    /// The JSON document of a framed value.
    fn decode(&self, value: PyBackedBytes) -> Operation {
        let serde = self.inner.clone();
        Operation::new(async move { serde.decode_text(&value).await })
    }
}

struct Value(Bytes);

impl<'py> IntoPyObject<'py> for Value {
    type Target = PyBytes;
    type Output = Bound<'py, PyBytes>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        Ok(PyBytes::new(py, &self.0))
    }
}
