//! Where a key set may be fetched from: an issuer names the place, and must not send us to a service of our own network.
//!
//! A name is looked up here, and the connection goes to an address that was looked at: there is no second look-up that
//! could say something else. Addresses that the configuration itself names are what it says.

use super::key_set::KeySource;
use anyhow::ensure;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Which addresses may be connected to.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Every address.
    anywhere: bool,
    /// Hosts that the configuration names, as an address of this machine or network.
    named: BTreeSet<String>,
}

// === impl Reach ===

impl Reach {
    /// Public addresses, and what the configuration names or allows.
    pub fn new(source: &KeySource) -> Self {
        let hosts = [&source.issuer, &source.url]
            .into_iter()
            .filter_map(|text| {
                let url = Url::parse(text).ok()?;
                let host = url.host_str()?;
                let spoken = host == "localhost" || literal(host).is_some_and(is_private);
                spoken.then(|| host.to_owned())
            });
        Self {
            anywhere: source.private_addresses,
            named: hosts.collect(),
        }
    }

    /// Refuses an address that is written as one; names are looked at when they are looked up.
    ///
    /// # Errors
    /// It is private, for people.
    pub fn check(&self, url: &Url) -> anyhow::Result<()> {
        let host = url.host_str().unwrap_or_default();
        let private = literal(host).is_some_and(is_private);
        ensure!(
            !private || self.has(host),
            "{host} is a loopback or private address, which keys are fetched from only with jwt_private_addresses"
        );
        Ok(())
    }

    fn has(&self, host: &str) -> bool {
        self.anywhere || self.named.contains(host)
    }

    /// The addresses of a name that may be connected to.
    fn choose(&self, name: &str, found: Vec<SocketAddr>) -> anyhow::Result<Vec<SocketAddr>> {
        if self.has(name) {
            return Ok(found);
        }
        let public: Vec<_> = found
            .into_iter()
            .filter(|it| !is_private(it.ip()))
            .collect();
        ensure!(
            !public.is_empty(),
            "{name} has loopback or private addresses alone, which keys are fetched from only with jwt_private_addresses"
        );
        Ok(public)
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            let name = name.as_str();
            let found = tokio::net::lookup_host((name, 0)).await?.collect();
            let chosen = reach.choose(name, found)?;
            Ok(Box::new(chosen.into_iter()) as Addrs)
        })
    }
}

/// An address that is written as one, as URLs write it.
pub(crate) fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok()
}

/// Whether an address is of this machine, of a network that strangers can't reach, or of nobody.
pub fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_documentation()
        // "This network", what providers share, what tests are made with, and what nobody has.
        || first == 0
        || (first == 100 && second & 0xc0 == 64)
        || (first == 198 && second & 0xfe == 18)
        || first >= 240
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [_, _, _, _, _, _, high, low] = segments;
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_private_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // IPv4 in NAT64, 6to4, and as it was once written.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        [0, 0, 0, 0, 0, 0, ..] => true,
        [first, ..] => {
            address.is_multicast()
                // Unique local, link local, and the site local of before; then documentation.
                || first & 0xfe00 == 0xfc00
                || first & 0xff80 == 0xfe80
                || (first == 0x2001 && segments[1] == 0xdb8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_strangers_cannot_reach_are_private() {
        for private in [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "198.18.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.1.2.3",
            "::10.1.2.3",
            "64:ff9b::a01:203",
            "2002:a01:203::1",
            "fd00::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(is_private(private.parse().expect(private)), "{private}");
        }
        for public in [
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2606:4700::1111",
            "64:ff9b::101:101",
            "2002:101:101::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(!is_private(public.parse().expect(public)), "{public}");
        }
    }

    #[test]
    fn a_private_address_is_reached_only_where_the_configuration_says_so() {
        let reach = |issuer: &str, private_addresses| {
            Reach::new(&KeySource {
                issuer: issuer.into(),
                url: String::new(),
                refresh_min: std::time::Duration::from_secs(1),
                private_addresses,
            })
        };
        let keys = Url::parse("http://127.0.0.1:1/keys").expect("a URL");
        assert!(reach("https://id.example.org", false).check(&keys).is_err());
        assert!(reach("http://127.0.0.1:9", false).check(&keys).is_ok());
        assert!(reach("https://id.example.org", true).check(&keys).is_ok());

        let both = || vec!["10.0.0.1:0".parse().unwrap(), "1.1.1.1:0".parse().unwrap()];
        let strict = reach("https://id.example.org", false);
        assert_eq!(strict.choose("a.test", both()).unwrap(), both()[1..]);
        assert!(strict.choose("a.test", both()[..1].to_vec()).is_err());
        // Also where the issuer itself is known by a name alone: its owner may point it anywhere.
        assert!(
            strict
                .choose("id.example.org", both()[..1].to_vec())
                .is_err()
        );
        let open = reach("https://id.example.org", true);
        assert_eq!(open.choose("a.test", both()).unwrap(), both());
    }
}
