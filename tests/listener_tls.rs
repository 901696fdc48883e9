//! TLS through real sockets: both protocols, client certificates, files that change, and peers that never shake hands.

mod certificates;
mod listener_support;

use axum::body::Body;
use certificates::{Authority, Files, Leaf, set_mode};
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use listener_support::{
    BIG, GET_INDEX, GET_PEER, PATIENCE, SHORT, Served, ask, connect, serve_with, until_closed,
    within,
};
use quarterdeck::listener::{Bounds, ListenError, Listener, ListenerOptions, TlsOptions};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Time between two looks at the files.
const RELOAD: Duration = Duration::from_millis(20);

const NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];

/// Who calls: whom it trusts, what it shows, what it speaks.
struct Caller<'a> {
    trusted: &'a Authority,
    shows: Option<(PathBuf, PathBuf)>,
    protocol: &'a [u8],
    versions: &'a [&'static SupportedProtocolVersion],
}

fn caller(trusted: &Authority) -> Caller<'_> {
    Caller {
        trusted,
        shows: None,
        protocol: b"http/1.1",
        versions: NEWEST,
    }
}

impl Caller<'_> {
    async fn connect(&self, served: &Served) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.certificate.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.shows {
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
                let key = PrivateKeyDer::from_pem_file(key).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![self.protocol.to_vec()];
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connect(served.address).await;
        within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }

    /// What `/peer` says.
    async fn peer(&self, served: &Served) -> io::Result<String> {
        ask(&mut self.connect(served).await?, GET_PEER).await
    }
}

fn options(files: &Files, server: &Leaf) -> TlsOptions {
    let (certificate, key) = files.put_leaf("server", server);
    TlsOptions {
        certificate,
        key,
        client_ca: None,
        client_required: false,
    }
}

async fn serve(tls: TlsOptions) -> Served {
    let options = ListenerOptions {
        tls: Some(tls),
        ..ListenerOptions::default()
    };
    let bounds = Bounds {
        handshake: PATIENCE,
        reload: RELOAD,
        ..Bounds::default()
    };
    serve_with(options, bounds).await
}

/// Connects until a connection shows what is waited for.
async fn until_shown(caller: &Caller<'_>, served: &Served, leaf: &Leaf) {
    within(async {
        loop {
            let shown = caller.connect(served).await.unwrap();
            if shown.get_ref().1.peer_certificates().unwrap()[0] == *leaf.certificate.der() {
                return;
            }
            tokio::time::sleep(RELOAD / 4).await;
        }
    })
    .await;
}

#[tokio::test]
async fn both_protocols_are_spoken_and_the_peer_is_known_to_be_private() {
    let (files, authority) = (Files::new(), Authority::new());
    let served = serve(options(&files, &authority.sign(&["localhost"]))).await;
    for versions in [&[&TLS12][..], &[&TLS13][..]] {
        let caller = Caller {
            versions,
            ..caller(&authority)
        };
        let answer = caller.peer(&served).await.unwrap();
        assert!(
            answer.starts_with("Some(127.0.0.1) private true []"),
            "{answer}"
        );
    }

    let http2 = Caller {
        protocol: b"h2",
        ..caller(&authority)
    };
    let stream = http2.connect(&served).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = within(handshake).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://localhost/index").body(Body::empty());
    let answer = within(client.send_request(request.unwrap())).await.unwrap();
    let body = within(answer.into_body().collect()).await.unwrap();
    assert_eq!(body.to_bytes(), "0 serve-0\n");

    let other = Caller {
        protocol: b"h3",
        ..caller(&authority)
    };
    assert!(other.connect(&served).await.is_err());
    within(served.serving.stop(SHORT)).await;
}

/// What TLS has encrypted and the socket did not take must leave without another write.
#[tokio::test]
async fn a_long_answer_gets_through_whole() {
    let (files, authority) = (Files::new(), Authority::new());
    let served = serve(options(&files, &authority.sign(&["localhost"]))).await;
    let mut stream = caller(&authority).connect(&served).await.unwrap();
    let get = b"GET /big HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(get).await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert!(answer.len() > BIG, "{}", answer.len());
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn who_never_shakes_hands_is_cut_and_costs_nobody_else_a_thing() {
    let (files, authority) = (Files::new(), Authority::new());
    let listen = ListenerOptions {
        tls: Some(options(&files, &authority.sign(&["localhost"]))),
        ..ListenerOptions::default()
    };
    let bounds = Bounds {
        handshake: SHORT * 5,
        ..Bounds::default()
    };
    let served = serve_with(listen, bounds).await;
    let mut silent = Vec::new();
    // Nothing, the head of a ClientHello that never comes, and a handshake that is followed by nothing.
    for said in [&b""[..], &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]] {
        for _ in 0..20 {
            let mut stream = connect(served.address).await;
            stream.write_all(said).await.unwrap();
            silent.push(stream);
        }
    }
    let mut idle = caller(&authority).connect(&served).await.unwrap();
    assert!(caller(&authority).peer(&served).await.is_ok());
    for mut stream in silent {
        until_closed(&mut stream).await;
    }
    until_closed(&mut idle).await;
    // Plain HTTP gets no answer.
    let plain = ask(&mut connect(served.address).await, GET_INDEX).await;
    assert!(plain.is_err(), "{plain:?}");
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn client_certificates_are_asked_for_and_verified() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let client_ca = Some(files.put("clients.pem", &clients.certificate.pem()));
    let known = clients.sign_uri("quarterdeck://acme/robot");
    let stranger = Authority::new().sign_uri("quarterdeck://acme/robot");
    for required in [false, true] {
        let options = TlsOptions {
            client_ca: client_ca.clone(),
            client_required: required,
            ..options(&files, &authority.sign(&["localhost"]))
        };
        let served = serve(options).await;
        let nobody = caller(&authority).peer(&served).await;
        match required {
            true => assert!(nobody.is_err(), "{nobody:?}"),
            false => assert!(nobody.unwrap().contains("private true []")),
        }
        let with = |leaf: &Leaf| Caller {
            shows: Some(files.put_leaf("client", leaf)),
            ..caller(&authority)
        };
        let length = known.certificate.der().len();
        let answer = with(&known).peer(&served).await.unwrap();
        assert!(
            answer.contains(&format!("private true [{length}]")),
            "{answer}"
        );
        let refused = with(&stranger).peer(&served).await;
        assert!(refused.is_err(), "{refused:?}");
        within(served.serving.stop(SHORT)).await;
    }
}

