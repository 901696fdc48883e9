//! The server that others' suites are run against by `.ci/peers`: our listener and our layers, around the services that
//! the suites call.
//!
//! ```text
//! peers-server conformance    connectconformance starts it, and tells it the rest on standard input
//! peers-server bare           the same, but what our layers answer goes out without our error details
//! peers-server interop        says `listening on HOST:PORT`
//! ```
//!
//! Each ends at SIGTERM, and answers `GET /` and `POST /` too, which is what h2spec calls.

mod conformance;
mod interop;
mod service;

use axum::{Router, body::Body, middleware::map_response, response::Response, routing::get};
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use quarterdeck::{
    auth::scopes::Needs,
    grpc::{
        layers::{self, Gate},
        web,
    },
    listener::{Listener, ListenerOptions, Serving, TlsOptions},
};
use std::{net::SocketAddr, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};
use tonic::Status;
use tonic_types::StatusExt;

/// Time that open calls get at the end.
const CLOSE_MAX: std::time::Duration = std::time::Duration::from_secs(1);

/// What becomes of the details that every error of ours has. connectconformance knows its own alone, and takes one more
/// for a failure that hides whether the code was right.
#[derive(Clone, Copy)]
enum Details {
    /// They go out, as the product's do.
    Ours,
    /// They are taken out.
    None,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mode = std::env::args().nth(1);
    let serving = match mode.as_deref() {
        Some("conformance") => conformance::start(Details::Ours).await,
        Some("bare") => conformance::start(Details::None).await,
        Some("interop") => {
            let (serving, address) = serve(Details::Ours, None, interop::routes).await;
            println!("listening on {address}");
            serving
        }
        _ => {
            eprintln!("usage: peers-server conformance|bare|interop");
            return ExitCode::FAILURE;
        }
    };
    let mut asked_to_end = signal(SignalKind::terminate()).expect("a handler");
    asked_to_end.recv().await;
    serving.stop(CLOSE_MAX).await;
    ExitCode::SUCCESS
}

/// Serves `routes` as the product serves its own.
async fn serve(
    details: Details,
    tls: Option<TlsOptions>,
    routes: impl Fn() -> Router + Send + Sync + 'static,
) -> (Serving, SocketAddr) {
    let options = ListenerOptions {
        tls,
        ..ListenerOptions::default()
    };
    let listener = Listener::bind(options).await.expect("a free port");
    let address = listener.local_addr();
    let serving = listener.serve(move |_| {
        // The body is read to its end: h2spec breaks it, and looks for what becomes of that.
        let page = async |_: Bytes| "quarterdeck\n";
        let gate = Gate {
            methods: |_| Some(("", Needs::Credential)),
            ..Gate::open()
        };
        let router = layers::layered(routes(), gate);
        let router = router.route("/", get(page).post(page));
        let router = match details {
            Details::Ours => router,
            Details::None => router.layer(map_response(bare)),
        };
        web::layered(router, web::Pages::Of(Vec::new()))
    });
    (serving, address)
}

/// Takes our details out of the head and the trailers of an answer.
async fn bare(mut response: Response) -> Response {
    strip(response.headers_mut());
    response.map(|body| {
        Body::new(body.map_frame(|mut frame| {
            if let Some(trailers) = frame.trailers_mut() {
                strip(trailers);
            }
            frame
        }))
    })
}

fn strip(headers: &mut HeaderMap) {
    let status = Status::from_header_map(headers);
    let info = status.and_then(|status| status.get_details_error_info());
    if info.is_some_and(|info| info.domain == "quarterdeck") {
        headers.remove(Status::GRPC_STATUS_DETAILS);
    }
}
