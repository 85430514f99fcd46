//! Parses whole numbers on the command line. An error message names the allowed range.

use crate::config::whole_number;

/// Returns a clap value parser for a whole number from `min` to `max`, both included.
pub(super) fn whole_number_in<T: TryFrom<usize>>(min: usize, max: usize) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = whole_number(text, min, max)?;
        T::try_from(number).map_err(|_| format!("{number} is too large"))
    }
}
