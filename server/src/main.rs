//! The `flymq` binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    flymq_server::cli::run(std::env::args().skip(1))
}
