//! Types of settings: how each is read from text or TOML, and written as TOML.

use crate::{
    agent::isolation::users::UserRange,
    domain::{
        agent::ToolPolicySupport,
        question::NoApprover,
        quotas,
        tool_policy::ToolRule,
        turn::OnInterrupt,
        webhook::{WebhookBusy, WebhookKind},
    },
    telemetry::LogFormat,
};
use secrecy::{ExposeSecret as _, SecretString};
use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

/// A value as given, before anyone knows its type. Numbers and booleans are text here.
#[derive(Clone, PartialEq)]
pub enum Raw {
    /// A scalar.
    Text(String),
    /// An array.
    List(Vec<Raw>),
    /// A table.
    Table(BTreeMap<String, Raw>),
}

/// A type that a key can have. What `write` gives, `read` takes.
pub trait Setting: Sized {
    /// Reads a value; the error says what was expected.
    ///
    /// # Errors
    /// What was expected, for people. Never repeats a value that may be secret.
    fn read(raw: &Raw) -> Result<Self, String>;

    /// The value as TOML, secrets replaced.
    fn write(&self) -> String;
}

/// Ports that may be named for one agent.
const PORTS_MAX: usize = 64;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A number of threads; `auto` leaves one core to drivers and store, and takes at most four. The second part says
/// whether it came from `auto`, so that a printed example doesn't name this machine's cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threads(pub usize, bool);

/// How many of a server's places one tenant may take: `auto` is three quarters of them, 0 all that are not reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TenantPlaces {
    /// Three quarters.
    Auto,
    /// So many; 0 is no bound of its own.
    AtMost(usize),
}

/// Variables for an agent's process. Their values are secrets: `Debug` and `print-config` show names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(pub BTreeMap<String, String>);

/// One secret. Only who exposes it sees it; `Debug` and `print-config` show whether there is one.
#[derive(Clone, Default)]
pub struct Secret(pub SecretString);

/// Where the unix socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketPath {
    /// In the data directory.
    Auto,
    /// Nowhere.
    None,
    /// There.
    At(PathBuf),
}

/// What runs an agent's turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverKind {
    /// The built-in agent.
    Echo,
    /// A pi child process in RPC mode.
    Pi,
    /// A child process that speaks the Agent Client Protocol.
    Acp,
    /// A model of any provider, by our own loop.
    Llm,
    /// A worker on another machine.
    Worker,
}

/// The API by which a model is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiWanted {
    /// The one of a known provider; chat completions of any other.
    Auto,
    /// OpenAI's chat completions, and what is compatible with them.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's messages.
    Anthropic,
    /// Gemini's generateContent.
    Gemini,
}

/// Which isolation of agents is wanted. The greater one promises more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IsolationWanted {
    /// None.
    None,
    /// Rules over files, signals and sockets.
    Landlock,
    /// Namespaces of their own.
    Namespace,
    /// The best that there is; for an agent, what the server has.
    Auto,
}

/// Whose user ids agents have, where the server runs as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentUids {
    /// Their own, of the usual range, where that works.
    Auto,
    /// The server's.
    None,
    /// Their own, of this range.
    Of(UserRange),
}

/// What an agent's processes may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkWanted {
    /// Everything.
    Open,
    /// By TCP these ports alone, of whatever address; never empty, none of them 0.
    Ports(Vec<u16>),
}

// === impl DriverKind ===

impl DriverKind {
    /// Whether its agents keep to rules for tools, as far as that is known before one starts; as the driver itself says.
    pub fn tool_policy(self) -> ToolPolicySupport {
        match self {
            Self::Echo | Self::Acp | Self::Worker => ToolPolicySupport::OnRequest,
            Self::Llm => ToolPolicySupport::Enforced,
            Self::Pi => ToolPolicySupport::None,
        }
    }
}

// === impl Raw ===

