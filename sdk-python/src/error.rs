//! Failures as Python exceptions.

use flymq_client::{ClientError, ErrorCode};
use flymq_proto::ErrorTraits;
use pyo3::{prelude::*, sync::PyOnceLock};

static RAISE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The exception of a failure; which class it has, `pyflymq.exceptions` decides by the code.
pub fn to_py(py: Python<'_>, error: &ClientError) -> PyErr {
    match exception(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(other) => other,
    }
}

fn exception<'py>(py: Python<'py>, error: &ClientError) -> PyResult<Bound<'py, PyAny>> {
    let make = RAISE.import(py, "pyflymq.exceptions", "from_core")?;
    make.call1((
        error.code_name(),
        &error.message,
        &error.hint,
        &error.doc_url,
        error.retryable,
        error.side_effects,
        error.metadata.clone(),
        &error.request_id,
    ))
}

/// Hint, page, retryable and side effects of a code, by the error table of `errors.proto`.
#[pyfunction]
pub fn error_traits(code: &str) -> PyResult<(String, String, bool, bool)> {
    let code = ErrorCode::from_str_name(&format!("ERROR_CODE_{code}"))
        .ok_or_else(|| pyo3::exceptions::PyKeyError::new_err(code.to_owned()))?;
    let row = ErrorTraits::of(code);
    Ok((row.hint.clone(), row.doc_page(), row.retryable, row.side_effects))
}

/// Names of all codes.
#[pyfunction]
pub fn error_codes() -> Vec<&'static str> {
    (0..).map_while(|number| ErrorCode::try_from(number).ok()).map(|c| &*ErrorTraits::of(c).name).collect()
}
