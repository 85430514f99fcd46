//! Encodes and decodes the identity of an id: the message `lifecycle.v1.Identity`.
//!
//! Only ids with links have one, so a record without links is the same as without identity resolution.

use std::sync::Arc;

use crate::lifecycle::customer::Customer;
use crate::lifecycle::identity::{Alias, Erasure, Former, Identity, Stub};
use crate::lifecycle::time::Timestamp;

use super::field::{self, FIXED64};
use super::reader::{FieldValue, Reader, unzigzag};
use super::write::{put_bytes, put_message, put_number, put_signed, tag};

/// Appends the record of an id without a customer to `out`. `ends_at` is when the record ends.
pub(crate) fn write_identity(customer: &Customer, ends_at: Timestamp, out: &mut Vec<u8>) {
    put_bytes(out, field::CUSTOMER_ID, customer.id.as_bytes());
    put_signed(out, field::CLOCK, 0);
    put_number(out, field::WAKE_UP_IN, ends_at.as_millis().cast_unsigned());
    put_identity(customer, out);
}

/// Appends the fields of the identity, if there are any.
pub(super) fn put_identity(customer: &Customer, out: &mut Vec<u8>) {
    if customer.is_visitor {
        put_number(out, field::VISITOR, 1);
    }
    let Some(identity) = customer.identity.as_deref().filter(|identity| !identity.is_empty()) else { return };
    put_message(out, field::IDENTITY, |out| {
        if let Some(Stub { into, drain, used }) = &identity.stub {
            put_link(out, field::identity::STUB, into, *drain, *used);
        }
        if let Some(Former { into, drain, until }) = &identity.former {
            put_link(out, field::identity::FORMER, into, *drain, *until);
        }
        for Alias { id, drain, claimed_at } in &identity.aliases {
            put_link(out, field::identity::ALIASES, id, *drain, *claimed_at);
        }
        if let Some(Erasure { at, kept_until }) = identity.erasure {
            put_signed(out, field::identity::ERASED_AT, at.as_millis());
            put_signed(out, field::identity::ERASURE_KEPT_UNTIL, kept_until.as_millis());
        }
        if identity.retired > 0 {
            put_number(out, field::identity::RETIRED, identity.retired.into());
        }
    });
}

fn put_link(out: &mut Vec<u8>, number: u32, id: &str, drain: u64, time: Timestamp) {
    put_message(out, number, |out| {
        put_bytes(out, field::link::ID, id.as_bytes());
        tag(out, field::link::DRAIN, FIXED64);
        out.extend_from_slice(&drain.to_le_bytes());
        put_signed(out, field::link::TIME, time.as_millis());
    });
}

/// Returns the identity in a valid record.
pub(crate) fn identity_of(record: &[u8]) -> Option<Identity> {
    let mut reader = Reader(record);
    while let Some(found) = reader.field()? {
        if let (field::IDENTITY, FieldValue::Bytes(bytes)) = found {
            return read_identity(bytes);
        }
    }
    None
}

/// Decodes an identity. Returns `None` if the bytes are not valid.
pub(super) fn read_identity(bytes: &[u8]) -> Option<Identity> {
    let mut identity = Identity::default();
    let mut erasure = Erasure { at: Timestamp::MIN, kept_until: Timestamp::MIN };
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::identity::STUB, FieldValue::Bytes(bytes)) => {
                let (into, drain, used) = read_link(bytes)?;
                identity.stub = Some(Stub { into, drain, used });
            }
            (field::identity::FORMER, FieldValue::Bytes(bytes)) => {
                let (into, drain, until) = read_link(bytes)?;
                identity.former = Some(Former { into, drain, until });
            }
            (field::identity::ALIASES, FieldValue::Bytes(bytes)) => {
                let (id, drain, claimed_at) = read_link(bytes)?;
                identity.aliases.push(Alias { id, drain, claimed_at });
            }
            (field::identity::ERASED_AT, FieldValue::Number(at)) => {
                erasure.at = Timestamp::from_millis(unzigzag(at));
                identity.erasure = Some(erasure);
            }
            (field::identity::ERASURE_KEPT_UNTIL, FieldValue::Number(until)) => {
                erasure.kept_until = Timestamp::from_millis(unzigzag(until));
                identity.erasure = Some(erasure);
            }
            (field::identity::RETIRED, FieldValue::Number(retired)) => {
                identity.retired = u16::try_from(retired).ok()?;
            }
            _ => {}
        }
    }
    Some(identity)
}

fn read_link(bytes: &[u8]) -> Option<(Arc<str>, u64, Timestamp)> {
    let (mut id, mut drain, mut time) = ("", 0, 0);
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::link::ID, FieldValue::Bytes(bytes)) => id = std::str::from_utf8(bytes).ok()?,
            (field::link::DRAIN, FieldValue::Number(number)) => drain = number,
            (field::link::TIME, FieldValue::Number(number)) => time = unzigzag(number),
            _ => {}
        }
    }
    (!id.is_empty()).then(|| (Arc::from(id), drain, Timestamp::from_millis(time)))
}
