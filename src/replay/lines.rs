//! Reads lines from a file or standard input, plain or gzipped.
//!
//! Does not interpret the lines. All lines use one buffer, and the part of a line beyond the size limit is skipped, so
//! that memory is bounded for any input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;

use super::file_format;

/// The size of the read buffer, in bytes.
const READ_BYTES: usize = 256 * 1024;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A reader of lines.
pub struct Lines {
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
    bytes_max: usize,
    /// Whether the first line with content has not been read yet.
    is_at_start: bool,
}

/// One line, without its line ending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// The line number, starting at 1.
    pub number: u64,
    /// The line, or its first `bytes_max` bytes.
    pub bytes: &'a [u8],
    /// The length of the complete line, in bytes.
    pub length: u64,
}

impl Line<'_> {
    /// Whether `bytes` is the complete line.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        u64::try_from(self.bytes.len()) == Ok(self.length)
    }
}

impl Lines {
    /// Opens `path`; `-` is standard input. Calls `progress` with the size of each chunk of raw bytes read.
    ///
    /// # Errors
    /// When the file cannot be opened, or its first bytes cannot be read.
    pub fn open(path: &Path, bytes_max: usize, progress: impl FnMut(usize) + 'static) -> io::Result<Self> {
        let source: Box<dyn Read> =
            if path == Path::new("-") { Box::new(io::stdin().lock()) } else { Box::new(open_file(path)?) };
        Self::read(ProgressReader { source, progress }, bytes_max)
    }

    /// Reads lines from `source`. Keeps at most the first `bytes_max` bytes of each line.
    ///
    /// # Errors
    /// When the first bytes cannot be read.
    pub fn read(source: impl Read + 'static, bytes_max: usize) -> io::Result<Self> {
        let (head, source) = strip_byte_order_mark(BufReader::with_capacity(READ_BYTES, source))?;
        let is_gzip = head.starts_with(&GZIP_MAGIC);
        let source = Cursor::new(head).chain(source);
        let reader: Box<dyn BufRead> = if is_gzip {
            // The decompressed text may start with a byte order mark as well.
            let (head, text) = strip_byte_order_mark(BufReader::with_capacity(READ_BYTES, GzipMembers::new(source)))?;
            Box::new(Cursor::new(head).chain(text))
        } else {
            Box::new(source)
        };
        Ok(Self { reader, line: Vec::new(), number: 0, bytes_max, is_at_start: true })
    }

    /// Returns the next line; `None` after the last.
    ///
    /// # Errors
    /// When reading fails, compressed data is truncated, or the file has another format than one JSON object per line.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let limit = u64::try_from(self.bytes_max).unwrap_or(u64::MAX);
        // Two more bytes, for the line ending of a line whose length is exactly the limit.
        let kept_max = limit.saturating_add(2);
        let kept = self.reader.by_ref().take(kept_max).read_until(b'\n', &mut self.line)? as u64;
        if kept == 0 {
            return Ok(None);
        }
        self.number += 1;
        let mut length = kept;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
            length = self.line.len() as u64;
        } else if kept == kept_max {
            length += skip_line(&mut self.reader)?;
        }
        self.line.truncate(self.bytes_max);
        if self.is_at_start && !self.line.trim_ascii().is_empty() {
            self.is_at_start = false;
            if let Some(problem) = file_format::problem(&self.line) {
                return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
            }
        }
        Ok(Some(Line { number: self.number, bytes: &self.line, length }))
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        let problem = "this is a folder: name the files in it";
        return Err(io::Error::new(io::ErrorKind::IsADirectory, problem));
    }
    Ok(file)
}

impl std::fmt::Debug for Lines {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Lines").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Decompresses the members of a gzip file, one after the other. Ignores zeros after the last one, as gzip does: some
/// archive programs fill up blocks with them.
struct GzipMembers<R> {
    /// `None` after the last member.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzipMembers<R> {
    fn new(source: R) -> Self {
        Self { member: Some(GzDecoder::new(source)) }
    }
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else { return Ok(0) };
            let read = member.read(buffer).map_err(describe_damage)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(mut source) = self.member.take().map(GzDecoder::into_inner) else { return Ok(0) };
            if skip_zeros(&mut source)? {
                if source.fill_buf()?.first() != Some(&GZIP_MAGIC[0]) {
                    let problem = "other data follows the gzip data: remove it, or compress it as well";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
                }
                self.member = Some(GzDecoder::new(source));
            }
        }
    }
}

/// Returns an error of the decompression with what it means for the file.
fn describe_damage(error: io::Error) -> io::Error {
    let problem = match error.kind() {
        io::ErrorKind::UnexpectedEof => "the gzip data is cut off: copy the file again".to_owned(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            format!("the gzip data is damaged: {error}; copy the file again")
        }
        _ => return error,
    };
    io::Error::new(error.kind(), problem)
}

/// Skips zeros. Returns whether other bytes follow.
fn skip_zeros(source: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let chunk = source.fill_buf()?;
        if chunk.is_empty() {
            return Ok(false);
        }
        let zeros = chunk.iter().take_while(|&&byte| byte == 0).count();
        let is_only_zeros = zeros == chunk.len();
        source.consume(zeros);
        if !is_only_zeros {
            return Ok(true);
        }
    }
}

