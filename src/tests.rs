#![forbid(unsafe_code)]
//! Fuzzing: inputs of tests/corpus, and what becomes of them when bytes are changed, left out, put in and mixed. No input
//! makes a reader panic or think for a second, each message is one line, and no secret is in one.
//!
//! The suite does a few of them. `FORERUN_FUZZ=10000000 cargo test --release fuzz -- --nocapture` does that many, and
//! FORERUN_FUZZ_SEED makes it others. An input that was mended goes into its folder of tests/corpus.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// What targets plant where a secret is: it must be in no message.
pub const SECRET: &str = "s3cr3t-of-forerun";
/// How many inputs the suite does.
const FEW: usize = 15_000;
const LONGEST_INPUT: usize = 20_000;
/// The most inputs that are kept because they led to a new message.
const KEPT: usize = 2000;
/// Of a thread's own time, and of the clock's: who waits for what never comes uses none of the first.
const LONGEST: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// What reads inputs.
pub struct Target {
    /// Its folder in tests/corpus.
    pub name: &'static str,
    /// How many inputs it gets, beside the others.
    pub share: usize,
    /// Texts that mean something to it.
    pub words: &'static [&'static str],
    /// Reads an input. Returns every message that a person could see.
    pub read: fn(&[u8]) -> Vec<String>,
}

/// Every reader of what others wrote.
fn targets() -> Vec<Target> {
    [crate::check::fuzzed(), crate::service::fuzzed()].into_iter().flatten().collect()
}

/// xorshift: the same inputs everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut inputs = vec![Vec::new()];
    for file in files {
        let bytes = std::fs::read(&file).expect("an input");
        match file.ends_with("lines") {
            true => inputs.extend(bytes.split(|&b| b == b'\n').map(<[u8]>::to_vec)),
            false => inputs.push(bytes),
        }
    }
    inputs
}

/// An input that nobody wrote.
fn mutated(inputs: &[Vec<u8>], words: &[&str], random: &mut Random) -> Vec<u8> {
    let mut input = inputs[random.below(inputs.len())].clone();
    for _ in 0..=random.below(5) {
        let (at, byte) = (random.below(input.len() + 1), random.below(256) as u8);
        let to = (at + 1 + random.below(8)).min(input.len());
        match random.below(9) {
            0 => input.truncate(at),
            1 => input.insert(at, byte),
            2 => drop(input.drain(at..to)),
            3 if at < input.len() => input[at] = [0, 1, 127, 128, 255, b'\n', b'"', byte][random.below(8)],
            4 if at < input.len() => input[at] ^= 1 << random.below(8),
            5 => drop(input.splice(at..at, random.of(words).bytes())),
            6 => drop(input.splice(at..to, random.of(words).bytes())),
            7 => {
                let other = &inputs[random.below(inputs.len())];
                let from = random.below(other.len() + 1);
                input.splice(at.., other[from..].iter().copied());
            }
            _ => {
                // Now and then so often that what is not linear is seen.
                let times = if random.below(100) == 0 { 2000 } else { random.below(4) };
                let part = input[at..to].repeat(times.min(LONGEST_INPUT / (to - at).max(1)));
                input.splice(at..at, part);
            }
        }
    }
    input.truncate(LONGEST_INPUT);
    input
}

/// A thread's own time.
fn own_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).expect("a clock")
}

/// Reads one input, and says what is wrong with that. Returns a number for the kinds of its messages.
fn tried(target: &Target, input: &[u8]) -> Result<u64, String> {
    let (begun, own) = (Instant::now(), own_time());
    let messages = catch_unwind(AssertUnwindSafe(|| (target.read)(input))).map_err(|_| "a panic")?;
    let (took, own) = (begun.elapsed(), own_time() - own);
    if own > LONGEST || took > LONGEST_WAIT {
        return Err(format!("it took {own:?} of {took:?}"));
    }
    let mut kinds = DefaultHasher::new();
    for message in messages {
        if message.contains(SECRET) {
            return Err(format!("a secret is in {message:?}"));
        }
        if message.is_empty() || message.contains(char::is_control) || message.len() > 4000 {
            return Err(format!("it is no line: {message:?}"));
        }
        // What is quoted is of the input.
        message.split('\'').step_by(2).for_each(|words| words.hash(&mut kinds));
    }
    Ok(kinds.finish())
}

/// Returns how many kinds of messages there were.
fn fuzz(target: &Target, count: usize, seed: u64) -> usize {
    let mut random = Random(seed);
    let mut inputs = corpus(target.name);
    let mut kinds = BTreeSet::new();
    let written = inputs.len();
    for round in 0..count {
        let input = if round < written { inputs[round].clone() } else { mutated(&inputs, target.words, &mut random) };
        let kind = tried(target, &input).unwrap_or_else(|wrong| {
            let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("target").join(format!("fuzz-{}", target.name));
            let _ = std::fs::write(&file, &input);
            panic!("{}: {wrong}; the input is in {} (seed {seed}, {round})", target.name, file.display())
        });
        if kinds.insert(kind) && inputs.len() < written + KEPT && input.len() < 1000 {
            inputs.push(input);
        }
    }
    kinds.len()
}

#[test]
fn fuzz_every_reader() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let count = number("FORERUN_FUZZ").map_or(FEW, |count| count as usize);
    let seed = number("FORERUN_FUZZ_SEED").unwrap_or(0x9e37_79b9_7f4a_7c15).max(1);
    let targets = targets();
    let shares: usize = targets.iter().map(|target| target.share).sum();
    let mut total = 0;
    println!("seed {seed}");
    for target in &targets {
        let (begun, count) = (Instant::now(), (count * target.share).div_ceil(shares));
        let kinds = fuzz(target, count, seed);
        total += count;
        println!("{:<10} {count:>9} inputs, {kinds:>5} kinds of answers, {:.1?}", target.name, begun.elapsed());
    }
    println!("{total} inputs");
}

#[test]
fn a_reader_that_is_wrong_is_found() {
    let wrong = |read| Target { name: "check", share: 1, words: &["x"], read };
    assert!(tried(&wrong(|_| vec![format!("no '{SECRET}'")]), b"").is_err_and(|why| why.contains("secret")));
    assert!(tried(&wrong(|_| vec!["a\nb".to_owned()]), b"").is_err_and(|why| why.contains("no line")));
    assert!(tried(&wrong(|_| Vec::new()), b"").is_ok());
}
