#![forbid(unsafe_code)]
//! What a part of an env-file begins with. It need not be UTF-8.

/// The length of the name that a text begins with.
pub fn name_length(text: &[u8]) -> usize {
    let is_first = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let is_in = |byte: &u8| is_first(byte) || matches!(byte, b'.' | b'-');
    match text.first().is_some_and(is_first) {
        true => text.iter().position(|byte| !is_in(byte)).unwrap_or(text.len()),
        false => 0,
    }
}

/// The length of the blanks that a text begins with: white space, but LF.
pub fn blanks(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = (1..=3).find(|&length| is_blank(text.get(at..at + length))) {
        at += length;
    }
    at
}

/// Whether this is one blank.
fn is_blank(bytes: Option<&[u8]>) -> bool {
    let text = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let mut characters = text.into_iter().flat_map(str::chars);
    matches!((characters.next(), characters.next()), (Some(c), None) if c.is_whitespace() && c != '\n')
}

/// The offset of the LF that ends the line, or of the end of the text.
pub fn end_of_line(text: &[u8], from: usize) -> usize {
    let from = from.min(text.len());
    from + text[from..].iter().position(|&byte| byte == b'\n').unwrap_or(text.len() - from)
}
