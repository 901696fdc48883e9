//! The local user's key: made where there never was one, or when its file is lost.

use super::{
    keys::{Keys, local_key, local_wish},
    secret_files,
};
use crate::{
    domain::ids::Principal,
    store::{NewApiKey, sqlite},
};
use anyhow::Context as _;
use std::path::{Path, PathBuf};

/// Makes the local user's key and writes its file, where no key was ever made.
///
/// # Errors
/// The store or the disk fails.
pub async fn make_first_key(keys: &Keys, data_directory: &Path) -> anyhow::Result<()> {
    if keys.any_ever().await? {
        return Ok(());
    }
    let (key, text) = keys.prepare(local_wish("made at the first start"), &Principal::local())?;
    // Before the key is kept: a start that is cut here makes another key next time, and writes it over this one.
    secret_files::write_admin_key(data_directory, &text)
        .with_context(|| format!("can't write {}", file(data_directory).display()))?;
    keys.keep(key, text, None, 0).await?;
    tracing::info!(
        file = %file(data_directory).display(),
        "made an API key for the local user; commands on this machine find it by themselves"
    );
    Ok(())
}

/// Makes another key of the local user and writes its file; for a data directory that nobody serves.
///
/// # Errors
/// The store or the disk fails.
pub fn make_another_key(data_directory: &Path) -> anyhow::Result<PathBuf> {
    let pepper = secret_files::pepper(data_directory)?;
    let (key, text) = local_key(&pepper, "made by reset-admin")?;
    let new = NewApiKey {
        key: key.key,
        digest: key.digest,
        request: None,
        tenant_max_keys: 0,
    };
    sqlite::keep_api_key(data_directory, &new)?;
    secret_files::write_admin_key(data_directory, &text)?;
    Ok(file(data_directory))
}

fn file(data_directory: &Path) -> PathBuf {
    data_directory.join(secret_files::ADMIN_KEY)
}
