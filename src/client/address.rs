//! Where a server is and how it is reached: plain, encrypted, or over its unix socket; and what is wrong where it isn't.

use super::{BadOptions, CONNECT_TIMEOUT, KEEP_ALIVE};
use rustls::{
    CertificateError,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{
    error::Error,
    fs::File,
    io::{self, Read},
    net::IpAddr,
    path::{Path, PathBuf},
};
use tonic::{
    Status,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

/// Largest PEM file, in bytes.
const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// Causes of one error that are looked at.
const CAUSES_MAX: usize = 16;
/// How rustls begins the text of an alert that came from the peer.
const ALERT: &str = "received fatal alert: ";

/// PEM files for `https://` addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// CA certificates that the server's is checked against; `None` takes those that this machine trusts.
    pub ca: Option<PathBuf>,
    /// Our own certificate, for servers that ask for one, with those between it and its CA.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// An endpoint for `http://HOST:PORT`, `https://HOST:PORT`, `unix:PATH`, or `HOST:PORT`.
pub(super) fn endpoint(address: &str, tls: &ClientTls) -> Result<Endpoint, BadOptions> {
    let address = match address.contains("://") || address.starts_with("unix:") {
        true => address.to_owned(),
        false => format!("http://{address}"),
    };
    let bad = |why: &str| BadOptions(format!("`{address}` can't be used as an address: {why}"));
    let encrypted = address.starts_with("https://");
    let local = address.starts_with("unix:");
    if local
        && address
            .trim_start_matches("unix:")
            .trim_start_matches("//")
            .is_empty()
    {
        return Err(bad("it must be unix:PATH"));
    }
    if !encrypted && !local && !address.starts_with("http://") {
        return Err(bad(
            "it must be http://HOST:PORT, https://HOST:PORT or unix:PATH",
        ));
    }
    if !encrypted && *tls != ClientTls::default() {
        return Err(bad(
            "a CA and client certificates are for https:// addresses",
        ));
    }
    let endpoint = Endpoint::from_shared(address.clone())
        .map_err(|error| bad(&error.to_string()))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    if !encrypted {
        return Ok(endpoint);
    }
    endpoint
        .tls_config(tls_config(tls)?)
        .map_err(|error| BadOptions(format!("can't speak TLS: {}", chain(&error))))
}

/// Whether an address is one that packets don't leave this machine for.
pub fn is_this_machine(address: &str) -> bool {
    if address.starts_with("unix:") {
        return true;
    }
    let full = if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    let Ok(uri) = full.parse::<http::Uri>() else {
        return false;
    };
    let Some(authority) = uri.authority() else {
        return false;
    };
    // Of `http://127.0.0.1@evil.test` the host is what counts, but nobody writes that in good faith.
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let canonical = |ip: IpAddr| ip.to_canonical().is_loopback();
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(canonical)
}

/// Whether nobody on the way to an address reads what is sent: it is encrypted, or stays on this machine.
pub fn is_secure(address: &str) -> bool {
    address.starts_with("https://") || is_this_machine(address)
}

/// Whether two addresses of this machine are one port: `localhost`, `127.0.0.1` and `[::1]` are one, and a server that
/// listens at every address of the machine is at each of them.
pub fn is_same_place(asked: &str, served: &str) -> bool {
    let port = |address: &str| {
        let full = match address.contains("://") {
            true => address.to_owned(),
            false => format!("http://{address}"),
        };
        let uri = full.parse::<http::Uri>().ok()?;
        let encrypted = uri.scheme_str() == Some("https");
        Some((encrypted, uri.port_u16()?))
    };
    is_this_machine(asked)
        && !asked.starts_with("unix:")
        && port(asked).is_some_and(|asked| Some(asked) == port(served))
}

fn tls_config(tls: &ClientTls) -> Result<ClientTlsConfig, BadOptions> {
    let ClientTls {
        ca,
        certificate,
        key,
    } = tls;
    let config = ClientTlsConfig::new();
    let config = match ca {
        Some(ca) => config.ca_certificate(Certificate::from_pem(certificates(ca)?)),
        None => config.with_native_roots(),
    };
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            Ok(config.identity(Identity::from_pem(certificates(certificate)?, read(key)?)))
        }
        (None, None) => Ok(config),
        (Some(_), None) | (None, Some(_)) => Err(BadOptions(
            "a client certificate and its key go together: give both".into(),
        )),
    }
}

