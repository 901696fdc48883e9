//! `audit verify`: whether an audit file is as it was written.

use super::{
    arguments::VerifyArgs,
    failure::{DATA, Failure, NO_INPUT},
    output,
};
use quarterdeck::telemetry::{
    audit_file::{head_path, read_head},
    chain::{Found, Head, Verifier},
};
use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::Path,
    process::ExitCode,
};

/// Longest line that is looked at, in bytes; a record is far shorter.
const LINE_MAX_BYTES: u64 = 1024 * 1024;
/// Faults that are told one by one.
const PROBLEMS_TOLD: usize = 100;

pub(crate) fn verify(arguments: VerifyArgs) -> Result<ExitCode, Failure> {
    let VerifyArgs {
        files,
        first,
        known,
        json,
    } = arguments;
    let known = known.map(|(number, hash)| Head { number, hash });
    // The newest file's.
    let last = files.last().expect("the command line asks for one");
    let head = read_head(last).map_err(|error| unreadable(&head_path(last), &error))?;
    let mut verifier = Verifier::new(first, head.clone(), known);
    for file in &files {
        read(file, &mut verifier).map_err(|error| unreadable(file, &error))?;
    }
    let found = verifier.finish();
    let mut problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    if head.is_none() && found.records > 0 {
        problems.push(format!(
            "{} is missing: whether the end was cut off can't be told",
            head_path(last).display()
        ));
    }
    if json {
        output::line(&as_json(&found, &problems))?;
    } else {
        output::write(&as_text(&found, &problems))?;
    }
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(DATA)
    })
}

fn read(path: &Path, verifier: &mut Verifier) -> io::Result<()> {
    let mut lines = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut lines)
            .take(LINE_MAX_BYTES)
            .read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        verifier.line(text.strip_suffix('\n').unwrap_or(&text));
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(NO_INPUT, format!("can't read {}: {error}", path.display()))
}

fn as_text(found: &Found, problems: &[String]) -> String {
    let mut text = String::new();
    for problem in problems.iter().take(PROBLEMS_TOLD) {
        text.push_str(problem);
        text.push('\n');
    }
    if problems.len() > PROBLEMS_TOLD {
        let more = problems.len() - PROBLEMS_TOLD;
        text.push_str(&format!("{more} more faults\n"));
    }
    let records = found.records;
    text.push_str(&match (problems.is_empty(), &found.newest) {
        (true, Some(Head { number, hash })) => {
            format!("{records} records as they were written; the newest is {number}:{hash}\n")
        }
        (true, None) => "no record was written yet\n".to_owned(),
        (false, _) => format!("{records} records were looked at\n"),
    });
    text
}

fn as_json(found: &Found, problems: &[String]) -> String {
    serde_json::json!({
        "records": found.records,
        "newest": found.newest,
        "problems": problems,
    })
    .to_string()
}
