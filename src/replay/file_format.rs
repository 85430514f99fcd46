//! Recognizes files that do not have one JSON object per line, by their first line.
//!
//! Without this check, each line of a CSV file or of an indented JSON array would be reported as a dead letter.

/// Parts of column names that are typical of touchpoints.
const COLUMN_NAMES: [&str; 7] = ["id", "type", "time", "date", "customer", "event", "user"];

/// Returns the format of a file and what to do, by its first line that is not blank. `None` if the file may contain
/// touchpoints.
pub(super) fn problem(line: &[u8]) -> Option<&'static str> {
    let line = line.trim_ascii();
    if line == b"[" || is_array_of_objects(line) {
        return Some("this is a JSON array, but one JSON object per line is expected: convert it with jq -c '.[]'");
    }
    if line == b"{" {
        return Some("this is indented JSON, but one JSON object per line is expected: convert it with jq -c .");
    }
    match line {
        [b'P', b'A', b'R', b'1', ..] => Some("this is a Parquet file, but one JSON object per line is expected"),
        [b'O', b'b', b'j', 1, ..] => Some("this is an Avro file, but one JSON object per line is expected"),
        [b'P', b'K', 3, 4, ..] => Some("this is a zip file, but plain or gzipped text is expected: unpack it first"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            Some("this is a zstd file, but plain or gzipped text is expected: use zstd -dc")
        }
        [0xfd, b'7', b'z', b'X', b'Z', ..] => {
            Some("this is an xz file, but plain or gzipped text is expected: use xz -dc")
        }
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => {
            Some("this is a bzip2 file, but plain or gzipped text is expected: use bzip2 -dc")
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'{', 0, ..] | [0, b'{', ..] => {
            Some("this is UTF-16 text, but UTF-8 is expected: convert it with iconv")
        }
        [b'<', ..] => Some("this is XML or HTML, but one JSON object per line is expected"),
        _ if is_csv_header(line) => Some(
            "this is a table with a header line (CSV), but one JSON object per line is expected, such as \
             {\"event_id\":\"e-1\",\"customer_id\":\"c-1\",\"type\":\"signed_up\",\"occurred_at\":\"2026-01-31T09:00:00Z\"}",
        ),
        _ => None,
    }
}

fn is_array_of_objects(line: &[u8]) -> bool {
    line.strip_prefix(b"[").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"{"))
}

/// Whether `line` is a list of names: at least three, or one of them could be that of a field of touchpoints.
fn is_csv_header(line: &[u8]) -> bool {
    let Ok(line) = std::str::from_utf8(line) else { return false };
    let Some(separator) = [',', ';', '\t', '|'].into_iter().find(|&separator| line.contains(separator)) else {
        return false;
    };
    let names: Vec<_> = line.split(separator).map(|name| name.trim().trim_matches('"')).collect();
    let is_name = |name: &&str| {
        name.starts_with(|first: char| first.is_alphabetic() || first == '_')
            && name.chars().all(|other| other.is_alphanumeric() || matches!(other, '_' | '-' | '.' | ' '))
    };
    let is_known = |name: &&str| COLUMN_NAMES.iter().any(|part| name.to_lowercase().contains(part));
    names.iter().all(is_name) && (names.len() > 2 || names.iter().any(is_known))
}

#[cfg(test)]
mod tests {
    use super::problem;

    #[test]
    fn files_of_other_formats_are_recognized_by_their_first_line() {
        for (line, what) in [
            (&b"["[..], "JSON array"),
            (b"  [ {\"event_id\": 1},", "JSON array"),
            (b"{", "indented JSON"),
            (b"event_id,customer_id,type,occurred_at", "CSV"),
            (b"\"User Id\";\"Ereignis\"", "CSV"),
            (b"InvoiceNo,StockCode,Description,Quantity", "CSV"),
            (b"<?xml version='1.0'?>", "XML"),
            (b"{\0\"\0", "UTF-16"),
            (b"PAR1\x15\x04", "Parquet"),
            (b"PK\x03\x04", "zip"),
            (b"\xff\xfe{\0", "UTF-16"),
        ] {
            let problem = problem(line).unwrap_or_else(|| panic!("{what}"));
            assert!(problem.contains(what) && problem.contains("expected"), "{problem}");
        }
    }

    #[test]
    fn a_line_that_may_be_a_single_bad_record_is_accepted() {
        for line in ["{\"event_id\":\"e\"}", "{}", "[]", "[1]", "not json", "hello, world", "a,b", "2026-01-01,c1,type"]
        {
            assert_eq!(problem(line.as_bytes()), None, "{line}");
        }
    }
}
