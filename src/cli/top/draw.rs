//! What is known, as cells of the screen.

use super::{
    Shown, Top,
    board::{Link, Totals},
    tail::Tail,
};
use quarterdeck::{
    proto::{SessionSnapshot, SessionState},
    telemetry::redact::escape,
};
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Paragraph, Row, Table, TableState},
};
use std::{borrow::Cow, time::SystemTime};

/// A screen that is smaller says so alone.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 6;
/// Columns of a screen on which the newest words of each session stand too.
const WIDTH_OF_NEWEST: u16 = 90;

const TABLE_KEYS: &str = "arrows choose   enter reads along   a stops the turn   q leaves";
const SESSION_KEYS: &str = "arrows scroll   esc goes back";

pub(super) fn draw(frame: &mut Frame<'_>, top: &mut Top) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let line = Line::raw(format!("{WIDTH_MIN}x{HEIGHT_MIN} is the least"));
        frame.render_widget(line, area);
        return;
    }
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ]);
    let [head, middle, about, foot] = rows.areas(area);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    match &mut top.shown {
        Shown::Session(tail) => {
            let title = format!("session {}", escape(&tail.session_key));
            frame.render_widget(Line::styled(title, bold), head);
            session(frame, tail, middle);
        }
        Shown::Table | Shown::Question { .. } => {
            frame.render_widget(Line::styled(summary(top), bold), head);
            table(frame, top, middle);
            if let Some(session) = top.board.chosen() {
                frame.render_widget(Line::raw(details(session)), about);
            }
        }
    }
    frame.render_widget(footer(top), foot);
}

/// The first line: who answers, and what goes on there.
fn summary(top: &Top) -> String {
    let Totals {
        sessions,
        running,
        asking,
        waiting,
    } = top.board.totals();
    let link = match top.board.link() {
        Link::Connecting => "   connecting",
        Link::Live { left_out: false } => "",
        Link::Live { left_out: true } => "   more than can be shown",
        Link::Cut => "   the connection is lost, and tried again",
    };
    let address = escape(&top.address);
    format!(
        "{address}   {sessions} sessions   {running} running   {asking} asking   {waiting} turns waiting{link}"
    )
}

fn table(frame: &mut Frame<'_>, top: &Top, area: Rect) {
    let rows = top.board.rows();
    let now = SystemTime::now();
    let newest = area.width >= WIDTH_OF_NEWEST;
    let mut names = vec!["SESSION", "STATE", "AGE", "QUEUE", "AGENT", "TOKENS"];
    let mut widths = vec![
        Constraint::Fill(2),
        Constraint::Length(22),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Length(12),
        Constraint::Length(7),
    ];
    if newest {
        names.push("NEWEST");
        widths.push(Constraint::Fill(3));
    }
    // Cells are made of what can be seen alone.
    let height = usize::from(area.height.saturating_sub(1));
    let place = top.board.place(&rows);
    let first = place.map_or(0, |place| place.saturating_sub(height.saturating_sub(1)));
    let cells = rows.iter().skip(first).take(height).map(|session| {
        let mut cells: Vec<Cow<'_, str>> = vec![
            escape(&session.session_key),
            state(session).into(),
            age(session, now).into(),
            session.queue_depth.to_string().into(),
            escape(&session.agent),
            tokens(session).into(),
        ];
        if newest {
            cells.push(escape(&session.last_message_preview));
        }
        Row::new(cells).style(colour(session, top.colours))
    });
    let cells: Vec<Row<'_>> = cells.collect();
    let table = Table::new(cells, widths)
        .header(Row::new(names).style(Style::new().add_modifier(Modifier::DIM)))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut chosen = TableState::new().with_selected(place.map(|place| place - first));
    frame.render_stateful_widget(table, area, &mut chosen);
}

fn session(frame: &mut Frame<'_>, tail: &mut Tail, area: Rect) {
    let rows = tail.rows(usize::from(area.width), usize::from(area.height));
    let lines: Vec<Line<'_>> = rows.into_iter().map(Line::raw).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// What the table has no room for.
fn details(session: &SessionSnapshot) -> String {
    let mut text = escape(&session.session_key).into_owned();
    for (name, value) in [
        ("turn", &session.active_turn_id),
        ("model", &session.model),
        ("owner", &session.owner),
        ("name", &session.display_name),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("   {name} {}", escape(value)));
        }
    }
    text
}

