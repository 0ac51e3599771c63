//! Recurring times.

use croner::Cron as Pattern;
use croner::parser::{CronParser, Seconds, Year};
use jiff::{Timestamp, tz::TimeZone};

use crate::error::EngineError;

/// Longest text, bytes.
const LONGEST: usize = 256;

/// When a recurring message is due: minute, hour, day of the month, month, day of the week, and before these the second where there
/// are six fields. In UTC.
#[derive(Debug)]
pub(super) struct Cron(Pattern);

impl Cron {
    /// # Errors
    /// `InvalidArgument`.
    pub(super) fn parse(text: &str) -> Result<Self, EngineError> {
        let invalid = |reason: String| EngineError::InvalidArgument { field: "cron", reason };
        if text.len() > LONGEST {
            return Err(invalid(format!("has {} bytes, at most {LONGEST} are allowed", text.len())));
        }
        check_fields(text).map_err(|why| invalid(format!("{text:?}: {why}")))?;
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let pattern = parser.parse(text).map_err(|error| {
            invalid(format!("{text:?} has not the form \"[second] minute hour day month weekday\": {error}"))
        })?;
        Ok(Self(pattern))
    }

    /// The first time behind `after`, Unix ms; none: it never comes.
    pub(super) fn next(&self, after: i64) -> Option<i64> {
        let after = Timestamp::from_millisecond(after).ok()?.to_zoned(TimeZone::UTC);
        let next = self.0.find_next_occurrence(&after, false).ok()?;
        Some(next.timestamp().as_millisecond())
    }
}

/// The fields from the left, where there are six, each with the largest number that it takes.
const FIELDS: [(&str, u32); 6] =
    [("second", 59), ("minute", 59), ("hour", 23), ("day of the month", 31), ("month", 12), ("weekday", 7)];

/// What the parser takes for something else than was meant: names of days where none can be, steps that are longer than their range,
/// empty entries, time zones.
fn check_fields(text: &str) -> Result<(), String> {
    if text.contains("TZ=") {
        return Err("times are in UTC; leave the time zone out".to_owned());
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if text.starts_with('@') || !(5..=6).contains(&fields.len()) {
        return Ok(());
    }
    for (field, (name, most)) in fields.iter().zip(&FIELDS[FIELDS.len() - fields.len()..]) {
        let named = matches!(*name, "month" | "weekday");
        // L and W: the last day, the nearest working day.
        let letter =
            |c: char| c.is_ascii_alphabetic() && !(*name == "day of the month" && "LWlw".contains(c));
        if !named && field.contains(letter) {
            return Err(format!("the {name} {field:?} is no number"));
        }
        for entry in field.split(',') {
            if entry.is_empty() {
                return Err(format!("the {name} {field:?} has an empty entry"));
            }
            let step = entry.split_once('/').map(|(_, step)| step);
            if step.is_some_and(|step| step.parse().map_or(true, |step: u32| step == 0 || step > *most)) {
                return Err(format!("the {name} {field:?} has a step that is not 1 to {most}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-22T12:00:30.500Z, a Sunday.
    const NOON: i64 = 1_795_348_830_500;

    fn next(text: &str) -> Option<i64> {
        Cron::parse(text).unwrap().next(NOON)
    }

    #[test]
    fn the_next_time_lies_behind_this_one() {
        let minute = NOON - 30_500;
        for (text, expected) in [
            ("* * * * *", minute + 60_000),
            ("*/5 * * * * *", NOON + 4_500),
            ("0 13 * * *", minute + 3_600_000),
            ("0 0 12 * * *", minute + 24 * 3_600_000),
            ("0 12 * * MON", minute + 24 * 3_600_000),
            ("@hourly", minute + 3_600_000),
            ("0,30 */12 * * mon-fri", minute + 12 * 3_600_000),
            ("0 0 L * *", NOON - 30_500 + 7 * 24 * 3_600_000 + 12 * 3_600_000),
        ] {
            assert_eq!(next(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_cron_text_is_refused() {
        let unmeant = [
            "MON * * * *",
            "*/100 * * * *",
            "1,,2 * * * *",
            "*/0 * * * *",
            "0 0 L-MON * *",
            "CRON_TZ=Asia/Tokyo 0 9 * * *",
        ];
        let wrong = ["", "x", "* * * *", "61 * * * *", "* * * * * * *", "0 0 0 0 0", &"*".repeat(300)];
        for bad in wrong.into_iter().chain(unmeant) {
            let refused = Cron::parse(bad).unwrap_err();
            assert!(
                matches!(refused, EngineError::InvalidArgument { field: "cron", .. }),
                "{bad}: {refused}"
            );
        }
        assert_eq!(next("0 0 30 2 *"), None, "February has no 30th");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_times_rise(text in "[0-9*/,L#W? @a-zA-Z-]{0,24}", at in 0i64..4_000_000_000_000) {
            if let Ok(cron) = Cron::parse(&text) {
                let Some(next) = cron.next(at) else { return Ok(()) };
                prop_assert!(next > at);
                prop_assert!(cron.next(next).is_none_or(|then| then > next));
            }
        }
    }
}
