//! Holds the house: which room may use which (ARCHITECTURE.md), and how large its parts may get. It reads the imports
//! of `src/`.
//!
//! Each list of exceptions is exact: what is mended must leave it, so the lists only ever get shorter.
//!
//! `FORERUN_TEST_NUMBERS=FOLDER cargo test --test architecture -- --nocapture the_numbers` prints the numbers of the
//! `src/` of another checkout.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// What any room may use, but `sys`: words, errors, and how a line is written.
const BASE: [&str; 5] = ["environment", "error", "line", "screen", "text"];

/// Which room may use which. `BASE` is not named.
const ARROWS: [(&str, &[&str]); 16] = [
    ("text", &[]),
    ("error", &[]),
    ("environment", &[]),
    ("screen", &[]),
    ("line", &["sys"]),
    ("sys", &[]),
    ("args", &[]),
    ("report", &[]),
    ("check", &["sys"]),
    ("instance", &["sys"]),
    ("supervisor", &["instance", "sys"]),
    ("service", &["args", "check", "instance", "sys"]),
    ("follow", &["check", "instance", "supervisor", "sys"]),
    ("sidecar", &["check", "follow", "instance", "supervisor", "sys"]),
    ("start", &["check", "follow", "instance", "report", "service", "sidecar", "supervisor", "sys"]),
    (
        "commands",
        &["args", "check", "follow", "instance", "report", "service", "sidecar", "start", "supervisor", "sys"],
    ),
];

/// Imports against the arrows: the file, and the room that it uses.
const WRONG_WAY: [&str; 0] = [];

/// Files of one circle of imports: each reaches each other one.
const CIRCLES: [&str; 0] = [];

/// Files with more than [`LONGEST_FILE`] lines of code, without comments and tests.
const LONG_FILES: [&str; 0] = [];
const LONGEST_FILE: usize = 300;

/// Functions with more than [`LONGEST_FUNCTION`] lines.
const LONG_FUNCTIONS: [&str; 0] = [];
const LONGEST_FUNCTION: usize = 60;

/// Subcommands with more than [`LONGEST_COMMAND`] lines.
const LONG_COMMANDS: [&str; 0] = [];
const LONGEST_COMMAND: usize = 200;

/// Files that start programs of their own accord.
const COMMANDS_RUN: [&str; 0] = [];

/// Files outside of the supervisors' room that name one of them in code.
const NAMED: [&str; 0] = [];

/// The rooms of supervisors, which are their words on the command line too.
const SUPERVISORS: [&str; 12] = [
    "systemd",
    "launchd",
    "supervisord",
    "runit",
    "s6",
    "daemontools",
    "openrc",
    "dinit",
    "container",
    "runners",
    "start_stop_daemon",
    "start-stop-daemon",
];

/// Words of supervisors in records, where they are not the name of a room.
const WORDS: [&str; 10] = [
    "a service manager",
    "a container",
    "OpenRC",
    "PM2",
    "circus",
    "honcho",
    "foreman",
    "overmind",
    "hivemind",
    "goreman",
];

#[test]
fn no_room_is_used_against_the_arrows() {
    let house = House::read(&own_source());
    same("imports against the arrows", house.wrong_way(), &WRONG_WAY);
}

/// A supervisor that is on the list of all has a room that is known here.
#[test]
fn each_supervisor_is_known_here() {
    let all = std::fs::read_to_string(own_source().join("supervisor/all.rs")).expect("the list of all supervisors");
    let rooms: BTreeSet<&str> =
        all.lines().filter_map(|line| line.trim().strip_prefix('&')?.split_once("::")).map(|(room, _)| room).collect();
    let unknown: Vec<_> = rooms.iter().filter(|room| !SUPERVISORS.contains(room)).collect();
    assert!(rooms.len() > 8 && unknown.is_empty(), "of {rooms:?} these are not known: {unknown:?}");
}

#[test]
fn no_files_import_each_other() {
    same("circles of imports", House::read(&own_source()).circles(), &CIRCLES);
}

#[test]
fn each_file_and_function_fits_in_the_head() {
    let house = House::read(&own_source());
    same("long files", house.long_files(LONGEST_FILE, ""), &LONG_FILES);
    same("long commands", house.long_files(LONGEST_COMMAND, "commands/"), &LONG_COMMANDS);
    same("long functions", house.long_functions(), &LONG_FUNCTIONS);
}

