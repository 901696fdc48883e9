//! GetServerInfo and ListAgents.

use super::{Admin, AgentFacts};
use crate::{
    agent::isolation::{Confinement, Isolation},
    domain::{
        agent::Known,
        limits::{
            ATTACHMENT_MAX_BYTES, INPUT_MESSAGE_MAX_BYTES, MESSAGE_MAX_BYTES, METADATA_MAX_BYTES,
            TEXT_MAX_BYTES,
        },
    },
    proto,
    store::Trouble,
    wire::encode::{self, duration, timestamp},
};

// === impl Admin ===

impl Admin {
    /// `all` tells what is the operator's to know too.
    pub(super) fn server_info(
        &self,
        kept_apart: &Isolation,
        all: bool,
    ) -> proto::GetServerInfoResponse {
        let config = self.live.current().config;
        // Where nobody is asked who he is, calls and streams are not counted by who makes them.
        let counted = |limit: u64| if config.no_auth { 0 } else { count(limit) };
        proto::GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").into(),
            start_time: Some(timestamp(self.facts.start_time)),
            store_id: self.facts.store_id.to_string(),
            default_agent: self.facts.default_agent.clone(),
            agents: self.agents(),
            limits: Some(proto::ServerLimits {
                queue_turns_per_session: count(config.queue_limit_turns),
                queue_bytes_per_session: count(config.queue_limit_bytes.0),
                input_message_bytes: count(INPUT_MESSAGE_MAX_BYTES),
                message_bytes: count(MESSAGE_MAX_BYTES),
                text_bytes: count(TEXT_MAX_BYTES),
                attachment_bytes: count(ATTACHMENT_MAX_BYTES),
                metadata_bytes: count(METADATA_MAX_BYTES),
                running_turns: count(config.max_running_turns),
                turn_timeout: Some(duration(config.turn_timeout)),
                max_turn_timeout: Some(duration(config.max_turn_timeout)),
                reserved_running_turns: count(config.reserved_running_turns()),
                principal: Some(proto::AccountLimits {
                    requests_per_second: counted(config.principal_requests_per_second),
                    streams: counted(config.principal_max_streams as u64),
                    running_turns: count(config.principal_max_running_turns),
                    awake_agents: count(config.principal_max_awake_agents),
                    sessions: count(config.principal_max_sessions),
                    queue_bytes: count(config.principal_max_queue_bytes.0),
                    waits: counted(config.principal_max_waits as u64),
                    stored_bytes: count(config.principal_max_bytes.0),
                }),
                tenant: Some(proto::AccountLimits {
                    requests_per_second: counted(config.tenant_requests_per_second),
                    streams: counted(config.tenant_max_streams as u64),
                    running_turns: count(config.tenant_running_turns()),
                    awake_agents: count(config.tenant_awake_agents()),
                    sessions: count(config.tenant_max_sessions),
                    queue_bytes: count(config.tenant_max_queue_bytes.0),
                    waits: counted(config.tenant_max_waits as u64),
                    stored_bytes: count(config.tenant_max_bytes.0),
                }),
            }),
            retention: Some(proto::RetentionInfo {
                events: count(config.retention_events),
                event_age: Some(duration(config.retention_age)),
                history_age: config.history_retention.map(duration),
            }),
            draining: self.registry.draining(),
            auth_required: !config.no_auth,
            isolation: Some(isolation(kept_apart, all)),
            store_troubles: self.store.troubles().iter().map(trouble).collect(),
        }
    }

    /// Every configured agent.
    pub(super) fn agents(&self) -> Vec<proto::AgentInfo> {
        self.facts.agents.iter().map(agent).collect()
    }
}

fn agent(facts: &AgentFacts) -> proto::AgentInfo {
    let AgentFacts {
        name,
        driver,
        known,
        confinement,
    } = facts;
    let Known {
        revision,
        capabilities,
        version,
        as_of,
    } = Known::clone(&known.get());
    let of = |told: fn(&Confinement) -> String| confinement.as_ref().map(told).unwrap_or_default();
    proto::AgentInfo {
        name: name.clone(),
        driver: (*driver).into(),
        can_steer: capabilities.steer,
        can_fork: capabilities.fork,
        isolation: of(|it| it.rung.name().into()),
        user: of(|it| it.user().name().into()),
        network: of(Confinement::network),
        version,
        revision,
        capabilities: Some(encode::capabilities(&capabilities)),
        as_of: as_of.map(timestamp),
    }
}

fn trouble(found: &Trouble) -> proto::StoreTrouble {
    proto::StoreTrouble {
        name: found.name().into(),
        text: found.text.into(),
    }
}

fn isolation(found: &Isolation, all: bool) -> proto::IsolationInfo {
    let Isolation {
        rung,
        user,
        proc,
        abstract_sockets,
        landlock_abi,
        kill_proof,
        reason,
    } = found;
    proto::IsolationInfo {
        rung: rung.name().into(),
        user: user.name().into(),
        proc: proc.name().into(),
        abstract_sockets: *abstract_sockets,
        // Each agent has rules of its own.
        network: "open".into(),
        landlock_abi: *landlock_abi,
        kill_proof: kill_proof.name().into(),
        // It names steps and settings of this machine.
        reason: if all { reason.clone() } else { String::new() },
    }
}

fn count(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