/// The contents of a file that holds certificates. Checked here: a file without any would be taken as no CA at all.
fn certificates(path: &Path) -> Result<Vec<u8>, BadOptions> {
    let pem = read(path)?;
    match CertificateDer::from_pem_slice(&pem) {
        Ok(_) => Ok(pem),
        Err(_) => {
            let path = path.display();
            Err(BadOptions(format!("{path} holds no certificate as PEM")))
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BadOptions> {
    let bad = |why: String| BadOptions(format!("{}: {why}", path.display()));
    let unreadable = |error: io::Error| bad(format!("can't be read: {error}"));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(FILE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    match bytes.len() as u64 > FILE_MAX_BYTES {
        true => Err(bad(format!("is larger than {FILE_MAX_BYTES} bytes"))),
        false => Ok(bytes),
    }
}

/// What TLS says against a connection that failed, for people; `None` where the failure was another.
pub fn tls_problem(status: &Status) -> Option<String> {
    causes(status).find_map(|error| {
        if let Some(error) = error.downcast_ref() {
            return Some(problem(error));
        }
        let error = error.downcast_ref::<io::Error>()?;
        // What is within is not what an `io::Error` calls its source.
        if let Some(error) = error.get_ref().and_then(|within| within.downcast_ref()) {
            return Some(problem(error));
        }
        // With TLS 1.3 the server looks at our certificate when we already send. HTTP/2 keeps of such an error its text.
        let text = error.to_string();
        text.strip_prefix(ALERT).map(refused)
    })
}

fn causes(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let mut next = status.source();
    let causes = std::iter::from_fn(move || {
        let error = next?;
        next = error.source();
        Some(error)
    });
    causes.take(CAUSES_MAX)
}

fn problem(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => {
                "nobody that is trusted here has signed the server's certificate: name its CA with --ca".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("the server's certificate is for another name: {error}")
            }
            // All else is the operator's to mend; the words are those of the check.
            _ => format!("the server's certificate can't be accepted: {error}"),
        },
        rustls::Error::AlertReceived(alert) => refused(&format!("{alert:?}")),
        rustls::Error::InvalidMessage(_) => "the server speaks no TLS: use http://".into(),
        error => format!("TLS failed: {error}"),
    }
}

fn refused(alert: &str) -> String {
    match alert {
        "CertificateRequired" => {
            "the server asks for a client certificate: name one with --cert and --client-key".into()
        }
        alert => format!("the server refused us or our certificate: {alert}"),
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn addresses_are_http_https_or_unix() {
        let plain = ClientTls::default();
        for good in [
            "127.0.0.1:1",
            "localhost:7777",
            "http://[::1]:1",
            "https://example.org",
            "unix:/run/quarterdeck.sock",
            "unix:relative.sock",
            "unix:///run/quarterdeck.sock",
        ] {
            let result = endpoint(good, &plain);
            // A machine without any trusted CA can't speak to strangers by TLS.
            let no_roots = result
                .as_ref()
                .is_err_and(|error| error.0.contains("can't speak TLS"));
            assert!(result.is_ok() || no_roots, "{good}: {result:?}");
        }
        for wrong in [
            "http://not an address",
            "ftp://example.org",
            "unix:",
            "unix://",
        ] {
            assert!(endpoint(wrong, &plain).is_err(), "{wrong}");
        }
    }

    #[test]
    fn tls_files_are_checked_before_the_first_call() {
        let directory = tempfile::tempdir().expect("a directory");
        let empty = directory.path().join("empty.pem");
        fs::write(&empty, "").expect("written");
        let with = |ca: Option<&Path>, certificate: Option<&Path>| ClientTls {
            ca: ca.map(Into::into),
            certificate: certificate.map(Into::into),
            key: None,
        };
        let missing = directory.path().join("missing.pem");
        for (tls, address, expected) in [
            (
                with(Some(&empty), None),
                "https://a:1",
                "holds no certificate",
            ),
            (with(Some(&missing), None), "https://a:1", "can't be read"),
            (with(None, Some(&empty)), "https://a:1", "give both"),
            (
                with(Some(&empty), None),
                "http://a:1",
                "for https:// addresses",
            ),
            (
                with(Some(&empty), None),
                "unix:/a",
                "for https:// addresses",
            ),
        ] {
            let problem = endpoint(address, &tls).expect_err("it is refused").0;
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn a_port_of_this_machine_has_several_names() {
        for same in [
            "http://127.0.0.1:7777",
            "localhost:7777",
            "http://[::1]:7777",
        ] {
            assert!(is_same_place(same, "http://127.0.0.1:7777"), "{same}");
            assert!(is_same_place(same, "http://0.0.0.0:7777"), "{same}");
        }
        for other in [
            "http://127.0.0.1:7778",
            "https://127.0.0.1:7777",
            "http://192.0.2.1:7777",
            "http://127.0.0.1",
            "unix:/run/quarterdeck.sock",
            "",
        ] {
            assert!(!is_same_place(other, "http://127.0.0.1:7777"), "{other}");
        }
    }

    #[test]
    fn a_key_is_sent_by_itself_to_this_machine_alone() {
        for here in [
            "http://127.0.0.1:7777",
            "127.0.0.1:7777",
            "https://127.9.9.9:1",
            "localhost:7777",
            "http://[::1]:7777",
            "[::ffff:127.0.0.1]:1",
            "unix:/run/quarterdeck.sock",
        ] {
            assert!(is_this_machine(here), "{here}");
        }
        for elsewhere in [
            "http://192.0.2.1:7777",
            "http://example.org",
            "http://localhost.example.org",
            "http://127.0.0.1.example.org",
            "http://127.0.0.1@example.org",
            "http://localhost@example.org:7777",
            "http://0.0.0.0:7777",
            "http://[::]:7777",
            "",
            "http://",
            "not an address",
        ] {
            assert!(!is_this_machine(elsewhere), "{elsewhere}");
        }
    }
}
