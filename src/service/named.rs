#![forbid(unsafe_code)]
//! Which service a subcommand is about.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::command::command;
use super::document::Document;
use super::expand::Expander;
use super::file::{self, File};
use super::known::Known;
use super::name;
use super::variables::Variables;
use super::wrong::Fault;
use crate::environment::Environment;
use crate::error::Error;

/// The name of a service, and where it comes from.
pub enum Named {
    /// The command line.
    Asked(String),
    /// A forerun.toml, or the folder that it is in.
    File(String, PathBuf),
    /// The current folder.
    Folder(String),
}

impl Named {
    pub fn name(&self) -> &str {
        match self {
            Named::Asked(name) | Named::File(name, _) | Named::Folder(name) => name,
        }
    }

    /// The forerun.toml that the name comes from.
    pub fn config(&self) -> Option<&Path> {
        match self {
            Named::File(_, path) => Some(path),
            Named::Asked(_) | Named::Folder(_) => None,
        }
    }
}

/// The name that a subcommand works on: the one that was given, else the one that a start in the folder `here` would
/// take. `config`: the file that was given. References see `environment`.
///
/// # Errors
/// [`Error::Usage`] for a name that is not one, [`Error::Config`] for a bad file.
pub fn named(
    name: Option<&OsStr>,
    config: Option<&Path>,
    here: &Path,
    environment: &Environment,
) -> Result<Named, Error> {
    if let Some(name) = name {
        return name::asked(name).map(Named::Asked).map_err(Fault::plain);
    }
    let Some((path, text)) = file::find(config, here)? else {
        return name::resolve(None, &File::default(), here, &[]).map(Named::Folder).map_err(Fault::plain);
    };
    let name = of_file(&path, &text, environment);
    name.map_err(|fault| fault.in_file(&path, &text)).map(|name| Named::File(name, path))
}

/// The name that forerun.toml says. The env-files are read only where it depends on them.
fn of_file(path: &Path, text: &str, environment: &Environment) -> Result<String, Fault> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut document = Document::parse(text)?;
    document.keep_what_names();
    let variables = match document.has_references() {
        true => {
            let files = document.env_files(&Known::new(environment))?;
            Variables::read(&files.iter().map(|file| file.within(folder)).collect::<Vec<_>>(), environment)?
        }
        false => Variables::default(),
    };
    let replaced = document.replace(&mut Expander::new(variables.known()))?;
    let name = document.file(&replaced).map_err(Fault::from).and_then(|file| {
        let directory = file.cwd.as_ref().map_or(folder.to_owned(), |cwd| folder.join(cwd));
        let words = command(&[], &file, true)?;
        name::resolve(None, &file, &directory, &words)
    });
    name.map_err(|fault| replaced.safe_fault(fault))
}
