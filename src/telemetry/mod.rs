//! What the server says of itself: logs, audit records, metrics, traces.
//!
//! Log records are made once, redacted, and go to standard error (as text or JSON lines; standard output belongs to
//! answers alone) and into memory, where TailLogs reads them. What goes to standard error is the operator's choice
//! (`log`); memory gets all of that, and everything of ours from INFO up.
//!
//! * [`audit`]: what callers did. No setting silences its records: they go into memory, and to `audit_file` or, without one,
//!   to standard error. [`audit_file`]: that file; [`chain`]: how a change of it is found.
//! * [`logs`]: the newest records, and those who follow them.
//! * [`metrics`]: what is counted and measured; [`scrape`]: its answer to Prometheus.
//! * [`record`]: how a record is made, and that no cause of warnings says more than a line a second; [`redact`]: what it must not hold.
//! * [`trace`]: W3C trace context. `otlp`, a cargo feature: export of spans.
//!
//! Every room may count and log; none may read what was said but the two that answer for it.

pub mod audit;
pub mod audit_file;
pub mod chain;
pub mod gen_ai;
mod limit;
pub mod logs;
pub mod metrics;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod record;
pub mod redact;
pub mod scrape;
mod stderr;
pub mod trace;

use audit_file::{AuditFile, AuditFileError};
use logs::Logs;
use metrics_exporter_prometheus::{BuildError, PrometheusHandle};
use record::RecordLayer;
use std::{path::Path, sync::Arc};
use stderr::Stderr;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

/// Targets that say something for each frame that is sent. Below INFO they stay out of memory: a reader of the logs would
/// make records by reading.
const TRANSPORT: [&str; 5] = ["h2", "hyper", "hyper_util", "tonic", "tower"];

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Levels of logs, the least talkative first.
pub const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// What to set up.
#[derive(Clone, Debug)]
pub struct TelemetryOptions<'a> {
    /// Least level of what goes to standard error, one of [`LEVELS`].
    pub log: &'a str,
    /// And in which form.
    pub format: LogFormat,
    /// Whether anything is measured.
    pub metrics: bool,
    /// Where spans are sent; empty sends none.
    pub otlp_endpoint: &'a str,
    /// Where audit records are appended; `None` leaves them to memory and standard error.
    pub audit_file: Option<&'a Path>,
}

/// What was set up.
#[derive(Clone)]
pub struct Telemetry {
    /// The newest records.
    pub logs: Arc<Logs>,
    /// What is logged.
    pub log_filter: LogFilter,
    /// What was measured, where it is.
    pub metrics: Option<PrometheusHandle>,
    /// Where audit records are appended, where they are.
    pub audit_file: Option<AuditFile>,
    /// Sends what is left of the spans at the end.
    #[cfg(feature = "otlp")]
    pub exporter: Option<otlp::Exporter>,
}

/// Changes what is logged while the server runs.
#[derive(Clone)]
pub struct LogFilter(Arc<dyn Fn(&str) + Send + Sync>);

/// Why logs can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is no filter; the configuration has checked it.
    #[error("log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logs were set up before.
    #[error("logs are set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
    /// Metrics were set up before.
    #[error("metrics can't be set up: {0}")]
    Metrics(#[from] BuildError),
    /// The audit file can't be used.
    #[error(transparent)]
    AuditFile(#[from] AuditFileError),
    /// The endpoint is none.
    #[cfg(feature = "otlp")]
    #[error("otlp_endpoint: {0}")]
    Otlp(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Sets everything up for the whole process. With an `otlp_endpoint`, to be called inside the runtime that lives longest.
///
/// # Errors
/// As [`TelemetryError`] says.
pub fn init(options: &TelemetryOptions<'_>) -> Result<Telemetry, TelemetryError> {
    let TelemetryOptions {
        log,
        format,
        metrics,
        otlp_endpoint,
        audit_file,
    } = *options;
    let audit_file = audit_file.map(AuditFile::open).transpose()?;
    let logs = Arc::new(Logs::default());
    let (shown, show) = reload::Layer::new(EnvFilter::try_new(log)?);
    let (kept, keep) = reload::Layer::new(EnvFilter::try_new(log)?);
    let kept = kept.or(filter_fn(of_ours)).and(filter_fn(no_transport));
    let log_filter = LogFilter(Arc::new(move |log| {
        let set = || {
            show.reload(EnvFilter::try_new(log)?)?;
            keep.reload(EnvFilter::try_new(log)?)?;
            Ok::<(), Box<dyn std::error::Error>>(())
        };
        if let Err(problem) = set() {
            tracing::error!(%problem, "what is logged could not be changed");
        }
    }));
    let has_file = audit_file.is_some();
    let shown = shown.or(filter_fn(move |metadata| !has_file && is_audit(metadata)));
    let file = audit_file
        .clone()
        .map(|file| RecordLayer::new(file).with_filter(filter_fn(is_audit)));
    let subscriber = tracing_subscriber::registry()
        .with(RecordLayer::new(Stderr::new(format)).with_filter(shown))
        .with(RecordLayer::new(logs.clone()).with_filter(kept))
        .with(file);
    #[cfg(feature = "otlp")]
    let (subscriber, exporter) = {
        let exporter = otlp::Exporter::new(otlp_endpoint)?;
        let layer = exporter.as_ref().map(otlp::Exporter::layer);
        (subscriber.with(layer), exporter)
    };
    #[cfg(not(feature = "otlp"))]
    // The configuration refuses an endpoint that this program can't send to.
    let _ = otlp_endpoint;
    subscriber.try_init()?;
    let metrics = metrics.then(metrics::install).transpose()?;
    Ok(Telemetry {
        logs,
        log_filter,
        metrics,
        audit_file,
        #[cfg(feature = "otlp")]
        exporter,
    })
}

// === impl LogFilter ===

impl LogFilter {
    /// Takes a level that the configuration has checked.
    pub fn set(&self, log: &str) {
        (self.0)(log);
    }
}

// === impl Telemetry ===

impl Telemetry {
    /// Sends what is left, at the end of the process.
    pub async fn finish(self) {
        if let Some(file) = self.audit_file
            && !file.finish()
        {
            tracing::error!("the newest audit records are not in the audit file");
        }
        #[cfg(feature = "otlp")]
        if let Some(exporter) = self.exporter {
            exporter.finish().await;
        }
    }
}

fn is_audit(metadata: &Metadata<'_>) -> bool {
    metadata.target() == audit::TARGET
}

/// What memory keeps whatever the operator wants to see.
fn of_ours(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    *metadata.level() <= Level::INFO && (is_audit(metadata) || is_below(target, "quarterdeck"))
}

fn no_transport(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO
        || !TRANSPORT
            .iter()
            .any(|name| is_below(metadata.target(), name))
}

/// Whether a target is a module, or below it.
fn is_below(target: &str, module: &str) -> bool {
    target
        .strip_prefix(module)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
