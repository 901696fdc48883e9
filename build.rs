//! Compiles `proto/` with protox, so that no system protoc is needed.

use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        [
            "quarterdeck/v1/admin.proto",
            "quarterdeck/v1/gateway.proto",
            "quarterdeck/v1/memory.proto",
        ],
        ["proto"],
    )?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("quarterdeck.binpb"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure()
        // Maps in key order: the request hash of `request_id` is taken over the encoding.
        .btree_map(".")
        .bytes(".quarterdeck.v1.Attachment")
        .compile_fds(descriptors)?;
    Ok(())
}
