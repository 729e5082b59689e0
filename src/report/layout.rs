#![forbid(unsafe_code)]
//! Text that fits its screen: broken between words, never in one, and cut where a word alone is too long.

use console::{measure_text_width, truncate_str};
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use crate::screen::Screen;

/// Beside a prefix this much is left for a text, or the text goes below it.
const LEAST: usize = 16;

/// A text behind a prefix: further lines begin below its first word. Where that leaves too little room, all of the
/// text is below the prefix.
pub fn hang(screen: &Screen, prefix: &str, text: &str) -> String {
    let Some(width) = screen.width else { return format!("{prefix}{text}\n") };
    let indent = measure_text_width(prefix);
    let below = prefix.len() - prefix.trim_start().len() + 2;
    let longest = text.split_whitespace().map(measure_text_width).max().unwrap_or_default();
    let beside = width.saturating_sub(indent);
    let is_too_long = longest > beside && longest <= width.saturating_sub(below);
    let goes_below = measure_text_width(text) > beside && (beside < LEAST || is_too_long);
    match goes_below && !prefix.trim().is_empty() {
        true => {
            format!("{}\n{}", prefix.trim_end(), lines(screen, &" ".repeat(below), &" ".repeat(below), text, width))
        }
        false => lines(screen, prefix, &" ".repeat(indent), text, width),
    }
}

/// A line of its own; further ones are indented.
pub fn paragraph(screen: &Screen, text: &str) -> String {
    match screen.width {
        Some(width) => lines(screen, "", "  ", text, width),
        None => format!("{text}\n"),
    }
}

/// A headline, and lines of a key and a value below it.
pub fn headed(screen: &Screen, text: &str) -> String {
    let line = |line: &str| match line.strip_prefix("  ").and_then(|rest| rest.split_once(' ')) {
        Some((_, value)) => {
            let value = value.trim_start();
            hang(screen, &line[..line.len() - value.len()], value)
        }
        None => paragraph(screen, line),
    };
    text.lines().map(line).collect()
}

fn lines(screen: &Screen, first: &str, rest: &str, text: &str, width: usize) -> String {
    // Of no text at all nothing is left, not even its indent.
    if text.trim().is_empty() {
        return format!("{}\n", first.trim_end());
    }
    let room = width.saturating_sub(measure_text_width(rest).max(measure_text_width(first)));
    // Runs of spaces part what belongs together, and stay.
    let words = text.split_inclusive(' ').map(|word| {
        let bare = word.trim_end_matches(' ');
        cut_middle(screen, bare, room) + &word[bare.len()..]
    });
    let options = Options::new(width)
        .initial_indent(first)
        .subsequent_indent(rest)
        .break_words(false)
        .wrap_algorithm(WrapAlgorithm::FirstFit)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    let text: String = words.collect();
    textwrap::wrap(&text, options).iter().map(|line| format!("{line}\n")).collect()
}

/// A text of at most so many columns, cut at its end.
pub fn cut_end(screen: &Screen, text: &str, width: usize) -> String {
    truncate_str(text, width, screen.ellipsis()).into_owned()
}

/// A text of at most so many columns, cut in its middle: a path says most at its ends.
pub fn cut_middle(screen: &Screen, text: &str, width: usize) -> String {
    let room = width.saturating_sub(measure_text_width(screen.ellipsis()));
    if measure_text_width(text) <= width || text.contains('\u{1b}') || room < 2 {
        return text.to_owned();
    }
    let head = truncate_str(text, room / 2, "");
    let left = room - measure_text_width(&head);
    let fits = |at: &usize| measure_text_width(&text[*at..]) <= left;
    let tail = text.char_indices().map(|(at, _)| at).find(fits).unwrap_or(text.len());
    format!("{head}{}{}", screen.ellipsis(), &text[tail..])
}

/// A text with spaces behind it, so many columns in all.
pub fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(measure_text_width(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(width: usize) -> Screen {
        Screen { width: Some(width), color: false, utf8: true }
    }

    #[test]
    fn a_text_is_broken_between_words_and_hangs() {
        for (width, prefix, text, shown) in [
            (30, "  health  ", "tcp:x holds", "  health  tcp:x holds\n"),
            (30, "  health  ", "it does not hold: refused", "  health  it does not hold:\n          refused\n"),
            (30, "  run  ", "a --replace-it b-c-d  at most", "  run  a --replace-it b-c-d\n       at most\n"),
            (30, "  log     ", "/home/me/.local/webui/log", "  log\n    /home/me/.local/webui/log\n"),
            (30, "  log     ", "/home/me/.local/state/forerun/webui/log", "  log     /home/me/…/webui/log\n"),
            (22, "warning  nofile  ", "too low for it", "warning  nofile\n  too low for it\n"),
            (
                30,
                "  path    ",
                "/ä/世界 is a path of wide ones",
                "  path    /ä/世界 is a path of\n          wide ones\n",
            ),
        ] {
            assert_eq!(hang(&screen(width), prefix, text), shown, "{width} {text}");
        }
        let endless = Screen { width: None, ..screen(20) };
        assert_eq!(hang(&endless, "a  ", &"word ".repeat(20)), format!("a  {}\n", "word ".repeat(20)));
    }

    #[test]
    fn no_line_is_longer_than_its_screen_and_no_word_is_broken() {
        let text = "exec:python3 -c 'import yaml' of /srv/a/path/that/is/rather/long/for/a/narrow/screen 世界世界 --replace it";
        for (width, utf8, prefix) in (40..140)
            .flat_map(|width| [(width, true, "  health  "), (width, false, "problem  start.sh  "), (width, true, "")])
        {
            let screen = Screen { width: Some(width), color: false, utf8 };
            let shown = hang(&screen, prefix, text);
            assert!(shown.lines().all(|line| measure_text_width(line) <= width), "{width}:\n{shown}");
            let is_whole = |word: &str| text.split(' ').any(|whole| whole == word) || word.contains(screen.ellipsis());
            let words = shown[prefix.trim_end().len()..].split_whitespace();
            assert!(words.clone().all(is_whole) && words.count() == text.split(' ').count(), "{width}:\n{shown}");
        }
    }

    #[test]
    fn values_hang_below_their_headline() {
        let text = "web is ready at http://localhost\n  pid   48127, after 1.32s\n  stop  forerun stop shop\n";
        assert_eq!(headed(&Screen { width: None, ..screen(40) }, text), text);
        let narrow = "web is ready at\n  http://localhost\n  pid   48127, after\n        1.32s\n  stop  forerun stop\n        shop\n";
        assert_eq!(headed(&screen(24), text), narrow);
    }

    #[test]
    fn what_is_too_long_keeps_its_ends() {
        for (text, width, shown) in [
            ("/srv/web/log", 12, "/srv/web/log"),
            ("/srv/web/log", 9, "/srv…/log"),
            ("世界世界世界", 7, "世…世界"),
            ("ab", 1, "ab"),
        ] {
            assert_eq!(cut_middle(&screen(40), text, width), shown);
        }
        let ascii = Screen { utf8: false, ..screen(40) };
        assert_eq!(cut_middle(&ascii, "/srv/web/log", 11), "/srv.../log");
        assert_eq!(cut_end(&ascii, "database", 6), "dat...");
    }

    #[test]
    fn colors_take_no_room() {
        let screen = Screen { color: true, ..screen(20) };
        let word = screen.word("not running");
        assert_eq!(paragraph(&screen, &format!("web is {word}")), format!("web is {word}\n"));
        assert_eq!(padded(&word, 13), format!("{word}  "));
    }
}
