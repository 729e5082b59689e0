#![forbid(unsafe_code)]
//! HPACK (RFC 7541): the headers of HTTP/2. Written here because the crates for it panic on bytes that are none, and a
//! server may send any.

/// The most bytes that a server may keep in the table (SETTINGS_HEADER_TABLE_SIZE, where none is sent).
const TABLE: usize = 4096;
/// What an entry of the table counts for, beside its texts.
const ENTRY: usize = 32;
/// The most headers of one block.
const HEADERS: usize = 256;
/// The end of a text in Huffman code; it is never sent.
const END: usize = 256;

/// A name and a value.
pub type Header = (Vec<u8>, Vec<u8>);

/// Adds a header that refers to nothing that was sent before.
pub fn write(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        write_length(block, text.len());
        block.extend_from_slice(text.as_bytes());
    }
}

fn write_length(block: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else { return block.push(length as u8) };
    block.push(127);
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// Reads the blocks of one connection.
#[derive(Default)]
pub struct Decoder {
    /// The newest entry first.
    table: std::collections::VecDeque<Header>,
    size: usize,
    /// The size that the server has asked for.
    most: Option<usize>,
}

impl Decoder {
    /// The headers of a block. `None` if it is none.
    pub fn block(&mut self, block: &[u8]) -> Option<Vec<Header>> {
        let mut rest = block;
        let mut headers = Vec::new();
        while let Some(&first) = rest.first() {
            let kept = match first {
                128.. => {
                    let index = integer(&mut rest, 7)?;
                    headers.push(self.entry(index)?);
                    false
                }
                64.. => true,
                32.. => {
                    let most = integer(&mut rest, 5).filter(|&most| most <= TABLE)?;
                    self.most = Some(most);
                    self.shrink(most);
                    continue;
                }
                _ => false,
            };
            if first < 128 {
                let header = self.literal(&mut rest, if kept { 6 } else { 4 })?;
                if kept {
                    self.keep(header.clone());
                }
                headers.push(header);
            }
            if headers.len() > HEADERS {
                return None;
            }
        }
        Some(headers)
    }

    fn literal(&self, rest: &mut &[u8], prefix: u32) -> Option<Header> {
        let name = match integer(rest, prefix)? {
            0 => text(rest)?,
            index => self.entry(index)?.0,
        };
        Some((name, text(rest)?))
    }

    fn entry(&self, index: usize) -> Option<Header> {
        let index = index.checked_sub(1)?;
        match STATIC.get(index) {
            Some((name, value)) => Some((name.as_bytes().to_vec(), value.as_bytes().to_vec())),
            None => self.table.get(index - STATIC.len()).cloned(),
        }
    }

    fn keep(&mut self, header: Header) {
        self.size += header.0.len() + header.1.len() + ENTRY;
        self.table.push_front(header);
        self.shrink(self.most.unwrap_or(TABLE));
    }

    fn shrink(&mut self, most: usize) {
        while self.size > most {
            let Some((name, value)) = self.table.pop_back() else { return };
            self.size -= name.len() + value.len() + ENTRY;
        }
    }
}

/// A number whose first byte has `prefix` bits of it.
fn integer(rest: &mut &[u8], prefix: u32) -> Option<usize> {
    let mask = (1_usize << prefix) - 1;
    let mut value = usize::from(byte(rest)?) & mask;
    if value < mask {
        return Some(value);
    }
    // No number that is of use here has more.
    for shift in [0, 7, 14, 21] {
        let next = byte(rest)?;
        value += usize::from(next & 127) << shift;
        if next < 128 {
            return Some(value);
        }
    }
    None
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (&first, others) = rest.split_first()?;
    *rest = others;
    Some(first)
}

fn text(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let is_huffman = *rest.first()? >= 128;
    let length = integer(rest, 7)?;
    let (text, others) = rest.split_at_checked(length)?;
    *rest = others;
    if is_huffman { huffman(text) } else { Some(text.to_vec()) }
}

/// The code is canonical: the lengths of all codes, in the order of the bytes, say what they are.
fn huffman(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut sorted: Vec<usize> = (0..LENGTHS.len()).collect();
    sorted.sort_by_key(|&symbol| (LENGTHS[symbol], symbol));
    let mut counts = [0_usize; 31];
    LENGTHS.iter().for_each(|&length| counts[usize::from(length)] += 1);
    let mut decoded = Vec::new();
    // The code so far, the first code of its length, and the codes that are shorter.
    let (mut code, mut first, mut shorter, mut length) = (0, 0, 0, 0);
    let mut ones = true;
    for bit in bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| usize::from(byte >> at & 1))) {
        code = code * 2 + bit;
        first *= 2;
        length += 1;
        ones &= bit == 1;
        let count = *counts.get(length)?;
        if code - first < count {
            let symbol = sorted[shorter + code - first];
            if symbol == END {
                return None;
            }
            decoded.push(symbol as u8);
            (code, first, shorter, length, ones) = (0, 0, 0, 0, true);
        } else {
            first += count;
            shorter += count;
        }
    }
    // What is left is the beginning of the code of the end.
    (length < 8 && ones).then_some(decoded)
}

