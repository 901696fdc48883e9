//! Export of spans to an OpenTelemetry collector, over OTLP on gRPC. Behind the cargo feature `otlp`.
//!
//! A collector that is slow or away costs nothing but its spans: they wait in a bounded queue, and what does not fit is
//! lost. Traces that a caller began are recorded as the caller says, our own ones always.

use super::{TelemetryError, trace::TraceContext};
use opentelemetry::{
    Context,
    trace::{
        SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider,
    },
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use std::time::Duration;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// Longest time that one export, and the last one at the end, may take.
const EXPORT_MAX: Duration = Duration::from_secs(5);

/// Sends spans.
#[derive(Clone)]
pub struct Exporter(SdkTracerProvider);

// === impl Exporter ===

impl Exporter {
    /// An exporter to that endpoint; `None` where it is empty. Connects by itself, inside the present runtime.
    pub(super) fn new(endpoint: &str) -> Result<Option<Self>, TelemetryError> {
        if endpoint.is_empty() {
            return Ok(None);
        }
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_MAX)
            .build()?;
        let resource = Resource::builder().with_service_name("quarterdeck").build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Some(Self(provider)))
    }

    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'l> LookupSpan<'l>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("quarterdeck"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_filter(filter_fn(our_spans))
    }

    /// Sends what is left. The runtime that it was made in must still run.
    pub async fn finish(self) {
        let finished =
            tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(EXPORT_MAX)).await;
        match finished {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => tracing::warn!(%problem, "the last spans were not exported"),
            Err(problem) => tracing::warn!(%problem, "the export of spans failed"),
        }
    }
}

/// Puts a span below its remote parent and gives its own place; `None` where nothing is exported.
pub(super) fn join(span: &Span, parent: Option<TraceContext>) -> Option<TraceContext> {
    if let Some(parent) = parent {
        let parent = SpanContext::new(
            TraceId::from_bytes(parent.trace_id.to_be_bytes()),
            SpanId::from_bytes(parent.span_id.to_be_bytes()),
            TraceFlags::new(parent.flags),
            true,
            TraceState::NONE,
        );
        // Fails where there is no exporter.
        span.set_parent(Context::new().with_remote_span_context(parent))
            .ok()?;
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    own.is_valid().then(|| TraceContext {
        trace_id: u128::from_be_bytes(own.trace_id().to_bytes()),
        span_id: u64::from_be_bytes(own.span_id().to_bytes()),
        flags: own.trace_flags().to_u8(),
    })
}

/// Only what the server itself does, and no events: their texts are for the logs.
fn our_spans(metadata: &Metadata<'_>) -> bool {
    // An agent's process lives over many traces, and is part of none.
    metadata.is_span()
        && metadata.target().starts_with("quarterdeck::")
        && metadata.name() != "agent"
}
