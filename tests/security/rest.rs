//! Data at rest: who may read it, and what its names and statements are made of.

use crate::{
    agent_support::{fixture, python},
    support::{Gateway, Options, run},
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Everything below a directory, links not followed.
fn below(root: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("it is there").flatten() {
            let path = entry.path();
            if entry.file_type().expect("it is there").is_dir() {
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

/// A gateway whose agent has written what agents write.
async fn used() -> Gateway {
    let config = format!(
        "default_agent = \"scripted\"\n[agents.scripted]\ndriver = \"pi\"\ncommand = [{:?}, \"-S\", \"-E\", {:?}]\n",
        python(),
        fixture("fake_pi.py"),
    );
    let gateway = Gateway::with(Options {
        config,
        ..Options::default()
    });
    let mut client = gateway.client().await;
    for key in ["..a", "a..b", "main", "~", "MAIN", "a@b:c"] {
        // Only those that the grammar allows become sessions.
        let allowed = key.starts_with(|first: char| first.is_ascii_alphanumeric());
        if allowed {
            run(&mut client, key, "say x").await;
        }
    }
    gateway
}

/// SECURITY.md, data at rest: nobody but the user reads it, agents' files included.
#[tokio::test]
async fn what_is_written_is_the_users_own() {
    let gateway = used().await;
    let data = gateway.data();
    let mut seen = 0;
    for path in below(&data).into_iter().chain([data.clone()]) {
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        if metadata.is_symlink() {
            continue;
        }
        seen += 1;
        // A directory of mode 0700 hides what is in it; files that hold something are closed by themselves too.
        let mode = metadata.permissions().mode() & 0o777;
        if metadata.is_dir() && path == data {
            assert_eq!(mode, 0o700, "{}", path.display());
        }
        let parent_is_closed = |path: &Path| {
            let parents = path
                .ancestors()
                .skip(1)
                .take_while(|it| it.starts_with(&data));
            parents
                .filter_map(|parent| fs::metadata(parent).ok())
                .any(|parent| parent.permissions().mode() & 0o077 == 0)
        };
        assert!(
            mode & 0o077 == 0 || parent_is_closed(&path),
            "{} is open to others: {mode:o}",
            path.display()
        );
        if path.extension().is_some_and(|it| it == "db") {
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
    assert!(seen > 5, "something was written");
}

/// SECURITY.md, session keys (GHSA-5xfq-5mr7-426q): a key is never part of a path, so that none can lead elsewhere or
/// meet another one on a file system that does not tell `main` from `MAIN`.
#[tokio::test]
async fn no_directory_is_named_by_a_caller() {
    let gateway = used().await;
    let agents: Vec<PathBuf> = below(&gateway.data())
        .into_iter()
        .filter(|path| !path.to_string_lossy().contains("quarterdeck.db"))
        .collect();
    assert!(agents.len() > 3, "{agents:?}");
    let root = gateway.data();
    for path in agents {
        let inside = path.strip_prefix(&root).expect("it is below");
        for part in inside.components() {
            let part = part.as_os_str().to_string_lossy();
            for key in ["a..b", "main", "MAIN", "a@b:c"] {
                assert!(
                    part != key && !part.contains(&format!("{key}.")),
                    "{}",
                    path.display()
                );
            }
        }
    }
}

/// What statements are put together from: lists of columns, a condition or an index that the code chooses, a table's name
/// out of a constant list. Nothing of it comes from outside; what does is a parameter.
const PIECES: [&str; 19] = [
    "{COLUMNS}",
    "{DELIVERY_COLUMNS}",
    "{RUN_COLUMNS}",
    "{which}",
    "{columns}",
    "{of_shares}",
    "{BY_KEY}",
    "{BY_ROW}",
    "{table}",
    "{bytes}",
    "{index}",
    "{narrow}",
    "rows::SESSION",
    "rows::TURN",
    "rows::TURN_BYTES",
    "rows::TURN_TEXT",
    "rows::EVENT",
    "rows::MESSAGE",
    "rows::QUESTION",
];

/// SECURITY.md, SQL (CVE-2025-67644): no statement is made of what came in.
#[test]
fn no_statement_is_put_together_from_what_came_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut seen = 0;
    for path in below(&root) {
        if path.extension().is_none_or(|it| it != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (at, _) in code.match_indices("format!(") {
            let call = call(&code[at + "format!".len()..]);
            let words = [
                "SELECT ", "INSERT ", "UPDATE ", "DELETE ", "PRAGMA ", "WHERE ", "CREATE ",
            ];
            if !words.iter().any(|word| call.contains(word)) {
                continue;
            }
            seen += 1;
            let foreign = pieces(call)
                .into_iter()
                .find(|piece| !PIECES.contains(&piece.as_str()));
            assert_eq!(foreign, None, "{}: {call}", path.display());
        }
    }
    assert!(seen > 10, "statements were found");
}

/// The checker sees a statement that is made of a value.
#[test]
fn a_statement_made_of_a_value_is_noticed() {
    for made in [
        r#"("SELECT * FROM turn WHERE key = '{key}'")"#,
        r#"("SELECT {} FROM turn WHERE key = {}", rows::TURN, request.key)"#,
    ] {
        let foreign = pieces(made)
            .into_iter()
            .find(|piece| !PIECES.contains(&piece.as_str()));
        assert!(foreign.is_some(), "{made}");
    }
}

/// The arguments of a call, from its first parenthesis to the one that closes it.
fn call(code: &str) -> &str {
    let (mut depth, mut quoted) = (0, false);
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &code[..=at];
        }
    }
    code
}

/// What is put into a format: names in braces, and the arguments behind its text.
fn pieces(call: &str) -> Vec<String> {
    let mut parts = call.splitn(3, '"');
    let (Some(_), Some(text), Some(arguments)) = (parts.next(), parts.next(), parts.next()) else {
        return vec![call.to_owned()];
    };
    let named = text
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next());
    let named = named
        .filter(|name| !name.is_empty())
        .map(|name| format!("{{{name}}}"));
    let given = arguments.split([',', ')']).map(str::trim);
    let given = given.filter(|one| !one.is_empty()).map(ToOwned::to_owned);
    named.chain(given).collect()
}
