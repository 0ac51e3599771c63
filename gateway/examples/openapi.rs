//! Prints the OpenAPI document: `cargo run -p flymq-gateway --example openapi`.

fn main() {
    println!("{:#}", flymq_gateway::openapi_document());
}
