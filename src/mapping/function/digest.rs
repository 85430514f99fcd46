//! Ids and digests.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use md5::Md5;
use sha2::{Digest as _, Sha256};

use super::super::datum::Datum;
use super::super::error::EvaluationError;
use super::super::evaluate::{TEXT_BYTES_MAX, too_long};
use super::take;
use super::text::{plain_text, text_argument};
use crate::wire::percent_encoding::percent_encoded;

type Evaluated<'a> = Result<Datum<'a>, EvaluationError>;

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

/// Returns 32 hexadecimal digits of the SHA-256 of all parts. Each part is preceded by its length, so that `a, bc` and
/// `ab, c` differ; a missing part differs from an empty one.
pub(super) fn hash<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let mut hasher = Sha256::new();
    for at in 0..values.len() {
        match plain_text(take(values, at))? {
            Some(text) => {
                hasher.update(format!("{}:", text.len()));
                hasher.update(text.as_bytes());
            }
            None => hasher.update("-:"),
        }
    }
    Ok(Datum::text(hex(&hasher.finalize()[..16])))
}

/// Writes the 128 bits of a UUID in the alphabet of ULIDs.
pub(super) fn ulid<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let Some(text) = text_argument(values, 0)? else { return Ok(Datum::Null) };
    let id = uuid::Uuid::parse_str(&text).map_err(|_| EvaluationError::new("expected a UUID"))?.as_u128();
    let digits = (0..26).rev().map(|place| char::from(ALPHABET[(id >> (5 * place)) as usize & 31]));
    Ok(Datum::text(digits.collect::<String>()))
}

pub(super) fn md5_hex<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    Ok(text_argument(values, 0)?.map_or(Datum::Null, |text| Datum::text(hex(&Md5::digest(text.as_bytes())))))
}

pub(super) fn sha256_hex<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    Ok(text_argument(values, 0)?.map_or(Datum::Null, |text| Datum::text(hex(&Sha256::digest(text.as_bytes())))))
}

pub(super) fn base64<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let Some(text) = text_argument(values, 0)? else { return Ok(Datum::Null) };
    if text.len() > TEXT_BYTES_MAX / 2 {
        return Err(too_long());
    }
    Ok(Datum::text(STANDARD.encode(text.as_bytes())))
}

pub(super) fn base64_decode<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let Some(text) = text_argument(values, 0)? else { return Ok(Datum::Null) };
    let bytes = STANDARD_NO_PAD
        .decode(text.trim_end_matches('='))
        .map_err(|_| EvaluationError::new("the text is not valid base64"))?;
    String::from_utf8(bytes).map(Datum::text).map_err(|_| EvaluationError::new("the decoded bytes are not UTF-8"))
}

pub(super) fn url_encode<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let Some(text) = text_argument(values, 0)? else { return Ok(Datum::Null) };
    if text.len() > TEXT_BYTES_MAX / 3 {
        return Err(too_long());
    }
    Ok(Datum::text(percent_encoded(&text)))
}

/// Decodes `%` and two hexadecimal digits to a byte.
pub(super) fn url_decode<'a>(values: &mut [Datum<'a>]) -> Evaluated<'a> {
    let Some(text) = text_argument(values, 0)? else { return Ok(Datum::Null) };
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            decoded.push(*first);
            continue;
        }
        let byte = tail.first_chunk::<2>().and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
            u8::from_str_radix(digits, 16).ok()
        });
        let Some(byte) = byte else {
            return Err(EvaluationError::new("`%` is not followed by two hexadecimal digits"));
        };
        decoded.push(byte);
        rest = &tail[2..];
    }
    String::from_utf8(decoded).map(Datum::text).map_err(|_| EvaluationError::new("the decoded bytes are not UTF-8"))
}
