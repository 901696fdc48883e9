//! `whoami`, `keys`: who calls, and with what.

use super::{
    arguments::{ConfigArgs, CreateKeyArgs, ListKeysArgs, RevokeKeyArgs, WhoamiArgs},
    failure::{Failure, SOFTWARE, TEMPORARY, USAGE},
    output::{self, date},
};
use quarterdeck::{
    app::{self, DataDirectoryLocked},
    proto::{self, ApiKey, CredentialKind},
    telemetry::audit_file,
};
use std::process::ExitCode;

/// Keys that one call asks for.
const PAGE: i32 = 500;

pub(crate) async fn whoami(arguments: WhoamiArgs) -> Result<ExitCode, Failure> {
    let WhoamiArgs { client: arguments } = arguments;
    let who = arguments
        .client()?
        .who_am_i(proto::WhoAmIRequest {})
        .await
        .map_err(|status| Failure::call(&arguments.addr, &status))?;
    if arguments.json {
        output::json("WhoAmIResponse", &who)?;
        return Ok(ExitCode::SUCCESS);
    }
    let by = match who.credential() {
        CredentialKind::Unspecified => "an unknown credential".to_owned(),
        CredentialKind::None => "no credential (the server asks for none)".to_owned(),
        CredentialKind::ApiKey => format!("API key {}", who.key_id),
        CredentialKind::Jwt => "a JSON Web Token".to_owned(),
        CredentialKind::Certificate => "a client certificate".to_owned(),
        CredentialKind::LocalUser => "the server's own user".to_owned(),
    };
    let end = match who.expire_time {
        Some(time) => format!(", until {}", date(Some(time))),
        None => String::new(),
    };
    output::line(&format!("{} by {by}{end}", who.principal))?;
    output::line(&who.scopes.join(" "))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn create(arguments: CreateKeyArgs) -> Result<ExitCode, Failure> {
    let CreateKeyArgs {
        scopes,
        subject,
        display_name,
        ttl,
        tenant,
        client: arguments,
    } = arguments;
    let ttl = ttl
        .map(prost_types::Duration::try_from)
        .transpose()
        .map_err(|_| Failure::new(USAGE, "--ttl is too long"))?;
    let request = proto::CreateApiKeyRequest {
        subject,
        scopes,
        display_name,
        ttl,
        request_id: String::new(),
        tenant,
    };
    let made = arguments
        .client()?
        .create_api_key(request)
        .await
        .map_err(|status| Failure::call(&arguments.addr, &status))?;
    if arguments.json {
        output::json("CreateApiKeyResponse", &made)?;
        return Ok(ExitCode::SUCCESS);
    }
    if made.secret.is_empty() {
        let id = made.api_key.map(|key| key.key_id).unwrap_or_default();
        return Err(Failure::new(
            TEMPORARY,
            format!("the answer with the new key {id} was lost; revoke it and make another"),
        ));
    }
    // Alone, so that a script can take it as it is.
    output::line(&made.secret)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn list(arguments: ListKeysArgs) -> Result<ExitCode, Failure> {
    let ListKeysArgs {
        all,
        tenant,
        client: arguments,
    } = arguments;
    let client = arguments.client()?;
    let mut keys = client.all_api_keys(proto::ListApiKeysRequest {
        page_size: PAGE,
        include_ended: all,
        tenant,
        ..Default::default()
    });
    let mut none = true;
    while let Some(key) = keys.next().await {
        let key = key.map_err(|status| Failure::call(&arguments.addr, &status))?;
        if none {
            none = false;
            print_names(arguments.json)?;
        }
        print_key(&key, arguments.json)?;
    }
    if none && !arguments.json {
        output::notice("no API keys");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn revoke(arguments: RevokeKeyArgs) -> Result<ExitCode, Failure> {
    let RevokeKeyArgs {
        key_id,
        keep_made_keys,
        tenant,
        client: arguments,
    } = arguments;
    let request = proto::RevokeApiKeyRequest {
        key_id,
        tenant,
        keep_made_keys,
    };
    let revoked = arguments
        .client()?
        .revoke_api_key(request)
        .await
        .map_err(|status| Failure::call(&arguments.addr, &status))?;
    if let Some(key) = &revoked.api_key {
        print_key(key, arguments.json)?;
    }
    // As JSON one object a line is what scripts expect: the key.
    let made = revoked.made_key_ids.iter().filter(|_| !arguments.json);
    for key_id in made {
        output::line(&format!("{key_id} was made with it and is revoked too"))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn reset_admin(arguments: ConfigArgs) -> Result<ExitCode, Failure> {
    let config = arguments.load()?;
    let audit_file = config.audit_file.clone();
    let file = app::reset_admin_key(&config).map_err(|error| {
        let locked = error.chain().any(|cause| cause.is::<DataDirectoryLocked>());
        let code = if locked { TEMPORARY } else { SOFTWARE };
        Failure::new(code, format!("{error:#}"))
    })?;
    if let Some(path) = audit_file {
        audit_file::append(&path, "keys reset-admin made a new key with all scopes")
            .map_err(|error| Failure::new(SOFTWARE, format!("the key is made, but {error}")))?;
    }
    output::line(&format!(
        "{} holds a new key; keys of before are still valid, `keys list` shows them",
        file.display()
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Names of the columns of [`print_key`].
fn print_names(json: bool) -> Result<(), Failure> {
    if json {
        return Ok(());
    }
    let (id, principal, used) = ("KEY", "PRINCIPAL", "LAST USED");
    output::line(&format!(
        "{id:<12} {principal:<24} {used:<25} END  (NAME) SCOPES"
    ))
}

fn print_key(key: &ApiKey, json: bool) -> Result<(), Failure> {
    if json {
        return output::json("ApiKey", key);
    }
    let end = match (key.revoke_time, key.expire_time) {
        (Some(time), _) => format!("revoked {}", date(Some(time))),
        (None, Some(time)) => format!("ends {}", date(Some(time))),
        (None, None) => "no end".to_owned(),
    };
    let name = match key.display_name.as_str() {
        "" => String::new(),
        name => format!("({name}) "),
    };
    let made_with = match key.created_by_key_id.as_str() {
        "" => String::new(),
        key_id => format!("made with {key_id}  "),
    };
    output::line(&format!(
        "{} {:<24} used {:<20} {end}  {made_with}{name}{}",
        key.key_id,
        key.principal,
        date(key.last_used_time),
        key.scopes.join(" "),
    ))
}
