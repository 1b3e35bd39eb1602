//! Figures as people read them: three digits and a unit that fits.

/// What a figure measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Microseconds.
    Us,
    /// Bytes.
    Bytes,
    /// How many.
    Count,
    /// Hundredths.
    Percent,
}

/// A figure with its unit: `59.1 µs`, `2.4 ms`, `1.2 KB`, `52,300`, `81 %`.
pub(super) fn amount(value: f64, unit: Unit) -> String {
    let steps: &[(f64, &str)] = match unit {
        Unit::Us => &[(1e6, " s"), (1e3, " ms"), (1.0, " µs")],
        Unit::Bytes => &[(1e9, " GB"), (1e6, " MB"), (1e3, " KB"), (1.0, " B")],
        Unit::Count => &[(1.0, "")],
        Unit::Percent => &[(1.0, " %")],
    };
    let (step, suffix) =
        steps.iter().find(|(step, _)| value.abs() >= *step).unwrap_or(&steps[steps.len() - 1]);
    format!("{}{suffix}", digits(value / step))
}

/// How many times: `1.4`, `12`.
pub(super) fn ratio(value: f64) -> String {
    format!("{}×", digits(value))
}

/// Three digits, or all before the point, those in groups.
pub(super) fn digits(value: f64) -> String {
    let size = value.abs();
    if size >= 99.95 {
        return grouped(value.round() as i64);
    }
    let places = if size >= 9.995 { 1 } else { 2 };
    let text = format!("{value:.places$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-0" { "0".into() } else { text.into() }
}

fn grouped(value: i64) -> String {
    let plain = value.unsigned_abs().to_string();
    let mut text = String::new();
    if value < 0 {
        text.push('-');
    }
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && (plain.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_fitting_unit() {
        assert_eq!(amount(6.6, Unit::Us), "6.6 µs");
        assert_eq!(amount(59.14, Unit::Us), "59.1 µs");
        assert_eq!(amount(2_430.0, Unit::Us), "2.43 ms");
        assert_eq!(amount(71.0, Unit::Bytes), "71 B");
        assert_eq!(amount(42_000.0, Unit::Bytes), "42 KB");
        assert_eq!(amount(52_299.6, Unit::Count), "52,300");
        assert_eq!(amount(0.0, Unit::Count), "0");
        assert_eq!(amount(-1_234_567.0, Unit::Count), "-1,234,567");
        assert_eq!(amount(81.0, Unit::Percent), "81 %");
        assert_eq!(ratio(1.449), "1.45×");
        assert_eq!(ratio(99.96), "100×");
    }
}
