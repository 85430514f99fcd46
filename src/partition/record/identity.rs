//! Encodes and decodes the identity of an id: the message `lifecycle.v1.Identity`.
//!
//! Only ids with links have one, so a record without links is the same as without identity resolution.

use std::sync::Arc;

use crate::lifecycle::customer::Customer;
use crate::lifecycle::identity::{Alias, AliasKind, Erasure, Former, Identity, Split, Stub};
use crate::lifecycle::time::Timestamp;

use super::field::{self, FIXED64};
use super::reader::{FieldValue, Reader, unzigzag};
use super::write::{put_bytes, put_message, put_number, put_signed, tag};

/// Appends the record of an id without a customer to `out`. `ends_at` is when the record ends;
/// `None` if it is permanent.
pub(crate) fn write_identity(customer: &Customer, ends_at: Option<Timestamp>, out: &mut Vec<u8>) {
    put_bytes(out, field::CUSTOMER_ID, customer.id.as_bytes());
    put_signed(out, field::CLOCK, 0);
    if let Some(ends_at) = ends_at {
        put_number(out, field::WAKE_UP_IN, ends_at.as_millis().cast_unsigned());
    }
    put_identity(customer, out);
}

/// Appends the fields of the identity, if there are any.
pub(super) fn put_identity(customer: &Customer, out: &mut Vec<u8>) {
    if customer.is_visitor {
        put_number(out, field::VISITOR, 1);
    }
    let Some(identity) = customer.identity.as_deref().filter(|identity| !identity.is_empty()) else { return };
    put_message(out, field::IDENTITY, |out| {
        if let Some(Stub { into, life, drain, used, merged_at, is_settled }) = &identity.stub {
            put_link(out, field::identity::STUB, into, *drain, *used, |out| {
                put_flag(out, field::link::UNSETTLED, !is_settled);
                put_nonzero(out, field::link::LIFE, *life);
                put_time(out, field::link::COMMANDED_AT, *merged_at);
            });
        }
        if let Some(Former { into, life, drain, until, is_settled, split, ends_at }) = &identity.former {
            put_link(out, field::identity::FORMER, into, *drain, *until, |out| {
                put_flag(out, field::link::UNSETTLED, !is_settled);
                put_nonzero(out, field::link::LIFE, *life);
                put_time(out, field::link::COMMANDED_AT, split.map(|split| split.at));
                put_nonzero(out, field::link::LAST_LIFE, split.map_or(0, |split| split.last_life));
                put_time(out, field::link::ENDS_AT, *ends_at);
            });
        }
        for Alias { id, drain, claimed_at, kind } in &identity.aliases {
            put_link(out, field::identity::ALIASES, id, *drain, *claimed_at, |out| {
                put_flag(out, field::link::MERGED, *kind != AliasKind::Visitor);
                put_flag(out, field::link::SPLIT, *kind == AliasKind::Split);
            });
        }
        put_time(out, field::identity::SPLIT_AT, identity.split_at);
        if let Some(Erasure { at, kept_until, requested_at }) = identity.erasure {
            put_signed(out, field::identity::ERASED_AT, at.as_millis());
            put_signed(out, field::identity::ERASURE_KEPT_UNTIL, kept_until.as_millis());
            put_time(out, field::identity::ERASURE_REQUESTED_AT, requested_at);
        }
        if !identity.erased_moves.is_empty() {
            let packed: Vec<u8> = identity.erased_moves.iter().flat_map(|drain| drain.to_le_bytes()).collect();
            put_bytes(out, field::identity::ERASED_MOVES, &packed);
        }
        put_nonzero(out, field::identity::RETIRED, identity.retired);
        put_nonzero(out, field::identity::REMOVALS, identity.removals);
    });
}

fn put_nonzero(out: &mut Vec<u8>, number: u32, value: u16) {
    if value > 0 {
        put_number(out, number, value.into());
    }
}

fn put_time(out: &mut Vec<u8>, number: u32, time: Option<Timestamp>) {
    if let Some(time) = time {
        put_signed(out, number, time.as_millis());
    }
}

fn put_flag(out: &mut Vec<u8>, number: u32, is_set: bool) {
    if is_set {
        put_number(out, number, 1);
    }
}

