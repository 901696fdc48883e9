//! Commands that need no server: configuration, backup, restore.

use super::{
    arguments::{BackupArgs, ConfigArgs, PrintConfigArgs, RestoreArgs},
    failure::{CONFIG, Failure, IO},
    output,
};
use quarterdeck::{app, auth::secret_files, config::Config, listener::check_tls, store::sqlite};
use std::process::ExitCode;

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
