#![forbid(unsafe_code)]
//! `forerun schema`: prints the JSON Schema of forerun.toml.

use crate::error::Error;
use crate::line::print_result;
use crate::service;

pub fn run() -> Result<(), Error> {
    print_result(format!("{:#}\n", service::schema()).as_bytes())
}
