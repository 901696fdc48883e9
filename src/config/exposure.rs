//! Whether a server may be reached as it is configured: open to nobody but this machine, or else it knows who calls and
//! nobody reads along.

use std::net::SocketAddr;

/// A server that would be open to those who must not reach it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Exposed {
    /// The setting that opens it.
    pub key: &'static str,
    /// What is open to whom, and what to set instead.
    pub problem: String,
}

/// The rule. The unix socket needs none: it is open to the server's own user alone.
pub(super) fn check(
    listen: SocketAddr,
    no_auth: bool,
    tls: bool,
    insecure_behind_proxy: bool,
) -> Result<(), Exposed> {
    let exposed = |key, problem| Err(Exposed { key, problem });
    if no_auth && insecure_behind_proxy {
        // A proxy passes on what comes from everywhere, and to us all of it comes from this machine.
        return exposed(
            "no_auth",
            "with insecure_behind_proxy everyone who reaches the proxy could do everything; \
             set no_auth = false and give the callers keys"
                .into(),
        );
    }
    // `::ffff:127.0.0.1` is loopback too.
    if listen.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    if no_auth {
        return exposed(
            "no_auth",
            format!(
                "with listen = {listen} everyone on the network could do everything; \
                 listen on 127.0.0.1, or set no_auth = false and give the callers keys"
            ),
        );
    }
    if !tls && !insecure_behind_proxy {
        return exposed(
            "listen",
            format!(
                "{listen} is reachable from other machines, and keys and prompts would cross the network in the clear; \
                 set tls_certificate and tls_key, or listen on 127.0.0.1, or put a proxy in front that encrypts and set \
                 insecure_behind_proxy = true"
            ),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_beyond_loopback_needs_authentication_and_encryption() {
        const LOCAL: [&str; 4] = [
            "127.0.0.1:0",
            "127.9.9.9:1",
            "[::1]:7777",
            "[::ffff:127.0.0.1]:1",
        ];
        const REMOTE: [&str; 5] = [
            "0.0.0.0:0",
            "[::]:0",
            "192.0.2.1:7777",
            "[2001:db8::1]:1",
            "[::ffff:0.0.0.0]:1",
        ];
        let (ok, no_auth, listen) = (None, Some("no_auth"), Some("listen"));
        // no_auth, tls, insecure_behind_proxy; what is refused on loopback, and beyond it.
        for (case, on_loopback, beyond) in [
            ((false, false, false), ok, listen),
            ((false, false, true), ok, ok),
            ((false, true, false), ok, ok),
            ((false, true, true), ok, ok),
            ((true, false, false), ok, no_auth),
            ((true, false, true), no_auth, no_auth),
            ((true, true, false), ok, no_auth),
            ((true, true, true), no_auth, no_auth),
        ] {
            let (open, tls, proxy) = case;
            for (addresses, expected) in [(&LOCAL[..], on_loopback), (&REMOTE[..], beyond)] {
                for address in addresses {
                    let result = check(address.parse().unwrap(), open, tls, proxy);
                    let refused = result.err().map(|exposed| exposed.key);
                    assert_eq!(refused, expected, "{address} {case:?}");
                }
            }
        }
    }
}
