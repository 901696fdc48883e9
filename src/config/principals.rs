//! Who bearers of client certificates are: a table of URIs, each with a principal and its scopes.

use super::{Raw, Setting};
use crate::domain::{
    access::{Granted, Scope, Scopes},
    ids::{Principal, SessionKey},
};
use std::collections::BTreeMap;

/// What each URI stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principals(pub BTreeMap<String, Granted>);

// === impl Principals ===

impl Setting for Principals {
    fn read(raw: &Raw) -> Result<Self, String> {
        let Raw::Table(entries) = raw else {
            return Err(
                "expected a table such as { \"spiffe://example.org/job\" = \"default/job session.read\" }"
                    .into(),
            );
        };
        let mut principals = BTreeMap::new();
        for (uri, value) in entries {
            let Raw::Text(text) = value else {
                return Err(format!("the value of {uri} must be a text"));
            };
            let granted =
                granted(text).map_err(|problem| format!("the value of {uri} {problem}"))?;
            principals.insert(uri.clone(), granted);
        }
        Ok(Self(principals))
    }

    fn write(&self) -> String {
        let entries: Vec<String> = self
            .0
            .iter()
            .map(|(uri, Granted { principal, scopes })| {
                let value = format!("{principal} {}", scopes.names().join(" "));
                format!("{} = {}", uri.clone().write(), value.write())
            })
            .collect();
        match entries.join(", ") {
            entries if entries.is_empty() => "{}".into(),
            entries => format!("{{ {entries} }}"),
        }
    }
}

/// `tenant/subject scope scope …`.
fn granted(text: &str) -> Result<Granted, String> {
    let expected =
        "must be tenant/subject and its scopes, such as `default/job session.read session.write`";
    let mut words = text.split_whitespace();
    let names = words.next().and_then(|name| name.split_once('/'));
    let (tenant, subject) = names.ok_or(expected)?;
    if SessionKey::parse(tenant).is_err() || SessionKey::parse(subject).is_err() {
        return Err(expected.into());
    }
    let scopes: Vec<Scope> = words
        .map(|word| Scope::parse(word).ok_or_else(|| format!("names no scope by `{word}`")))
        .collect::<Result<_, _>>()?;
    if scopes.is_empty() {
        return Err(expected.into());
    }
    let principal = Principal {
        tenant: tenant.to_owned(),
        subject: subject.to_owned(),
    };
    if principal == Principal::local() {
        return Err(format!(
            "must not be {principal}, which is the user who runs the server"
        ));
    }
    Ok(Granted {
        principal,
        scopes: Scopes::of(scopes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = r#"{ "spiffe://example.org/job" = "default/job session.read session.write" }"#;
        let read = Principals::read(&Raw::from_text(text).unwrap()).unwrap();
        assert_eq!(read.write(), text);
        assert_eq!(
            read.0["spiffe://example.org/job"].principal.to_string(),
            "default/job"
        );
        let none = Principals::default().write();
        assert_eq!(
            Principals::read(&Raw::from_text(&none).unwrap()).unwrap(),
            Principals::default()
        );
        for wrong in [
            "x",
            "{ a = 1 }",
            "{ a = \"job session.read\" }",
            "{ a = \"default/job\" }",
            "{ a = \"default/job all\" }",
            "{ a = \"default/a/b session.read\" }",
        ] {
            assert!(
                Raw::from_text(wrong)
                    .and_then(|it| Principals::read(&it))
                    .is_err(),
                "{wrong}"
            );
        }
    }
}