#[test]
fn only_the_rooms_for_it_run_programs_and_know_supervisors() {
    let house = House::read(&own_source());
    same("programs run", house.running(), &COMMANDS_RUN);
    same("supervisors named", house.naming(), &NAMED);
}

/// `unsafe` and `cfg(target_os)` are in `sys/` alone: what is elsewhere is the same on each OS.
#[test]
fn only_sys_is_unsafe_and_knows_the_os() {
    for file in House::read(&own_source()).files {
        if file.name.starts_with("sys/") || file.name == "main.rs" {
            continue;
        }
        assert!(file.text.starts_with("#![forbid(unsafe_code)]\n"), "{} does not forbid unsafe code", file.name);
        assert!(!file.text.contains("target_os"), "{} has a cfg(target_os)", file.name);
    }
}

/// The numbers of the import graph, for a person.
#[test]
fn the_numbers() {
    let source = std::env::var_os("FORERUN_TEST_NUMBERS").map_or_else(own_source, PathBuf::from);
    let house = House::read(&source);
    println!("files: {}", house.files.len());
    println!("lines of code: {}", house.files.iter().map(|file| file.lines).sum::<usize>());
    println!("circles of imports: {:#?}", house.circles());
    println!("files that name a supervisor outside of its room: {:#?}", house.naming());
    println!("functions over {LONGEST_FUNCTION} lines: {:#?}", house.long_functions());
    println!("files over {LONGEST_FILE} lines of code: {:#?}", house.long_files(LONGEST_FILE, ""));
    assert!(house.files.len() > 50, "{} has no code", source.display());
}

fn own_source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[track_caller]
fn same(what: &str, found: Vec<String>, listed: &[&str]) {
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    let listed: BTreeSet<_> = listed.iter().copied().collect();
    let new: Vec<_> = found.difference(&listed).collect();
    let mended: Vec<_> = listed.difference(&found).collect();
    assert!(
        new.is_empty() && mended.is_empty(),
        "{what}: new: {new:#?}; mended, to be taken off the list: {mended:#?}"
    );
}

/// One file of the program, without its tests.
struct Source {
    /// Its path below `src`.
    name: String,
    /// Its module: `["start", "seat"]`.
    module: Vec<String>,
    text: String,
    /// Lines of code.
    lines: usize,
    /// Every path of the code, from the root of the program.
    paths: BTreeSet<Vec<String>>,
    /// Names that the file hands on, and what they stand for.
    handed_on: BTreeMap<String, Vec<String>>,
    functions: Vec<(String, usize)>,
    strings: BTreeSet<String>,
    runs_programs: bool,
}

struct House {
    files: Vec<Source>,
}

impl House {
    fn read(source: &Path) -> House {
        let mut names = Vec::new();
        walk(source, &mut names);
        assert!(!names.is_empty(), "{} has no files", source.display());
        names.sort();
        House { files: names.iter().map(|path| Source::read(source, path)).collect() }
    }

