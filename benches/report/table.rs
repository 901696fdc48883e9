//! The report: rows with what was measured, what it stands against, and the target; and figures from samples.

use std::{fmt::Write as _, fs};

/// One line of the report.
#[derive(Clone, Debug)]
pub struct Row {
    /// What, under which load.
    pub what: String,
    /// The gateway's figure.
    pub measured: String,
    /// Floor or peer of the same run, with its figure.
    pub against: String,
    /// The one over the other, so that more is better.
    pub ratio: String,
    /// What was set out to be reached.
    pub target: String,
    /// Whether it was; `None` where the row is only shown.
    pub met: Option<bool>,
}

/// Middle and ends of some samples.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

// === impl Row ===

impl Row {
    /// A row without a target.
    pub fn shown(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            measured: measured.into(),
            against: String::new(),
            ratio: String::new(),
            target: String::new(),
            met: None,
        }
    }

    /// Names what it stands against.
    pub fn against(mut self, against: impl Into<String>, ratio: f64) -> Self {
        self.against = against.into();
        self.ratio = format!("{ratio:.2}");
        self
    }

    /// Names the target.
    pub fn target(mut self, target: impl Into<String>, met: bool) -> Self {
        self.target = target.into();
        self.met = Some(met);
        self
    }
}

// === impl Spread ===

impl Spread {
    /// Of at least one sample.
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self {
            median: samples[samples.len() / 2],
            least: samples[0],
            most: samples[samples.len() - 1],
        }
    }

    /// `median unit [least–most]`.
    pub fn show(&self, unit: &str, digits: usize) -> String {
        let Self {
            median,
            least,
            most,
        } = self;
        format!("{median:.digits$} {unit} [{least:.digits$}–{most:.digits$}]")
    }
}

/// The value below which that part of the samples lies.
pub fn quantile(samples: &mut [u32], part: f64) -> f64 {
    assert!(!samples.is_empty(), "something was measured");
    samples.sort_unstable();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    let place = (samples.len() as f64 * part) as usize;
    f64::from(samples[place.min(samples.len() - 1)])
}

/// The head of the table.
pub const HEAD: &str =
    "| what | measured | floor or peer, same run | ratio | target | |\n|---|---|---|---|---|---|";

/// A row as Markdown.
pub fn markdown(row: &Row) -> String {
    let Row {
        what,
        measured,
        against,
        ratio,
        target,
        met,
    } = row;
    let verdict = match met {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    };
    format!("| {what} | {measured} | {against} | {ratio} | {target} | {verdict} |")
}

/// What the figures were taken on.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| -> String {
        text.lines()
            .find_map(|line| {
                line.strip_prefix(name)?
                    .split_once(':')
                    .map(|(_, value)| value.trim().to_owned())
            })
            .unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!("{cores} cores");
    let _ = write!(text, " ({})", field(&read("/proc/cpuinfo"), "model name"));
    let _ = write!(
        text,
        ", memory {}",
        field(&read("/proc/meminfo"), "MemTotal")
    );
    let _ = write!(
        text,
        ", Linux {}",
        read("/proc/sys/kernel/osrelease").trim()
    );
    let load = read("/proc/loadavg");
    let _ = write!(
        text,
        ", load before the run {}",
        load.split(' ').next().unwrap_or_default()
    );
    text
}
