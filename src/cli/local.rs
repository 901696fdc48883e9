//! Commands that need no server: configuration, check, backup, restore.

use super::{
    arguments::{
        BackupArgs, CheckArgs, CommandLine, CompletionsArgs, ConfigArgs, PrintConfigArgs,
        RestoreArgs,
    },
    failure::{CONFIG, DATA, Failure, IO, NO_INPUT, TEMPORARY},
    output,
};
use clap::CommandFactory as _;
use quarterdeck::{
    app::{self, DataDirectoryLocked},
    auth::secret_files,
    config::Config,
    listener::check_tls,
    store::sqlite::{self, OpenError, check::Report},
};
use std::{io, process::ExitCode};

pub(crate) fn check_config(arguments: ConfigArgs) -> Result<ExitCode, Failure> {
    let config = arguments.load()?;
    if let Some(tls) = app::tls_options(&config) {
        check_tls(&tls).map_err(|error| Failure::new(CONFIG, error.to_string()))?;
    }
    output::line("the configuration is right")?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn print_config(arguments: PrintConfigArgs) -> Result<ExitCode, Failure> {
    let config = if arguments.default {
        Config::with_builtin_agents()
    } else {
        arguments.config.load()?
    };
    output::write(&config.to_toml())?;
    Ok(ExitCode::SUCCESS)
}

/// A script that completes commands in a shell.
pub(crate) fn completions(arguments: CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    let mut command = CommandLine::command();
    clap_complete::generate(arguments.shell, &mut command, "quarterdeck", &mut script);
    output::write(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn check(arguments: CheckArgs) -> Result<ExitCode, Failure> {
    let CheckArgs { json, config } = arguments;
    let data_dir = config.load()?.data_dir;
    let report = app::check_data_directory(&data_dir).map_err(|error| {
        let code = if error.chain().any(|cause| cause.is::<DataDirectoryLocked>()) {
            TEMPORARY
        } else if error.chain().any(|cause| cause.is::<OpenError>()) {
            DATA
        } else {
            IO
        };
        Failure::new(code, format!("{error:#}"))
    })?;
    let Some(report) = report else {
        let message = format!("{} holds no store", data_dir.display());
        return Err(Failure::new(NO_INPUT, message));
    };
    if json {
        let text = serde_json::to_string(&report).map_err(io::Error::other)?;
        output::line(&text)?;
    } else {
        output::write(&as_text(&report))?;
    }
    Ok(match report.problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(DATA),
    })
}

fn as_text(report: &Report) -> String {
    let Report {
        store_id,
        schema,
        rules_checked,
        sessions,
        events,
        problems,
    } = report;
    let mut text = String::new();
    if let Some(store_id) = store_id {
        text.push_str(&format!("store {store_id}"));
        if let Some(schema) = schema {
            text.push_str(&format!(", schema {schema}"));
        }
        if *rules_checked {
            text.push_str(&format!(", {sessions} sessions, {events} events"));
        }
        text.push('\n');
    }
    for problem in problems {
        text.push_str(&format!("not so: {problem}\n"));
    }
    text.push_str(match (problems.is_empty(), rules_checked) {
        (true, true) => "all is well\n",
        (true, false) => {
            "its pages are whole; it is of an earlier version, whose rules this one can't check before it has served it\n"
        }
        (false, _) => {
            "what is wrong here stays so by itself: keep a copy of the directory, look at the disk, and restore a backup \
             (quarterdeck restore)\n"
        }
    });
    text
}

pub(crate) fn backup(arguments: BackupArgs) -> Result<ExitCode, Failure> {
    let BackupArgs { target, config } = arguments;
    let data_dir = config.load()?.data_dir;
    sqlite::backup(&data_dir, &target).map_err(|error| Failure::new(IO, format!("{error:#}")))?;
    secret_files::copy_pepper(&data_dir, &target)?;
    output::line(&format!(
        "backed up {} to {}",
        data_dir.display(),
        target.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn restore(arguments: RestoreArgs) -> Result<ExitCode, Failure> {
    let RestoreArgs { source, config } = arguments;
    let data_dir = config.load()?.data_dir;
    sqlite::restore(&source, &data_dir).map_err(|error| Failure::new(IO, format!("{error:#}")))?;
    secret_files::copy_pepper(&source, &data_dir)?;
    output::line(&format!(
        "restored {} from {}; every log has a new id",
        data_dir.display(),
        source.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}
