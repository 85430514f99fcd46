//! Parses whole numbers on the command line, and writes them with a noun.

use std::fmt::Display;

use crate::config::whole_number;

/// Returns a clap value parser for a whole number from `min` to `max`, both included.
pub(super) fn whole_number_in<T: TryFrom<usize>>(min: usize, max: usize) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = whole_number(text, min, max)?;
        T::try_from(number).map_err(|_| format!("{number} is too large"))
    }
}

/// Returns `number` with its noun, which ends in `s` unless the number is 1: `2 models`.
pub(super) fn counted<T: Copy + Display + PartialEq + From<u8>>(number: T, noun: &str) -> String {
    let ending = if number == T::from(1) { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
