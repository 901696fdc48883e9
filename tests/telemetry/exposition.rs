//! A strict reader of Prometheus' text format 0.0.4.

use std::collections::{BTreeMap, HashMap, HashSet};

/// Labels, and the value.
type Sample = (BTreeMap<String, String>, f64);

/// Everything that a scrape told.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    /// Samples by name, with their labels.
    samples: HashMap<String, Vec<Sample>>,
    kinds: HashMap<String, String>,
}

// === impl Exposition ===

impl Exposition {
    /// Reads a text.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut read = Self::default();
        let mut helped = HashSet::new();
        let mut series = HashSet::new();
        if !text.ends_with('\n') {
            return Err("does not end with a line feed".into());
        }
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest
                    .split_once(' ')
                    .ok_or_else(|| format!("no help: {line}"))?;
                if help.is_empty() || !helped.insert(name.to_owned()) {
                    return Err(format!("help is empty or stands twice: {line}"));
                }
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest
                    .split_once(' ')
                    .ok_or_else(|| format!("no type: {line}"))?;
                let known = ["counter", "gauge", "histogram"].contains(&kind);
                let twice = read.kinds.insert(name.into(), kind.into()).is_some();
                if !known || twice || !helped.contains(name) {
                    return Err(format!(
                        "type is unknown, stands twice, or has no help: {line}"
                    ));
                }
            } else {
                let (name, labels, value) =
                    sample(line).ok_or_else(|| format!("no sample: {line}"))?;
                let family = read
                    .family(&name)
                    .ok_or_else(|| format!("no type before: {line}"))?;
                if family.1 == "counter" && !name.ends_with("_total") {
                    return Err(format!("counters end with _total: {line}"));
                }
                if !series.insert((name.clone(), labels.clone())) {
                    return Err(format!("stands twice: {line}"));
                }
                read.samples.entry(name).or_default().push((labels, value));
            }
        }
        read.check_histograms()?;
        Ok(read)
    }

    fn family(&self, name: &str) -> Option<(String, String)> {
        if let Some(kind) = self.kinds.get(name) {
            return (kind != "histogram").then(|| (name.to_owned(), kind.clone()));
        }
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end))?;
        let kind = self.kinds.get(base)?;
        (kind == "histogram").then(|| (base.to_owned(), kind.clone()))
    }

    /// Buckets grow with their bounds, up to the count.
    fn check_histograms(&self) -> Result<(), String> {
        let histograms = self.kinds.iter().filter(|(_, kind)| *kind == "histogram");
        for (name, _) in histograms {
            let mut series: HashMap<BTreeMap<String, String>, Vec<(f64, f64)>> = HashMap::new();
            for (labels, value) in self
                .samples
                .get(&format!("{name}_bucket"))
                .into_iter()
                .flatten()
            {
                let mut labels = labels.clone();
                let bound = labels
                    .remove("le")
                    .ok_or_else(|| format!("{name}: a bucket without le"))?;
                let bound = if bound == "+Inf" {
                    f64::INFINITY
                } else {
                    bound.parse().map_err(|_| format!("{name}: le {bound}"))?
                };
                series.entry(labels).or_default().push((bound, *value));
            }
            for (labels, buckets) in series {
                if !buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1) {
                    return Err(format!("{name}{labels:?}: buckets don't grow"));
                }
                let counts = self
                    .samples
                    .get(&format!("{name}_count"))
                    .into_iter()
                    .flatten();
                let count = counts.into_iter().find(|(known, _)| *known == labels);
                let last = buckets.last().filter(|(bound, _)| bound.is_infinite());
                if last.map(|(_, value)| *value) != count.map(|(_, value)| *value) {
                    return Err(format!(
                        "{name}{labels:?}: the last bucket is not the count"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Sum of the samples of a name whose labels include these; 0 where there are none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let samples = self.samples.get(name).into_iter().flatten();
        samples
            .filter(|(known, _)| {
                labels
                    .iter()
                    .all(|(name, value)| known.get(*name).is_some_and(|it| it == value))
            })
            .map(|(_, value)| value)
            .sum()
    }

    /// Names of the families.
    pub(crate) fn families(&self) -> HashSet<&str> {
        self.kinds.keys().map(String::as_str).collect()
    }
}

/// `name{label="value",…} number`.
fn sample(line: &str) -> Option<(String, BTreeMap<String, String>, f64)> {
    let name_end = line.find(['{', ' '])?;
    let name = &line[..name_end];
    let mut labels = BTreeMap::new();
    let mut rest = &line[name_end..];
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let mut value = String::new();
            let mut chars = after.char_indices();
            let end = loop {
                match chars.next()? {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next()?.1 {
                        'n' => '\n',
                        other @ ('\\' | '"') => other,
                        _ => return None,
                    }),
                    (_, other) => value.push(other),
                }
            };
            if !is_name(label, false) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            rest = &after[end + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = &rest[1..];
    }
    let value = match rest.strip_prefix(' ')? {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        number => number.parse().ok()?,
    };
    is_name(name, true).then(|| (name.to_owned(), labels, value))
}

fn is_name(name: &str, colons: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || colons && c == ':';
    !name.is_empty() && name.chars().all(fits) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// The reader sees what is wrong.
#[test]
fn faults_are_seen() {
    let good = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"1\\\"\"} 2\n";
    assert_eq!(
        Exposition::parse(good)
            .unwrap()
            .sum("a_total", &[("x", "1\"")]),
        2.0
    );
    let histogram = |last: u64, second: u64| {
        format!(
            "# HELP h H.\n# TYPE h histogram\nh_bucket{{le=\"1\"}} 1\nh_bucket{{le=\"2\"}} {second}\n\
             h_bucket{{le=\"+Inf\"}} {last}\nh_sum 3\nh_count 3\n"
        )
    };
    assert!(Exposition::parse(&histogram(3, 2)).is_ok());
    for bad in [
        "a_total 1\n".to_owned(),
        "# TYPE a_total counter\na_total 1\n".to_owned(),
        good.trim_end().to_owned(),
        good.replace("a_total", "a"),
        good.replace(" 2\n", " two\n"),
        good.replace("{x=", "{1x="),
        format!("{good}a_total{{x=\"1\\\"\"}} 2\n"),
        histogram(4, 2),
        histogram(3, 0),
    ] {
        assert!(Exposition::parse(&bad).is_err(), "{bad}");
    }
}
