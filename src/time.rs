//! Times as people write and read them.

use jiff::{SignedDuration, Timestamp};

/// Returns a time for people, in UTC to the second (RFC 3339).
///
/// `time` is in seconds since the Unix epoch.
pub fn utc(time: u64) -> String {
    let timestamp = i64::try_from(time).ok().and_then(|time| Timestamp::from_second(time).ok());
    timestamp.map_or_else(|| format!("second {time}"), |timestamp| timestamp.to_string())
}

/// Reads a moment, in milliseconds since the Unix epoch: a time with its zone
/// offset (RFC 3339), or a span from now on, such as `+90s` or `-2h`.
///
/// The error is a lower-case fragment for people.
pub fn read_moment(text: &str, now: u64) -> Result<u64, String> {
    let expected = || {
        format!(
            "`{text}` is no time: expected one with its zone, such as 2026-12-01T02:00:00Z, or a \
             span from now on, such as +90s or -2h"
        )
    };
    let span = match text.strip_prefix('+') {
        Some(span) => Some((span, 1)),
        None => text.strip_prefix('-').map(|span| (span, -1)),
    };
    let moment = match span {
        Some((span, sign)) => {
            let span: SignedDuration = span.parse().map_err(|_| expected())?;
            i128::from(now) + span.as_millis() * sign
        }
        None => {
            let time: Timestamp = text.parse().map_err(|_| expected())?;
            i128::from(time.as_millisecond())
        }
    };
    u64::try_from(moment).map_err(|_| expected())
}

/// Returns a span of time for people: its two largest units.
pub fn span(seconds: u64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} min {rest} s"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

//============ Tests =========================================================

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_shows_its_two_largest_units() {
        let spans = [0, 59, 60, 3599, 3600, 86_399, 86_400, 100 * 86_400].map(span);
        let expected = ["0 s", "59 s", "1 min 0 s", "59 min 59 s", "1 h 0 min"];
        assert_eq!(spans[..5], expected);
        assert_eq!(spans[5..], ["23 h 59 min", "1 d 0 h", "100 d 0 h"]);
    }

    #[test]
    fn a_time_is_shown_in_utc() {
        assert_eq!(utc(1_796_090_400), "2026-12-01T02:00:00Z");
        assert_eq!(utc(u64::MAX), "second 18446744073709551615");
    }

    #[test]
    fn a_moment_is_a_time_with_its_zone_or_a_span_from_now_on() {
        let now = 1_796_090_400_000;
        assert_eq!(read_moment("2026-12-01T02:00:00Z", 0), Ok(now));
        assert_eq!(read_moment("2026-12-01T03:00:00+01:00", 0), Ok(now));
        assert_eq!(read_moment("+90s", now), Ok(now + 90_000));
        assert_eq!(read_moment("-2h", now), Ok(now - 7_200_000));
        for wrong in ["2026-12-01T02:00:00", "tomorrow", "", "+", "+soon", "-60000000h"] {
            assert!(read_moment(wrong, now).is_err(), "{wrong}");
        }
    }
}
