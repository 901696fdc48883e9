//! Keeps secrets out of what people read: agents' standard error and their error messages.
//!
//! Two nets: the values of environment variables whose names say that they are secret, and words that look like keys.
//! A secret of another shape that an agent reads from its own files and prints can slip through both.

/// Longest text handed on, in bytes.
pub(super) const TEXT_MAX_BYTES: usize = 4096;
/// Shorter values are no secrets, and would blank out half the text.
const SECRET_MIN_BYTES: usize = 6;
const MASK: &str = "[secret]";

/// What must not be shown.
#[derive(Clone, Default)]
pub(super) struct Secrets {
    values: Vec<String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Secrets({})", self.values.len())
    }
}

// === impl Secrets ===

impl Secrets {
    /// Takes the secret ones of these variables.
    pub(super) fn of_environment(environment: &[(String, String)]) -> Self {
        let secret = |name: &str| {
            let name = name.to_uppercase();
            ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "AUTH"]
                .iter()
                .any(|word| name.contains(word))
        };
        let mut values: Vec<String> = environment
            .iter()
            .filter(|(name, value)| secret(name) && value.len() >= SECRET_MIN_BYTES)
            .map(|(_, value)| value.clone())
            .collect();
        // A value that contains another one goes first.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self { values }
    }

    /// The text without secrets: the last [`TEXT_MAX_BYTES`] of it, since errors end with what matters.
    pub(super) fn mask(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.values {
            text = text.replace(value, MASK);
        }
        let mut masked = String::with_capacity(text.len());
        let mut after_bearer = false;
        for word in text.split_inclusive(|c: char| c.is_whitespace() || "\"',;()=<>".contains(c)) {
            let bare =
                word.trim_end_matches(|c: char| c.is_whitespace() || "\"',;()=<>".contains(c));
            if after_bearer && !bare.is_empty() || looks_like_a_key(bare) {
                masked.push_str(MASK);
                masked.push_str(&word[bare.len()..]);
            } else {
                masked.push_str(word);
            }
            after_bearer = bare.eq_ignore_ascii_case("bearer") || after_bearer && bare.is_empty();
        }
        let start = masked.len().saturating_sub(TEXT_MAX_BYTES);
        masked.split_off(masked.ceil_char_boundary(start))
    }
}

fn looks_like_a_key(word: &str) -> bool {
    const BEGINNINGS: [&str; 9] = [
        "sk-",
        "sk_",
        "ghp_",
        "gho_",
        "github_pat_",
        "xoxb-",
        "AIza",
        "AKIA",
        "eyJ",
    ];
    word.len() >= 16 && BEGINNINGS.iter().any(|it| word.starts_with(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_and_the_rest_stays() {
        let secrets = Secrets::of_environment(&[
            ("OPENAI_API_KEY".into(), "hunter2hunter2".into()),
            ("MY_TOKEN".into(), "x".into()),
            ("HOME".into(), "/home/someone".into()),
        ]);
        let text = "401 (key=hunter2hunter2) in /home/someone, x; Bearer abc.def \"sk-proj-0123456789abcdef\" end";
        assert_eq!(
            secrets.mask(text),
            "401 (key=[secret]) in /home/someone, x; Bearer [secret] \"[secret]\" end"
        );
    }

    #[test]
    fn a_long_text_keeps_its_end() {
        let text = format!("{}ü{}", "a".repeat(5000), "b".repeat(TEXT_MAX_BYTES - 1));
        let masked = Secrets::default().mask(&text);
        assert_eq!(masked, "b".repeat(TEXT_MAX_BYTES - 1));
    }
}
