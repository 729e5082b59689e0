#![forbid(unsafe_code)]
//! Puts references into a script of /bin/sh: `exec:`, `fix`, and what runs before a stop. What a reference gives is never
//! read as shell code, and never split: the script gets a variable of its own for it, in quotes that fit where it stands.
//! So it is on no command line either, where everybody could see it.
//!
//! This is no whole parser of the shell's language. Where it cannot tell the quotes any more, it takes no reference.

/// Where in a script something stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Plain,
    /// `$( ... )`.
    Substitution,
    /// `( ... )` in a substitution. Anywhere else it has no quotes of its own, and nobody waits for its end.
    Parenthesis,
    Backticks,
    Single,
    Double,
    /// `$(( ... ))`.
    Arithmetic,
    /// `( ... )` in it.
    Group,
    Comment,
}

/// Why a reference cannot stand where it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misplaced {
    /// Behind a backslash.
    Escaped,
    /// Its quotes are not known there; the text says where.
    Unsure(&'static str),
}

/// A script that is put together.
pub struct Script {
    pub text: Vec<u8>,
    /// The innermost place last.
    places: Vec<Place>,
    /// Whether a `#` would begin a comment.
    is_word_start: bool,
    is_escaped: bool,
    /// Where the places are not known any more.
    unsure: Option<&'static str>,
}

impl Script {
    pub fn new() -> Self {
        Script { text: Vec::new(), places: vec![Place::Plain], is_word_start: true, is_escaped: false, unsure: None }
    }

    /// Adds text as it is written.
    pub fn text(&mut self, text: &[u8]) {
        self.text.extend_from_slice(text);
        let mut rest = text;
        while !rest.is_empty() && self.unsure.is_none() {
            let (place, depth) = (self.place(), self.places.len());
            match self.read(rest) {
                Ok(length) => {
                    let (token, behind) = rest.split_at(length.min(rest.len()));
                    let is_end = self.places.len() < depth && matches!(place, Place::Substitution | Place::Arithmetic);
                    self.is_word_start = match token {
                        b"\\\n" => self.is_word_start,
                        [b'\\', ..] => false,
                        _ => !is_end && token.last().is_some_and(|byte| b" \t\n;&|()<>".contains(byte)),
                    };
                    rest = behind;
                }
                Err(place) => self.unsure = Some(place),
            }
        }
    }

    /// Adds the value of a variable.
    ///
    /// # Errors
    /// Why it cannot stand here.
    pub fn variable(&mut self, name: &str) -> Result<(), Misplaced> {
        if let Some(place) = self.unsure {
            return Err(Misplaced::Unsure(place));
        }
        if self.is_escaped {
            return Err(Misplaced::Escaped);
        }
        let text = match self.place() {
            Place::Single => format!("'\"${{{name}}}\"'"),
            Place::Double | Place::Comment => format!("${{{name}}}"),
            Place::Plain | Place::Substitution | Place::Parenthesis | Place::Backticks => format!("\"${{{name}}}\""),
            // bash runs a command that it finds in a number.
            Place::Arithmetic | Place::Group => return Err(Misplaced::Unsure("in $((...))")),
        };
        self.text.extend_from_slice(text.as_bytes());
        self.is_word_start = false;
        Ok(())
    }

    fn place(&self) -> Place {
        self.places.last().copied().unwrap_or(Place::Plain)
    }

