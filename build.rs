//! Compiles `proto/` with protox, so that no system protoc is needed; and takes the built console in, where there is one.

use std::{
    env,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

/// What `npm run build` makes of the console.
const CONSOLE: &str = "clients/web/dist";

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
    fs::write(out.join("console.rs"), console()?)?;
    Ok(())
}

/// The console's files as a Rust expression: paths below its root, and what they hold.
fn console() -> io::Result<String> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let dist = root.join(CONSOLE);
    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        println!("cargo:rerun-if-changed={CONSOLE}");
        collect(&dist, &mut files)?;
    } else if let Some(console) = Path::new(CONSOLE).parent().filter(|it| it.is_dir()) {
        // A path that is not there would make every build a new one.
        println!("cargo:rerun-if-changed={}", console.display());
    }
    files.sort();
    let mut table = String::from("&[\n");
    for file in files {
        let path = file.strip_prefix(&dist).map_err(io::Error::other)?;
        // Writing to a string does not fail.
        let _ = writeln!(table, "({path:?}, include_bytes!({file:?})),");
    }
    table.push(']');
    Ok(table)
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        match entry.file_type()? {
            kind if kind.is_dir() => collect(&entry.path(), files)?,
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    Ok(())
}
