//! REST, transcoded: a path names an rpc, path variables, query and JSON body fill its request, the response goes back as
//! JSON. Field names are those of the proto files (`max_records`; `maxRecords` is understood too), 64-bit integers are JSON
//! numbers, bytes are base64, enum values may be written short (`all` for `ACKS_ALL`).

mod answer;
mod body;
mod call;
mod context;
mod error;
mod guard;
mod json_in;
mod json_out;
mod json_text;
mod options;
mod path;
mod query;
mod route;
mod serve;
mod stream;

pub(crate) use body::read as read_body;
pub(crate) use guard::check_host;
pub use options::RestOptions;
pub(crate) use path::percent_decode;
pub use serve::serve_rest;

pub(crate) use route::{Route, routes};
