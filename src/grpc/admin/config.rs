//! GetConfig and UpdateConfig.

use super::Admin;
use crate::{
    config::{
        Config, Key,
        live::{Current, UPDATABLE, readable},
    },
    domain::refusal::Refusal,
    proto,
};

/// Keys that one call may name.
const KEYS_MAX: usize = 64;
/// Longest value of a key, in bytes.
const VALUE_MAX_BYTES: usize = 4096;

// === impl Admin ===

impl Admin {
    pub(super) fn config(
        &self,
        request: proto::GetConfigRequest,
    ) -> Result<proto::GetConfigResponse, Refusal> {
        let proto::GetConfigRequest { keys } = request;
        let known = |name: &String| readable().any(|key| key.name == name);
        if let Some(index) = keys.iter().position(|name| !known(name)) {
            return Err(Refusal::field(
                format!("keys[{index}]"),
                "is no key that may be read; leave keys empty to see all that may",
            ));
        }
        let current = self.live.current();
        let asked = |name: &str| keys.is_empty() || keys.iter().any(|key| key == name);
        Ok(proto::GetConfigResponse {
            values: values(&current, asked),
        })
    }

    pub(super) async fn update(
        &self,
        request: proto::UpdateConfigRequest,
    ) -> Result<proto::UpdateConfigResponse, Refusal> {
        let proto::UpdateConfigRequest {
            values: new,
            clear,
            validate_only,
        } = request;
        if new.is_empty() && clear.is_empty() {
            return Err(Refusal::field(
                "values",
                "must name what changes, or clear must",
            ));
        }
        for (field, count) in [("values", new.len()), ("clear", clear.len())] {
            if count > KEYS_MAX {
                return Err(Refusal::field(
                    field,
                    format!("must name at most {KEYS_MAX} keys"),
                ));
            }
        }
        if let Some((name, _)) = new.iter().find(|(_, value)| value.len() > VALUE_MAX_BYTES) {
            let problem = format!("must be at most {VALUE_MAX_BYTES} bytes");
            return Err(Refusal::field(format!("values[{name}]"), problem));
        }
        let named: Vec<String> = new.keys().chain(&clear).cloned().collect();
        let _one = self.updating.lock().await;
        let checked = self.live.check(new, &clear)?;
        let shown = values(checked.current(), |name| {
            named.iter().any(|key| key == name)
        });
        if !validate_only {
            let kept = (*checked.current().overrides).clone();
            self.store.put_settings(kept).await?;
            self.live.set(checked);
        }
        Ok(proto::UpdateConfigResponse { values: shown })
    }
}

fn values(current: &Current, asked: impl Fn(&str) -> bool) -> Vec<proto::ConfigValue> {
    readable()
        .filter(|key| asked(key.name))
        .map(|key| value(key, current))
        .collect()
}

fn value(key: &Key<Config>, current: &Current) -> proto::ConfigValue {
    proto::ConfigValue {
        key: key.name.into(),
        value_toml: key.toml(&current.config),
        description: key.doc.join("").trim().into(),
        updatable: UPDATABLE.contains(&key.name),
        updated: current.overrides.contains_key(key.name),
    }
}
