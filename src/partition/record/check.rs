//! Checks that a record is what `read` takes for one, without making a customer of it: a restore looks at every record of a
//! changelog, and most customers are needed much later or never. A test holds the two to the same answer.

use crate::lifecycle::id::StageIndex;
use crate::lifecycle::time::Timestamp;

use super::read::read_currency;
use super::reader::{Content, Reader, back, unzigzag};
use super::{Shape, field};

/// How many numbers of a standing stand between its stage and its counters.
const BEFORE_COUNTERS: usize = 5;

/// What a restore has to know of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Checked<'a> {
    pub(crate) customer_id: &'a str,
    /// That the customer is gone; then the record says nothing else.
    pub(crate) is_removed: bool,
    pub(crate) wake_up: Option<Timestamp>,
    pub(crate) heard_at: Option<Timestamp>,
    standings: &'a [u8],
}

impl<'a> Checked<'a> {
    /// By model: the stage that was published last.
    pub(crate) fn stages(self, shape: &'a Shape) -> impl Iterator<Item = Option<StageIndex>> + 'a {
        stages(self.standings, shape)
    }
}

/// By model: the stage that was published last, of a record that was checked.
pub(crate) fn stages_of<'a>(record: &'a [u8], shape: &'a Shape) -> impl Iterator<Item = Option<StageIndex>> + 'a {
    let mut reader = Reader(record);
    let mut standings: &[u8] = &[];
    while let Some(Some(found)) = reader.field() {
        if let (field::STANDINGS, Content::Bytes(bytes)) = found {
            standings = bytes;
        }
    }
    stages(standings, shape)
}

fn stages<'a>(standings: &'a [u8], shape: &'a Shape) -> impl Iterator<Item = Option<StageIndex>> + 'a {
    let mut reader = Reader(standings);
    shape.models.iter().map_while(move |&(_, counters)| {
        let stage = reader.varint()?;
        reader.skip_varints(BEFORE_COUNTERS + counters)?;
        Some(stage.checked_sub(1).and_then(|stage| u8::try_from(stage).ok()).map(StageIndex))
    })
}

/// What `record` says, written with `shape`. `None` when the bytes are no record of that shape.
pub(crate) fn check<'a>(record: &'a [u8], shape: &Shape) -> Option<Checked<'a>> {
    let mut checked = Checked { customer_id: "", is_removed: false, wake_up: None, heard_at: None, standings: &[] };
    let mut clock = 0;
    let mut has_standings = shape.models.is_empty();
    let mut reader = Reader(record);
    while let Some(found) = reader.field()? {
        match found {
            (field::CUSTOMER_ID, Content::Bytes(id)) => checked.customer_id = std::str::from_utf8(id).ok()?,
            (field::REMOVED, Content::Number(removed)) => checked.is_removed = removed != 0,
            (field::CLOCK, Content::Number(value)) => clock = unzigzag(value),
            (field::WAKE_UP_IN, Content::Number(value)) => {
                checked.wake_up = Some(Timestamp::from_millis(clock.wrapping_add(value.cast_signed())));
            }
            (field::HEARD_AGE, Content::Number(age)) => {
                checked.heard_at = Some(Timestamp::from_millis(back(clock, age)));
            }
            (field::STANDINGS, Content::Bytes(bytes)) => {
                check_standings(bytes, shape)?;
                checked.standings = bytes;
                has_standings = true;
            }
            (field::NUMBERS, Content::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    let index = usize::try_from(reader.varint()?).ok()?;
                    (index < shape.number_is_time.len()).then_some(())?;
                    reader.varint()?;
                }
            }
            (field::ORDERS, Content::Bytes(bytes)) => check_order(bytes, shape.followed)?,
            (field::LATEST, Content::Bytes(bytes)) => check_latest(bytes, shape.latest)?,
            (field::WINDOWS, Content::Bytes(bytes)) => check_times(bytes, clock, shape.windows)?,
            (field::FOLLOWED, Content::Bytes(bytes)) => check_times(bytes, clock, shape.followed)?,
            (field::FOLDED, Content::Bytes(bytes)) => check_folded(bytes, shape.followed)?,
            _ => {}
        }
    }
    ((has_standings || checked.is_removed) && !checked.customer_id.is_empty()).then_some(checked)
}

fn check_standings(bytes: &[u8], shape: &Shape) -> Option<()> {
    let mut reader = Reader(bytes);
    for &(stages, counters) in &shape.models {
        let stage = usize::try_from(reader.varint()?).ok()?;
        (stage <= stages && stage <= 1 + usize::from(u8::MAX)).then_some(())?;
        reader.varint()?;
        reader.varint()?;
        u32::try_from(reader.varint()?).ok()?;
        reader.skip_varints(BEFORE_COUNTERS - 3 + counters)?;
    }
    Some(())
}

fn check_order(bytes: &[u8], followed_groups: usize) -> Option<()> {
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::order::CURRENCY, Content::Number(code)) => _ = read_currency(code)?,
            (field::order::AMOUNT_EVENT_ID, Content::Bytes(id)) => _ = std::str::from_utf8(id).ok()?,
            (field::order::AMOUNT_EVENT_UUID, Content::Bytes(id)) => (id.len() == 16).then_some(())?,
            (field::order::REFUNDS, Content::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    reader.skip_varints(2)?;
                    read_currency(reader.varint()?)?;
                }
            }
            (field::order::FOLLOWED, Content::Bytes(bytes)) => check_optional_ages(bytes, followed_groups)?,
            _ => {}
        }
    }
    Some(())
}

fn check_latest(bytes: &[u8], values: usize) -> Option<()> {
    let mut index = 0;
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::latest::INDEX, Content::Number(number)) => index = usize::try_from(number).ok()?,
            (field::latest::STRING, Content::Bytes(text)) => _ = std::str::from_utf8(text).ok()?,
            _ => {}
        }
    }
    (index < values).then_some(())
}

fn check_folded(bytes: &[u8], followed_groups: usize) -> Option<()> {
    let mut reader = Reader(bytes);
    while let Some(found) = reader.field()? {
        match found {
            (field::folded::CHAINS, Content::Bytes(bytes)) => {
                let mut reader = Reader(bytes);
                while !reader.0.is_empty() {
                    reader.skip_varints(2)?;
                }
            }
            (field::folded::FOLLOWED, Content::Bytes(bytes)) => check_optional_ages(bytes, followed_groups)?,
            _ => {}
        }
    }
    Some(())
}

fn check_optional_ages(bytes: &[u8], count: usize) -> Option<()> {
    let mut reader = Reader(bytes);
    for _ in 0..count {
        if reader.0.is_empty() {
            break;
        }
        reader.varint()?;
    }
    Some(())
}

fn check_times(bytes: &[u8], clock: i64, lists: usize) -> Option<()> {
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        let index = usize::try_from(reader.varint()?).ok()?;
        let count = usize::try_from(reader.varint()?).ok().filter(|&count| count <= reader.0.len())?;
        let mut earlier = None;
        let mut later = clock;
        for _ in 0..count {
            later = back(later, reader.varint()?);
            if earlier.is_some_and(|time| later > time) {
                return None;
            }
            earlier = Some(later);
        }
        (index < lists).then_some(())?;
    }
    Some(())
}
