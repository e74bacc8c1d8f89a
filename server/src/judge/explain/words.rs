//! Numbers and names for a person. In: spans, pools, texts that others chose. Out: words. Guarantee: a unit with every number;
//! what a device calls itself cannot move the cursor of a terminal; no line is wider than [`WIDTH`].

use buzzer_core::quote::{Plain, Quoted};

use crate::record::pool_id::PoolId;

/// Columns of a page.
pub const WIDTH: usize = 100;

/// Milliseconds: `3.120`, `-0.500`.
pub fn in_ms(us: i64) -> String {
    let (sign, us) = (if us < 0 { "-" } else { "" }, us.unsigned_abs());
    format!("{sign}{}.{:03}", us / 1000, us % 1000)
}

/// A span: `3.120 ms`, or `12.345 s` from 10 s on.
pub fn ms(us: u64) -> String {
    match us {
        ..10_000_000 => format!("{} ms", in_ms(us.cast_signed())),
        _ => format!("{}.{:03} s", us / 1_000_000, us % 1_000_000 / 1000),
    }
}

/// A span with a sign: `+3.120 ms`.
pub fn signed(us: i64) -> String {
    format!("{}{}", if us < 0 { '-' } else { '+' }, ms(us.unsigned_abs()))
}

/// An interval: `2.000 to 14.000 ms`, `up to 14.000 ms`.
pub fn between([min_us, max_us]: [i64; 2]) -> String {
    match min_us {
        0 => format!("up to {}", ms(max_us.max(0).cast_unsigned())),
        _ => format!("{} to {} ms", in_ms(min_us), in_ms(max_us)),
    }
}

/// A pool: with quotes if its name has a space.
pub fn pool_label(pool: &PoolId) -> String {
    if pool.as_str().contains(' ') { quoted(pool.as_str()) } else { pool.to_string() }
}

/// A buzzer of a pool: `stage 2`.
pub fn label(pool: &PoolId, buzzer: u16) -> String {
    format!("{} {buzzer}", pool_label(pool))
}

/// A text that somebody else chose, in quotes, escaped.
pub fn quoted(text: &str) -> String {
    Quoted(text).to_string()
}

/// Numbers: `1 to 4, 7`.
pub fn list(numbers: &[u16]) -> String {
    let runs = numbers.chunk_by(|a, b| a.checked_add(1) == Some(*b)).map(|run| match run {
        [one] => one.to_string(),
        [one, two] => format!("{one}, {two}"),
        [first, .., last] => format!("{first} to {last}"),
        [] => String::new(),
    });
    let runs: Vec<String> = runs.collect();
    if runs.is_empty() { "none".to_owned() } else { runs.join(", ") }
}

/// Appends `text` in lines of at most [`WIDTH`] columns: `first` before the first line, as many spaces before the others.
/// All that stands in a log, wherever, comes this way, so here it is escaped.
pub fn wrap(page: &mut String, first: &str, text: &str) {
    let (first, text) = (&*Plain(first).to_string(), &*Plain(text).to_string());
    let indent = first.chars().count();
    page.push_str(first);
    let mut column = indent;
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.next() {
        let mut word = word.to_owned();
        // A number stays with its unit.
        while let Some(unit) = words.next_if(|next| is_unit(&word, next)) {
            word = format!("{word} {unit}");
        }
        let mut word: Vec<char> = word.chars().collect();
        if column > indent && column + 1 + word.len() > WIDTH {
            trim(page);
            page.push('\n');
            page.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            page.push(' ');
            column += 1;
        }
        // A word that is wider than a line is cut.
        while column + word.len() > WIDTH {
            let rest = word.split_off(WIDTH - column);
            page.extend(word);
            page.push('\n');
            page.extend(std::iter::repeat_n(' ', indent));
            column = indent;
            word = rest;
        }
        column += word.len();
        page.extend(word);
    }
    trim(page);
    page.push('\n');
}

fn is_unit(number: &str, next: &str) -> bool {
    let unit = next.trim_end_matches(|c: char| !c.is_alphanumeric());
    number.ends_with(|c: char| c.is_ascii_digit()) && matches!(unit, "ms" | "s" | "\u{b5}s")
}

/// No spaces at the end of a line.
fn trim(page: &mut String) {
    page.truncate(page.trim_end_matches(' ').len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_units() {
        for (us, want) in
            [(0, "0.000 ms"), (3120, "3.120 ms"), (9_999_999, "9999.999 ms"), (12_345_678, "12.345 s")]
        {
            assert_eq!(ms(us), want);
        }
        assert_eq!((signed(-1), signed(5)), ("-0.001 ms".to_owned(), "+0.005 ms".to_owned()));
        assert_eq!(between([0, 9000]), "up to 9.000 ms");
        assert_eq!(between([-1500, 9000]), "-1.500 to 9.000 ms");
        assert_eq!(list(&[1, 2, 3, 5, 7, 8]), "1 to 3, 5, 7, 8");
        assert_eq!(label(&"a b".parse().unwrap(), 2), "\"a b\" 2");
        assert_eq!(quoted("\u{1b}[2J"), r#""\u{1b}[2J""#);
        let mut page = String::new();
        wrap(&mut page, "a\n", "\u{202e}\u{1b}b\nc");
        assert_eq!(page, "a\\n\\u{202e}\\u{1b}b\\nc\n", "one line, whatever a log says");
    }

    #[test]
    fn no_line_is_wider_than_the_page() {
        let mut page = String::new();
        wrap(&mut page, "  note  ", &format!("{} {} end", "word ".repeat(40).trim_end(), "x".repeat(250)));
        assert!(page.lines().all(|line| line.chars().count() <= WIDTH), "{page}");
        assert!(page.lines().skip(1).all(|line| line.starts_with("        ")), "{page}");
        assert_eq!(page.matches("word").count(), 40);
        assert_eq!(page.matches('x').count(), 250);
        let mut page = String::new();
        wrap(&mut page, "", &format!("{} 9.000 ms, and", "x".repeat(WIDTH - 7)));
        assert_eq!(page.lines().nth(1), Some("9.000 ms, and"), "a number stays with its unit");
    }
}