    /// The file that a path leads to, through what other files hand on.
    fn target(&self, path: &[String]) -> Option<&Source> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let depth = (1..=path.len()).rev().find(|&n| self.files.iter().any(|f| f.module == path[..n]))?;
            let file = self.files.iter().find(|f| f.module == path[..depth])?;
            match path.get(depth).and_then(|name| file.handed_on.get(name)) {
                Some(real) => path = real.iter().chain(&path[depth + 1..]).cloned().collect(),
                None => return Some(file),
            }
        }
        None
    }

    /// Which file uses which.
    fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let used = |file: &Source| {
            let targets: Vec<&Source> = file.paths.iter().filter_map(|path| self.target(path)).collect();
            targets.iter().map(|target| &*target.name).filter(|name| *name != file.name).collect()
        };
        self.files.iter().map(|file| (&*file.name, used(file))).collect()
    }

    fn wrong_way(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for file in self.files.iter().filter(|file| file.name != "main.rs") {
            let room = &file.module[0];
            let allowed = ARROWS.iter().find(|(name, _)| name == room).map(|(_, allowed)| *allowed);
            let allowed = allowed.unwrap_or_else(|| panic!("{room} is no room that is known here"));
            let base: &[&str] = if room == "sys" { &[] } else { &BASE };
            for used in file.paths.iter().filter_map(|path| path.first()).collect::<BTreeSet<_>>() {
                if used != room && !allowed.contains(&used.as_str()) && !base.contains(&used.as_str()) {
                    wrong.push(format!("{} -> {used}", file.name));
                }
            }
            wrong.extend(self.between_supervisors(file));
        }
        wrong
    }

    /// One supervisor does not use another's room.
    fn between_supervisors(&self, file: &Source) -> Vec<String> {
        let own = |module: &[String]| {
            let [room, name, ..] = module else { return None };
            (room == "supervisor" && SUPERVISORS.contains(&name.as_str())).then(|| name.clone())
        };
        let Some(us) = own(&file.module) else { return Vec::new() };
        let others = file.paths.iter().filter_map(|path| own(path)).filter(|name| *name != us);
        others.map(|name| format!("{} -> supervisor/{name}", file.name)).collect()
    }

    /// The circles, each as one line.
    fn circles(&self) -> Vec<String> {
        let edges = self.edges();
        let reach = |from: &str| {
            let mut seen = BTreeSet::new();
            let mut open = vec![from];
            while let Some(name) = open.pop() {
                for next in &edges[name] {
                    if seen.insert(*next) {
                        open.push(next);
                    }
                }
            }
            seen
        };
        let reached: BTreeMap<&str, BTreeSet<&str>> = edges.keys().map(|name| (*name, reach(name))).collect();
        let mut circles = BTreeSet::new();
        for (name, others) in &reached {
            let mut circle: Vec<&str> = others.iter().copied().filter(|other| reached[other].contains(name)).collect();
            if circle.len() > 1 {
                circle.sort_unstable();
                circles.insert(circle.join(" "));
            }
        }
        circles.into_iter().collect()
    }

    fn long_files(&self, limit: usize, below: &str) -> Vec<String> {
        let long = self.files.iter().filter(|file| file.name.starts_with(below) && file.lines > limit);
        long.map(|file| file.name.clone()).collect()
    }

    fn long_functions(&self) -> Vec<String> {
        let of = |file: &Source| {
            let long = file.functions.iter().filter(|(_, lines)| *lines > LONGEST_FUNCTION);
            long.map(|(name, _)| format!("{} {name}", file.name)).collect::<Vec<_>>()
        };
        self.files.iter().flat_map(of).collect()
    }

    fn running(&self) -> Vec<String> {
        let may = |file: &Source| file.name.starts_with("sys/") || file.name == "supervisor/ask.rs";
        self.files.iter().filter(|file| file.runs_programs && !may(file)).map(|file| file.name.clone()).collect()
    }

    fn naming(&self) -> Vec<String> {
        let names =
            |file: &&Source| file.strings.iter().any(|text| SUPERVISORS.iter().chain(&WORDS).any(|word| text == word));
        let outside = self.files.iter().filter(|file| !file.name.starts_with("supervisor/"));
        outside.filter(names).map(|file| file.name.clone()).collect()
    }
}

/// The files of the program. Tests in files of their own are left out.
fn walk(folder: &Path, names: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let is_tests = path.file_stem().is_some_and(|name| name == "tests");
        if path.is_dir() && !is_tests {
            walk(&path, names);
        } else if path.extension().is_some_and(|e| e == "rs") && !is_tests {
            names.push(path);
        }
    }
}

impl Source {
    fn read(root: &Path, path: &Path) -> Source {
        let relative = path.strip_prefix(root).expect("below the root");
        let text = std::fs::read_to_string(path).expect("a file");
        let parsed = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut module: Vec<String> =
            relative.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        module.retain(|part| part != "mod");
        let mut reader = Reader { module: module.clone(), ..Reader::default() };
        reader.visit_file(&parsed);
        let is_code = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let in_tests = |number: usize| reader.tests.iter().any(|(first, last)| (*first..=*last).contains(&number));
        let lines = text.lines().enumerate().filter(|(at, line)| is_code(line) && !in_tests(at + 1)).count();
        Source {
            name: relative.to_string_lossy().into_owned(),
            module,
            text,
            lines,
            paths: reader.paths,
            handed_on: reader.handed_on,
            functions: reader.functions,
            strings: reader.strings,
            runs_programs: reader.runs_programs,
        }
    }
}

