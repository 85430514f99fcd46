//! Reads secrets from files: passwords, tokens and keys.
//!
//! Kubernetes and other platforms mount secrets as files. Messages name the file and never contain its text.

use std::path::Path;

use super::settings::read_limited;

/// Maximum size of a file with secrets. A hundred HTTP tokens of the maximum length fit.
const BYTES_MAX: u64 = 512 * 1024;

/// Reads a secret, without the line break at the end and the byte order mark at the start that editors add.
///
/// # Errors
/// A message, if the file cannot be read, is empty or too large.
pub fn read_secret(path: &Path) -> Result<String, String> {
    let mut text =
        read_limited(path, BYTES_MAX).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.trim().is_empty() {
        return Err(format!("{} is empty: write the value into it", path.display()));
    }
    Ok(text)
}

/// Reads a token, which has no white space around it.
///
/// # Errors
/// As [`read_secret`].
pub(super) fn read_token(path: &Path) -> Result<String, String> {
    read_secret(path).map(|token| token.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_ends_before_its_line_break_and_a_token_has_no_space() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        let write = |text: &[u8]| std::fs::write(&path, text).expect("the file is written");
        write(b" a b \r\n\n");
        assert_eq!((read_secret(&path), read_token(&path)), (Ok(" a b ".to_owned()), Ok("a b".to_owned())));
        write("\u{feff}a\n".as_bytes());
        assert_eq!(read_secret(&path), Ok("a".to_owned()), "a byte order mark");
        for (text, problem) in [
            (&b" \n"[..], "secret is empty: write the value into it"),
            (b"\xff", "secret cannot be read: not valid UTF-8"),
            (&vec![b'a'; 512 * 1024 + 1], "secret cannot be read: larger than 512 KiB"),
        ] {
            write(text);
            let found = read_secret(&path).expect_err(problem);
            assert!(found.ends_with(problem), "{found}");
        }
        write(&vec![b'a'; 512 * 1024]);
        assert!(read_secret(&path).is_ok(), "the largest file");
    }
}
