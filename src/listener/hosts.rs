//! Which names a request may call the server by.
//!
//! A page in a browser can make a name of its own point at this machine (DNS rebinding) and then talk to a server here
//! as if it were its own. The browser still says that name. So a request that names anybody else is refused, on loopback
//! too. Over the unix socket no browser comes; there any name will do.

use http::{HeaderMap, Uri, header, uri::Authority};
use std::net::IpAddr;
use std::sync::Arc;

/// The names of one connection.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    /// The address that is listened at, which may be the unspecified one.
    pub(super) bound: IpAddr,
    /// The address that the peer has connected to.
    pub(super) local: IpAddr,
    /// `allowed_hosts`.
    pub(super) allowed: Arc<[String]>,
    /// Names and addresses in the certificate that the peer was shown.
    pub(super) certificate: Arc<[String]>,
}

// === impl Hosts ===

impl Hosts {
    /// Whom a request with this target and these headers means instead of us; empty where it names nobody. `None`:
    /// it names somebody, and nobody else than us.
    pub(super) fn foreign(&self, target: &Uri, headers: &HeaderMap) -> Option<String> {
        let mut named = false;
        if let Some(authority) = target.authority() {
            named = true;
            if !self.is_ours(authority) {
                return Some(authority.to_string());
            }
        }
        for host in headers.get_all(header::HOST) {
            named = true;
            match Authority::try_from(host.as_bytes()) {
                Ok(authority) if self.is_ours(&authority) => {}
                Ok(_) | Err(_) => return Some(String::from_utf8_lossy(host.as_bytes()).into()),
            }
        }
        (!named).then(String::new)
    }

    fn is_ours(&self, authority: &Authority) -> bool {
        // `user@host`: no client of ours writes it, and what it hides is the host.
        if authority.as_str().contains('@') {
            return false;
        }
        // The port is not looked at: it may be forwarded, and it is not what a foreign page is told by.
        let host = authority.host();
        let listed = |host: &str| {
            let mut names = self.allowed.iter().chain(self.certificate.iter());
            names.any(|name| matches(name, host))
        };
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) => {
                let address = address.to_canonical();
                // An address can't be rebound. Where nothing says what the server is called, addresses are all there
                // is: the one behind a mapped port can't be known here.
                let any = !self.bound.to_canonical().is_loopback()
                    && self.allowed.is_empty()
                    && self.certificate.is_empty();
                any || address.is_loopback()
                    || address == self.bound.to_canonical()
                    || address == self.local.to_canonical()
                    || listed(&address.to_string())
            }
            Err(_) => {
                let host = host.strip_suffix('.').unwrap_or(host);
                host.eq_ignore_ascii_case("localhost") || listed(host)
            }
        }
    }
}

/// True for the same name, or where `*.` stands for the name's first label.
fn matches(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(bound: &str, local: &str, allowed: &[&str], certificate: &[&str]) -> Hosts {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Hosts {
            bound: bound.parse().unwrap(),
            local: local.parse().unwrap(),
            allowed: list(allowed),
            certificate: list(certificate),
        }
    }

    fn are_meant(hosts: &Hosts, target: &Uri, headers: &HeaderMap) -> bool {
        hosts.foreign(target, headers).is_none()
    }

    fn means(hosts: &Hosts, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        let by_header = are_meant(hosts, &Uri::from_static("/"), &headers);
        if let Ok(target) = format!("http://{host}/").parse() {
            let by_target = are_meant(hosts, &target, &HeaderMap::new());
            assert_eq!(by_header, by_target, "{host}");
        }
        by_header
    }

    #[test]
    fn a_request_must_call_us_by_a_name_of_ours() {
        let loopback = hosts("127.0.0.1", "127.0.0.1", &[], &[]);
        let behind_proxy = hosts("0.0.0.0", "192.0.2.7", &["agents.example.org"], &[]);
        let certified = hosts("::", "2001:db8::7", &[], &["*.example.org", "198.51.100.1"]);
        let nameless = hosts("0.0.0.0", "192.0.2.7", &[], &[]);
        for (case, hosts, ours, foreign) in [
            (
                "loopback",
                loopback,
                &[
                    "127.0.0.1:7777",
                    "127.1.2.3",
                    "[::1]:7777",
                    "[::ffff:127.0.0.1]",
                    "localhost",
                    "LocalHost:1",
                    "localhost.:7777",
                ][..],
                &[
                    "evil.test",
                    "evil.test:7777",
                    "localhost.evil.test",
                    "127.0.0.1.evil.test",
                    "192.0.2.1",
                    "0.0.0.0:7777",
                    "user@localhost",
                    "localhost@evil.test",
                    "",
                    ":7777",
                    "a b",
                ][..],
            ),
            (
                "behind a proxy",
                behind_proxy,
                &[
                    "agents.example.org",
                    "AGENTS.example.org.:443",
                    "192.0.2.7:7777",
                    "127.0.0.1",
                ],
                &[
                    "example.org",
                    "evil.test",
                    "192.0.2.8",
                    "x.agents.example.org",
                ],
            ),
            (
                "with a certificate",
                certified,
                &[
                    "a.example.org",
                    "198.51.100.1",
                    "[2001:db8::7]:7777",
                    "localhost",
                ],
                &[
                    "example.org",
                    "a.b.example.org",
                    ".example.org",
                    "198.51.100.2",
                ],
            ),
            (
                "without any name",
                nameless,
                &["203.0.113.9:30777", "[2001:db8::1]", "localhost"],
                &["evil.test", "printer"],
            ),
        ] {
            for host in ours {
                assert!(means(&hosts, host), "{case}: {host} is ours");
            }
            for host in foreign {
                assert!(!means(&hosts, host), "{case}: {host} is foreign");
            }
        }
    }

    #[test]
    fn a_request_that_names_nobody_or_two_is_refused() {
        let hosts = hosts("127.0.0.1", "127.0.0.1", &[], &[]);
        let ours: Uri = "http://localhost/".parse().unwrap();
        let foreign: Uri = "http://evil.test/".parse().unwrap();
        let nobody = HeaderMap::new();
        let mut two = HeaderMap::new();
        two.append(header::HOST, "localhost".parse().unwrap());
        two.append(header::HOST, "evil.test".parse().unwrap());
        let mut one = HeaderMap::new();
        one.append(header::HOST, "localhost".parse().unwrap());
        assert!(are_meant(&hosts, &ours, &nobody));
        assert!(are_meant(&hosts, &ours, &one));
        assert!(!are_meant(&hosts, &Uri::from_static("/"), &nobody));
        assert!(!are_meant(&hosts, &foreign, &one));
        assert!(!are_meant(&hosts, &ours, &two));
    }
}
