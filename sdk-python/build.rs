//! On macOS a library whose symbols come from the interpreter that loads it needs to be linked so.

fn main() {
    pyo3_build_config::add_extension_module_link_args();
}
