//! The listener of the built server: what it refuses to be, who gets in by which door, and what the command line says.

mod certificates;
mod support;

use certificates::{Authority, Files, Leaf, set_mode};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Command, Output, Stdio},
};
use support::{Gateway, Options};

fn quarterdeck(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn problem(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server that must not start: its exit code and what it says.
fn refused(arguments: &[&str]) -> (i32, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let data = data.to_str().expect("UTF-8");
    let mut child = Command::new(env!("CARGO_BIN_EXE_quarterdeck"))
        .args(["serve", "--data-dir", data])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut said = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut said).expect("text");
    if !said.is_empty() {
        child.kill().expect("it was ours to kill");
    }
    let output = child.wait_with_output().expect("it ends");
    assert!(said.is_empty(), "{arguments:?}: it started: {said}");
    (code(&output), problem(&output))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn with_config(config: String) -> Gateway {
    Gateway::with(Options {
        config,
        ..Options::default()
    })
}

fn tls_config(files: &Files, server: &Leaf) -> String {
    let (certificate, key) = files.put_leaf("server", server);
    format!("tls_certificate = {certificate:?}\ntls_key = {key:?}\n")
}

/// CVE-2026-22812 and its kind: a server that anyone can reach does not start, whatever it logs.
#[test]
fn a_server_that_would_be_open_does_not_start_and_says_what_to_set() {
    let everywhere = ["--listen", "0.0.0.0:0"];
    for (arguments, expected) in [
        (&everywhere[..], "set tls_certificate and tls_key"),
        (&["--listen", "[::]:0"], "insecure_behind_proxy = true"),
        (
            &["--listen", "0.0.0.0:0", "--no-auth"],
            "set no_auth = false",
        ),
        (
            &[
                "--listen",
                "0.0.0.0:0",
                "--no-auth",
                "--insecure-behind-proxy",
            ],
            "set no_auth = false",
        ),
        (
            &[
                "--listen",
                "127.0.0.1:0",
                "--no-auth",
                "--insecure-behind-proxy",
            ],
            "set no_auth = false",
        ),
    ] {
        let (code, said) = refused(arguments);
        assert_eq!(code, 78, "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn a_tls_file_that_cannot_be_used_keeps_the_server_from_starting() {
    let files = Files::new();
    let (certificate, key) = files.put_leaf("server", &Authority::new().sign(&["localhost"]));
    set_mode(&key, 0o644);
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--tls-certificate",
        text(&certificate),
        "--tls-key",
        text(&key),
    ];
    let (code, said) = refused(&arguments);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("chmod 600"), "{said}");
    // It can be known before.
    let output = quarterdeck(&[&["check-config"][..], &arguments].concat());
    assert!(
        problem(&output).contains("chmod 600"),
        "{}",
        problem(&output)
    );
    assert_eq!(self::code(&output), 78);
    set_mode(&key, 0o640);
    let output = quarterdeck(&[&["check-config"][..], &arguments].concat());
    assert_eq!(self::code(&output), 0, "{}", problem(&output));
}

#[test]
fn the_command_line_speaks_tls_and_says_what_is_missing() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let client_ca = files.put("clients.pem", &clients.certificate.pem());
    let config = tls_config(&files, &authority.sign(&["localhost"]));
    let gateway = with_config(format!(
        "{config}tls_client_ca = {client_ca:?}\ntls_client_required = true\n"
    ));
    let (_, port) = gateway.address.rsplit_once(':').expect("a port");
    assert!(
        gateway.address.starts_with("https://127.0.0.1:"),
        "{}",
        gateway.address
    );
    let address = format!("https://localhost:{port}");
    let ca = files.put("ca.pem", &authority.certificate.pem());
    let (cert, key) = files.put_leaf("client", &clients.sign_uri("quarterdeck://acme/robot"));
    let whole = [
        "--ca",
        text(&ca),
        "--cert",
        text(&cert),
        "--client-key",
        text(&key),
    ];
    let sessions = |address: &str, more: &[&str]| {
        quarterdeck(&[&["sessions", "--addr", address], more].concat())
    };
    let output = sessions(&address, &whole);
    assert_eq!(code(&output), 0, "{}", problem(&output));
    let plain = format!("http://localhost:{port}");
    for (address, more, expected) in [
        (&address, &[][..], "--ca"),
        (&address, &whole[..2], "--client-key"),
        (&gateway.address, &whole[..], "for another name"),
        (&plain, &[][..], "https://"),
    ] {
        let output = sessions(address, more);
        assert_eq!(
            code(&output),
            69,
            "{address} {more:?}: {}",
            problem(&output)
        );
        assert!(
            problem(&output).contains(expected),
            "{expected}: {}",
            problem(&output)
        );
    }
    let half = sessions(&address, &whole[..4]);
    assert_eq!(code(&half), 64, "{}", problem(&half));

    let open = Gateway::start();
    let output = sessions(&open.address.replace("http://", "https://"), &whole[..2]);
    assert!(
        problem(&output).contains("speaks no TLS"),
        "{}",
        problem(&output)
    );
}

/// A certificate that signs itself is its own CA.
#[test]
fn a_certificate_that_signs_itself_is_trusted_by_name() {
    let files = Files::new();
    let gateway = with_config(tls_config(
        &files,
        &Leaf::alone(&["localhost", "127.0.0.1"]),
    ));
    let output = quarterdeck(&["sessions", "--addr", &gateway.address]);
    assert_eq!(code(&output), 69);
    assert!(problem(&output).contains("--ca"), "{}", problem(&output));
    let ca = files.path("server.pem");
    let output = quarterdeck(&["sessions", "--addr", &gateway.address, "--ca", text(&ca)]);
    assert_eq!(code(&output), 0, "{}", problem(&output));
}

/// Another gRPC stack over TLS, its reflection included.
#[test]
fn grpcurl_speaks_tls() {
    let Some(grpcurl) = std::env::var_os("QUARTERDECK_TEST_GRPCURL") else {
        return;
    };
    let (files, authority) = (Files::new(), Authority::new());
    let gateway = with_config(tls_config(&files, &authority.sign(&["127.0.0.1"])));
    let ca = files.put("ca.pem", &authority.certificate.pem());
    let address = gateway.address.trim_start_matches("https://");
    let output = Command::new(grpcurl)
        .args(["-cacert", text(&ca), address, "list"])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("quarterdeck.v1.GatewayService"),
        "{said}{}",
        problem(&output)
    );
}