    /// Reads one token, and returns its length, or from where on nothing is known.
    fn read(&mut self, text: &[u8]) -> Result<usize, &'static str> {
        let place = self.place();
        let is_in_backticks = self.places.contains(&Place::Backticks);
        match (place, text) {
            (Place::Comment, [b'\n', ..]) | (Place::Single, [b'\'', ..]) | (Place::Double, [b'"', ..]) => self.end(1),
            (Place::Backticks, [b'`', ..]) => self.end(1),
            // Backticks are read before what is in them, whose backslashes and quotes are not yet any then.
            (_, [b'`' | b'\\', ..]) if is_in_backticks => Err("behind a '\\' or a '`' in backticks"),
            (Place::Comment | Place::Single, _) => Ok(1),
            (Place::Arithmetic | Place::Group, [b'\\' | b'\'' | b'"' | b'`', ..]) => Err("behind quotes in $((...))"),
            (_, [b'\\', ..]) => self.backslash(text),
            (_, [b'$', ..]) => self.dollar(text),
            (_, [b'`', ..]) => self.begin(Place::Backticks, 1),
            (Place::Double, _) => Ok(1),
            (Place::Arithmetic | Place::Group, _) => self.arithmetic(text),
            (_, [b'<', b'<', ..]) => Err("behind a '<<'"),
            (_, [b'\'', ..]) => self.begin(Place::Single, 1),
            (_, [b'"', ..]) => self.begin(Place::Double, 1),
            (Place::Substitution | Place::Parenthesis, [b'(', ..]) => self.begin(Place::Parenthesis, 1),
            (Place::Substitution | Place::Parenthesis, [b')', ..]) => self.end(1),
            // The ')' of its patterns closes nothing.
            (Place::Substitution | Place::Parenthesis, [b'c', b'a', b's', b'e', ..]) if self.is_word_start => {
                Err("behind a 'case' in $(...)")
            }
            // Shells differ in where it ends.
            (_, [b'#', ..]) if self.is_word_start && self.places.len() > 1 => Err("behind a comment in $(...)"),
            (_, [b'#', ..]) if self.is_word_start => self.begin(Place::Comment, 1),
            _ => Ok(1),
        }
    }

    fn backslash(&mut self, text: &[u8]) -> Result<usize, &'static str> {
        let is_in_word = !self.is_word_start && self.place() != Place::Double && self.places.len() > 1;
        self.is_escaped = text.len() == 1;
        // The word may be `case`.
        if is_in_word && text.starts_with(b"\\\n") { Err("behind a word of two lines in $(...)") } else { Ok(2) }
    }

    fn dollar(&mut self, text: &[u8]) -> Result<usize, &'static str> {
        match text {
            [_, b'(', b'(', ..] => self.begin(Place::Arithmetic, 3),
            [_, b'(', ..] => self.begin(Place::Substitution, 2),
            [_, b'{', rest @ ..] => match rest.iter().position(|byte| b"}{()'\"\\`".contains(byte)) {
                Some(end) if rest[end] == b'}' => Ok(end + 3),
                // Shells differ in what quotes are there.
                _ => Err("in or behind a '${' of the shell"),
            },
            [_, b'\'', ..] if self.place() != Place::Double => Err("behind a \"$'\""),
            [_, b'[', ..] => Err("behind a '$['"),
            [_, b'$' | b'#', ..] => Ok(2),
            _ => Ok(1),
        }
    }

    fn arithmetic(&mut self, text: &[u8]) -> Result<usize, &'static str> {
        match (self.place(), text) {
            (_, [b'(', ..]) => self.begin(Place::Group, 1),
            (Place::Group, [b')', ..]) => self.end(1),
            (_, [b')', b')', ..]) => self.end(2),
            (_, [b')', ..]) => Err("behind a '$((' that no '))' ends"),
            _ => Ok(1),
        }
    }

    fn begin(&mut self, place: Place, length: usize) -> Result<usize, &'static str> {
        self.places.push(place);
        Ok(length)
    }

    fn end(&mut self, length: usize) -> Result<usize, &'static str> {
        self.places.pop();
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The script in which each `@` is the variable V.
    fn with_variable(written: &str) -> Result<String, Misplaced> {
        let mut script = Script::new();
        for (index, part) in written.split('@').enumerate() {
            if index > 0 {
                script.variable("V")?;
            }
            script.text(part.as_bytes());
        }
        Ok(String::from_utf8(script.text).expect("UTF-8"))
    }

    /// What a shell prints, with a value that is shell code.
    fn printed(shell: &str, script: &str, value: &str) -> String {
        let ran = std::process::Command::new(shell).args(["-c", script]).env("V", value).output();
        String::from_utf8(ran.expect(shell).stdout).expect("UTF-8")
    }

    #[test]
    fn a_value_is_one_word_wherever_it_stands() {
        let value = "a  b'\"`id`$(id)\\ *";
        for (written, prints) in [
            ("printf '<%s>' @", "<V>"),
            ("printf '<%s>' x@y @", "<xVy><V>"),
            ("printf '<%s>' \"x@y\"", "<xVy>"),
            ("printf '<%s>' 'x@y'", "<xVy>"),
            ("printf '<%s>' '\\@'", "<\\V>"),
            ("printf '<%s>' it\\'s@", "<it'sV>"),
            ("printf '<%s>' \\\\@", "<\\V>"),
            ("printf '<%s>' a\\ #@ \\\n  b\\\n#@", "<a #V><b#V>"),
            ("printf '<%s>' \"$(printf %s \"@\")\"", "<V>"),
            ("printf '<%s>' \"$(printf %s '@')\"", "<V>"),
            ("printf '<%s>' \"$( (printf %s @) )\" @", "<V><V>"),
            ("A=@; printf '<%s>' \"$A\"", "<V>"),
            ("printf x # it's\nprintf '<%s>' @", "x<V>"),
            ("(printf '<%s>' @); printf '<%s>' a#@", "<V><a#V>"),
            ("(case @ in x) ;; *) printf '<%s>' '@' ;; esac # it's\n)", "<V>"),
            ("printf '<%s>' \"`printf %s \"@\"`\"", "<V>"),
            ("printf '<%s>' $((1 + (2))) @", "<3><V>"),
            ("printf '<%s>' \"$(printf '[%s]' $(( (1+(2)) + 3 )) @)\"", "<[6][V]>"),
            ("printf '<%s>' $((1))#@ $(printf 1)#'@'", "<1#V><1#V>"),
            ("x=abc; printf '<%s>' \"${x%c}@\" ${x#a}@ ${#x} $#@", "<abV><bcV><3><0V>"),
            ("case @ in x) ;; *) printf '<%s>' '@' ;; esac", "<V>"),
        ] {
            let script = with_variable(written).expect(written);
            for shell in ["/bin/sh", "bash"] {
                assert_eq!(printed(shell, &script, value), prints.replace('V', value), "{shell}: {written}: {script}");
            }
        }
    }

    #[test]
    fn a_reference_whose_quotes_are_not_known_is_refused() {
        for (written, place) in [
            ("echo \"$(case x in x) echo @;; esac)\"", "behind a 'case' in $(...)"),
            ("echo \"$(case x in x) echo;; esac)\" '@'", "behind a 'case' in $(...)"),
            ("echo \"$( (ca\\\nse x in x) echo @;; esac))\"", "behind a word of two lines in $(...)"),
            ("echo \"$(echo # it's )\n@)\"", "behind a comment in $(...)"),
            ("echo $((@ + 1)) ", "in $((...))"),
            ("echo $((1 + (@)))", "in $((...))"),
            ("echo \"$((echo 1) | cat; echo @)\"", "behind a '$((' that no '))' ends"),
            ("echo $((\"1\")) @", "behind quotes in $((...))"),
            ("cat <<E\nit's\nE\necho @", "behind a '<<'"),
            ("echo \"`echo \\\"@\\\"`\"", "behind a '\\' or a '`' in backticks"),
            ("echo `echo '` @", "behind a '\\' or a '`' in backticks"),
            ("echo \"${x%'\"'}\" @", "in or behind a '${' of the shell"),
            ("echo ${x:-@}", "in or behind a '${' of the shell"),
            ("echo $'it\\'s' @", "behind a \"$'\""),
            ("echo $['] @", "behind a '$['"),
        ] {
            assert_eq!(with_variable(written), Err(Misplaced::Unsure(place)), "{written}");
        }
        for written in ["echo \\@", "echo \"\\@\"", "echo $(echo \\\\\\@)"] {
            assert_eq!(with_variable(written), Err(Misplaced::Escaped), "{written}");
        }
        // What is not known matters to no reference before it.
        for written in ["cat @ <<E\n", "echo @ $(case x in x) ;; esac)", "echo @ \\"] {
            assert!(with_variable(written).is_ok(), "{written}");
        }
    }
}