impl Raw {
    /// A value from a variable or a flag: TOML where it begins like an array or a table, else text. `[::1]:7777` begins
    /// like an array too.
    pub(super) fn from_text(text: &str) -> Result<Self, String> {
        if !text.starts_with(['[', '{']) || text.parse::<SocketAddr>().is_ok() {
            return Ok(Self::Text(text.to_owned()));
        }
        let value = toml::de::DeValue::parse(text)
            .map_err(|error| format!("not a TOML value: {}", error.message()))?;
        Self::from_toml(value.get_ref())
    }

    /// A value from a file.
    pub(super) fn from_toml(value: &toml::de::DeValue<'_>) -> Result<Self, String> {
        use toml::de::DeValue;
        Ok(match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => {
                Self::Text(number.as_str().to_owned())
            }
            DeValue::Integer(_) => return Err("write numbers with the digits 0 to 9".into()),
            DeValue::Float(number) => Self::Text(number.as_str().to_owned()),
            DeValue::Boolean(value) => Self::Text(value.to_string()),
            DeValue::Datetime(_) => return Err("no setting is a date".into()),
            DeValue::Array(values) => Self::List(
                values
                    .iter()
                    .map(|value| Self::from_toml(value.get_ref()))
                    .collect::<Result<_, _>>()?,
            ),
            DeValue::Table(entries) => Self::Table(
                entries
                    .iter()
                    .map(|(name, value)| {
                        Ok((
                            name.get_ref().to_string(),
                            Self::from_toml(value.get_ref())?,
                        ))
                    })
                    .collect::<Result<_, String>>()?,
            ),
        })
    }

    fn text(&self, expected: &str) -> Result<&str, String> {
        match self {
            Self::Text(text) => Ok(text),
            Self::List(_) | Self::Table(_) => Err(format!("expected {expected}")),
        }
    }
}

// === impl Threads ===

impl Threads {
    /// That many.
    pub const fn exactly(threads: usize) -> Self {
        Self(threads, false)
    }
}

// === impl TenantPlaces ===

impl TenantPlaces {
    /// How many these are where there are `all`, of which one tenant may have no more than `most`.
    pub fn of(self, all: usize, most: usize) -> usize {
        match self {
            Self::Auto => quotas::share(all).min(most),
            Self::AtMost(0) => most,
            Self::AtMost(places) => places.min(most),
        }
    }
}

// === impl Setting ===

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Setting for String {
    fn read(raw: &Raw) -> Result<Self, String> {
        raw.text("a text").map(ToOwned::to_owned)
    }

    fn write(&self) -> String {
        quoted(self)
    }
}

impl Setting for PathBuf {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text("a path")? {
            "" => Err("expected a path, found an empty text".into()),
            path => Ok(path.into()),
        }
    }

    fn write(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Setting for ToolRule {
    fn read(raw: &Raw) -> Result<Self, String> {
        Self::parse(raw.text("a rule such as \"deny bash\"")?)
    }

    fn write(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for Option<PathBuf> {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text("a path, or an empty text for none")? {
            "" => Ok(None),
            path => Ok(Some(path.into())),
        }
    }

    fn write(&self) -> String {
        self.as_ref().map_or_else(|| quoted(""), PathBuf::write)
    }
}

impl Setting for SocketPath {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text("a path, auto or none")? {
            "auto" => Ok(Self::Auto),
            "none" | "" => Ok(Self::None),
            path => Ok(Self::At(path.into())),
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Auto => quoted("auto"),
            Self::None => quoted("none"),
            Self::At(path) => path.write(),
        }
    }
}

impl Setting for AgentUids {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text("a range of user ids, auto or none")? {
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            range => {
                let problem = |problem| format!("{problem}; or auto or none");
                range.parse().map(Self::Of).map_err(problem)
            }
        }
    }

    fn write(&self) -> String {
        match self {
            Self::Auto => quoted("auto"),
            Self::None => quoted("none"),
            Self::Of(range) => quoted(&range.to_string()),
        }
    }
}

