//! The JSON Schema of forerun.toml: the published one is what forerun prints, and every forerun.toml of the pages fits it.
//!
//! `FORERUN_TEST_BLESS=1 cargo test --test docs schema` writes it anew.

use std::fs;
use std::process::{Command, Stdio};

use crate::blocks::{Class, sections};
use crate::common::{Room, done};
use crate::pages::PAGES;
use crate::{repository, skip_unless, text};

const PUBLISHED: &str = "docs/forerun.schema.json";

/// Says `path: what is wrong` of each file that does not fit.
const FITS: &str = r#"
import json, sys, tomllib, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft7Validator.check_schema(schema)
for path in sys.argv[2:]:
    for wrong in jsonschema.Draft7Validator(schema).iter_errors(tomllib.load(open(path, "rb"))):
        print(f"{path}: {wrong.message}")
"#;

/// What does not fit the schema.
fn misfits(schema: &str, files: &[String]) -> String {
    let mut python = Command::new("/usr/bin/python3");
    done(python.args(["-c", FITS, schema]).args(files)).expect_code(0).stdout
}

#[test]
fn the_published_schema_is_what_forerun_prints() {
    let printed = Room::new().run(&["schema"]).expect_code(0).stdout;
    if std::env::var_os("FORERUN_TEST_BLESS").is_some() {
        fs::write(repository(PUBLISHED), &printed).expect("written");
    }
    assert_eq!(text(PUBLISHED), printed);
}

#[test]
fn every_file_of_the_pages_fits_the_schema_and_a_wrong_one_does_not() {
    let module = ["-c", "import jsonschema, tomllib"];
    let has = Command::new("/usr/bin/python3").args(module).stderr(Stdio::null()).status();
    skip_unless!(has.is_ok_and(|status| status.success()), "no python3-jsonschema");
    let room = Room::new();
    let schema = repository(PUBLISHED).display().to_string();
    let mut files = vec![repository("examples/forerun.toml").display().to_string()];
    for page in PAGES {
        let all = sections(page, &text(page));
        for block in all.iter().flatten().filter(|block| block.class == Class::Config) {
            let name = block.place.replace(['/', ':', ' ', ','], "_");
            files.push(room.file(&name, &block.text).display().to_string());
        }
    }
    assert!(files.len() > 20, "{}", files.len());
    assert_eq!(misfits(&schema, &files), "");
    for wrong in
        ["prot = 1", "port = true", "health = { timeout = '1s' }", "wait = [{ check = 'tcp:a:1', boddy = 'x' }]"]
    {
        let file = room.file("wrong.toml", wrong).display().to_string();
        assert!(misfits(&schema, &[file]).contains("wrong.toml: "), "{wrong}");
    }
}
