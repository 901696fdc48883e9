//! Compiles `proto/` with protox, so that no system protoc is needed.

use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        ["quarterdeck/v1/admin.proto", "quarterdeck/v1/gateway.proto"],
        ["proto"],
    )?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("quarterdeck.binpb"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    // The server's codec bounds what it decodes, and looks its messages up by name; clients trust their server.
    let mut messages = tonic_prost_build::Config::new();
    messages.enable_type_names();
    tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::grpc::codec::BoundedCodec")
        // Maps in key order: the request hash of `request_id` is taken over the encoding.
        .btree_map(".")
        .bytes(".quarterdeck.v1.Attachment")
        .compile_fds_with_config(descriptors.clone(), messages)?;
    let clients = out.join("clients");
    fs::create_dir_all(&clients)?;
    tonic_prost_build::configure()
        .build_server(false)
        .extern_path(".quarterdeck.v1", "crate::proto")
        .out_dir(clients)
        .compile_fds(descriptors)?;
    Ok(())
}
