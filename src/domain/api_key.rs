//! API keys, without their secrets.

use super::{
    access::{EVERY_SCOPE, Scope, Scopes},
    ids::{Principal, Time},
};

/// An API key as its tenant sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, a part of the key's text.
    pub key_id: String,
    /// Who calls with it.
    pub principal: Principal,
    /// What it may do.
    pub scopes: Scopes,
    /// Names of scopes that a newer version gave it. They grant nothing here, and are kept.
    pub unknown_scopes: Vec<String>,
    /// For people: what it is for.
    pub display_name: String,
    /// Who made it, `tenant/subject`.
    pub created_by: String,
    /// Id of the key that it was made with: it ends with that one, and is revoked with it.
    pub made_with: Option<String>,
    /// When it was made.
    pub create_time: Time,
    /// When it ends; `None` means never.
    pub expire_time: Option<Time>,
    /// When it was used last.
    pub last_used_time: Option<Time>,
    /// When it was revoked.
    pub revoke_time: Option<Time>,
}

// === impl ApiKey ===

impl ApiKey {
    /// The names of its scopes as they are kept: `*`, or a sorted list.
    pub fn scope_names(&self) -> Vec<String> {
        if self.scopes.is_every() {
            return vec![EVERY_SCOPE.to_owned()];
        }
        let mut names = self.scopes.names();
        names.extend(self.unknown_scopes.iter().cloned());
        names.sort_unstable();
        names
    }

    /// Takes names of scopes as [`ApiKey::scope_names`] gives them: what is known, and what is not.
    pub fn read_scopes<'a>(names: impl Iterator<Item = &'a str>) -> (Scopes, Vec<String>) {
        let (mut known, mut unknown, mut every) = (Vec::new(), Vec::new(), false);
        for name in names {
            match Scope::parse(name) {
                Some(scope) => known.push(scope),
                None if name == EVERY_SCOPE => every = true,
                None => unknown.push(name.to_owned()),
            }
        }
        let scopes = if every {
            Scopes::ALL
        } else {
            Scopes::of(known)
        };
        (scopes, unknown)
    }

    /// Whether calls with it are taken.
    pub fn is_valid(&self, now: Time) -> bool {
        self.revoke_time.is_none() && self.expire_time.is_none_or(|end| end > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_scopes_grant_nothing_and_all_are_kept_as_a_star() {
        let read = |text: &str| ApiKey::read_scopes(text.split(' '));
        let (scopes, unknown) = read("future.scope session.read");
        assert_eq!(scopes, Scopes::of([Scope::SessionRead]));
        assert_eq!(unknown, ["future.scope"]);
        assert_eq!(read("*"), (Scopes::ALL, vec![]));
        let all = Scopes::ALL.as_list().names();
        assert_eq!(read(&all.join(" ")), (Scopes::ALL.as_list(), vec![]));
    }
}
