//! Rows of the SDKs: their own suites check them; here, that the test which a row names is there.

use std::{fs, path::Path};

use crate::{
    Found,
    table::{Row, Status},
};

/// Evidence is `path from the repository's root::text in it`, usually the name of a test.
pub fn check(row: &Row) -> Found {
    if row.status == Status::Later {
        return if row.evidence.is_empty() { Found::NotBuilt } else { Found::Works };
    }
    let Some((file, needle)) = row.evidence.split_once("::") else {
        return Found::Broken("a built row of an SDK needs evidence: file::test".to_owned());
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    match fs::read_to_string(&path) {
        Ok(text) if text.contains(needle) => Found::Works,
        Ok(_) => Found::Broken(format!("{file} has no {needle}")),
        Err(e) => Found::Broken(format!("{file}: {e}")),
    }
}