/// Strips a byte order mark. Returns the bytes already read, and the rest of `source`.
fn strip_byte_order_mark<R: BufRead>(mut source: R) -> io::Result<(Vec<u8>, R)> {
    // A pipe may return fewer bytes than requested, so one read is not enough.
    let mut head = Vec::with_capacity(BYTE_ORDER_MARK.len());
    source.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut head)?;
    if head == BYTE_ORDER_MARK {
        head.clear();
    }
    Ok((head, source))
}

/// Skips the rest of the line. Returns the number of bytes skipped, without the line ending.
fn skip_line(reader: &mut dyn BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let chunk = reader.fill_buf()?;
        let end = chunk.iter().position(|&byte| byte == b'\n');
        let length = end.unwrap_or(chunk.len());
        let is_last = end.is_some() || chunk.is_empty();
        skipped += length as u64;
        reader.consume(length + usize::from(end.is_some()));
        if is_last {
            return Ok(skipped);
        }
    }
}

struct ProgressReader<F> {
    source: Box<dyn Read>,
    progress: F,
}

impl<F: FnMut(usize)> Read for ProgressReader<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        (self.progress)(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines_of(source: &'static [u8], bytes_max: usize) -> Vec<(u64, String, u64)> {
        let mut lines = Lines::read(source, bytes_max).unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next_line().unwrap() {
            all.push((line.number, String::from_utf8(line.bytes.to_vec()).unwrap(), line.length));
        }
        all
    }

    #[test]
    fn lines_end_with_lf_crlf_or_the_end_of_the_file() {
        let expected = vec![(1, "one".into(), 3), (2, String::new(), 0), (3, "three".into(), 5)];
        assert_eq!(lines_of(b"one\n\nthree", 100), expected);
        assert_eq!(lines_of(b"one\r\n\r\nthree\r\n", 100), expected);
    }

    #[test]
    fn a_byte_order_mark_is_stripped() {
        assert_eq!(lines_of(b"\xef\xbb\xbfone\n", 100), vec![(1, "one".into(), 3)]);
        assert_eq!(lines_of(b"\n", 100), vec![(1, String::new(), 0)]);
        assert_eq!(lines_of(b"", 100), vec![]);
    }

    #[test]
    fn a_line_at_the_limit_is_complete_and_a_longer_one_is_truncated() {
        assert_eq!(lines_of(b"1234\n5\n", 4), vec![(1, "1234".into(), 4), (2, "5".into(), 1)]);
        assert_eq!(lines_of(b"1234\r\n5\r\n", 4), vec![(1, "1234".into(), 4), (2, "5".into(), 1)]);
        assert_eq!(lines_of(b"12345\r\n6\n", 4)[1], (2, "6".into(), 1));
        assert_eq!(lines_of(b"12345\n6\n", 4), vec![(1, "1234".into(), 5), (2, "6".into(), 1)]);
        assert_eq!(lines_of(b"123456", 4), vec![(1, "1234".into(), 6)]);
        assert_eq!(lines_of(b"1234", 4), vec![(1, "1234".into(), 4)]);
    }

    #[test]
    fn several_gzip_members_are_concatenated() {
        let mut source = Vec::new();
        for part in ["one\ntw", "o\n"] {
            let mut encoder = flate2::write::GzEncoder::new(&mut source, flate2::Compression::fast());
            encoder.write_all(part.as_bytes()).unwrap();
            encoder.finish().unwrap();
        }
        let mut lines = Lines::read(Cursor::new(source), 100).unwrap();
        assert_eq!(lines.next_line().unwrap().unwrap().bytes, b"one");
        assert_eq!(lines.next_line().unwrap().unwrap().bytes, b"two");
        assert_eq!(lines.next_line().unwrap(), None);
    }

    #[test]
    fn a_byte_order_mark_within_a_gzip_file_is_stripped() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"\xef\xbb\xbfone\ntwo\n").unwrap();
        let mut lines = Lines::read(Cursor::new(encoder.finish().unwrap()), 100).unwrap();
        assert_eq!(lines.next_line().unwrap().unwrap().bytes, b"one");
        assert_eq!(lines.next_line().unwrap().unwrap().bytes, b"two");
    }

    #[test]
    fn zeros_after_a_gzip_file_are_ignored_and_other_bytes_are_an_error() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"one\n").unwrap();
        let mut source = encoder.finish().unwrap();
        source.resize(source.len() + 300_000, 0);
        let mut lines = Lines::read(Cursor::new(source.clone()), 100).unwrap();
        assert_eq!(lines.next_line().unwrap().unwrap().bytes, b"one");
        assert_eq!(lines.next_line().unwrap(), None);
        source.push(b'x');
        let mut lines = Lines::read(Cursor::new(source), 100).unwrap();
        while let Ok(line) = lines.next_line() {
            assert!(line.is_some(), "the file is not read to its end");
        }
    }

    #[test]
    fn a_truncated_gzip_file_is_an_error() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"one\n").unwrap();
        let mut source = encoder.finish().unwrap();
        source.truncate(source.len() - 4);
        let mut lines = Lines::read(Cursor::new(source), 100).unwrap();
        let mut outcome = Ok(true);
        while let Ok(true) = outcome {
            outcome = lines.next_line().map(|line| line.is_some());
        }
        assert!(outcome.is_err());
    }
}
