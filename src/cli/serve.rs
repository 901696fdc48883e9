//! `serve`: configuration → telemetry → `App::build` → `run`, and the signals that end it.

use super::{
    arguments::ServeArgs,
    failure::{CONFIG, Failure, SOFTWARE, TEMPORARY, UNAVAILABLE},
    output, supervisor,
};
use quarterdeck::{
    app::{self, App, Consent, DataDirectoryLocked, NotApart},
    auth::secret_files::ADMIN_KEY,
    config::{Config, Exposed},
    listener::{ListenError, UnixError},
    telemetry::{self, LogFormat, Telemetry, TelemetryError, TelemetryOptions},
};
use std::{io, path::PathBuf, process::ExitCode};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell shows for a process that ended by these signals.
const EXIT_INTERRUPT: i32 = 130;
const EXIT_TERMINATE: i32 = 143;

pub(crate) fn serve(arguments: ServeArgs) -> Result<ExitCode, Failure> {
    // Before there is anything to see.
    app::close_to_others()?;
    let ServeArgs {
        new_store,
        lose_secrets,
        config,
    } = arguments;
    let consent = Consent {
        new_store,
        lose_secrets,
    };
    let config = config.load()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let telemetry = telemetry::init(&TelemetryOptions {
            log: &config.log,
            format: config.log_format,
            metrics: config.metrics_listen.is_some(),
            otlp_endpoint: &config.otlp_endpoint,
            audit_file: config.audit_file.as_deref(),
        })
        .map_err(|error| {
            let of_config = matches!(error, TelemetryError::AuditFile(_));
            Failure::new(if of_config { CONFIG } else { SOFTWARE }, error.to_string())
        })?;
        give_memory_back();
        let signals = Signals::listen()?;
        let ended = run(config, consent, telemetry.clone(), signals).await;
        telemetry.finish().await;
        ended
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Has the allocator give unused memory back while all is idle, by a thread of its own. Only here: what stands between
/// the server and an agent must be one thread to make namespaces.
fn give_memory_back() {
    if let Err(error) = tikv_jemalloc_ctl::background_thread::write(true) {
        tracing::debug!(%error, "unused memory is given back by threads that allocate alone");
    }
}

async fn run(
    config: Config,
    consent: Consent,
    telemetry: Telemetry,
    signals: Signals,
) -> Result<(), Failure> {
    let doors = Doors::of(&config);
    let app = App::build(config, consent, telemetry)
        .await
        .map_err(|error| not_started(&error))?;
    let ready = |address: &str| {
        doors.announce(address);
        supervisor::ready();
    };
    let shutdown = async {
        signals.shutdown().await;
        supervisor::stopping();
    };
    let ended = tokio::select! {
        ended = app.run(ready, shutdown) => ended,
        never = supervisor::keep_alive() => match never {},
    };
    ended.map_err(|error| Failure::new(SOFTWARE, format!("{error:#}")))
}

/// What a person who starts a server wants to know besides its address.
struct Doors {
    console: bool,
    /// The file with the key of the first start; `None` where nobody is asked for one.
    key_file: Option<PathBuf>,
    /// Whether standard error takes lines for people.
    text: bool,
}

// === impl Doors ===

impl Doors {
    fn of(config: &Config) -> Self {
        Self {
            console: config.console && config.grpc_web,
            key_file: (!config.no_auth).then(|| config.data_dir.join(ADMIN_KEY)),
            text: config.log_format == LogFormat::Text,
        }
    }

    /// Says where it listens, for scripts, and where to go with which key, for people.
    fn announce(&self, address: &str) {
        announce(address);
        let mut words = Vec::new();
        if self.console {
            words.push(format!("console: {address}/"));
        }
        if let Some(file) = self.key_file.as_ref().filter(|file| file.exists()) {
            words.push(format!("key: in the file {}", file.display()));
        }
        if self.text && !words.is_empty() {
            output::notice(&words.join("; "));
        }
    }
}

fn announce(address: &str) {
    if let Err(failure) = output::line(&format!("listening on {address}")) {
        // Nobody reads it; the server is as good without.
        tracing::warn!(address, "can't say where it listens: {}", failure.message);
    }
}

fn not_started(error: &anyhow::Error) -> Failure {
    let message = format!("{error:#}");
    let code = if error.chain().any(|cause| cause.is::<DataDirectoryLocked>()) {
        TEMPORARY
    } else if error.chain().any(is_configuration) {
        CONFIG
    } else if error
        .chain()
        .any(|cause| cause.is::<io::Error>() || cause.is::<ListenError>())
    {
        // The address is taken, or the directory can't be used.
        UNAVAILABLE
    } else {
        SOFTWARE
    };
    Failure::new(code, message)
}

/// True for what another configuration helps.
fn is_configuration(cause: &(dyn std::error::Error + 'static)) -> bool {
    match cause.downcast_ref::<ListenError>() {
        Some(ListenError::Tls(_) | ListenError::Unix(UnixError::TooLong(_))) => true,
        // Another process is in the way, or the system.
        Some(ListenError::Address { .. } | ListenError::Unix(_)) => false,
        None => cause.is::<Exposed>() || cause.is::<NotApart>(),
    }
}

/// SIGINT and SIGTERM, caught from before the start on.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

// === impl Signals ===

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Ends at the first signal, which begins the drain. The second one ends the process: somebody is in a hurry, and
    /// the store is safe at any moment.
    async fn shutdown(mut self) {
        let first = self.next().await;
        tracing::info!(signal = first, "stopping; a second signal does so at once");
        tokio::spawn(async move {
            let code = self.next().await;
            std::process::exit(code);
        });
    }

    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => EXIT_INTERRUPT,
            _ = self.terminate.recv() => EXIT_TERMINATE,
        }
    }
}
