//! The results, as one table: a line for each scenario, a column for each client; then what went wrong.

use crate::{driver::Program, scenario::Scenario};
use std::{io::Write, time::Duration};

/// One client in one scenario.
pub struct Cell {
    pub client: String,
    pub scenario: String,
    pub outcome: Outcome,
}

pub enum Outcome {
    Passed(Duration),
    /// With the step, what was expected and what came.
    Failed(String),
}

// === impl Cell ===

impl Cell {
    pub fn problem(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Passed(_) => None,
            Outcome::Failed(problem) => Some(problem),
        }
    }

    fn word(&self) -> String {
        match &self.outcome {
            Outcome::Passed(time) => format!("{:.1} s", time.as_secs_f32()),
            Outcome::Failed(_) => "FAILED".into(),
        }
    }
}

/// Prints to standard error, past what a passing test's output is kept in: the table is for whoever looks at a gate.
pub fn print(programs: &[Program], scenarios: &[Scenario], cells: &[Cell]) {
    // A report that can't be printed is no reason to fail: the caller counts.
    let _ = std::io::stderr().write_all(render(programs, scenarios, cells).as_bytes());
}

fn render(programs: &[Program], scenarios: &[Scenario], cells: &[Cell]) -> String {
    let find = |program: &Program, scenario: &Scenario| {
        cells
            .iter()
            .find(|cell| cell.client == program.name && cell.scenario == scenario.name)
    };
    let widest = scenarios.iter().map(|it| it.name.len()).max().unwrap_or(0);
    let mut text = format!("\n{:widest$}", "scenario");
    for program in programs {
        text.push_str(&format!("  {:>10}", program.name));
    }
    for scenario in scenarios {
        text.push_str(&format!("\n{:widest$}", scenario.name));
        for program in programs {
            let word = find(program, scenario).map_or_else(|| "-".into(), Cell::word);
            text.push_str(&format!("  {word:>10}"));
        }
    }
    text.push_str(&format!("\n{:widest$}", "passed"));
    for program in programs {
        let of = |cell: &&Cell| cell.client == program.name;
        let passed = cells.iter().filter(of).filter(|it| it.problem().is_none());
        let all = cells.iter().filter(of).count();
        text.push_str(&format!("  {:>10}", format!("{}/{all}", passed.count())));
    }
    text.push('\n');
    for cell in cells {
        if let Some(problem) = cell.problem() {
            text.push_str(&format!(
                "\n{}: {}: {problem}\n",
                cell.client, cell.scenario
            ));
        }
    }
    text
}