fn put_link(out: &mut Vec<u8>, number: u32, id: &str, drain: u64, time: Timestamp, more: impl FnOnce(&mut Vec<u8>)) {
    put_message(out, number, |out| {
        put_bytes(out, field::link::ID, id.as_bytes());
        tag(out, field::link::DRAIN, FIXED64);
        out.extend_from_slice(&drain.to_le_bytes());
        put_signed(out, field::link::TIME, time.as_millis());
        more(out);
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
    let unknown = Erasure { at: Timestamp::MIN, kept_until: Timestamp::MIN, requested_at: None };
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::identity::STUB, FieldValue::Bytes(bytes)) => {
                let StoredLink { id: into, life, drain, time: used, commanded_at: merged_at, is_settled, .. } =
                    read_link(bytes)?;
                identity.stub = Some(Stub { into, life, drain, used, merged_at, is_settled });
            }
            (field::identity::FORMER, FieldValue::Bytes(bytes)) => {
                let StoredLink {
                    id: into, life, drain, time: until, commanded_at, last_life, is_settled, ends_at, ..
                } = read_link(bytes)?;
                let split = commanded_at.map(|at| Split { at, last_life });
                identity.former = Some(Former { into, life, drain, until, is_settled, split, ends_at });
            }
            (field::identity::ALIASES, FieldValue::Bytes(bytes)) => {
                let StoredLink { id, drain, time: claimed_at, kind, .. } = read_link(bytes)?;
                identity.aliases.push(Alias { id, drain, claimed_at, kind });
            }
            (field::identity::ERASED_AT, FieldValue::Number(at)) => {
                identity.erasure.get_or_insert(unknown).at = time(at);
            }
            (field::identity::ERASURE_KEPT_UNTIL, FieldValue::Number(until)) => {
                identity.erasure.get_or_insert(unknown).kept_until = time(until);
            }
            (field::identity::ERASURE_REQUESTED_AT, FieldValue::Number(at)) => {
                identity.erasure.get_or_insert(unknown).requested_at = Some(time(at));
            }
            (field::identity::SPLIT_AT, FieldValue::Number(at)) => {
                identity.split_at = Some(time(at));
            }
            (field::identity::ERASED_MOVES, FieldValue::Bytes(packed)) => {
                let (drains, []) = packed.as_chunks::<8>() else { return None };
                identity.erased_moves = drains.iter().map(|drain| u64::from_le_bytes(*drain)).collect();
            }
            (field::identity::RETIRED, FieldValue::Number(retired)) => {
                identity.retired = u16::try_from(retired).ok()?;
            }
            (field::identity::REMOVALS, FieldValue::Number(removals)) => {
                identity.removals = u16::try_from(removals).ok()?;
            }
            _ => {}
        }
    }
    Some(identity)
}

fn time(number: u64) -> Timestamp {
    Timestamp::from_millis(unzigzag(number))
}

/// The fields of a stub, a former stub or an alias.
struct StoredLink {
    id: Arc<str>,
    drain: u64,
    time: Timestamp,
    kind: AliasKind,
    is_settled: bool,
    life: u16,
    commanded_at: Option<Timestamp>,
    last_life: u16,
    ends_at: Option<Timestamp>,
}

fn read_link(bytes: &[u8]) -> Option<StoredLink> {
    let (mut id, mut drain, mut at) = ("", 0, Timestamp::from_millis(0));
    let (mut kind, mut is_settled) = (AliasKind::Visitor, true);
    let (mut life, mut commanded_at, mut last_life, mut ends_at) = (0, None, 0, None);
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::link::ID, FieldValue::Bytes(bytes)) => id = std::str::from_utf8(bytes).ok()?,
            (field::link::DRAIN, FieldValue::Number(number)) => drain = number,
            (field::link::TIME, FieldValue::Number(number)) => at = time(number),
            (field::link::MERGED, FieldValue::Number(1)) if kind == AliasKind::Visitor => kind = AliasKind::Customer,
            (field::link::UNSETTLED, FieldValue::Number(unsettled)) => is_settled = unsettled == 0,
            (field::link::LIFE, FieldValue::Number(number)) => life = u16::try_from(number).ok()?,
            (field::link::COMMANDED_AT, FieldValue::Number(number)) => {
                commanded_at = Some(time(number));
            }
            (field::link::LAST_LIFE, FieldValue::Number(number)) => last_life = u16::try_from(number).ok()?,
            (field::link::SPLIT, FieldValue::Number(1)) => kind = AliasKind::Split,
            (field::link::ENDS_AT, FieldValue::Number(number)) => {
                ends_at = Some(time(number));
            }
            _ => {}
        }
    }
    let id = Arc::from(Some(id).filter(|id| !id.is_empty())?);
    Some(StoredLink { id, drain, time: at, kind, is_settled, life, commanded_at, last_life, ends_at })
}