/// The table of Appendix A.
#[rustfmt::skip]
const STATIC: [(&str, &str); 61] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"),
    (":path", "/"), (":path", "/index.html"), (":scheme", "http"),
    (":scheme", "https"), (":status", "200"), (":status", "204"),
    (":status", "206"), (":status", "304"), (":status", "400"),
    (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""),
    ("accept", ""), ("access-control-allow-origin", ""), ("age", ""),
    ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""),
    ("content-length", ""), ("content-location", ""), ("content-range", ""),
    ("content-type", ""), ("cookie", ""), ("date", ""),
    ("etag", ""), ("expect", ""), ("expires", ""),
    ("from", ""), ("host", ""), ("if-match", ""),
    ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""),
    ("if-unmodified-since", ""), ("last-modified", ""), ("link", ""),
    ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""),
    ("proxy-authorization", ""), ("range", ""), ("referer", ""),
    ("refresh", ""), ("retry-after", ""), ("server", ""),
    ("set-cookie", ""), ("strict-transport-security", ""), ("transfer-encoding", ""),
    ("user-agent", ""), ("vary", ""), ("via", ""),
    ("www-authenticate", ""),
];

/// How many bits the code of each byte has, and that of the end (Appendix B).
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12,
    10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6,
    5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22,
    22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20,
    22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28,
    27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28,
    27, 27, 27, 27, 27, 26, 30,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("hex");
        digits.chunks(2).map(byte).collect()
    }

    fn text_of(headers: &[Header]) -> String {
        let line =
            |(name, value): &Header| format!("{}: {}", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        headers.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Appendix C.6: responses with Huffman code, whose table has room for 256 bytes.
    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let mut decoder = Decoder { most: Some(256), ..Decoder::default() };
        let first = "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3";
        let second = "4883640effc1c0bf";
        let third = "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007";
        let tail = "cache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com";
        let read = decoder.block(&bytes(first)).expect("the first");
        assert_eq!(text_of(&read), format!(":status: 302\n{tail}"));
        let read = decoder.block(&bytes(second)).expect("the second");
        assert_eq!(text_of(&read), format!(":status: 307\n{tail}"));
        let read = text_of(&decoder.block(&bytes(third)).expect("the third"));
        assert!(
            read.starts_with(":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n"),
            "{read}"
        );
        assert!(read.ends_with("set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"), "{read}");
        assert_eq!(decoder.size, 215);
    }

    #[test]
    fn what_is_written_is_read() {
        let (long, mut block) = ("x".repeat(5000), Vec::new());
        for (name, value) in [(":path", "/a"), ("te", &long), ("", "")] {
            write(&mut block, name, value);
        }
        assert_eq!(text_of(&Decoder::default().block(&block).expect("a block")), format!(":path: /a\nte: {long}\n: "));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for hex in ["80", "be", "ff", "ffffffffff7f", "40", "0001", "000161", "007f", "3fe21f", "00016181"] {
            assert_eq!(Decoder::default().block(&bytes(hex)), None, "{hex}");
        }
        // Padding of a whole byte, padding of zeros, and the code of the end.
        for code in ["ff", "00", "fffffffc"] {
            assert_eq!(huffman(&bytes(code)), None, "{code}");
        }
        assert_eq!(huffman(&bytes("1fff")), None);
        assert_eq!(huffman(&bytes("18ff")), Some(b"aa".to_vec()));
    }
}
