//! Transition records in JSON.
use super::transition::Publication;

/// Appends the JSON record of `publication`.
pub fn write_json(_publication: &Publication<'_>, _out: &mut Vec<u8>) {
    unimplemented!()
}
