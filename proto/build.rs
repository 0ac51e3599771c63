//! Compiles `flymq/v1` without protoc and leaves the descriptor set, custom options included, beside the generated code.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=flymq");
    println!("cargo:rerun-if-changed=third_party");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut files: Vec<PathBuf> =
        fs::read_dir("flymq/v1")?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|p| p.extension().is_some_and(|e| e == "proto"));
    files.sort();

    let mut compiler = protox::Compiler::new([".", "third_party"])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    // Encoded by the compiler itself: a round trip through prost-types would drop the method options.
    fs::write(out.join("flymq_descriptor.bin"), compiler.encode_file_descriptor_set())?;

    tonic_prost_build::configure()
        .bytes(".")
        .compile_well_known_types(false)
        .include_file("flymq_include.rs")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
