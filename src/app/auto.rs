//! `default_agent = "auto"`: which agent sessions get that name none is chosen when the server starts.
//!
//! A model that is configured; else of what is installed pi, else an agent that is known to speak the Agent Client Protocol,
//! else `echo`. Never one with processes where calls need no credential, or where nothing keeps its processes apart: who did
//! not choose an agent did not choose that risk. The choice is written down in the data directory and kept by later starts for as long as it can be used;
//! where it can't be any more, another one is chosen, and the log says so. Sessions keep the agent that they have.

use crate::{
    agent::isolation::{Confinement, Rung, program},
    config::{AUTO_AGENT, AgentConfig, Config, DriverKind, IsolationWanted},
};
use anyhow::Context as _;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};
use tracing::{info, warn};

/// The agent that is always there.
const LAST: &str = "echo";
/// File of the data directory with the choice.
const FILE: &str = "default-agent";
/// Longest text of it that is read, in bytes.
const FILE_MAX_BYTES: u64 = 256;

/// Agents that speak the Agent Client Protocol, by the names that they get and their commands, in the order in which they
/// are looked for.
const KNOWN: [(&str, &[&str]); 4] = [
    ("claude", &["claude-agent-acp"]),
    ("codex", &["codex-acp"]),
    ("gemini", &["gemini", "--acp"]),
    ("opencode", &["opencode", "acp"]),
];

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Choice {
    agent: String,
    /// Why, for people.
    why: String,
}

/// The agent of sessions that name none, as far as it can be told before isolation was tried; `None` where the
/// configuration names one. What was chosen is in the configuration from then on.
pub(super) fn choose(config: &mut Config) -> anyhow::Result<Option<String>> {
    if config.default_agent != AUTO_AGENT {
        return Ok(None);
    }
    let before = kept(&config.data_dir).context("can't read which agent was chosen")?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = |command: &[String]| {
        let program = command.first().map(OsStr::new);
        program.is_some_and(|program| program::find(program, &path).is_some())
    };
    let (Choice { agent, why }, new) = choice(config, before.as_deref(), installed);
    info!(agent, why, "the default agent was chosen");
    if let Some(new) = new {
        config.agents.insert(agent.clone(), new);
    }
    Ok(Some(agent))
}

/// Takes a choice back whose processes nothing keeps apart, as was found since, and writes down what it is.
pub(super) fn settle(
    config: &Config,
    chosen: Option<String>,
    confinements: &BTreeMap<String, Confinement>,
) -> anyhow::Result<String> {
    let Some(mut agent) = chosen else {
        return Ok(config.default_agent.clone());
    };
    if confinements
        .get(&agent)
        .is_some_and(|it| it.rung == Rung::None)
    {
        warn!(
            agent,
            "the default agent is {LAST}: nothing would keep the processes of {agent} apart"
        );
        LAST.clone_into(&mut agent);
    }
    keep(&config.data_dir, &agent).context("can't write down which agent was chosen")?;
    Ok(agent)
}

/// Chooses; with the configuration of an agent that has none yet.
fn choice(
    config: &Config,
    before: Option<&str>,
    installed: impl Fn(&[String]) -> bool,
) -> (Choice, Option<AgentConfig>) {
    let echo = |why: &str| {
        let choice = Choice {
            agent: LAST.to_owned(),
            why: why.to_owned(),
        };
        (choice, None)
    };
    let with_processes = match (config.no_auth, config.isolation) {
        (true, _) => {
            Err("calls need no credential, so no agent with processes is chosen by itself")
        }
        (false, IsolationWanted::None) => {
            Err("agents are not isolated, so none with processes is chosen by itself")
        }
        (false, _) => Ok(()),
    };
    let mut found = candidates(config);
    found.retain(|(_, agent, _)| match agent.driver {
        DriverKind::Echo | DriverKind::Llm | DriverKind::Worker => true,
        DriverKind::Pi | DriverKind::Acp => {
            with_processes.is_ok()
                && agent.isolation != IsolationWanted::None
                && installed(&agent.command)
        }
    });
    let at = before.and_then(|before| found.iter().position(|(name, ..)| name == before));
    let was = match (before, at) {
        (Some(before), None) if before != LAST => {
            warn!(
                agent = before,
                "the agent that was chosen before can't be used any more"
            );
            format!("; {before}, which was chosen before, can't be used any more")
        }
        _ => String::new(),
    };
    if found.is_empty() {
        let why = with_processes.err();
        let why =
            why.unwrap_or("no model is configured, and no agent that is known was found in PATH");
        return echo(&format!("{why}{was}"));
    }
    let (name, agent, is_new) = found.swap_remove(at.unwrap_or(0));
    let program = agent.command.first().map_or("", String::as_str);
    let why = match (at, agent.driver) {
        (Some(_), _) => "it was chosen before, and can be used".to_owned(),
        (None, DriverKind::Llm) => format!("a model is configured{was}"),
        (None, _) => format!("its program {program} was found in PATH{was}"),
    };
    let choice = Choice { agent: name, why };
    (choice, is_new.then_some(agent))
}

