//! Numbers on the command line: one that is out of its limits is told the limits, one below zero too.

use crate::config::whole_number;

/// Takes a whole number from `least` to `most`.
pub(super) fn whole<T: TryFrom<usize>>(least: usize, most: usize) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = whole_number(text, least, most)?;
        T::try_from(number).map_err(|_| format!("{number} is too large"))
    }
}
