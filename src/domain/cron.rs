//! Cron expressions of five fields: minute, hour, day of the month, month, day of the week.
//!
//! A field is `*`, or a list of numbers and ranges, each range and `*` with a step (`*/15`, `9-17/2`). Months and days of
//! the week have names too (`JAN`, `MON-FRI`), in either case; 0 and 7 are Sunday. Where neither day field is `*`, a day
//! that fits one of them counts, as POSIX says. No seconds, no macros, no `L`, `#`, `?`.

use jiff::civil::Date;

/// Longest expression, in bytes.
pub const CRON_MAX_BYTES: usize = 256;

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A parsed expression: one bit for each number of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// The day of the month is `*`.
    any_day: bool,
    /// The day of the week is `*`.
    any_weekday: bool,
}

/// What a field may hold.
struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    /// Names of its numbers, from `first` on.
    names: &'static [&'static str],
}

// === impl Cron ===

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > CRON_MAX_BYTES {
            return Err(format!("must be at most {CRON_MAX_BYTES} bytes"));
        }
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!(
                "must have five fields (minute, hour, day of the month, month, day of the week), has {}",
                fields.len()
            ));
        };
        let field = |name, first, last, names| Field {
            name,
            first,
            last,
            names,
        };
        let weekdays = field("day of the week", 0, 7, &WEEKDAYS).parse(weekday)?;
        Ok(Self {
            minutes: field("minute", 0, 59, &[]).parse(minute)?,
            hours: field("hour", 0, 23, &[]).parse(hour)?,
            days: field("day of the month", 1, 31, &[]).parse(day)?,
            months: field("month", 1, 12, &MONTHS).parse(month)?,
            // Sunday is 0 and 7.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            any_day: day == "*",
            any_weekday: fields[4] == "*",
        })
    }

    /// Whether a day is one of its days.
    pub(super) fn is_on(&self, date: Date) -> bool {
        let has = |set: u64, number: i8| set & 1 << number != 0;
        if !has(self.months, date.month()) {
            return false;
        }
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        match (self.any_day, self.any_weekday) {
            (true, true) => true,
            (true, false) => weekday,
            (false, true) => day,
            (false, false) => day || weekday,
        }
    }

    /// Hours and minutes of each of its days.
    pub(super) fn times(&self) -> impl Iterator<Item = (i8, i8)> {
        let (hours, minutes) = (self.hours, self.minutes);
        let in_set = |set: u64, last: i8| (0..=last).filter(move |number| set & 1 << number != 0);
        in_set(hours, 23)
            .flat_map(move |hour| in_set(minutes, 59).map(move |minute| (hour, minute)))
    }
}

// === impl Field ===

impl Field {
    fn parse(&self, text: &str) -> Result<u64, String> {
        text.split(',')
            .try_fold(0, |set, item| Ok(set | self.item(item)?))
            .map_err(|problem: String| format!("{}: {problem}", self.name))
    }

    fn item(&self, item: &str) -> Result<u64, String> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (item, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last),
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            None if step.is_some() => {
                return Err(format!("{item:?}: a step needs `*` or a range before it"));
            }
            None => {
                let number = self.number(range)?;
                (number, number)
            }
        };
        if from > to {
            return Err(format!("{item:?}: the range goes backwards"));
        }
        let step = match step {
            None => 1,
            Some(step) => match digits(step) {
                Some(step) if step > 0 && step <= self.last => step,
                Some(_) | None => return Err(format!("{item:?}: no such step")),
            },
        };
        let numbers = (from..=to).step_by(step as usize);
        Ok(numbers.fold(0, |set, number| set | 1 << number))
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let mut names = (self.first..).zip(self.names);
        let named = names.find(|(_, name)| name.eq_ignore_ascii_case(text));
        let number = named.map(|(number, _)| number).or_else(|| digits(text));
        let known = number.filter(|number| (self.first..=self.last).contains(number));
        known.ok_or_else(|| format!("{text:?} is not {} to {}", self.first, self.last))
    }
}

/// One or two digits.
fn digits(text: &str) -> Option<u32> {
    let short = matches!(text.len(), 1 | 2) && text.bytes().all(|byte| byte.is_ascii_digit());
    short.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_expression_is_told() {
        for (text, problem) in [
            ("* * * *", "has 4"),
            ("0 0 0 * * *", "has 6"),
            ("@daily", "has 1"),
            ("60 * * * *", "minute"),
            ("* 24 * * *", "hour"),
            ("* * 0 * *", "day of the month"),
            ("* * 32 * *", "day of the month"),
            ("* * * 13 *", "month"),
            ("* * * * 8", "day of the week"),
            ("* * * * MONDAY", "day of the week"),
            ("5/15 * * * *", "a step needs"),
            ("*/0 * * * *", "no such step"),
            ("30-10 * * * *", "backwards"),
            ("1,,2 * * * *", "minute"),
            ("+1 * * * *", "minute"),
            ("001 * * * *", "minute"),
            ("* * L * *", "day of the month"),
            ("* * ? * *", "day of the month"),
        ] {
            let refused = Cron::parse(text).expect_err(text);
            assert!(refused.contains(problem), "{text}: {refused}");
        }
        assert!(Cron::parse(&"1,".repeat(200)).is_err());
    }

    #[test]
    fn both_day_fields_are_joined_by_or() {
        let date = |day| Date::new(2026, 11, day).expect("a date");
        let cron = Cron::parse("0 9 13 * fri").expect("it is one");
        // 13 November 2026 is a Friday, so are the 6th and the 20th.
        let days: Vec<i8> = (1..=30).filter(|day| cron.is_on(date(*day))).collect();
        assert_eq!(days, [6, 13, 20, 27]);
        let cron = Cron::parse("0 9 14 * FRI").expect("it is one");
        let days: Vec<i8> = (1..=30).filter(|day| cron.is_on(date(*day))).collect();
        assert_eq!(days, [6, 13, 14, 20, 27]);
        let sundays = [
            Cron::parse("0 9 * * 0"),
            Cron::parse("0 9 * * 7"),
            Cron::parse("0 9 * * sun"),
        ];
        assert!(sundays.iter().all(|cron| cron == &sundays[0]));
    }
}
