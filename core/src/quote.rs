//! Text from outside, as a line for people may show it. In: any text. Out: the same, with an escape for every character that
//! moves a cursor, ends a line, hides, or turns the direction of reading. Guarantee: the output has no control and no
//! direction character, so one message is one line and nothing in it passes for something else; [`Quoted`] is bounded too.

use std::fmt::{self, Display, Write};

/// [`Quoted`] shows so many characters.
pub const QUOTED_CHARS_MAX: usize = 200;

/// How Rust begins the number.
const NUMBER: &str = " (os error ";

/// The whole text, without quotation marks: a name in a table, a message.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a>(pub &'a str);

/// The text in quotation marks, cut at [`QUOTED_CHARS_MAX`] characters: what a peer, a device or a file said. A mark or a
/// backslash within it is escaped.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

/// The text as TOML writes it, in quotation marks: what this shows can be copied into a configuration and means the very
/// text, blanks at its ends included.
#[derive(Clone, Copy, Debug)]
pub struct Toml<'a>(pub &'a str);

/// JSON, in which characters that are to be escaped are so in JSON's own way: the same document. It says nothing of line
/// ends; where JSON may have other white space than a blank, this has one.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(pub &'a str);

/// What an error says, without the numbers that Rust adds to what the kernel answered: `(os error 13)`.
pub fn kernel_words(error: &impl Display) -> String {
    let text = error.to_string();
    let mut parts = text.split(NUMBER);
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.parse::<u32>().is_ok() => words.push_str(rest),
            _ => words.extend([NUMBER, part]),
        }
    }
    words
}

/// `KEY_A, KEY_B`
pub fn listed(items: impl IntoIterator<Item = impl Display>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// Whether a character is to be escaped: C0, DEL and C1 controls, line and paragraph separators, what turns the direction
/// of reading, and what has no width and no use in a name. The joiners U+200C and U+200D are part of words and stay.
pub fn is_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn escape(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        c if is_escaped(c) => write!(f, "\\u{{{:x}}}", u32::from(c)),
        c => f.write_char(c),
    }
}

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| escape(f, c))
    }
}

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars().take(QUOTED_CHARS_MAX) {
            if matches!(c, '"' | '\\') {
                f.write_char('\\')?;
            }
            escape(f, c)?;
        }
        f.write_char('"')?;
        if self.0.chars().nth(QUOTED_CHARS_MAX).is_some() {
            write!(f, "… ({} bytes)", self.0.len())?;
        }
        Ok(())
    }
}

impl Display for Toml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match (c, u32::from(c)) {
                ('"' | '\\', _) => write!(f, "\\{c}")?,
                // A space that looks like another one, or like none, would be copied as what it is not.
                (c, code @ ..=0xffff) if is_escaped(c) || (c.is_whitespace() && c != ' ') => {
                    write!(f, "\\u{code:04x}")?;
                }
                (c, code) if is_escaped(c) => write!(f, "\\U{code:08x}")?,
                _ => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

impl Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\n' => f.write_char(c)?,
                // Never within a string: there JSON has them escaped.
                '\r' | '\t' => f.write_char(' ')?,
                c if is_escaped(c) => {
                    c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(f, "\\u{unit:04x}"))?;
                }
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_kernels_answers_have_no_numbers() {
        let denied = std::io::Error::from_raw_os_error(13);
        let text = format!("a: {denied}; b: {denied}, (os error x) (os error 5");
        assert_eq!(
            kernel_words(&text),
            "a: Permission denied; b: Permission denied, (os error x) (os error 5"
        );
        assert_eq!(kernel_words(&"nothing"), "nothing");
    }

    #[test]
    fn what_moves_a_cursor_or_turns_a_line_is_escaped() {
        for (text, plain, quoted) in [
            ("left desk", "left desk", "\"left desk\""),
            ("a\nb\r\tc", "a\\nb\\r\\tc", "\"a\\nb\\r\\tc\""),
            ("\x1b[2J\u{9b}31m\x7f", "\\u{1b}[2J\\u{9b}31m\\u{7f}", "\"\\u{1b}[2J\\u{9b}31m\\u{7f}\""),
            ("evil\u{202e}gpj", "evil\\u{202e}gpj", "\"evil\\u{202e}gpj\""),
            ("\u{61c}\u{200e}\u{2066}", "\\u{61c}\\u{200e}\\u{2066}", "\"\\u{61c}\\u{200e}\\u{2066}\""),
            ("\u{2028}\u{feff}", "\\u{2028}\\u{feff}", "\"\\u{2028}\\u{feff}\""),
            (r#"say "a\b""#, r#"say "a\b""#, r#""say \"a\\b\"""#),
            ("Zoë, نعم, क्षि, 👩\u{200d}🚀", "Zoë, نعم, क्षि, 👩\u{200d}🚀", "\"Zoë, نعم, क्षि, 👩\u{200d}🚀\""),
        ] {
            assert_eq!(Plain(text).to_string(), plain);
            assert_eq!(Quoted(text).to_string(), quoted);
        }
    }

    #[test]
    fn toml_has_escapes_of_its_own() {
        for (text, want) in [
            ("Buzz  ", r#""Buzz  ""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\x1b[2J\u{202e}\n", r#""\u001b[2J\u202e\u000a""#),
            ("\u{e0001}\u{a0}", r#""\U000e0001\u00a0""#),
        ] {
            assert_eq!(Toml(text).to_string(), want);
        }
    }

    #[test]
    fn json_stays_the_same_document() {
        let text = "[\t\"\u{9b}2J\u{202e}\u{e0001} é\"]\r\n";
        assert_eq!(Json(text).to_string(), "[ \"\\u009b2J\\u202e\\udb40\\udc01 é\"] \n");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let exact = "é".repeat(QUOTED_CHARS_MAX);
        assert_eq!(Quoted(&exact).to_string(), format!("\"{exact}\""));
        let long = format!("{exact}x");
        assert_eq!(Quoted(&long).to_string(), format!("\"{exact}\"… (401 bytes)"));
    }

    proptest! {
        #[test]
        fn nothing_unsafe_comes_through(text in any::<String>()) {
            prop_assert!(!Plain(&text).to_string().contains(is_escaped));
            let quoted = Quoted(&text).to_string();
            prop_assert!(!quoted.contains(is_escaped));
            prop_assert!(quoted.len() < 11 * QUOTED_CHARS_MAX);
            prop_assert!(!Toml(&text).to_string().contains(is_escaped));
        }
    }
}
