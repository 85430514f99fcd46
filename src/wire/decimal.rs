//! Parses amounts of money from decimal text.
//!
//! Processes the digits directly, without a floating-point number, so that `0.29` is exactly 290,000 millionths.

use crate::lifecycle::money::Amount;

/// Parses a decimal number: digits with an optional sign, fraction and exponent, as in JSON. Rounds to six decimal
/// places, half away from zero. Returns `None` if the text is not a decimal number or its magnitude exceeds
/// [`Amount::MAX`].
#[must_use]
pub fn parse_amount(text: &str) -> Option<Amount> {
    let (is_negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (text, 0),
    };
    let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    if integer.is_empty()
        || fraction.is_empty()
        || !integer.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
    {
        return None;
    }

    let digits = || integer.bytes().chain(fraction.bytes()).skip_while(|&digit| digit == b'0');
    // Number of digits of the value in millionths, before rounding. Zeros are appended if the text has fewer digits.
    let fraction_digits = i64::try_from(fraction.len()).ok()?;
    let integer_digits = i64::try_from(digits().count()).ok()? + 6 - fraction_digits + exponent;
    if digits().next().is_none() || integer_digits < 0 {
        return Some(Amount::default());
    }
    // In millionths, the largest amount has 19 digits, which fit into 64 bits.
    let integer_digits = usize::try_from(integer_digits).ok().filter(|&count| count <= 19)?;
    let mut padded = digits().map(|digit| u64::from(digit - b'0')).chain(std::iter::repeat(0));
    let truncated = padded.by_ref().take(integer_digits).fold(0, |number, digit| number * 10 + digit);
    let rounds_up = padded.next().is_some_and(|digit| digit >= 5);

    let micros = i128::from(truncated + u64::from(rounds_up));
    let magnitude = Some(Amount::from_micros(micros)).filter(|&magnitude| magnitude <= Amount::MAX)?;
    Some(if is_negative { Amount::default().minus(magnitude) } else { magnitude })
}

/// Exponents are clamped to this magnitude. That never changes the result, because a record is much shorter than this
/// number of digits.
const EXPONENT_MAX: i64 = 1 << 40;

fn parse_exponent(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let magnitude = digits.iter().try_fold(0, |number: i64, digit| {
        digit.is_ascii_digit().then(|| (number * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX))
    })?;
    Some(sign * magnitude)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn micros(text: &str) -> Option<i128> {
        parse_amount(text).map(Amount::as_micros)
    }

    #[test]
    fn decimals_are_exact() {
        for (text, expected) in [
            ("49.99", 49_990_000),
            ("0.29", 290_000),
            ("-3", -3_000_000),
            ("+3.5", 3_500_000),
            ("007.10", 7_100_000),
            ("0", 0),
            ("-0.0", 0),
            ("1e3", 1_000_000_000),
            ("1.5E-2", 15_000),
            ("0.000000001e9", 1_000_000),
            ("999999999999.999999", 999_999_999_999_999_999),
            ("1e12", 1_000_000_000_000_000_000),
            ("-1000000000000", -1_000_000_000_000_000_000),
            ("0e99999999999999999999", 0),
            ("1e-99999999999999999999", 0),
        ] {
            assert_eq!(micros(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn six_decimal_places_are_kept_and_half_is_rounded_away_from_zero() {
        for (text, expected) in [
            ("0.0000004999", 0),
            ("0.0000005", 1),
            ("-0.0000005", -1),
            ("1.2345675", 1_234_568),
            ("1.23456749", 1_234_567),
            ("0.9999995", 1_000_000),
            ("4e-7", 0),
            ("5e-7", 1),
            ("9e-8", 0),
        ] {
            assert_eq!(micros(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in [
            "",
            "-",
            "+",
            ".",
            ".5",
            "5.",
            "1e",
            "1e+",
            "e5",
            "1.2.3",
            "1,5",
            "1 000",
            " 1",
            "1 ",
            "--1",
            "0x10",
            "NaN",
            "Infinity",
            "1e1.5",
            "\u{663}",
            "1000000000000.000001",
            "-1000000000001",
            "1e13",
            "1e400",
            "99999999999999999999",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    /// A slow reference: shifts the decimal point in the text one digit at a time.
    fn reference(units: &str, fraction: &str, exponent: i32) -> Option<i128> {
        let (mut units, mut fraction) = (units.to_owned(), fraction.to_owned());
        for _ in 0..(exponent + 6).max(0) {
            units.push(if fraction.is_empty() { '0' } else { fraction.remove(0) });
        }
        for _ in 0..(-(exponent + 6)).max(0) {
            fraction.insert(0, units.pop().unwrap_or('0'));
        }
        let units = if units.is_empty() { 0 } else { units.parse::<i128>().ok()? };
        let rounded = units + i128::from(fraction.starts_with(['5', '6', '7', '8', '9']));
        (rounded <= 1_000_000_000_000_000_000).then_some(rounded)
    }

    proptest! {
        #[test]
        fn a_slow_reference_agrees(units in "[0-9]{1,20}", fraction in "[0-9]{1,20}", exponent in -30_i32..=20) {
            let expected = reference(&units, &fraction, exponent);
            let text = format!("{units}.{fraction}e{exponent}");
            prop_assert_eq!(micros(&text), expected);
            prop_assert_eq!(micros(&format!("-{text}")), expected.map(|micros| -micros));
        }

        #[test]
        fn displayed_amounts_are_parsed_back(micros in -Amount::MAX.as_micros()..=Amount::MAX.as_micros()) {
            let amount = Amount::from_micros(micros);
            prop_assert_eq!(parse_amount(&amount.to_string()), Some(amount));
        }

        #[test]
        fn arbitrary_text_never_panics(text in "\\PC*", dense in "[0-9eE.+-]{0,40}") {
            let _ = (parse_amount(&text), parse_amount(&dense));
        }
    }
}