impl Setting for NetworkWanted {
    fn read(raw: &Raw) -> Result<Self, String> {
        let expected =
            || format!("expected open, or {{ ports = [443] }} with 1 to {PORTS_MAX} ports");
        let entries = match raw {
            Raw::Text(word) if word == "open" => return Ok(Self::Open),
            Raw::Table(entries) => entries,
            Raw::Text(_) | Raw::List(_) => return Err(expected()),
        };
        let ports = match (entries.get("ports"), entries.len()) {
            (Some(Raw::List(ports)), 1) if (1..=PORTS_MAX).contains(&ports.len()) => ports,
            _ => return Err(expected()),
        };
        let port = |raw: &Raw| {
            let port = raw.text("a port").ok()?.parse().ok()?;
            (port > 0).then_some(port)
        };
        let ports: Option<Vec<u16>> = ports.iter().map(port).collect();
        ports.map(Self::Ports).ok_or_else(expected)
    }

    fn write(&self) -> String {
        match self {
            Self::Open => quoted("open"),
            Self::Ports(ports) => {
                let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
                format!("{{ ports = [{}] }}", ports.join(", "))
            }
        }
    }
}

impl Setting for SocketAddr {
    fn read(raw: &Raw) -> Result<Self, String> {
        let expected = "an address and port such as 127.0.0.1:7777 or [::1]:7777";
        let text = raw.text(expected)?;
        text.parse()
            .map_err(|_| format!("expected {expected}, found `{text}`"))
    }

