//! Origins of web pages, as a setting.

use super::setting::{Raw, Setting};
use http::Uri;

/// An origin as browsers send it: `https://host`, with a port where it isn't the scheme's own. Compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

// === impl Origin ===

impl Origin {
    /// The origin, which fits a header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Setting for Origin {
    fn read(raw: &Raw) -> Result<Self, String> {
        let expected = "an origin such as https://console.example.com or http://localhost:5173";
        let text = String::read(raw).map_err(|_| format!("expected {expected}"))?;
        let wrong = || format!("expected {expected}, found `{text}`");
        let uri = Uri::try_from(text.as_str()).map_err(|_| wrong())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong());
        };
        let own_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => return Err(wrong()),
        };
        // No path, no credentials, no capitals, nothing that `Uri` adds or takes away.
        let exact = format!("{scheme}://{authority}");
        let plain = !authority.as_str().contains(['@', '*']) && !authority.host().is_empty();
        if exact != text || text != text.to_ascii_lowercase() || !plain {
            return Err(wrong());
        }
        if authority.as_str().ends_with(own_port) {
            return Err(format!("browsers leave {own_port} out, found `{text}`"));
        }
        Ok(Self(text))
    }

    fn write(&self) -> String {
        self.0.write()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_listed_as_browsers_send_it_or_not_at_all() {
        let read = |text: &str| Origin::read(&Raw::Text(text.into()));
        for right in [
            "https://console.example.com",
            "http://localhost:5173",
            "http://[::1]:8080",
            "https://10.0.0.1:444",
        ] {
            assert_eq!(read(right).expect("an origin").as_str(), right);
        }
        for wrong in [
            "",
            "*",
            "null",
            "console.example.com",
            "https://",
            "https://*.example.com",
            "https://console.example.com/",
            "https://console.example.com/app",
            "https://Console.example.com",
            "HTTPS://console.example.com",
            "https://console.example.com:443",
            "http://localhost:80",
            "https://user@console.example.com",
            "https://console.example.com?x",
            "ws://console.example.com",
            "file://x",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
