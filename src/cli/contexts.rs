//! `login`, `contexts`: servers by name, each with its key, for commands that name none.
//!
//! They stand in the directory `quarterdeck` of `XDG_CONFIG_HOME`, else of `~/.config`: `contexts.toml`, and below `keys` one file
//! for each key, which only the user can read. `QUARTERDECK_CONTEXT` names one for a command; else the one in use counts.

use super::{
    arguments::{ContextsArgs, ContextsVerb, LoginArgs, NameArgs},
    failure::{CONFIG, DATA, Failure, NO_INPUT, USAGE},
    output,
};
use quarterdeck::{
    auth::secret_files::write_secret, client::DEFAULT_ADDRESS, proto::WhoAmIRequest,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, IsTerminal as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::LazyLock,
};

/// The file, in the user's directory.
const FILE: &str = "contexts.toml";
/// The directory of the keys beside it.
const KEYS: &str = "keys";
/// Names the context of one command.
const VARIABLE: &str = "QUARTERDECK_CONTEXT";
/// Longest name, in bytes.
const NAME_MAX_BYTES: usize = 64;

static CHOSEN: LazyLock<Result<Option<Context>, String>> =
    LazyLock::new(|| Contexts::read()?.chosen(env::var(VARIABLE).ok()));

/// A server that commands go to where they name none.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) address: String,
    pub(crate) ca: Option<PathBuf>,
    /// `None` where it has none.
    pub(crate) key_file: Option<PathBuf>,
}

/// What the file holds.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contexts {
    /// The name of the one in use; empty where none is.
    #[serde(default)]
    current: String,
    #[serde(default)]
    contexts: BTreeMap<String, Entry>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<PathBuf>,
}

/// The context that counts, where there is one.
pub(crate) fn chosen() -> Result<Option<Context>, Failure> {
    CHOSEN
        .clone()
        .map_err(|problem| Failure::new(CONFIG, problem))
}

/// The address of commands that name none.
pub(crate) fn default_address() -> String {
    match &*CHOSEN {
        Ok(Some(context)) => context.address.clone(),
        // A wrong file is told by the command itself.
        Ok(None) | Err(_) => DEFAULT_ADDRESS.to_owned(),
    }
}

