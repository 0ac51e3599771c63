//! Client-side encryption, by the client core.

use pyo3::{prelude::*, types::PyBytes};

use crate::error::to_py;

/// Encrypts and decrypts values with one key: AES-256-GCM, `nonce ‖ ciphertext ‖ tag`.
#[pyclass(frozen, module = "pyflymq._core")]
pub struct Encryptor {
    inner: flymq_client::Encryptor,
}

#[pymethods]
impl Encryptor {
    /// With a key of 64 hexadecimal characters.
    #[staticmethod]
    fn from_hex_key(py: Python<'_>, key: &str) -> PyResult<Self> {
        let inner = flymq_client::Encryptor::from_hex_key(key).map_err(|e| to_py(py, &e))?;
        Ok(Self { inner })
    }

    /// The sealed bytes, under a fresh nonce.
    fn encrypt<'py>(&self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let sealed = self.inner.encrypt(data).map_err(|e| to_py(py, &e))?;
        Ok(PyBytes::new(py, &sealed))
    }

    /// The plain bytes; raises when they were changed or another key made them.
    fn decrypt<'py>(&self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let plain = self.inner.decrypt(data).map_err(|e| to_py(py, &e))?;
        Ok(PyBytes::new(py, &plain))
    }
}

/// A new random key: 64 hexadecimal characters.
#[pyfunction]
pub fn generate_key(py: Python<'_>) -> PyResult<String> {
    flymq_client::generate_key().map_err(|e| to_py(py, &e))
}