/// Reads one file.
#[derive(Default)]
struct Reader {
    module: Vec<String>,
    paths: BTreeSet<Vec<String>>,
    handed_on: BTreeMap<String, Vec<String>>,
    functions: Vec<(String, usize)>,
    strings: BTreeSet<String>,
    /// First and last lines of what is only compiled for tests.
    tests: Vec<(usize, usize)>,
    children: BTreeSet<String>,
    runs_programs: bool,
}

impl Reader {
    /// A path from the root of the program. `None` for one into other crates, or of this file.
    fn resolve(&self, path: &[String]) -> Option<Vec<String>> {
        let (first, rest) = path.split_first()?;
        let base = match first.as_str() {
            "crate" => Vec::new(),
            "self" => self.module.clone(),
            "super" => self.module[..self.module.len().checked_sub(1)?].to_vec(),
            child if self.children.contains(child) => {
                self.module.clone().into_iter().chain([child.to_owned()]).collect()
            }
            _ => return None,
        };
        let mut found = base;
        for part in rest {
            if part == "super" {
                found.pop();
            } else {
                found.push(part.clone());
            }
        }
        Some(found)
    }

    fn add(&mut self, path: &[String]) {
        self.runs_programs |= path.len() > 2 && path[..2] == ["std", "process"] && path[2] == "Command";
        if let Some(path) = self.resolve(path).filter(|path| !path.is_empty()) {
            self.paths.insert(path);
        }
    }

    fn tree(&mut self, prefix: &[String], tree: &syn::UseTree, handed_on: bool) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        let (path, name) = match tree {
            syn::UseTree::Path(path) => return self.tree(&with(&path.ident), &path.tree, handed_on),
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|item| self.tree(prefix, item, handed_on));
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                (prefix.to_vec(), prefix.last().cloned().unwrap_or_default())
            }
            syn::UseTree::Name(name) => (with(&name.ident), name.ident.to_string()),
            syn::UseTree::Rename(rename) => (with(&rename.ident), rename.rename.to_string()),
            syn::UseTree::Glob(_) => (prefix.to_vec(), "*".to_owned()),
        };
        match self.resolve(&path) {
            // What is handed on is not used here.
            Some(path) if handed_on => drop(self.handed_on.insert(name, path)),
            _ => self.add(&path),
        }
    }

    /// Paths in what a macro is given.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.add(&std::mem::take(&mut path));
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                other => {
                    self.add(&std::mem::take(&mut path));
                    colons = 0;
                    match other {
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        TokenTree::Literal(literal) => {
                            self.strings.insert(literal.to_string().trim_matches('"').to_owned());
                        }
                        _ => {}
                    }
                }
            }
        }
        self.add(&path);
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let syn::Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("cfg") && list.tokens.to_string() == "test"
    })
}

impl<'a> Visit<'a> for Reader {
    fn visit_item_mod(&mut self, item: &'a syn::ItemMod) {
        if is_for_tests(&item.attrs) {
            if let Some((braces, _)) = &item.content {
                self.tests.push((item.mod_token.span.start().line, braces.span.close().end().line));
            }
            return;
        }
        self.children.insert(item.ident.to_string());
        let outer = self.module.clone();
        if item.content.is_some() {
            self.module.push(item.ident.to_string());
        }
        visit::visit_item_mod(self, item);
        self.module = outer;
    }

    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        if !is_for_tests(&item.attrs) {
            self.tree(&[], &item.tree, !matches!(item.vis, syn::Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let parts: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if parts.len() > 1 {
            self.add(&parts);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'a syn::Macro) {
        self.tokens(called.tokens.clone());
    }

    fn visit_lit_str(&mut self, text: &'a syn::LitStr) {
        self.strings.insert(text.value());
    }

    fn visit_attribute(&mut self, _: &'a syn::Attribute) {}

    fn visit_item_fn(&mut self, item: &'a syn::ItemFn) {
        if is_for_tests(&item.attrs) {
            return;
        }
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'a syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }
}

impl Reader {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = block.brace_token.span.close().end().line - signature.fn_token.span.start().line + 1;
        self.functions.push((signature.ident.to_string(), lines));
    }
}
