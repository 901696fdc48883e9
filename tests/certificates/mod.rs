//! Certificates for tests: an authority, and what it signs, as PEM files.
#![allow(dead_code, reason = "each test binary uses its own part")]

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Signs certificates.
pub struct Authority {
    pub certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub struct Leaf {
    pub certificate: Certificate,
    key: KeyPair,
}

/// A directory of PEM files.
pub struct Files(tempfile::TempDir);

// === impl Authority ===

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // A name of its own: OpenSSL takes what bears its issuer's name for signed by itself.
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap(),
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate for names and addresses.
    pub fn sign(&self, names: &[&str]) -> Leaf {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.sign_params(CertificateParams::new(names).unwrap())
    }

    /// A certificate of somebody who calls.
    pub fn sign_uri(&self, uri: &str) -> Leaf {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        self.sign_params(params)
    }

    /// The same, with several names or none.
    pub fn sign_uris(&self, uris: &[&str]) -> Leaf {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        let uris = uris
            .iter()
            .map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names = uris.collect();
        self.sign_params(params)
    }

    fn sign_params(&self, params: CertificateParams) -> Leaf {
        let key = KeyPair::generate().unwrap();
        Leaf {
            certificate: params.signed_by(&key, &self.issuer).unwrap(),
            key,
        }
    }
}

// === impl Leaf ===

impl Leaf {
    /// A certificate that signs itself.
    pub fn alone(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap(),
            key,
        }
    }
}

// === impl Files ===

impl Files {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Replaces a file at once, as `mv` does.
    pub fn put(&self, name: &str, contents: &str) -> PathBuf {
        let (path, new) = (self.path(name), self.path("new"));
        fs::write(&new, contents).unwrap();
        set_mode(&new, 0o600);
        fs::rename(&new, &path).unwrap();
        path
    }

    /// Writes `NAME.pem` and `NAME.key`, the key first.
    pub fn put_leaf(&self, name: &str, leaf: &Leaf) -> (PathBuf, PathBuf) {
        let key = self.put(&format!("{name}.key"), &leaf.key.serialize_pem());
        let certificate = self.put(&format!("{name}.pem"), &leaf.certificate.pem());
        (certificate, key)
    }
}

pub fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