    fn write(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for bool {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text("true or false")? {
            "true" => Ok(true),
            "false" => Ok(false),
            text => Err(format!("expected true or false, found `{text}`")),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Setting for u64 {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = raw.text("a whole number")?;
        text.replace('_', "")
            .parse()
            .map_err(|_| format!("expected a whole number, found `{text}`"))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Setting for usize {
    fn read(raw: &Raw) -> Result<Self, String> {
        Self::try_from(u64::read(raw)?).map_err(|_| "larger than this machine can count".into())
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Setting for Duration {
    fn read(raw: &Raw) -> Result<Self, String> {
        let expected = "a duration such as 500ms, 30s, 10m or 1h";
        let text = raw.text(expected)?;
        humantime::parse_duration(text).map_err(|_| format!("expected {expected}, found `{text}`"))
    }

    fn write(&self) -> String {
        quoted(&humantime::format_duration(*self).to_string())
    }
}

impl Setting for Option<Duration> {
    fn read(raw: &Raw) -> Result<Self, String> {
        if *raw == Raw::Text("never".into()) {
            return Ok(None);
        }
        Duration::read(raw)
            .map(Some)
            .map_err(|problem| format!("{problem}; or never"))
    }

    fn write(&self) -> String {
        self.map_or_else(|| quoted("never"), |duration| duration.write())
    }
}

impl Setting for Option<SocketAddr> {
    fn read(raw: &Raw) -> Result<Self, String> {
        if *raw == Raw::Text("none".into()) {
            return Ok(None);
        }
        SocketAddr::read(raw)
            .map(Some)
            .map_err(|problem| format!("{problem}; or none"))
    }

    fn write(&self) -> String {
        self.map_or_else(|| quoted("none"), |address| address.write())
    }
}

const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

impl Setting for Size {
    fn read(raw: &Raw) -> Result<Self, String> {
        let expected = "a size such as 65536, 64KiB, 64MiB or 1GiB";
        let text = raw.text(expected)?;
        let (number, shift) = UNITS
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
            .unwrap_or((text, 0));
        number
            .trim_end()
            .replace('_', "")
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(1 << shift))
            .map(Self)
            .ok_or_else(|| format!("expected {expected}, found `{text}`"))
    }

    fn write(&self) -> String {
        let unit = UNITS
            .iter()
            .find(|(_, shift)| self.0 > 0 && self.0.is_multiple_of(1 << shift));
        match unit {
            Some((unit, shift)) => quoted(&format!("{}{unit}", self.0 >> shift)),
            None => self.0.to_string(),
        }
    }
}

impl Setting for Threads {
    fn read(raw: &Raw) -> Result<Self, String> {
        if *raw == Raw::Text("auto".into()) {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            return Ok(Self(cores.saturating_sub(1).clamp(1, 4), true));
        }
        usize::read(raw)
            .map(Self::exactly)
            .map_err(|problem| format!("{problem}; or auto"))
    }

    fn write(&self) -> String {
        match self.1 {
            true => quoted("auto"),
            false => self.0.to_string(),
        }
    }
}

impl Setting for TenantPlaces {
    fn read(raw: &Raw) -> Result<Self, String> {
        if *raw == Raw::Text("auto".into()) {
            return Ok(Self::Auto);
        }
        usize::read(raw)
            .map(Self::AtMost)
            .map_err(|problem| format!("{problem}; or auto"))
    }

    fn write(&self) -> String {
        match self {
            Self::Auto => quoted("auto"),
            Self::AtMost(places) => places.to_string(),
        }
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::List(values) => values.iter().map(T::read).collect(),
            Raw::Text(_) | Raw::Table(_) => Err("expected a list such as [\"a\", \"b\"]".into()),
        }
    }

    fn write(&self) -> String {
        let values: Vec<String> = self.iter().map(T::write).collect();
        format!("[{}]", values.join(", "))
    }
}

impl Setting for Secrets {
    fn read(raw: &Raw) -> Result<Self, String> {
        let Raw::Table(entries) = raw else {
            return Err("expected a table such as { NAME = \"value\" }".into());
        };
        let mut secrets = BTreeMap::new();
        for (name, value) in entries {
            let Raw::Text(value) = value else {
                return Err(format!("the value of {name} must be a text"));
            };
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(format!("{name:?} can't be an environment variable"));
            }
            secrets.insert(name.clone(), value.clone());
        }
        Ok(Self(secrets))
    }

    fn write(&self) -> String {
        if self.0.is_empty() {
            return "{}".into();
        }
        let names: Vec<String> = self
            .0
            .keys()
            .map(|name| format!("{} = \"(set)\"", quoted(name)))
            .collect();
        format!("{{ {} }}", names.join(", "))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl Secret {
    /// Whether none is given.
    pub fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }
}

impl Setting for Secret {
    fn read(raw: &Raw) -> Result<Self, String> {
        // A header's value, in the end.
        match raw.text("a text")? {
            text if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(text.into())),
            _ => Err("must have visible ASCII characters only".into()),
        }
    }

    fn write(&self) -> String {
        quoted(match self.0.expose_secret() {
            "" => "",
            _ => "(set)",
        })
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.write())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for Secret {}

/// A type whose values are words.
macro_rules! words {
    ($type:ty { $($value:path = $word:literal),+ }) => {
        impl Setting for $type {
            fn read(raw: &Raw) -> Result<Self, String> {
                let expected = [$($word),+].join(" or ");
                match raw.text(&expected)? {
                    $($word => Ok($value),)+
                    text => Err(format!("expected {expected}, found `{text}`")),
                }
            }

            fn write(&self) -> String {
                quoted(self.name())
            }
        }

        impl $type {
            /// The word that stands for it.
            pub fn name(&self) -> &'static str {
                match self {
                    $($value => $word,)+
                }
            }
        }
    };
}

words!(DriverKind {
    DriverKind::Echo = "echo",
    DriverKind::Pi = "pi",
    DriverKind::Acp = "acp",
    DriverKind::Llm = "llm",
    DriverKind::Worker = "worker"
});
words!(ApiWanted {
    ApiWanted::Auto = "auto",
    ApiWanted::Chat = "chat",
    ApiWanted::Responses = "responses",
    ApiWanted::Anthropic = "anthropic",
    ApiWanted::Gemini = "gemini"
});
words!(LogFormat { LogFormat::Text = "text", LogFormat::Json = "json" });
words!(IsolationWanted {
    IsolationWanted::Auto = "auto",
    IsolationWanted::Namespace = "namespace",
    IsolationWanted::Landlock = "landlock",
    IsolationWanted::None = "none"
});
words!(WebhookKind {
    WebhookKind::Standard = "standard",
    WebhookKind::Github = "github",
    WebhookKind::Stripe = "stripe",
    WebhookKind::Slack = "slack",
    WebhookKind::Linear = "linear",
    WebhookKind::Pi = "pi"
});
words!(WebhookBusy { WebhookBusy::Enqueue = "enqueue", WebhookBusy::Reject = "reject" });
words!(NoApprover { NoApprover::Wait = "wait", NoApprover::Deny = "deny" });
words!(OnInterrupt { OnInterrupt::Mark = "mark", OnInterrupt::Retry = "retry" });

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read<T: Setting>(text: &str) -> Result<T, String> {
        T::read(&Raw::from_text(text)?)
    }

    #[test]
    fn sizes_take_units_and_refuse_what_does_not_fit() {
        assert_eq!(read::<Size>("64MiB"), Ok(Size(64 << 20)));
        assert_eq!(read::<Size>("1_024"), Ok(Size(1024)));
        for wrong in ["64MB", "-1", "", "99999999999TiB", "1.5GiB"] {
            assert!(read::<Size>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_network_is_open_or_some_ports() {
        for (text, expected) in [
            ("open", NetworkWanted::Open),
            (
                "{ ports = [443, 8080] }",
                NetworkWanted::Ports(vec![443, 8080]),
            ),
        ] {
            assert_eq!(read(text), Ok(expected.clone()), "{text}");
            let shown = expected.write();
            let again = read::<NetworkWanted>(shown.trim_matches('"'));
            assert_eq!(again, Ok(expected), "{shown}");
        }
        for wrong in [
            "closed",
            "[443]",
            "{ ports = [] }",
            "{ ports = [0] }",
            "{ ports = [65536] }",
            "{ ports = 443 }",
            "{ port = [443] }",
            "{ ports = [443], more = [1] }",
        ] {
            let problem = read::<NetworkWanted>(wrong).expect_err(wrong);
            assert!(problem.contains("ports = [443]"), "{problem}");
        }
    }

    #[test]
    fn secrets_show_their_names_only() {
        let secrets: Secrets = read(r#"{ TOKEN = "hunter2" }"#).expect("a table");
        assert_eq!(secrets.0["TOKEN"], "hunter2");
        assert!(!format!("{secrets:?} {}", secrets.write()).contains("hunter2"));
        let problem = read::<Secrets>(r#"["hunter2"]"#).expect_err("a list");
        assert!(!problem.contains("hunter2"));
        let secret: Secret = read("hunter2").expect("a text");
        assert_eq!(secret.0.expose_secret(), "hunter2");
        assert_eq!(
            format!("{secret:?} {}", secret.write()),
            r#""(set)" "(set)""#
        );
        let problem = read::<Secret>("hunter2 hunter3").expect_err("a blank");
        assert!(!problem.contains("hunter"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes in any::<u64>(), seconds in 0u64..1_000_000_000, text in "\\PC{0,20}") {
            fn again<T: Setting + Clone>(value: &T) -> T {
                let line = format!("x = {}", value.write());
                let table = toml::de::DeTable::parse(&line).expect("TOML");
                T::read(&Raw::from_toml(table.get_ref()["x"].get_ref()).expect("a value")).expect("the same")
            }
            prop_assert_eq!(again(&Size(bytes)), Size(bytes));
            prop_assert_eq!(again(&Duration::from_secs(seconds)), Duration::from_secs(seconds));
            prop_assert_eq!(again(&vec![text.clone()]), vec![text]);
        }
    }
}
