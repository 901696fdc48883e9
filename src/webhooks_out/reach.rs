//! Where deliveries may go: an address is a caller's to name, and must not lead to a service of our own network.
//!
//! A name is looked up here, and the connection goes to an address that was looked at: there is no second look-up that could
//! say something else. Literal addresses are looked at as they are written; redirects are not followed.

use crate::{
    auth::reach::{is_private, literal},
    domain::webhooks_out::URL_MAX_BYTES,
};
use futures_util::future::BoxFuture;
use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};

/// Time for looking a name up before a webhook is made.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(3);

/// Looks a name up.
type LookUp = Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Which addresses may be called.
#[derive(Clone)]
pub struct Reach {
    private_addresses: bool,
    look_up: LookUp,
}

// === impl Reach ===

impl Reach {
    /// Public addresses, or all of them.
    pub fn new(private_addresses: bool) -> Self {
        let look_up = |name: String| -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
        };
        Self {
            private_addresses,
            look_up: Arc::new(look_up),
        }
    }

    /// Reads an address that a caller names.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub async fn read(&self, text: &str) -> Result<Url, String> {
        let url = self.parse(text)?;
        let name = url.host_str().unwrap_or_default();
        if literal(name).is_some() {
            return Ok(url);
        }
        let found = (self.look_up)(name.to_owned());
        // One that is not known now may be later.
        if let Ok(Ok(found)) = tokio::time::timeout(LOOK_UP_TIMEOUT, found).await
            && !found.is_empty()
        {
            self.choose(name, found)
                .map_err(|error| error.to_string())?;
        }
        Ok(url)
    }

    /// Reads an address without looking its name up.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(&self, text: &str) -> Result<Url, String> {
        if text.len() > URL_MAX_BYTES {
            return Err(format!("must be at most {URL_MAX_BYTES} bytes"));
        }
        let url = Url::parse(text)
            .map_err(|_| "must be an address such as https://example.org/hook".to_owned())?;
        match url.scheme() {
            "https" => {}
            "http" if self.private_addresses => {}
            "http" => {
                return Err(
                    "must be https; http is taken only with webhook_private_addresses".into(),
                );
            }
            _ => return Err("must begin with https://".into()),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(
                "must have no user and no password; deliveries are signed with the webhook's secrets"
                    .into(),
            );
        }
        if url.fragment().is_some() {
            return Err("must have no fragment".into());
        }
        let host = url.host_str().unwrap_or_default();
        if host.is_empty() {
            return Err("must name a host".into());
        }
        if literal(host).is_some_and(is_private) && !self.private_addresses {
            return Err(private(host));
        }
        Ok(url)
    }

    /// The addresses of a name that may be connected to.
    fn choose(&self, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, NotPublic> {
        if self.private_addresses {
            return Ok(found);
        }
        // One that is private is one too many: nobody has such a name by chance.
        match found.iter().all(|it| !is_private(it.ip())) {
            true => Ok(found),
            false => Err(NotPublic(private(name))),
        }
    }
}

fn private(host: &str) -> String {
    format!(
        "{host} is an address of this machine or of a private network, which is called only with webhook_private_addresses"
    )
}

/// A name leads to a private address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotPublic(String);

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            let name = name.as_str().to_owned();
            let found = (reach.look_up)(name.clone()).await?;
            let chosen = reach.choose(&name, found)?;
            Ok(Box::new(chosen.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn strict() -> Reach {
        Reach::new(false)
    }

    #[test]
    fn addresses_of_private_networks_are_refused_however_they_are_written() {
        for refused in [
            "https://127.0.0.1/hook",
            "https://127.1/hook",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://10.0.0.8:8443/",
            "https://169.254.169.254/latest/meta-data/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[fe80::1]/",
            "https://[fd00::1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:a00:1::]/",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
        ] {
            let problem = strict().parse(refused).expect_err(refused);
            assert!(problem.contains("webhook_private_addresses"), "{problem}");
            assert!(Reach::new(true).parse(refused).is_ok(), "{refused}");
        }
        for refused in [
            "http://example.org/",
            "ftp://example.org/",
            "file:///etc/passwd",
            "https://anna:secret@example.org/",
            "https://example.org/#part",
            "https://",
            "example.org",
            "",
        ] {
            assert!(strict().parse(refused).is_err(), "{refused}");
        }
        assert!(strict().parse("https://example.org:8443/a?b=c").is_ok());
        assert!(strict().parse("https://1.1.1.1/").is_ok());
        let long = format!("https://example.org/{}", "x".repeat(URL_MAX_BYTES));
        assert!(strict().parse(&long).is_err());
    }

    /// A name that leads to a public address when the webhook is made, and to this machine afterwards.
    #[tokio::test]
    async fn a_name_that_changes_its_mind_is_refused_at_the_connection() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let reach = Reach {
            private_addresses: false,
            look_up: Arc::new(move |_| {
                let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
                let address = if first { "1.1.1.1:0" } else { "127.0.0.1:0" };
                Box::pin(async move { Ok(vec![address.parse().expect("an address")]) })
            }),
        };
        let url = reach.read("https://rebinds.example/").await;
        assert!(url.is_ok());
        let name: Name = "rebinds.example".parse().expect("a name");
        assert!(reach.resolve(name).await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        // And one that is public and private at once.
        let both = vec![
            "1.1.1.1:0".parse().expect("an address"),
            "[::ffff:10.0.0.1]:0".parse().expect("an address"),
        ];
        assert!(strict().choose("both.example", both.clone()).is_err());
        assert_eq!(Reach::new(true).choose("x", both.clone()).ok(), Some(both));
        let refused = strict().read("https://localhost/").await;
        assert!(refused.is_err_and(|it| it.contains("private network")));
    }
}
