//! The checklist and the status of its rows.

use std::{collections::BTreeMap, error::Error, fs, path::PathBuf};

/// Whether a row is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Built,
    Later,
}

/// One row of the checklist.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: String,
    pub surface: String,
    pub symbol: String,
    pub status: Status,
    /// `file::needle` that shows it, for rows that another suite checks.
    pub evidence: String,
}

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("checklist")
}

/// All rows; each must have exactly one status.
pub fn load() -> Result<Vec<Row>, Box<dyn Error>> {
    let mut statuses: BTreeMap<String, (Status, String)> = BTreeMap::new();
    for fields in records(&fs::read_to_string(folder().join("status.csv"))?).into_iter().skip(1) {
        let [id, status, evidence] =
            <[String; 3]>::try_from(fields).map_err(|f| format!("status.csv: {f:?}"))?;
        let status = match status.as_str() {
            "built" => Status::Built,
            "later" => Status::Later,
            other => return Err(format!("status.csv, {id}: {other:?} is neither built nor later").into()),
        };
        if statuses.insert(id.clone(), (status, evidence)).is_some() {
            return Err(format!("status.csv has {id} twice").into());
        }
    }
    let mut rows = Vec::new();
    for fields in records(&fs::read_to_string(folder().join("api-checklist.csv"))?).into_iter().skip(1) {
        let [id, surface, _kind, symbol] =
            <[String; 4]>::try_from(fields[..4].to_vec()).map_err(|f| format!("{f:?}"))?;
        let (status, evidence) = statuses.remove(&id).ok_or_else(|| format!("status.csv lacks {id}"))?;
        rows.push(Row { id, surface, symbol, status, evidence });
    }
    match statuses.keys().next() {
        Some(id) => Err(format!("status.csv has {id}, which the checklist has not").into()),
        None => Ok(rows),
    }
}

/// CSV as RFC 4180 writes it, without line breaks inside fields.
fn records(text: &str) -> Vec<Vec<String>> {
    text.lines().filter(|line| !line.is_empty()).map(fields).collect()
}

fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    fields
}
