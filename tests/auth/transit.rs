//! Keys on their way: what the command line sends by itself, and to whom.

use crate::{
    support::SOON,
    world::{Caller, admin_key, command, printed, start, start_with},
};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// A stranger at a port, who takes calls as a server would and keeps what they carry.
struct Stranger {
    heard: Arc<Mutex<Vec<String>>>,
    address: String,
}

impl Stranger {
    async fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let address = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = heard.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let ears = ears.clone();
                tokio::spawn(async move {
                    let mut connection = h2::server::handshake(stream).await?;
                    while let Some(call) = connection.accept().await {
                        let (request, mut answer) = call?;
                        let carried = request.headers().get("authorization");
                        let carried = carried.map_or("", |it| it.to_str().unwrap());
                        ears.lock().unwrap().push(carried.to_owned());
                        let refusal = http::Response::builder()
                            .header("content-type", "application/grpc")
                            .header("grpc-status", "16")
                            .body(())
                            .unwrap();
                        answer.send_response(refusal, true)?;
                    }
                    Ok::<_, h2::Error>(())
                });
            }
        });
        Self { heard, address }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

/// Runs a command beside a stranger of this runtime, who is served by its workers meanwhile.
async fn run(
    gateway: &crate::support::Gateway,
    arguments: &[&str],
) -> (Option<i32>, String, String) {
    let output = command(gateway, arguments);
    let (out, error) = printed(&output);
    (output.status.code(), out, error)
}

/// The server is gone, somebody else listens at its port, and a command comes as ever: the directory's key stays here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_directorys_key_never_goes_to_a_port_that_may_be_anybodys() {
    let mut gateway = start();
    let key = admin_key(&gateway);
    let port = gateway.address.trim_start_matches("http://").to_owned();
    gateway.kill();
    let stranger = Stranger::at(&port).await;
    let (code, _, _) = run(&gateway, &["whoami"]).await;
    assert_eq!(code, Some(77));
    assert_eq!(stranger.heard(), [""], "it was called, without a key");

    // Nor to another port, while the server runs.
    gateway.restart();
    let other = Stranger::at("127.0.0.1:0").await;
    for address in [&other.address, &other.address.replace("http://", "")] {
        let (code, _, _) = run(&gateway, &["whoami", "--addr", address]).await;
        assert_eq!(code, Some(77));
    }
    assert_eq!(other.heard(), ["", ""]);
    // A key that is named goes where it is said.
    let (code, _, _) = run(
        &gateway,
        &["whoami", "--addr", &other.address, "--key", &key],
    )
    .await;
    assert_eq!(code, Some(77));
    assert_eq!(other.heard()[2], format!("Bearer {key}"));
}

/// The directory's own server gets it over its socket, by whatever name of this machine it is called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_directorys_own_server_gets_its_key_over_the_socket() {
    let gateway = start();
    let id = Caller::admin(&gateway).await.who().await.unwrap().key_id;
    let by_name = gateway.address.replace("127.0.0.1", "localhost");
    let socket = gateway.data().join("quarterdeck.sock");
    let socket = format!("unix:{}", std::fs::canonicalize(socket).unwrap().display());
    for address in [&gateway.address, &by_name, &socket] {
        let (code, out, error) = run(&gateway, &["whoami", "--addr", address]).await;
        assert_eq!(code, Some(0), "{address}: {error}");
        assert!(
            out.contains(&format!("by API key {id}")),
            "{address}: {out}"
        );
    }
}

/// Without a socket nothing is sent by itself, and the refusal says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_socket_the_directorys_key_must_be_named() {
    let gateway = start_with(&[("QUARTERDECK_LISTEN_UNIX", "none")], "");
    let (code, _, error) = run(&gateway, &["whoami"]).await;
    assert_eq!(code, Some(77));
    assert!(error.contains("CREDENTIALS_MISSING"), "{error}");
    assert!(
        error.contains("--key-file quarterdeck-data/admin.key"),
        "{error}"
    );
    let file = ["whoami", "--key-file", "quarterdeck-data/admin.key"];
    let (code, _, error) = run(&gateway, &file).await;
    assert_eq!(code, Some(0), "{error}");
}

/// A key leaves this machine encrypted, or where somebody said that it need not be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_leaves_this_machine_unencrypted_only_where_that_is_said() {
    let gateway = start();
    // Every address of this machine, which is none that packets don't leave it for.
    let stranger = Stranger::at("0.0.0.0:0").await;
    let call = ["whoami", "--addr", &stranger.address, "--key", "secret"];
    let (code, _, error) = run(&gateway, &call).await;
    assert_eq!(code, Some(64));
    assert!(error.contains("--insecure"), "{error}");
    assert!(!error.contains("secret"), "{error}");
    assert_eq!(stranger.heard(), [""; 0]);
    let said = [&call[..], &["--insecure"]].concat();
    let answered = tokio::time::timeout(SOON, run(&gateway, &said)).await;
    let (code, _, error) = answered.expect("the command ends");
    assert_eq!(code, Some(77), "{error}");
    assert_eq!(stranger.heard(), ["Bearer secret"]);
}
