//! Client certificates. The handshake has verified the chain; which principal it is stands in the configuration, by the
//! URI in the certificate's subject alternative names.

use crate::domain::{
    access::{Credential, Granted, Identity},
    ids::Time,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Certificates whose reading is remembered.
const REMEMBERED_MAX: usize = 10_000;

/// Who is who, by URI.
pub struct Certificates {
    granted: BTreeMap<String, Granted>,
    /// By certificate, for each call shows it again. A lock and not a task: it is held for one look.
    remembered: Mutex<HashMap<Vec<u8>, Option<Arc<Identity>>>>,
}

// === impl Certificates ===

impl Certificates {
    /// Recognises these URIs.
    pub fn new(granted: BTreeMap<String, Granted>) -> Self {
        Self {
            granted,
            remembered: Mutex::default(),
        }
    }

    /// Whose certificate it is; `None` for one that names nobody, or more than one.
    pub fn recognise(&self, certificate: &[u8], now: Time) -> Option<Arc<Identity>> {
        if self.granted.is_empty() {
            return None;
        }
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let identity = match remembered.get(certificate) {
            Some(identity) => identity.clone(),
            None => {
                let identity = self.read(certificate).map(Arc::new);
                if remembered.len() >= REMEMBERED_MAX {
                    remembered.clear();
                }
                remembered.insert(certificate.to_owned(), identity.clone());
                identity
            }
        };
        // The handshake looked at the time too, but a connection may outlive its certificate.
        identity.filter(|it| it.expire_time.is_none_or(|end| end > now))
    }

    fn read(&self, certificate: &[u8]) -> Option<Identity> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let names = certificate.subject_alternative_name().ok()??;
        let granted = names
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::URI(uri) => self.granted.get(*uri),
                _ => None,
            });
        let mut granted = granted.collect::<Vec<_>>();
        granted.dedup();
        // Two names could be two principals, and which of them calls is not ours to choose.
        let [Granted { principal, scopes }] = granted[..] else {
            return None;
        };
        let end = certificate.validity().not_after.timestamp();
        Some(Identity::new(
            principal.clone(),
            *scopes,
            Credential::Certificate,
            Some(Time(end.saturating_mul(1_000_000))),
        ))
    }
}
