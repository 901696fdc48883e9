//! TLS: the files of certificate, key and client CA, and what is made of them, again whenever they change.
//!
//! A change that can't be used (half copied, wrong key) is logged once and changes nothing. Connections keep what they
//! were opened with until their age ends them.
//! Left out: revocation lists. A client certificate is revoked by taking its identity's rights, or its CA.

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use sha2::{Digest, Sha256};
use std::{
    fmt,
    fs::File,
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use x509_parser::extensions::GeneralName;

/// Largest of the files, in bytes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// Rights on the key that are too many. Its group may read it, which is how a system's services share one.
const KEY_FORBIDDEN_MODE: u32 = 0o027;
/// Protocols above TLS, the better one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where the TLS files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// The server's certificate and those between it and its CA, in this order, as PEM.
    pub certificate: PathBuf,
    /// Its private key, as PEM without a password.
    pub key: PathBuf,
    /// Certificates of those who sign client certificates, as PEM; `None` asks clients for none.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without a certificate is refused.
    pub client_required: bool,
}

/// A TLS file that can't be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", file.display())]
pub struct TlsError {
    /// Which.
    file: PathBuf,
    /// What is wrong and what to do, for people.
    problem: String,
}

/// TLS as it is now.
pub(super) struct Tls {
    options: TlsOptions,
    current: ArcSwap<Certified>,
}

/// What new connections are opened with.
pub(super) struct Certified {
    pub(super) config: Arc<ServerConfig>,
    /// Names and addresses of the certificate, in lower case.
    pub(super) names: Arc<[String]>,
    mark: Mark,
}

/// Tells whether files have changed, by their contents: times are too coarse, and links are swapped.
type Mark = [u8; 32];

/// The files' contents.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

/// Says whether these files can be used.
///
/// # Errors
/// The first that can't, and why.
pub fn check_tls(options: &TlsOptions) -> Result<(), TlsError> {
    Tls::load(options.clone()).map(|_| ())
}

// === impl TlsError ===

impl TlsError {
    fn new(file: &Path, problem: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            problem: problem.into(),
        }
    }
}

// === impl Tls ===

impl Tls {
    pub(super) fn load(options: TlsOptions) -> Result<Self, TlsError> {
        let certified = Certified::new(&options, &Files::read(&options)?)?;
        Ok(Self {
            options,
            current: ArcSwap::from_pointee(certified),
        })
    }

    pub(super) fn current(&self) -> Arc<Certified> {
        self.current.load_full()
    }

    /// Looks at the files again and again, and takes what is new.
    pub(super) async fn keep_current(self: Arc<Self>, interval: Duration) {
        let mut seen = Ok(self.current.load().mark);
        loop {
            tokio::time::sleep(interval).await;
            let this = self.clone();
            let look = move || {
                let now = this.reload(&seen);
                (now.clone(), now != seen)
            };
            // Off the runtime: a file system may hang.
            let Ok((now, changed)) = tokio::task::spawn_blocking(look).await else {
                return;
            };
            match &now {
                Ok(_) if changed => tracing::info!("the TLS files have changed and are in use"),
                Err(error) if changed => {
                    tracing::error!(
                        "the TLS files have changed and can't be used, the old ones stay in use: {error}"
                    );
                }
                Ok(_) | Err(_) => {}
            }
            seen = now;
        }
    }

    /// Takes the files if they are not those of `seen`; tells what they are.
    fn reload(&self, seen: &Result<Mark, TlsError>) -> Result<Mark, TlsError> {
        let files = Files::read(&self.options)?;
        let mark = files.mark();
        if *seen == Ok(mark) {
            return Ok(mark);
        }
        self.current
            .store(Arc::new(Certified::new(&self.options, &files)?));
        Ok(mark)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

// === impl Files ===

impl Files {
    fn read(options: &TlsOptions) -> Result<Self, TlsError> {
        let TlsOptions {
            certificate,
            key,
            client_ca,
            client_required: _,
        } = options;
        Ok(Self {
            certificate: read(certificate, |_| Ok(()))?,
            key: read(key, |mode| {
                if mode & KEY_FORBIDDEN_MODE == 0 {
                    return Ok(());
                }
                let file = key.display();
                Err(format!(
                    "others can read or change this private key (mode {mode:03o}); run `chmod 600 {file}`"
                ))
            })?,
            client_ca: client_ca
                .as_deref()
                .map(|file| read(file, |_| Ok(())))
                .transpose()?,
        })
    }

    fn mark(&self) -> Mark {
        let Self {
            certificate,
            key,
            client_ca,
        } = self;
        let mut hash = Sha256::new();
        for file in [Some(certificate), Some(key), client_ca.as_ref()] {
            let file = file.map_or(&[][..], |file| file);
            hash.update((file.len() as u64).to_be_bytes());
            hash.update(file);
        }
        hash.finalize().into()
    }
}

fn read(path: &Path, check_mode: impl Fn(u32) -> Result<(), String>) -> Result<Vec<u8>, TlsError> {
    let bad = |problem: String| TlsError::new(path, problem);
    let unreadable = |error: std::io::Error| bad(format!("can't be read: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    check_mode(mode & 0o777).map_err(bad)?;
    let mut bytes = Vec::new();
    file.take(FILE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(bad(format!("is larger than {FILE_MAX_BYTES} bytes")));
    }
    Ok(bytes)
}

// === impl Certified ===

impl Certified {
    fn new(options: &TlsOptions, files: &Files) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(&options.certificate, &files.certificate)?;
        let names =
            names(&chain[0]).map_err(|problem| TlsError::new(&options.certificate, problem))?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|_| {
            let problem = "holds no private key as PEM without a password";
            TlsError::new(&options.key, problem)
        })?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new(&options.certificate, error.to_string()))?;
        let builder = match (&options.client_ca, &files.client_ca) {
            (Some(path), Some(bytes)) => {
                let verifier = client_verifier(path, bytes, provider, options.client_required)?;
                builder.with_client_cert_verifier(verifier)
            }
            (None, _) | (_, None) => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            let certificate = options.certificate.display();
            let problem = format!("can't be used as the key of {certificate}: {error}");
            TlsError::new(&options.key, problem)
        })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(Self {
            config: Arc::new(config),
            names,
            mark: files.mark(),
        })
    }
}

fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::new(path, format!("is no PEM: {error}")))?;
    if chain.is_empty() {
        return Err(TlsError::new(path, "holds no certificate as PEM"));
    }
    Ok(chain)
}

fn client_verifier(
    path: &Path,
    bytes: &[u8],
    provider: Arc<CryptoProvider>,
    required: bool,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, bytes)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::new(path, format!("holds no CA certificate: {error}")))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match required {
        true => builder,
        false => builder.allow_unauthenticated(),
    };
    builder
        .build()
        .map_err(|error| TlsError::new(path, format!("can't be used as a client CA: {error}")))
}

/// Names and addresses that a certificate is for.
fn names(certificate: &CertificateDer<'_>) -> Result<Arc<[String]>, String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| format!("holds a certificate that can't be read: {error}"))?;
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| format!("holds a certificate with unreadable names: {error}"))?;
    let Some(names) = names else {
        return Ok(Arc::new([]));
    };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|it| it.to_canonical().to_string()),
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    };
    Ok(names.value.general_names.iter().filter_map(name).collect())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = || <[u8; 4]>::try_from(bytes).map(|it| Ipv4Addr::from(it).into());
    let sixteen = || <[u8; 16]>::try_from(bytes).map(|it| Ipv6Addr::from(it).into());
    four().or_else(|_| sixteen()).ok()
}
