//! The table of rooms in `src/lib.rs` against what the rooms name, and no circles between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

type Rooms = BTreeMap<String, BTreeSet<String>>;

/// Rooms that each may name.
const FOR_ALL: [&str; 3] = ["clock", "telemetry", "failpoint"];

fn source() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

/// What the table allows; `None` is all.
fn allowed() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let text = fs::read_to_string(source().join("lib.rs")).expect("a file");
    let mut rooms = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').collect();
        let [_, room, _, may, _] = cells[..] else {
            continue;
        };
        let names = |cell: &str| -> BTreeSet<String> {
            let links = cell.split("[`").skip(1);
            let names = links.filter_map(|rest| rest.split_once("`]"));
            names
                .map(|(name, _)| name.trim_start_matches("mod@").to_owned())
                .collect()
        };
        let may_name = (may.trim() != "all").then(|| names(may));
        let named = if room.contains("`cli/`") {
            BTreeSet::from(["cli".to_owned()])
        } else if room.trim() == "`failpoint`" {
            // It is private, so no link leads to it.
            BTreeSet::from(["failpoint".to_owned()])
        } else {
            names(room)
        };
        for room in named {
            rooms.insert(room, may_name.clone());
        }
        if line.contains("# Where to add") {
            break;
        }
    }
    rooms
}

/// What the rooms name in code that is not for tests.
fn named() -> Rooms {
    let mut rooms = Rooms::new();
    for file in files(source()) {
        let path = file.strip_prefix(source()).expect("below it");
        let first = path.components().next().expect("a name").as_os_str();
        let room = match first.to_str().expect("text").trim_end_matches(".rs") {
            "main" => "cli",
            "lib" | "fuzz" => continue,
            room => room,
        };
        let text = fs::read_to_string(&file).expect("a file");
        rooms
            .entry(room.to_owned())
            .or_default()
            .extend(names(&text));
    }
    for (room, names) in &mut rooms {
        names.remove(room);
    }
    rooms
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().expect("a name").to_owned();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") && stem != "tests" {
            found.push(path);
        }
    }
    found
}

/// Rooms that a file names: after `crate::`, or as the first word of each part of `use crate::{…}`.
fn names(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    // Tests stand at the end of a file.
    let end = (code.iter().zip(code.iter().skip(1)))
        .position(|(line, next)| *line == "#[cfg(test)]" && next.starts_with("mod "))
        .unwrap_or(code.len());
    let text = code[..end].join("\n");
    let mut found = BTreeSet::new();
    for root in ["crate::", "quarterdeck::"] {
        for (_, rest) in text.match_indices(root).map(|(at, _)| text.split_at(at)) {
            let rest = &rest[root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => found.extend(firsts(group)),
                None => found.extend(word(rest)),
            }
        }
    }
    found
}

fn firsts(group: &str) -> Vec<String> {
    let (mut depth, mut begins, mut found) = (0, true, vec![]);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            letter if depth == 0 && begins && letter.is_alphabetic() => {
                found.extend(word(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    found
}

/// The name of a module that a text begins with.
fn word(text: &str) -> Option<String> {
    let end = text.find(|letter: char| !(letter.is_alphanumeric() || letter == '_'))?;
    let name = &text[..end];
    let lower = name.starts_with(|letter: char| letter.is_ascii_lowercase());
    lower.then(|| name.to_owned())
}

/// A circle that begins and ends with a room.
fn circle(rooms: &Rooms, way: &mut Vec<String>, done: &mut BTreeSet<String>) -> bool {
    let last = way.last().expect("a room").clone();
    for next in rooms.get(&last).into_iter().flatten() {
        let seen = way.contains(next);
        if !seen && done.contains(next) {
            continue;
        }
        way.push(next.clone());
        if seen || circle(rooms, way, done) {
            return true;
        }
        way.pop();
    }
    done.insert(last);
    false
}

#[test]
fn rooms_name_what_the_table_says() {
    let allowed = allowed();
    assert!(allowed.len() > 15, "the table was not found: {allowed:?}");
    let mut wrong = vec![];
    for (room, names) in named() {
        let Some(may) = allowed.get(&room) else {
            wrong.push(format!("{room} is not in the table"));
            continue;
        };
        let Some(may) = may else { continue };
        for name in names {
            let is_room = allowed.contains_key(&name) || name == "proto";
            if is_room && !may.contains(&name) && !FOR_ALL.contains(&name.as_str()) {
                wrong.push(format!("{room} names {name}, which the table doesn't say"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn there_are_no_circles_between_rooms() {
    let rooms = named();
    let mut done = BTreeSet::new();
    for room in rooms.keys() {
        let mut way = vec![room.clone()];
        assert!(!circle(&rooms, &mut way, &mut done), "{}", way.join(" -> "));
    }
}

#[test]
fn a_circle_and_a_name_are_found() {
    let text = "use crate::{\n    domain::{ids, turn},\n    store,\n};\nfn f() { crate::wire::parse(); }\n\
                // crate::agent\n#[cfg(test)]\nmod tests {\n    use crate::feed;\n}\n";
    assert_eq!(
        names(text),
        BTreeSet::from(["domain", "store", "wire"].map(String::from))
    );
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let rooms = Rooms::from([
        ("a".to_owned(), of(&["b"])),
        ("b".to_owned(), of(&["c"])),
        ("c".to_owned(), of(&["b"])),
    ]);
    let mut way = vec!["a".to_owned()];
    assert!(circle(&rooms, &mut way, &mut BTreeSet::new()));
    assert_eq!(way.join(""), "abcb");
}
