#![forbid(unsafe_code)]
//! The lines of an env-file.

/// The bytes of a file without its BOM, and with LF at the end of each line.
pub fn normalized(bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().peekable();
    while let Some(&byte) = rest.next() {
        if byte == b'\r' {
            rest.next_if(|&&next| next == b'\n');
        }
        text.push(if byte == b'\r' { b'\n' } else { byte });
    }
    text
}

/// Where the lines of a text begin.
pub struct Lines<'a> {
    text: &'a [u8],
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub fn of(text: &'a [u8]) -> Self {
        let after = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        Lines { text, starts: std::iter::once(0).chain(after).collect() }
    }

    /// The line of an offset and its column, both from 1.
    pub fn place(&self, at: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|&start| start <= at);
        let before = &self.text[self.starts[line - 1]..at];
        (line, String::from_utf8_lossy(before).chars().count() + 1)
    }
}
