#![forbid(unsafe_code)]
//! Finds the commands in a shell script, as far as its text alone shows them (sh(1), "Token Recognition", and the
//! common syntax of bash). Nothing is run, and nothing is expanded.

use std::iter::Peekable;
use std::str::Chars;

/// A simple command.
pub struct Simple {
    pub words: Vec<String>,
    /// The line on which it begins.
    pub line: usize,
    /// The shell of the script stays: the command runs in a pipeline, in the background or in a subshell.
    pub stays: bool,
    /// The script does not wait for it (`&`).
    pub in_background: bool,
}

/// The simple commands of a script.
pub fn commands(script: &str) -> Vec<Simple> {
    let mut reader = Reader {
        chars: script.chars().peekable(),
        commands: Vec::new(),
        words: Vec::new(),
        word: None,
        line: 1,
        begun: 1,
        is_redirected: false,
        documents: Vec::new(),
        around: Vec::new(),
    };
    while let Some(c) = reader.chars.next() {
        reader.take(c);
    }
    reader.end_command(false);
    reader.commands
}

/// A here-document that follows the line (`<<END`).
struct Document {
    delimiter: String,
    /// Tabs before the delimiter are ignored (`<<-END`).
    is_indented: bool,
}

/// An outer command that goes on after the closing parenthesis. `None` for a subshell, which nothing follows.
type Outer = Option<(Vec<String>, Option<String>, usize)>;

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    commands: Vec<Simple>,
    words: Vec<String>,
    word: Option<String>,
    line: usize,
    /// The line of the first word.
    begun: usize,
    /// The next word is the target of a redirection, not a part of the command.
    is_redirected: bool,
    documents: Vec<Document>,
    /// The commands around this one, outermost first.
    around: Vec<Outer>,
}