pub(crate) async fn login(arguments: LoginArgs) -> Result<ExitCode, Failure> {
    let LoginArgs { name, mut client } = arguments;
    check_name(&name)?;
    let directory = directory().ok_or_else(no_home)?;
    let key = match client.given_key()? {
        Some(key) => key,
        None => ask_for_key()?,
    };
    client.use_key(&key);
    let who = client.client()?.who_am_i(WhoAmIRequest {}).await;
    let who = who.map_err(|status| Failure::call(&client.addr, &status))?;

    let mut contexts = Contexts::read().map_err(|problem| Failure::new(CONFIG, problem))?;
    let keys = directory.join(KEYS);
    let mut maker = fs::DirBuilder::new();
    maker.recursive(true).mode(0o700).create(&keys)?;
    write_secret(&keys, &name, key.expose_secret().as_bytes())?;
    let entry = Entry {
        address: client.addr.clone(),
        ca: client.ca.as_deref().map(fs::canonicalize).transpose()?,
    };
    contexts.contexts.insert(name.clone(), entry);
    contexts.current.clone_from(&name);
    contexts.write(&directory)?;
    if client.json {
        output::json("WhoAmIResponse", &who)?;
    } else {
        let address = &client.addr;
        let text = format!(
            "{} at {address}; commands go to {name} from now on",
            who.principal
        );
        output::line(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn contexts(arguments: ContextsArgs) -> Result<ExitCode, Failure> {
    let wrong = |problem| Failure::new(CONFIG, problem);
    let mut contexts = Contexts::read().map_err(wrong)?;
    match arguments.command {
        None => {
            let current = contexts.current;
            if arguments.json {
                for (name, Entry { address, .. }) in contexts.contexts {
                    let current = name == current;
                    let line =
                        serde_json::json!({ "name": name, "address": address, "current": current });
                    output::line(&line.to_string())?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            let rows = contexts.contexts.into_iter().map(|(name, entry)| {
                let mark = if name == current { "*" } else { "" };
                [mark.to_owned(), name, entry.address]
            });
            let none = "no contexts; `quarterdeck login NAME --addr URL` makes one";
            output::list(["", "NAME", "ADDRESS"], rows.collect(), none)?;
        }
        Some(ContextsVerb::Use(NameArgs { name })) => {
            contexts.entry(&name)?;
            contexts.current.clone_from(&name);
            contexts.write(&directory().ok_or_else(no_home)?)?;
            output::line(&format!("commands go to {name} from now on"))?;
        }
        Some(ContextsVerb::Remove(NameArgs { name })) => {
            contexts.entry(&name)?;
            let directory = directory().ok_or_else(no_home)?;
            match fs::remove_file(directory.join(KEYS).join(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
            contexts.contexts.remove(&name);
            if contexts.current == name {
                contexts.current.clear();
            }
            contexts.write(&directory)?;
            output::line(&format!(
                "{name} is forgotten, and its key; the server knows the key still"
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

// === impl Contexts ===

impl Contexts {
    fn read() -> Result<Self, String> {
        let Some(file) = directory().map(|it| it.join(FILE)) else {
            return Ok(Self::default());
        };
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        match fs::read_to_string(&file) {
            Ok(text) => toml::from_str(&text).map_err(|error| wrong(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(wrong(&error)),
        }
    }

    fn write(&self, directory: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self).map_err(|error| Failure::new(DATA, error.to_string()))?;
        Ok(write_secret(directory, FILE, text.as_bytes())?)
    }

    /// The one that is named, else the one in use.
    fn chosen(&self, named: Option<String>) -> Result<Option<Context>, String> {
        let name = named.filter(|name| !name.is_empty());
        let name = name.as_ref().unwrap_or(&self.current);
        if name.is_empty() {
            return Ok(None);
        }
        let entry = self.contexts.get(name).ok_or_else(|| {
            format!("there is no context {name}; `quarterdeck contexts` lists them")
        })?;
        let key_file = directory().map(|it| it.join(KEYS).join(name));
        Ok(Some(Context {
            address: entry.address.clone(),
            ca: entry.ca.clone(),
            key_file: key_file.filter(|file| file.exists()),
        }))
    }

    fn entry(&self, name: &str) -> Result<&Entry, Failure> {
        self.contexts.get(name).ok_or_else(|| {
            let text = format!("there is no context {name}; `quarterdeck contexts` lists them");
            Failure::new(NO_INPUT, text)
        })
    }
}

// === functions ===

fn directory() -> Option<PathBuf> {
    let configured = env::var_os("XDG_CONFIG_HOME").filter(|it| !it.is_empty());
    let base = match configured {
        Some(base) => PathBuf::from(base),
        None => PathBuf::from(env::var_os("HOME").filter(|it| !it.is_empty())?).join(".config"),
    };
    Some(base.join("quarterdeck"))
}

fn no_home() -> Failure {
    Failure::new(
        CONFIG,
        "there is no place for contexts: set HOME or XDG_CONFIG_HOME",
    )
}

/// A name is one of a file, too.
fn check_name(name: &str) -> Result<(), Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let right = !name.starts_with('.') && name.len() <= NAME_MAX_BYTES && name.chars().all(fits);
    if right && !name.is_empty() {
        return Ok(());
    }
    let text =
        format!("a name of at most {NAME_MAX_BYTES} letters, digits, `.`, `_` and `-`, please");
    Err(Failure::new(USAGE, text))
}

/// The key as it is typed, unseen, or the first line of a pipe.
fn ask_for_key() -> Result<SecretString, Failure> {
    let text = if io::stdin().is_terminal() {
        rpassword::prompt_password("API key: ")?
    } else {
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        line
    };
    let key = text.trim();
    if key.is_empty() {
        return Err(Failure::new(
            USAGE,
            "no key was given: type it, pipe it, or name --key-file",
        ));
    }
    Ok(SecretString::from(key))
}