#[test]
fn the_unix_socket_is_for_the_servers_user_alone_and_goes_with_the_server() {
    let mut gateway = Gateway::start();
    let socket = gateway.data().join("quarterdeck.sock");
    let file = fs::symlink_metadata(&socket).expect("it is there");
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    let address = format!("unix:{}", socket.display());
    let output = quarterdeck(&["sessions", "--addr", &address]);
    assert_eq!(code(&output), 0, "{}", problem(&output));

    // What a killed server leaves is replaced; a server that ends leaves nothing.
    gateway.kill();
    assert!(socket.exists());
    gateway.restart();
    let output = quarterdeck(&["sessions", "--addr", &address]);
    assert_eq!(code(&output), 0, "{}", problem(&output));
    gateway.terminate();
    assert_eq!(gateway.wait(), Some(0));
    assert!(!socket.exists());
    let output = quarterdeck(&["sessions", "--addr", &address]);
    assert_eq!(code(&output), 69, "{}", problem(&output));
}

#[test]
fn a_socket_that_is_not_ours_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = directory.path().join("taken.sock");
    let listener = UnixListener::bind(&taken).expect("a socket");
    let file = directory.path().join("file");
    fs::write(&file, "precious").expect("written");
    let long = directory.path().join("x".repeat(120));
    for (path, expected_code, expected) in [
        (&taken, 69, "another process listens there"),
        (&file, 69, "a file that is no socket"),
        (&long, 78, "at most 107 bytes"),
    ] {
        let (code, said) = refused(&["--listen", "127.0.0.1:0", "--listen-unix", text(path)]);
        assert_eq!(code, expected_code, "{said}");
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "precious");
    assert!(UnixStream::connect(&taken).is_ok());
    drop(listener);
}

/// The socket that nobody asked for must not keep a server from starting.
#[test]
fn a_data_directory_too_deep_for_a_socket_is_served_without_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let deep = directory.path().join("x".repeat(120));
    // The harness names a data directory too; the last one counts.
    let gateway = Gateway::with(Options {
        arguments: vec!["--data-dir".into(), deep.clone().into()],
        ..Options::default()
    });
    let output = quarterdeck(&["sessions", "--addr", &gateway.address]);
    assert_eq!(code(&output), 0, "{}", problem(&output));
    assert!(deep.join("lock").exists() && !deep.join("quarterdeck.sock").exists());
}

/// A page whose name was made to point at this machine gets nothing from a server on loopback.
#[test]
fn a_request_by_a_foreign_name_is_refused_on_loopback() {
    let gateway = Gateway::start();
    let address = gateway.address.trim_start_matches("http://");
    let path = "/quarterdeck.v1.GatewayService/ListSessions";
    for (host, expected) in [
        // gRPC clients show what is told in gRPC.
        ("evil.test", "HTTP/1.1 200 "),
        ("localhost", "HTTP/1.1 200 "),
    ] {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/grpc\r\nconnection: close\r\n\
             content-length: 5\r\n\r\n\0\0\0\0\0"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(expected), "{host}: {answer}");
        assert_eq!(
            answer.contains("grpc-status: 7"),
            host == "evil.test",
            "{answer}"
        );
    }
}