/// The agents that may be chosen, the first before the others; true for those that are not configured.
fn candidates(config: &Config) -> Vec<(String, AgentConfig, bool)> {
    let known = KNOWN.iter().map(|(name, command)| {
        let agent = AgentConfig {
            driver: DriverKind::Acp,
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            ..AgentConfig::default()
        };
        (*name, DriverKind::Acp, Some(agent))
    });
    let models = (config.agents.iter()).filter(|(_, agent)| agent.driver == DriverKind::Llm);
    let models = models.map(|(name, agent)| (name.clone(), agent.clone(), false));
    let all = [("pi", DriverKind::Pi, None)].into_iter().chain(known);
    let installed = all.filter_map(|(name, driver, new)| match config.agents.get(name) {
        Some(agent) if agent.driver == driver => Some((name.to_owned(), agent.clone(), false)),
        // Something else is called so.
        Some(_) => None,
        None => Some((name.to_owned(), new?, true)),
    });
    models.chain(installed).collect()
}

fn kept(data_directory: &Path) -> io::Result<Option<String>> {
    use io::Read as _;
    let mut text = String::new();
    match fs::File::open(data_directory.join(FILE)) {
        Ok(file) => file.take(FILE_MAX_BYTES).read_to_string(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(Some(text.trim().to_owned()))
}

/// Writes it whole or not at all.
fn keep(data_directory: &Path, agent: &str) -> io::Result<()> {
    if kept(data_directory)?.as_deref() == Some(agent) {
        return Ok(());
    }
    let part: PathBuf = data_directory.join(format!("{FILE}.part"));
    fs::write(&part, format!("{agent}\n"))?;
    fs::rename(part, data_directory.join(FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(text: &str, before: Option<&str>, installed: &[&str]) -> (String, bool) {
        let config = Config::parse("test", &format!("default_agent = \"auto\"\n{text}"));
        let config = config.expect("it is right");
        let is_installed = |command: &[String]| installed.contains(&command[0].as_str());
        let (Choice { agent, why }, new) = choice(&config, before, is_installed);
        assert!(!why.is_empty());
        (agent, new.is_some())
    }

    #[test]
    fn it_is_what_is_installed_and_what_was_chosen_before_stays() {
        let model = "[agents.some]\ndriver = \"llm\"\nmodel = \"openai/some\"\n";
        let open = format!("no_auth = true\n{model}");
        let all = ["pi", "claude-agent-acp", "codex-acp", "gemini", "opencode"];
        let configured = "[agents.gemini]\ndriver = \"acp\"\ncommand = [\"gem\"]\n";
        for (text, before, installed, agent, is_new) in [
            ("", None, &all[..], "pi", false),
            ("", None, &all[2..], "codex", true),
            ("", None, &[], "echo", false),
            ("", Some("gemini"), &all, "gemini", true),
            ("", Some("gemini"), &all[..3], "pi", false),
            ("", Some("gemini"), &[], "echo", false),
            // Something better came: who found none before is given it.
            ("", Some("echo"), &all[4..], "opencode", true),
            ("", Some("nobody"), &all[4..], "opencode", true),
            (configured, None, &["gem", "opencode"], "gemini", false),
            (configured, None, &["gemini", "opencode"], "opencode", true),
            (
                "[agents.opencode]\ndriver = \"echo\"\n",
                None,
                &["opencode"],
                "echo",
                false,
            ),
            (
                "[agents.pi]\nisolation = \"none\"\n",
                None,
                &["pi", "gemini"],
                "gemini",
                true,
            ),
            (model, None, &all, "some", false),
            (model, Some("pi"), &all, "pi", false),
            (&open, Some("pi"), &all, "some", false),
            ("no_auth = true\n", Some("pi"), &all, "echo", false),
            ("isolation = \"none\"\n", Some("pi"), &all, "echo", false),
        ] {
            let found = chosen(text, before, installed);
            assert_eq!(
                found,
                (agent.to_owned(), is_new),
                "{text} {before:?} {installed:?}"
            );
        }
    }

    #[test]
    fn a_choice_without_isolation_is_taken_back_and_what_it_is_is_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let config = Config {
            data_dir: directory.path().into(),
            ..Config::with_builtin_agents()
        };
        let confinements = |rung| {
            let confinement = Confinement {
                rung,
                ..Confinement::default()
            };
            BTreeMap::from([("pi".to_owned(), confinement)])
        };
        let settled = |rung| settle(&config, Some("pi".into()), &confinements(rung));
        assert_eq!(kept(directory.path()).expect("readable"), None);
        assert_eq!(settled(Rung::Landlock).expect("written"), "pi");
        assert_eq!(
            kept(directory.path()).expect("readable").as_deref(),
            Some("pi")
        );
        assert_eq!(settled(Rung::None).expect("written"), "echo");
        assert_eq!(
            kept(directory.path()).expect("readable").as_deref(),
            Some("echo")
        );
        // What is named is neither chosen nor written down.
        let named = settle(&config, None, &BTreeMap::new());
        assert_eq!(named.expect("nothing to do"), "echo");
    }
}
