//! Who is recognised by its connection: the server's own user over the unix socket, where nobody else is that user, and
//! bearers of client certificates.

use crate::{
    certificates::{Authority, Files},
    world::{admin_key, command, printed, start, start_with},
};

/// Agents may be processes of the user who runs the server, so its unix socket asks that user for a key as well.
#[tokio::test]
async fn the_unix_socket_asks_for_a_key_where_agents_are_not_isolated() {
    let gateway = start_with(&[], "isolation = \"none\"\n");
    let socket = format!("unix:{}", gateway.data().join("quarterdeck.sock").display());
    let key = admin_key(&gateway);
    let whoami = |key: &str| {
        printed(&command(
            &gateway,
            &["whoami", "--addr", &socket, "--key", key],
        ))
    };
    let (_, error) = whoami("");
    assert!(error.contains("CREDENTIALS_MISSING"), "{error}");
    let (out, error) = whoami(&key);
    assert!(out.starts_with("default/local by API key"), "{out}{error}");
    let (_, error) = whoami("wrong");
    assert!(error.contains("CREDENTIALS_INVALID"), "{error}");
}

/// Where the kernel keeps agents in namespaces of their own the user who runs the server needs no key.
#[tokio::test]
async fn the_unix_socket_trusts_the_servers_own_user_where_agents_are_in_namespaces() {
    let gateway = start();
    let request = quarterdeck::proto::GetServerInfoRequest::default();
    let admin = crate::world::Caller::admin(&gateway).await;
    let info = admin
        .service()
        .get_server_info(request)
        .await
        .expect("told");
    let isolation = info.into_inner().isolation.expect("it is told");
    let socket = format!("unix:{}", gateway.data().join("quarterdeck.sock").display());
    let asked = command(&gateway, &["whoami", "--addr", &socket, "--key", ""]);
    let (out, error) = printed(&asked);
    let trusted = out.starts_with("default/local by the server's own user");
    assert_eq!(trusted, isolation.rung == "namespace", "{out}{error}");
    assert!(trusted || error.contains("CREDENTIALS_MISSING"), "{error}");
}

/// A verified certificate is the principal that the configuration says, by its URI; one that names nobody is nobody.
#[tokio::test]
async fn a_client_certificate_is_who_the_configuration_says() {
    let files = Files::new();
    let servers = Authority::new();
    let clients = Authority::new();
    let (certificate, key) = files.put_leaf("server", &servers.sign(&["127.0.0.1"]));
    let server_ca = files.put("servers.pem", &servers.certificate.pem());
    let client_ca = files.put("clients.pem", &clients.certificate.pem());
    let config = format!(
        "tls_certificate = {certificate:?}\ntls_key = {key:?}\ntls_client_ca = {client_ca:?}\n\
         [certificate_principals]\n\
         \"spiffe://example.org/job\" = \"acme/job session.read session.write\"\n\
         \"spiffe://example.org/other\" = \"acme/other session.read\"\n"
    );
    let gateway = start_with(&[], &config);
    let whoami = |name: &str, uris: &[&str]| {
        let (certificate, key) = files.put_leaf(name, &clients.sign_uris(uris));
        let output = command(
            &gateway,
            &[
                "whoami",
                "--key",
                "",
                "--ca",
                server_ca.to_str().unwrap(),
                "--cert",
                certificate.to_str().unwrap(),
                "--client-key",
                key.to_str().unwrap(),
            ],
        );
        printed(&output)
    };
    let (out, error) = whoami("job", &["spiffe://example.org/job"]);
    assert!(
        out.starts_with("acme/job by a client certificate, until "),
        "{out}{error}"
    );
    assert!(out.ends_with("\nsession.read session.write\n"), "{out}");

    let nobody: [(&str, &[&str]); 4] = [
        ("unknown", &["spiffe://example.org/unknown"]),
        ("longer", &["spiffe://example.org/job/x"]),
        ("none", &[]),
        // Which of the two calls is not the server's to choose.
        (
            "both",
            &["spiffe://example.org/job", "spiffe://example.org/other"],
        ),
    ];
    for (name, uris) in nobody {
        let (out, error) = whoami(name, uris);
        assert!(
            error.contains("CREDENTIALS_MISSING"),
            "{name}: {out}{error}"
        );
    }
}
