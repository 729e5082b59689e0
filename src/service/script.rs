#![forbid(unsafe_code)]
//! Puts references into a script of /bin/sh: `exec:`, `fix`, and what runs before a stop. What a reference gives is never
//! read as shell code, and never split: the script gets a variable of its own for it, in quotes that fit where it stands.
//! So it is on no command line either, where everybody could see it.

/// Where in a script something stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Plain,
    /// `( ... )` and `$( ... )`.
    Parenthesis,
    Backticks,
    Single,
    Double,
    /// `$(( ... ))` has no quotes.
    Arithmetic,
    Comment,
}

/// A script that is put together.
pub struct Script {
    pub text: Vec<u8>,
    /// The innermost place last.
    places: Vec<Place>,
}

impl Script {
    pub fn new() -> Self {
        Script { text: Vec::new(), places: vec![Place::Plain] }
    }

    /// Adds text as it is written.
    pub fn text(&mut self, text: &[u8]) {
        let mut at = 0;
        while at < text.len() {
            let length = self.read(&text[at..]).min(text.len() - at);
            self.text.extend_from_slice(&text[at..at + length]);
            at += length;
        }
    }

    /// Adds the value of a variable.
    pub fn variable(&mut self, name: &str) {
        let text = match self.place() {
            Place::Single => format!("'\"${{{name}}}\"'"),
            Place::Double | Place::Arithmetic | Place::Comment => format!("${{{name}}}"),
            Place::Plain | Place::Parenthesis | Place::Backticks => format!("\"${{{name}}}\""),
        };
        self.text.extend_from_slice(text.as_bytes());
    }

    fn place(&self) -> Place {
        self.places.last().copied().unwrap_or(Place::Plain)
    }

    /// Reads one token, and returns its length.
    fn read(&mut self, text: &[u8]) -> usize {
        let place = self.place();
        let is_word_start = self.text.last().is_none_or(|byte| b" \t\n;&|()".contains(byte));
        match (place, text) {
            (Place::Comment, [b'\n', ..]) | (Place::Single, [b'\'', ..]) | (Place::Double, [b'"', ..]) => self.end(1),
            (Place::Comment | Place::Single, _) => 1,
            (_, [b'\\', ..]) => 2,
            (_, [b'$', b'(', b'(', ..]) => self.begin(Place::Arithmetic, 3),
            (_, [b'$', b'(', ..]) => self.begin(Place::Parenthesis, 2),
            (Place::Backticks, [b'`', ..]) => self.end(1),
            (_, [b'`', ..]) => self.begin(Place::Backticks, 1),
            (Place::Double, _) => 1,
            (Place::Arithmetic, [b')', b')', ..]) => self.end(2),
            (Place::Arithmetic, _) => 1,
            (_, [b'\'', ..]) => self.begin(Place::Single, 1),
            (_, [b'"', ..]) => self.begin(Place::Double, 1),
            (_, [b'(', ..]) => self.begin(Place::Parenthesis, 1),
            (Place::Parenthesis, [b')', ..]) => self.end(1),
            (_, [b'#', ..]) if is_word_start => self.begin(Place::Comment, 1),
            _ => 1,
        }
    }

    fn begin(&mut self, place: Place, length: usize) -> usize {
        self.places.push(place);
        length
    }

    fn end(&mut self, length: usize) -> usize {
        self.places.pop();
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The script in which each `@` is the variable V.
    fn with_variable(written: &str) -> String {
        let mut script = Script::new();
        for (index, part) in written.split('@').enumerate() {
            if index > 0 {
                script.variable("V");
            }
            script.text(part.as_bytes());
        }
        String::from_utf8(script.text).expect("UTF-8")
    }

    #[test]
    fn a_value_is_one_word_wherever_it_stands() {
        // What sh prints, with a value that is shell code.
        let value = "a  b'\"`id`$(id)\\ *";
        for (written, prints) in [
            ("printf '<%s>' @", "<V>"),
            ("printf '<%s>' x@y @", "<xVy><V>"),
            ("printf '<%s>' \"x@y\"", "<xVy>"),
            ("printf '<%s>' 'x@y'", "<xVy>"),
            ("printf '<%s>' it\\'s@", "<it'sV>"),
            ("printf '<%s>' \"$(printf %s \"@\")\"", "<V>"),
            ("printf '<%s>' \"$(printf %s '@')\"", "<V>"),
            ("A=@; printf '<%s>' \"$A\"", "<V>"),
            ("printf x # it's\nprintf '<%s>' @", "x<V>"),
            ("(printf '<%s>' @); printf '<%s>' a#@", "<V><a#V>"),
            ("printf '<%s>' \"`printf %s \"@\"`\"", "<V>"),
            ("printf '<%s>' $((1 + (2))) @", "<3><V>"),
            ("case @ in x) ;; *) printf '<%s>' '@' ;; esac", "<V>"),
        ] {
            let script = with_variable(written);
            let ran = std::process::Command::new("/bin/sh").args(["-c", &script]).env("V", value).output();
            let printed = String::from_utf8(ran.expect("sh").stdout).expect("UTF-8");
            assert_eq!(printed, prints.replace('V', value), "{written}: {script}");
        }
    }
}
