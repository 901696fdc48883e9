//! Compiles `proto/` with protox, so that no system protoc is needed; and takes the console in, which npm builds where it
//! is there. Without it the server has no console, and the build says so. `BUILD_QUARTERDECK_CONSOLE=none` leaves it out.

use std::{
    env,
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::SystemTime,
};

/// Where the console's sources are.
const CONSOLE: &str = "clients/web";
/// What is built of them, below that.
const BUILT: &str = "dist";
/// What the console is built of.
const CONSOLE_SOURCES: [&str; 6] = [
    "clients/web/src",
    "clients/web/public",
    "clients/web/index.html",
    "clients/web/package-lock.json",
    "clients/web/vite.config.ts",
    "clients/typescript/src",
];
/// Where the messages of A2A are.
const A2A: &str = "src/edge/a2a";
/// The service that has an RPC `Connect`.
const WORKER_SERVICE: &str = "WorkerService";
/// `none` builds no console.
const CONSOLE_CHOICE: &str = "BUILD_QUARTERDECK_CONSOLE";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(
        [
            "quarterdeck/v1/admin.proto",
            "quarterdeck/v1/gateway.proto",
            "quarterdeck/v1/memory.proto",
            "quarterdeck/v1/model.proto",
            "quarterdeck/v1/schedule.proto",
            "quarterdeck/v1/webhook.proto",
            "quarterdeck/v1/worker.proto",
        ],
        ["proto"],
    )?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Another protocol's messages, read by their description alone.
    println!("cargo:rerun-if-changed={A2A}/a2a.proto");
    fs::write(
        out.join("a2a.binpb"),
        prost::Message::encode_to_vec(&protox::compile(["a2a.proto"], [A2A])?),
    )?;
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
    let (mut others, mut workers) = (descriptors.clone(), descriptors);
    for file in &mut others.file {
        file.service.retain(|it| it.name() != WORKER_SERVICE);
    }
    for file in &mut workers.file {
        file.service.retain(|it| it.name() == WORKER_SERVICE);
    }
    tonic_prost_build::configure()
        .build_server(false)
        .extern_path(".quarterdeck.v1", "crate::proto")
        .out_dir(clients)
        .compile_fds(others)?;
    let worker = out.join("worker");
    fs::create_dir_all(&worker)?;
    tonic_prost_build::configure()
        .build_server(false)
        // Its constructor `connect` would hide the RPC of that name.
        .build_transport(false)
        .extern_path(".quarterdeck.v1", "crate::proto")
        .out_dir(worker)
        .compile_fds(workers)?;
    fs::write(out.join("console.rs"), console()?)?;
    Ok(())
}

/// The console's files as a Rust expression: paths below its root, and what they hold.
fn console() -> io::Result<String> {
    println!("cargo:rerun-if-env-changed={CONSOLE_CHOICE}");
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    let dist = root.join(CONSOLE).join(BUILT);
    let mut files = Vec::new();
    if env::var(CONSOLE_CHOICE).is_ok_and(|choice| choice == "none") {
        return table(&files, &dist);
    }
    for source in CONSOLE_SOURCES.iter().filter(|it| Path::new(it).exists()) {
        println!("cargo:rerun-if-changed={source}");
    }
    if !is_fresh(&dist)
        && let Err(problem) = build_console(&root.join(CONSOLE))
    {
        println!("cargo:warning=the console is left out: {problem}");
    }
    if dist.join("index.html").is_file() {
        collect(&dist, &mut files)?;
    } else if let Some(console) = Some(Path::new(CONSOLE)).filter(|it| it.is_dir()) {
        // A path that is not there would make every build a new one.
        println!("cargo:rerun-if-changed={}", console.display());
    }
    files.sort();
    table(&files, &dist)
}

/// Whether the console was built after its sources were changed last.
fn is_fresh(dist: &Path) -> bool {
    let Some(built) = newest(&dist.join("index.html")) else {
        return false;
    };
    CONSOLE_SOURCES
        .iter()
        .filter_map(|source| newest(Path::new(source)))
        .all(|changed| changed <= built)
}

/// The time of the newest file at or below a path.
fn newest(path: &Path) -> Option<SystemTime> {
    let mut files = Vec::new();
    if path.is_dir() {
        collect(path, &mut files).ok()?;
    } else {
        files.push(path.to_owned());
    }
    let times = files
        .iter()
        .filter_map(|file| file.metadata().ok()?.modified().ok());
    times.max()
}

/// Builds the console where it lies.
fn build_console(console: &Path) -> Result<(), String> {
    let install: &[&str] = &["ci", "--no-audit", "--no-fund", "--loglevel=error"];
    let build: &[&str] = &["run", "--silent", "build"];
    for arguments in [install, build] {
        let mut npm = Command::new("npm");
        // What a build script prints on standard output is for cargo.
        let ran = npm
            .args(arguments)
            .current_dir(console)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| {
                format!(
                    "it is built by npm, of Node.js 20.19 or newer, which can't be run ({error})"
                )
            })?;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            return Err(format!(
                "`npm {}` failed in {}: {}",
                arguments.join(" "),
                console.display(),
                last.unwrap_or("it says nothing")
            ));
        }
    }
    Ok(())
}

fn table(files: &[PathBuf], dist: &Path) -> io::Result<String> {
    let mut table = String::from("&[\n");
    for file in files {
        let path = file.strip_prefix(dist).map_err(io::Error::other)?;
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
