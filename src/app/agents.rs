//! The configured agents: what is known of each, and what callers are told of them.

use crate::{
    agent::{Driver, isolation::Confinement},
    config::{Config, DriverKind},
    domain::agent::{Capabilities, KnownAgent, ToldAgent},
    grpc::admin::AgentFacts,
};
use std::{collections::BTreeMap, sync::Arc};

/// What is known before any of them told something.
pub(super) fn known(
    config: &Config,
    drivers: &BTreeMap<String, Arc<dyn Driver>>,
) -> BTreeMap<String, KnownAgent> {
    let known = drivers.iter().map(|(name, driver)| {
        let agent = config.agents.get(name);
        let can = driver.capabilities();
        // They are held to a schema by a tool at the agents' own door.
        let needs_door = agent.is_some_and(|agent| match agent.driver {
            DriverKind::Pi | DriverKind::Acp => true,
            DriverKind::Echo | DriverKind::Llm | DriverKind::Worker => false,
        });
        let at_most = Capabilities {
            workspace: agent.is_some_and(|agent| agent.workspace_read),
            workspace_diff: agent.is_some_and(|agent| agent.workspace_diff),
            structured_output: can.structured_output && (config.mcp || !needs_door),
            ..can
        };
        (name.clone(), KnownAgent::new(at_most))
    });
    known.collect()
}

/// Says how each is configured, and takes what it told when it was configured so before.
pub(super) fn begin(
    config: &Config,
    pepper: &[u8],
    known: &BTreeMap<String, KnownAgent>,
    told: &[ToldAgent],
) {
    for (name, agent) in &config.agents {
        if let Some(known) = known.get(name) {
            known.begin(name, agent.revision(pepper), told);
        }
    }
}

/// What callers are told of them.
pub(super) fn facts(
    config: &Config,
    known: &BTreeMap<String, KnownAgent>,
    confinements: &BTreeMap<String, Confinement>,
) -> Vec<AgentFacts> {
    let facts = config.agents.iter().filter_map(|(name, agent)| {
        Some(AgentFacts {
            name: name.clone(),
            driver: agent.driver.name(),
            known: known.get(name)?.clone(),
            confinement: confinements.get(name).cloned(),
        })
    });
    facts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{agent::process::ProcessHost, app::drivers};

    /// The configuration knows of a driver what the driver says.
    #[test]
    fn what_is_refused_in_a_configuration_is_what_the_driver_cannot() {
        let text = "[agents.other]\ndriver = \"acp\"\ncommand = [\"other\"]\n\
                    [agents.model]\ndriver = \"llm\"\nmodel = \"openai/some\"\n";
        let config = Config::parse("test", text).expect("it is right");
        let host = ProcessHost {
            keeper: "/keeper".into(),
            node_mark: String::new(),
            confinement: Confinement::default(),
            fence: None,
        };
        let hub = crate::workers::hub::Hub::new(crate::workers::LeaseRules::default());
        let drivers = drivers(&config, &host, BTreeMap::new(), &hub).expect("they can be made");
        assert_eq!(drivers.len(), 4);
        for (name, driver) in drivers {
            let kind = config.agents[&name].driver;
            assert_eq!(
                driver.capabilities().tool_policy,
                kind.tool_policy(),
                "{name}"
            );
        }
    }
}
