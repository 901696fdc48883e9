//! Who is at the other end of a connection: the facts that a socket and a handshake prove, and nothing that a peer says.

use rustls::pki_types::CertificateDer;
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

/// Bits of an IPv6 address below its network; one party has them all.
const HOST_BITS: u32 = 64;

/// Request extension, as `Arc<Peer>`: who is at the other end of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Over the network.
    Tcp {
        /// Where it comes from; behind a proxy that is the proxy.
        address: SocketAddr,
        /// What the handshake proved; `None` where the connection is not encrypted.
        tls: Option<PeerTls>,
    },
    /// Over the unix socket, with what the kernel says of the process that connected.
    Unix {
        /// Its user.
        uid: u32,
        /// Its group.
        gid: u32,
        /// Its process id, where the kernel tells.
        pid: Option<i32>,
        /// Whether this process started it, as it does agents and all that they start; true where that can't be told.
        started_here: bool,
    },
}

/// What a TLS handshake proved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerTls {
    /// The chain that the client showed, its own certificate first. It was verified against `tls_client_ca`; empty where
    /// the client showed none.
    pub certificates: Vec<CertificateDer<'static>>,
}

// === impl Peer ===

impl Peer {
    /// The address by which a peer is counted; `None` over the unix socket.
    pub fn counted_address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp { address, tls: _ } => Some(counted(address.ip())),
            Self::Unix { .. } => None,
        }
    }

    /// The same for people, with a name for the unix socket.
    pub fn counted_name(&self) -> String {
        match self {
            Self::Tcp { address, tls: _ } => counted(address.ip()).to_string(),
            Self::Unix { uid, .. } => format!("unix socket (user {uid})"),
        }
    }

    /// True where nobody between can read or change what is sent.
    pub fn is_private(&self) -> bool {
        match self {
            Self::Tcp { address: _, tls } => tls.is_some(),
            Self::Unix { .. } => true,
        }
    }

    /// The verified chain of a client certificate, the client's own first; empty where there is none.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        match self {
            Self::Tcp { tls: Some(tls), .. } => &tls.certificates,
            Self::Tcp { tls: None, .. } | Self::Unix { .. } => &[],
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, tls: _ } => address.fmt(f),
            Self::Unix {
                uid,
                gid: _,
                pid,
                started_here: _,
            } => match pid {
                Some(pid) => write!(f, "unix socket (user {uid}, process {pid})"),
                None => write!(f, "unix socket (user {uid})"),
            },
        }
    }
}

/// The address that stands for all from which the same party can call: an IPv4 address however it is written, and the
/// /64 network of an IPv6 address.
pub fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & (u128::MAX << HOST_BITS);
            Ipv6Addr::from(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GHSA-5847-rm3g-23mw: a limit by address is none where one party has many spellings of its own.
    #[test]
    fn one_party_is_counted_under_one_address() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("2001:db8:1:2::1", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::"),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(counted(address).to_string(), expected, "{address}");
        }
    }
}
