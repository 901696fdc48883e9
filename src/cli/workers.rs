//! `worker`: runs turns of a gateway on this machine. `workers`: who does.

use super::{
    arguments::{ClientArgs, TerminateWorkerArgs, WorkerArgs, WorkersArgs, WorkersVerb},
    failure::{CONFIG, Failure, SOFTWARE},
    output,
};
use quarterdeck::{
    app,
    proto::{self, WorkerState},
    telemetry::{self, TelemetryOptions},
    worker::{self, Left},
};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Rows that one call asks for.
const PAGE: i32 = 500;

/// Runs turns until a signal; a second one ends the process, and what it runs with it.
pub(crate) fn worker(arguments: WorkerArgs) -> Result<ExitCode, Failure> {
    let WorkerArgs {
        agents,
        name,
        capacity,
        labels,
        once,
        client,
        config,
    } = arguments;
    let config = config.load()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let telemetry = telemetry::init(&TelemetryOptions {
            log: &config.log,
            format: config.log_format,
            metrics: false,
            otlp_endpoint: &config.otlp_endpoint,
            audit_file: None,
        })
        .map_err(|error| Failure::new(SOFTWARE, error.to_string()))?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let worker = app::worker(&config, &agents).await;
        let worker = worker.map_err(|error| Failure::new(CONFIG, format!("{error:#}")))?;
        let options = worker::WorkerOptions {
            name,
            labels: labels.into_iter().collect(),
            capacity,
            drivers: worker.drivers.clone(),
            capabilities: worker.capabilities.clone(),
            directories: worker.directories.clone(),
            fence: worker.fence,
            client: client.client()?,
            once,
            agent_idle_timeout: config.agent_idle_timeout,
        };
        let shutdown = async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            tokio::spawn(async move {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                std::process::exit(143);
            });
        };
        let left = worker::run(options, shutdown).await;
        telemetry.finish().await;
        match left {
            Left::Done => Ok(ExitCode::SUCCESS),
            Left::Terminated(reason) => {
                output::notice(&format!("the server ended this worker: {reason}"));
                Ok(ExitCode::SUCCESS)
            }
            Left::Refused(reason) => Err(Failure::new(CONFIG, reason)),
        }
    })
}

pub(crate) async fn workers(arguments: WorkersArgs) -> Result<ExitCode, Failure> {
    match arguments.command {
        Some(WorkersVerb::Terminate(arguments)) => terminate(arguments).await,
        None => list(arguments.client).await,
    }
}

async fn list(arguments: ClientArgs) -> Result<ExitCode, Failure> {
    let client = arguments.client()?;
    let mut rows = Vec::new();
    let mut page_token = String::new();
    let wanted = loop {
        let request = proto::ListWorkersRequest {
            agent: String::new(),
            page_size: PAGE,
            page_token,
        };
        let page = client.list_workers(request).await;
        let page = page.map_err(|status| Failure::call(&arguments.addr, &status))?;
        if arguments.json {
            output::json("ListWorkersResponse", &page)?;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(ExitCode::SUCCESS);
            }
            continue;
        }
        for worker in page.workers {
            let state = match worker.state() {
                WorkerState::Connected => "connected",
                WorkerState::Draining => "draining",
                WorkerState::Lost => "lost",
                WorkerState::Unspecified => "",
            };
            let labels = worker.labels.iter();
            let labels: Vec<_> = labels
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            rows.push([
                worker.worker_name,
                worker.principal,
                state.to_owned(),
                format!("{} of {}", worker.leases.len(), worker.capacity),
                worker.agents.join(","),
                labels.join(","),
            ]);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break page.wanted;
        }
    };
    let names = ["NAME", "PRINCIPAL", "STATE", "TURNS", "AGENTS", "LABELS"];
    output::list(names, rows, "no worker is connected")?;
    for proto::WorkerWanted { agent, waiting, .. } in wanted {
        output::line(&format!("{waiting} sessions wait for a worker of {agent}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn terminate(arguments: TerminateWorkerArgs) -> Result<ExitCode, Failure> {
    let TerminateWorkerArgs {
        name,
        reason,
        client,
    } = arguments;
    let request = proto::TerminateWorkerRequest {
        worker_name: name,
        reason,
    };
    let ended = client.client()?.terminate_worker(request).await;
    ended.map_err(|status| Failure::call(&client.addr, &status))?;
    Ok(ExitCode::SUCCESS)
}