#[tokio::test]
async fn changed_files_are_used_without_a_restart_and_broken_ones_are_not() {
    let (files, authority, clients) = (Files::new(), Authority::new(), Authority::new());
    let first = authority.sign(&["localhost"]);
    let options = TlsOptions {
        client_ca: Some(files.put("clients.pem", &clients.certificate.pem())),
        client_required: true,
        ..options(&files, &first)
    };
    let served = serve(options).await;
    let caller = Caller {
        shows: Some(files.put_leaf("client", &clients.sign_uri("quarterdeck://acme/robot"))),
        ..caller(&authority)
    };
    let mut old = caller.connect(&served).await.unwrap();
    assert!(ask(&mut old, GET_INDEX).await.is_ok());
    until_shown(&caller, &served, &first).await;

    // The key alone does not fit its certificate for a moment; then both are new.
    let second = authority.sign(&["localhost"]);
    files.put_leaf("server", &second);
    until_shown(&caller, &served, &second).await;
    assert!(ask(&mut old, GET_INDEX).await.is_ok(), "cut by a reload");

    // The pauses let the server look at files that it must not take.
    // Garbage, and a key that others can read, change nothing; what comes after them does.
    let third = authority.sign(&["localhost"]);
    files.put("server.pem", "-----BEGIN NOTHING-----\n");
    tokio::time::sleep(RELOAD * 3).await;
    until_shown(&caller, &served, &second).await;
    let (_, key) = files.put_leaf("third", &third);
    set_mode(&key, 0o644);
    std::fs::rename(&key, files.path("server.key")).unwrap();
    files.put("server.pem", &third.certificate.pem());
    tokio::time::sleep(RELOAD * 3).await;
    until_shown(&caller, &served, &second).await;
    set_mode(&files.path("server.key"), 0o600);
    until_shown(&caller, &served, &third).await;

    // A CA that is gone lets nobody new in.
    files.put("clients.pem", &Authority::new().certificate.pem());
    within(async {
        while caller.peer(&served).await.is_ok() {
            tokio::time::sleep(RELOAD / 4).await;
        }
    })
    .await;
    assert!(ask(&mut old, GET_INDEX).await.is_ok());
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn the_names_of_the_certificate_may_be_asked_for() {
    let (files, authority) = (Files::new(), Authority::new());
    let server = authority.sign(&["localhost", "agents.example.org", "192.0.2.7"]);
    let served = serve(options(&files, &server)).await;
    let mut stream = caller(&authority).connect(&served).await.unwrap();
    for (host, status) in [
        ("agents.example.org", 200),
        ("192.0.2.7:1", 200),
        ("evil.test", 421),
    ] {
        let request = format!("GET /index HTTP/1.1\r\nhost: {host}\r\n\r\n");
        let answer = ask(&mut stream, request.as_bytes()).await.unwrap();
        assert_eq!(answer == "0 serve-0\n", status == 200, "{host}: {answer}");
    }
    within(served.serving.stop(SHORT)).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_with_what_to_do() {
    let (files, authority) = (Files::new(), Authority::new());
    let right = options(&files, &authority.sign(&["localhost"]));
    let (_, other_key) = files.put_leaf("other", &authority.sign(&["localhost"]));
    let empty = files.put("empty.pem", "");
    let readable = files.put(
        "readable.key",
        &std::fs::read_to_string(&right.key).unwrap(),
    );
    set_mode(&readable, 0o644);
    let with = |change: &dyn Fn(&mut TlsOptions)| {
        let mut options = right.clone();
        change(&mut options);
        options
    };
    for (tls, expected) in [
        (
            with(&|tls| tls.certificate = files.path("none.pem")),
            "none.pem: can't be read",
        ),
        (
            with(&|tls| tls.certificate = empty.clone()),
            "empty.pem: holds no certificate",
        ),
        (
            with(&|tls| tls.key = empty.clone()),
            "empty.pem: holds no private key",
        ),
        (
            with(&|tls| tls.key = other_key.clone()),
            "other.key: can't be used as the key of",
        ),
        (
            with(&|tls| tls.key = readable.clone()),
            "readable.key: others can read",
        ),
        (with(&|tls| tls.key = readable.clone()), "chmod 600"),
        (
            with(&|tls| tls.client_ca = Some(empty.clone())),
            "empty.pem: holds no certificate",
        ),
        (
            with(&|tls| tls.client_ca = Some(right.key.clone())),
            "server.key: holds no certificate",
        ),
    ] {
        let options = ListenerOptions {
            tls: Some(tls),
            ..ListenerOptions::default()
        };
        let Err(ListenError::Tls(error)) = Listener::bind(options).await else {
            panic!("{expected}: taken");
        };
        let problem = error.to_string();
        assert!(problem.contains(expected), "{expected}: {problem}");
        assert!(!problem.contains("BEGIN"), "{problem}");
    }
}
