//! Compiles `flymq/v1` without protoc and leaves the descriptor set, custom options included, beside the generated code.
//! `flymq/internal/v1` is compiled apart, so that it is in no descriptor set that a client can ask for.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=flymq");
    println!("cargo:rerun-if-changed=third_party");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new([".", "third_party"])?;
    compiler.include_imports(true).include_source_info(true).open_files(proto_files("flymq/v1")?)?;
    // Encoded by the compiler itself: a round trip through prost-types would drop the method options.
    fs::write(out.join("flymq_descriptor.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .bytes(".")
        .compile_well_known_types(false)
        .include_file("flymq_include.rs")
        .compile_fds(compiler.file_descriptor_set())?;

    let mut internal = protox::Compiler::new(["."])?;
    internal.include_source_info(true).open_files(proto_files("flymq/internal/v1")?)?;
    tonic_prost_build::configure()
        .bytes(".")
        .include_file("flymq_internal_include.rs")
        .compile_fds(internal.file_descriptor_set())?;
    Ok(())
}

fn proto_files(folder: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|p| p.extension().is_some_and(|e| e == "proto"));
    files.sort();
    Ok(files)
}