impl Reader<'_> {
    fn take(&mut self, c: char) {
        match c {
            '\\' => match self.next() {
                Some('\n') | None => {}
                Some(escaped) => self.push(escaped),
            },
            '\'' | '"' => self.take_quoted(c),
            '#' if self.word.is_none() => while self.chars.next_if(|&c| c != '\n').is_some() {},
            '\n' => {
                self.end_command(false);
                self.line += 1;
                self.skip_documents();
            }
            '<' if self.chars.next_if_eq(&'<').is_some() => self.take_document(),
            '&' if self.chars.peek() == Some(&'>') => self.redirect(),
            '<' | '>' => {
                // Digits before the sign are part of the redirection.
                self.word.take_if(|word| word.bytes().all(|b| b.is_ascii_digit()));
                self.redirect();
            }
            '&' | '|' => {
                let is_list = self.chars.next_if_eq(&c).is_some();
                self.end_command(!is_list);
                // Behind a parenthesis it is the last command in the subshell.
                if let Some(last) = self.commands.last_mut().filter(|_| c == '&' && !is_list) {
                    last.in_background = true;
                }
            }
            ';' => {
                self.end_command(false);
                let (is_end, falls) = (self.chars.next_if_eq(&';').is_some(), self.chars.next_if_eq(&'&').is_some());
                if is_end || falls {
                    self.skip_pattern();
                }
            }
            '$' if self.chars.next_if_eq(&'(').is_some() => self.substitute(),
            '$' if self.chars.next_if_eq(&'\'').is_some() => self.take_escaped(),
            '(' => self.open(),
            ')' => self.close(),
            '`' => self.end_command(false),
            c if c.is_whitespace() => self.end_word(),
            c => self.push(c),
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.next();
        self.line += usize::from(c == Some('\n'));
        c
    }

    fn take_quoted(&mut self, quote: char) {
        self.begin_word();
        while let Some(c) = self.next().filter(|&c| c != quote) {
            match c {
                '\\' if quote == '"' => self.next().into_iter().for_each(|escaped| self.push(escaped)),
                c => self.push(c),
            }
        }
    }

    /// Reads the rest of a `$'...'`.
    fn take_escaped(&mut self) {
        self.begin_word();
        while let Some(c) = self.next().filter(|&c| c != '\'') {
            let said = if c == '\\' { self.next().unwrap_or(c) } else { c };
            self.push(said);
        }
    }

    /// Reads the rest of a `<<`.
    fn take_document(&mut self) {
        self.end_word();
        if self.chars.next_if_eq(&'<').is_some() {
            // The text of a `<<<` is the next word.
            self.is_redirected = true;
            return;
        }
        let is_indented = self.chars.next_if_eq(&'-').is_some();
        while self.chars.next_if_eq(&' ').is_some() {}
        let delimiter: String =
            std::iter::from_fn(|| self.chars.next_if(|&c| !c.is_whitespace() && !";|&)".contains(c))).collect();
        self.documents.push(Document { delimiter: delimiter.replace(['\'', '"', '\\'], ""), is_indented });
    }

    fn skip_documents(&mut self) {
        for Document { delimiter, is_indented } in std::mem::take(&mut self.documents) {
            loop {
                let line: String = std::iter::from_fn(|| self.chars.next_if(|&c| c != '\n')).collect();
                let is_last = self.next().is_none();
                if is_last || *(if is_indented { line.trim_start_matches('\t') } else { &line }) == delimiter {
                    break;
                }
            }
        }
    }

    fn redirect(&mut self) {
        self.end_word();
        while self.chars.next_if(|c| "<>&|".contains(*c)).is_some() {}
        self.is_redirected = true;
    }

    /// Reads the rest of a `$(`. The outer command goes on after the inner one.
    fn substitute(&mut self) {
        self.push('$');
        if self.chars.next_if_eq(&'(').is_some() {
            self.skip_to_close();
            self.chars.next_if_eq(&')');
            return;
        }
        let outer = (std::mem::take(&mut self.words), self.word.take(), self.begun);
        self.around.push(Some(outer));
    }

    /// Reads the rest of a `(`.
    fn open(&mut self) {
        match &self.word {
            // An array.
            Some(word) if word.ends_with('=') => self.skip_to_close(),
            // A function name, with or without a blank before the parentheses. Otherwise a pattern of bash, `!(a|b)`.
            _ if self.chars.peek() == Some(&')') => {
                self.chars.next();
                self.word = None;
                self.words.clear();
            }
            Some(_) => self.skip_to_close(),
            // Arithmetic.
            None if self.chars.peek() == Some(&'(') => self.skip_to_close(),
            None => {
                self.end_command(false);
                self.around.push(None);
            }
        }
    }

    fn close(&mut self) {
        self.end_command(false);
        if let Some(Some((words, word, begun))) = self.around.pop() {
            (self.words, self.word, self.begun) = (words, word, begun);
        }
    }

    /// Skips everything up to the matching closing parenthesis.
    fn skip_to_close(&mut self) {
        let mut depth = 1;
        while let Some(c) = self.next() {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                '\\' => drop(self.next()),
                '\'' | '"' => while self.next().is_some_and(|inner| inner != c) {},
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Skips the pattern of a `case`, with its parenthesis. No pattern follows the last branch.
    fn skip_pattern(&mut self) {
        while self.chars.next_if(|c| c.is_whitespace() && *c != '\n').is_some() {}
        while self.chars.peek().is_some_and(|c| c.is_whitespace() || *c == '#') {
            if self.next() == Some('#') {
                while self.chars.next_if(|&c| c != '\n').is_some() {}
            }
        }
        let ahead: String = self.chars.clone().take(5).collect();
        let is_end = ahead.strip_prefix("esac").is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()));
        if !is_end {
            self.chars.next_if_eq(&'(');
            self.skip_to_close();
        }
    }

    fn push(&mut self, c: char) {
        self.begin_word();
        self.word.get_or_insert_default().push(c);
    }

    /// Begins a word, which may be an empty one.
    fn begin_word(&mut self) {
        if self.words.is_empty() && self.word.is_none() && !self.is_redirected {
            self.begun = self.line;
        }
        self.word.get_or_insert_default();
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        if std::mem::take(&mut self.is_redirected) {
            return;
        }
        self.words.push(word);
        match self.words.as_slice() {
            [.., case, _, word] if case == "case" && word == "in" => {
                self.words.clear();
                self.skip_pattern();
            }
            [.., word] if word == "[[" => {
                let mut before = ' ';
                while self.next().is_some_and(|c| (std::mem::replace(&mut before, c), c) != (']', ']')) {}
            }
            _ => {}
        }
    }

    fn end_command(&mut self, is_beside: bool) {
        self.end_word();
        self.is_redirected = false;
        let words = std::mem::take(&mut self.words);
        if !words.is_empty() {
            let stays = is_beside || !self.around.is_empty();
            self.commands.push(Simple { words, line: self.begun, stays, in_background: false });
        }
    }
}
