//! What is written down: README.md, docs/ and examples/ are run as they stand, so that they cannot rot.

mod common;
#[path = "supervisors/harness.rs"]
mod harness;

#[path = "docs/blocks.rs"]
mod blocks;
#[path = "docs/examples.rs"]
mod examples;
#[path = "docs/json.rs"]
mod json;
#[path = "docs/links.rs"]
mod links;
#[path = "docs/machine.rs"]
mod machine;
#[path = "docs/pages.rs"]
mod pages;
#[path = "docs/picture.rs"]
mod picture;
#[path = "docs/place.rs"]
mod place;
#[path = "docs/schema.rs"]
mod schema;
#[path = "docs/systemd.rs"]
mod systemd;

use std::path::{Path, PathBuf};

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn text(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}
