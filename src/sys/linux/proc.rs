//! How files of /proc are read (proc(5)).

use std::fs;
use std::io::{self, Read};

use super::super::whole::note;

/// Reads a file of /proc in two system calls. Such files have no size to ask for.
pub fn read(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(8 << 10);
    let file = fs::File::open(path);
    note(file.and_then(|file| file.take(u64::MAX).read_to_end(&mut bytes)))?;
    Ok(bytes)
}

pub fn number(path: &str) -> io::Result<u64> {
    let text = fs::read_to_string(path)?;
    text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("no number in {path}")))
}

/// `None` if something does not exist or may not be seen. Running out of descriptors or memory is an error, because it
/// says nothing about the thing itself.
pub fn unless_exhausted<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM)) => Err(e),
        Err(_) => Ok(None),
    }
}