/// The last line: a question, else what is said, else what the keys do.
fn footer(top: &Top) -> Line<'_> {
    let shown = Style::new().add_modifier(Modifier::REVERSED);
    match &top.shown {
        Shown::Question { session_key, .. } => {
            let name = escape(session_key);
            Line::styled(
                format!("Stop the running turn of {name}? y, or any other key"),
                shown,
            )
        }
        Shown::Table | Shown::Session(_) if !top.said.is_empty() => Line::styled(&top.said, shown),
        Shown::Table => Line::styled(TABLE_KEYS, Style::new().add_modifier(Modifier::DIM)),
        Shown::Session(_) => Line::styled(SESSION_KEYS, Style::new().add_modifier(Modifier::DIM)),
    }
}

/// What a session does, in a word or two.
fn state(session: &SessionSnapshot) -> String {
    match session.state() {
        SessionState::Running => "running".into(),
        SessionState::WaitingInput if session.pending_questions > 1 => {
            format!("asks {} things", session.pending_questions)
        }
        SessionState::WaitingInput => "asks".into(),
        SessionState::Canceling => "stopping".into(),
        SessionState::Resetting => "resetting".into(),
        SessionState::Deleting | SessionState::Deleted => "deleting".into(),
        SessionState::Idle | SessionState::Unspecified if !session.wait_reason.is_empty() => {
            let reason = session.wait_reason.to_ascii_lowercase();
            format!("waits: {}", escape(&reason))
        }
        SessionState::Idle | SessionState::Unspecified if session.queue_depth > 0 => "waits".into(),
        SessionState::Idle | SessionState::Unspecified => "idle".into(),
    }
}

fn colour(session: &SessionSnapshot, colours: bool) -> Style {
    if !colours {
        return Style::new();
    }
    match session.state() {
        SessionState::Running => Style::new().fg(Color::Green),
        SessionState::WaitingInput => Style::new().fg(Color::Yellow),
        SessionState::Canceling | SessionState::Resetting | SessionState::Deleting => {
            Style::new().fg(Color::Red)
        }
        SessionState::Idle if session.queue_depth > 0 => Style::new().fg(Color::Yellow),
        SessionState::Idle | SessionState::Unspecified | SessionState::Deleted => Style::new(),
    }
}

/// How long ago a turn was accepted, began or ended: of a running one how long it runs.
fn age(session: &SessionSnapshot, now: SystemTime) -> String {
    let active = session.last_active_time.or(session.create_time);
    let Some(time) = active.and_then(|time| SystemTime::try_from(time).ok()) else {
        return String::new();
    };
    // Clocks differ: what is to come is now.
    let seconds = now.duration_since(time).unwrap_or_default().as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Tokens of all turns; empty where the agent told of none.
fn tokens(session: &SessionSnapshot) -> String {
    let Some(usage) = &session.usage else {
        return String::new();
    };
    let all = [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
    ];
    let all: i64 = all.into_iter().fold(0, i64::saturating_add);
    match all {
        ..=0 => String::new(),
        1..10_000 => all.to_string(),
        10_000..10_000_000 => format!("{}k", all / 1000),
        _ => format!("{}M", all / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quarterdeck::proto::Usage;
    use std::time::Duration;

    #[test]
    fn states_ages_and_amounts_are_short() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut session = SessionSnapshot::default();
        assert_eq!(age(&session, now), "");
        assert_eq!(tokens(&session), "");
        for (ago, word) in [(5, "5s"), (150, "2m"), (7300, "2h"), (900_000, "10d")] {
            session.last_active_time = Some(prost_types::Timestamp {
                seconds: 1_000_000 - ago,
                nanos: 0,
            });
            assert_eq!(age(&session, now), word);
        }
        for (input, word) in [
            (0, ""),
            (9_999, "9999"),
            (20_500, "20k"),
            (12_000_000, "12M"),
        ] {
            session.usage = Some(Usage {
                input_tokens: input,
                ..Usage::default()
            });
            assert_eq!(tokens(&session), word);
        }
        assert_eq!(state(&session), "idle");
        session.queue_depth = 1;
        assert_eq!(state(&session), "waits");
        session.wait_reason = "NO_WORKER".into();
        assert_eq!(state(&session), "waits: no_worker");
        session.set_state(SessionState::WaitingInput);
        session.pending_questions = 2;
        assert_eq!(state(&session), "asks 2 things");
    }
}
