#![forbid(unsafe_code)]
//! A table that fits its screen: columns are cut, then left out; where not even the rest fits, each row is stacked.

use console::measure_text_width;

use super::layout::{cut_end, hang, padded, paragraph};
use crate::screen::Screen;

const GAP: usize = 2;

/// What may be done to a column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Column {
    pub title: &'static str,
    /// It may be cut down to so many columns.
    pub least: Option<usize>,
    /// It may be left out. The highest goes first.
    pub out: Option<u8>,
}

/// Shows rows below a header, and an empty line. The first column has the name of the row.
pub fn table(screen: &Screen, columns: &[Column], rows: &[Vec<String>]) -> String {
    let natural: Vec<usize> = (0..columns.len())
        .map(|at| {
            rows.iter().map(|row| measure_text_width(&row[at])).chain([columns[at].title.len()]).max().unwrap_or(0)
        })
        .collect();
    let Some(width) = screen.width else { return lines(screen, columns, rows, &natural) + "\n" };
    match arrange(columns, &natural, width) {
        Some(widths) => lines(screen, columns, rows, &widths) + "\n" + &left_out(screen, columns, &widths),
        None => rows.iter().map(|row| stacked(screen, columns, row)).collect::<String>() + "\n",
    }
}

/// The width of each column, 0 where it is left out. Nothing where they do not fit.
fn arrange(columns: &[Column], natural: &[usize], width: usize) -> Option<Vec<usize>> {
    let mut widths = natural.to_vec();
    loop {
        let needed = |widths: &[usize]| {
            let shown = widths.iter().filter(|&&w| w > 0).count();
            widths.iter().sum::<usize>() + GAP * shown.saturating_sub(1)
        };
        let mut cut = widths.clone();
        while needed(&cut) > width {
            let can_be_cut = |at: &usize| columns[*at].least.is_some_and(|least| cut[*at] > least);
            let Some(widest) = (0..cut.len()).filter(can_be_cut).max_by_key(|&at| cut[at]) else { break };
            cut[widest] -= 1;
        }
        if needed(&cut) <= width {
            return Some(cut);
        }
        let order = |at: &usize| columns[*at].out;
        let next = (0..widths.len()).filter(|at| widths[*at] > 0 && order(at).is_some()).max_by_key(order)?;
        widths[next] = 0;
    }
}

fn lines(screen: &Screen, columns: &[Column], rows: &[Vec<String>], widths: &[usize]) -> String {
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let cells = cells.zip(widths).filter(|(_, width)| **width > 0);
        // Colored when its width is known: a cut would take the end of the color off.
        let cells = cells.map(|(cell, &width)| {
            let cell = cut_end(screen, &cell, width);
            padded(&screen.word(&cell), width + GAP)
        });
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    let header = line(&mut columns.iter().map(|column| column.title.to_owned()));
    rows.iter().fold(header, |text, row| text + &line(&mut row.iter().cloned()))
}

/// What is not shown, and how it is seen.
fn left_out(screen: &Screen, columns: &[Column], widths: &[usize]) -> String {
    let titles: Vec<_> = columns.iter().zip(widths).filter(|(_, w)| **w == 0).map(|(column, _)| column.title).collect();
    match titles.is_empty() {
        true => String::new(),
        false => {
            let text = format!("not shown: {}; widen the terminal, or give a NAME", titles.join(", "));
            paragraph(screen, &text)
        }
    }
}

/// A row as its name and a line for each cell that says something.
fn stacked(screen: &Screen, columns: &[Column], row: &[String]) -> String {
    let width = columns.iter().skip(1).map(|column| column.title.len()).max().unwrap_or(0);
    let cells = columns.iter().zip(row).skip(1).filter(|(_, cell)| *cell != "-");
    let lines = cells.map(|(column, cell)| {
        hang(screen, &format!("  {:<width$}  ", column.title.to_lowercase()), &screen.word(cell))
    });
    paragraph(screen, &row[0]) + &lines.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column { title: "NAME", least: None, out: None },
        Column { title: "STATE", least: None, out: None },
        Column { title: "FDS", least: None, out: Some(1) },
        Column { title: "URL", least: Some(10), out: None },
    ];

    fn shown(width: Option<usize>) -> String {
        let row = |cells: [&str; 4]| cells.map(str::to_owned).to_vec();
        let rows = [row(["web", "running", "5 of 64", "http://127.0.0.1:8787"]), row(["db", "not running", "-", "-"])];
        table(&Screen { width, color: false, utf8: true }, &COLUMNS, &rows)
    }

    #[test]
    fn a_name_that_is_longer_than_the_screen_is_cut() {
        let screen = Screen { width: Some(20), color: false, utf8: true };
        let row = ["a-name-of-many-many-letters", "running", "-", "-"].map(str::to_owned).to_vec();
        assert_eq!(table(&screen, &COLUMNS, &[row]), "a-name-o…y-letters\n  state  running\n\n");
    }

    #[test]
    fn columns_are_cut_then_left_out_then_stacked() {
        let whole = "\
NAME  STATE        FDS      URL
web   running      5 of 64  http://127.0.0.1:8787
db    not running  -        -

";
        assert_eq!(shown(None), whole);
        assert_eq!(shown(Some(49)), whole);
        let cut = "\
NAME  STATE        FDS      URL
web   running      5 of 64  http://127.…
db    not running  -        -

";
        assert_eq!(shown(Some(40)), cut);
        let out = "\
NAME  STATE        URL
web   running      http://12…
db    not running  -

not shown: FDS; widen the
  terminal, or give a NAME
";
        assert_eq!(shown(Some(29)), out);
        let stacked = "\
web
  state  running
  fds    5 of 64
  url
    http://127.0.0.1:8787
db
  state  not running

";
        assert_eq!(shown(Some(25)), stacked);
    }
}
