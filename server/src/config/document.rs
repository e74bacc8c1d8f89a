//! A TOML document in which every value knows its place. In: text. Out: [`Table`] and [`Place`], which hand out
//! values of the wanted type or a [`Refusal`] that says where, what was found and what was expected; all refusals of a
//! document by [`judge`]. Guarantee: no input panics.
//!
//! The `toml` crate's own spanned tree rather than derived `Deserialize`: a derived error has a span, but neither the
//! path of the key nor words for what would have been right, and it cannot know that a key is right in one kind of
//! pool and wrong in another.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use buzzer_core::quote::Quoted;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Found text longer than this many characters is cut in messages.
const FOUND_CHARS_MAX: usize = 120;

/// So many mistakes of one document are named at most.
const MISTAKES_MAX: usize = 50;

/// Why a document is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Byte offset in the text.
    pub(super) at: usize,
    /// Path of the key, `pool[2].buzzers.1`; empty where the text is no TOML.
    pub(super) key: String,
    /// Path of the table that a missing key is missing from, else the same.
    within: String,
    /// It is about what a table does not have: nothing that was taken out is the reason.
    is_of_table: bool,
    pub(super) message: String,
}

impl Refusal {
    /// Of what stands at this place.
    fn new(at: usize, key: &str, message: String) -> Self {
        Self { at, key: key.to_owned(), within: key.to_owned(), is_of_table: false, message }
    }
}

/// Reads a document with `read`, which gives up at the first mistake: what is refused is taken out and the rest is read again,
/// until nothing is left to refuse.
///
/// # Errors
/// Every mistake, in the order of the text.
pub(super) fn judge<T>(
    text: &str,
    read: impl Fn(&Table<'_>) -> Result<T, Refusal>,
) -> Result<T, Vec<Refusal>> {
    let document = parse(text)?;
    let (mut without, mut refusals) = (BTreeSet::new(), Vec::new());
    loop {
        match read(&Table::root(&document, &without)) {
            Ok(read) if refusals.is_empty() => return Ok(read),
            Ok(_) => break,
            Err(refusal) => {
                // What is wrong because a part of it was taken out was not wrong by itself.
                let is_consequence =
                    !refusal.is_of_table && without.iter().any(|out| is_within(out, &refusal.key));
                // What is missing cannot be taken out, so its table is if somebody asks for it again.
                let is_progress = !refusal.key.is_empty()
                    && (without.insert(refusal.key.clone()) || without.insert(refusal.within.clone()));
                if !is_consequence {
                    refusals.push(refusal);
                }
                if !is_progress || refusals.len() == MISTAKES_MAX {
                    break;
                }
            }
        }
    }
    refusals.sort_by_key(|refusal| refusal.at);
    Err(refusals)
}

/// Whether a key is this one or below it.
fn is_within(key: &str, of: &str) -> bool {
    key.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Takes text apart.
fn parse(text: &str) -> Result<Spanned<DeTable<'_>>, Vec<Refusal>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let refusals: Vec<Refusal> = errors
        .iter()
        .take(MISTAKES_MAX)
        .map(|error| {
            let span = error.span().unwrap_or_default();
            let found = match text.get(span.clone()).filter(|found| !found.is_empty()) {
                Some(found) => quoted(found),
                None => match text.get(span.start..).and_then(|rest| rest.chars().next()) {
                    None => "the end of the file".to_owned(),
                    Some('\r' | '\n') => "the end of the line".to_owned(),
                    Some(other) => quoted(other.encode_utf8(&mut [0; 4])),
                },
            };
            let message = format!("{}, found {found}", error.message());
            Refusal::new(span.start, "", message)
        })
        .collect();
    if refusals.is_empty() { Ok(document) } else { Err(refusals) }
}

/// The line of a byte offset, counted from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Text as a message shows it: quoted, escaped, not too long.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(FOUND_CHARS_MAX) {
        None => Quoted(text).to_string(),
        Some((cut, _)) => format!("{}… ({} bytes)", Quoted(&text[..cut]), text.len()),
    }
}

/// `; did you mean listen?` for the candidate at most two typing errors away, in any case of letters; else nothing.
pub(super) fn did_you_mean<T: AsRef<str>>(found: &str, candidates: impl IntoIterator<Item = T>) -> String {
    const ERRORS_MAX: usize = 2;
    candidates
        .into_iter()
        .filter(|candidate| candidate.as_ref().len().abs_diff(found.len()) <= ERRORS_MAX)
        .map(|candidate| {
            let own = candidate.as_ref().to_ascii_lowercase();
            (strsim::levenshtein(&found.to_ascii_lowercase(), &own), candidate)
        })
        .filter(|(edits, candidate)| *edits <= ERRORS_MAX && *edits < candidate.as_ref().len())
        .min_by_key(|(edits, _)| *edits)
        .map_or_else(String::new, |(_, candidate)| format!("; did you mean {}?", candidate.as_ref()))
}

/// One value and where it stands.
pub(super) struct Place<'d> {
    /// Path of its key.
    pub(super) key: String,
    at: usize,
    value: &'d DeValue<'d>,
    without: &'d BTreeSet<String>,
}

impl<'d> Place<'d> {
    /// None if it was taken out.
    fn new(key: String, value: &'d Spanned<DeValue<'d>>, without: &'d BTreeSet<String>) -> Option<Self> {
        (!without.contains(&key)).then(|| Self {
            key,
            at: value.span().start,
            value: value.get_ref(),
            without,
        })
    }

    /// The refusal of this value for this reason.
    pub(super) fn refuse(&self, message: impl Into<String>) -> Refusal {
        Refusal::new(self.at, &self.key, message.into())
    }

    /// The refusal that says what was found here and what was expected.
    pub(super) fn expected(&self, expected: &str) -> Refusal {
        let found = match self.value {
            DeValue::String(text) => quoted(text),
            DeValue::Integer(number) => format!("the number {}", cut(&number.to_string())),
            DeValue::Float(number) => format!("the number {}", cut(&number.to_string())),
            DeValue::Boolean(boolean) => boolean.to_string(),
            DeValue::Datetime(datetime) => format!("the date or time {datetime}"),
            DeValue::Array(list) if list.is_empty() => "an empty list".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(table) if table.is_empty() => "an empty table".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        self.refuse(format!("found {found}, expected {expected}"))
    }

    /// A text.
    pub(super) fn text(&self, expected: &str) -> Result<&'d str, Refusal> {
        match self.value {
            DeValue::String(text) => Ok(text),
            _ => Err(self.expected(expected)),
        }
    }

    /// A text that `parse` accepts.
    pub(super) fn parsed<T>(
        &self,
        expected: &str,
        parse: impl FnOnce(&'d str) -> Option<T>,
    ) -> Result<T, Refusal> {
        parse(self.text(expected)?).ok_or_else(|| self.expected(expected))
    }

    /// A whole number of this unit.
    pub(super) fn number(&self, range: RangeInclusive<u64>, unit: &str) -> Result<u64, Refusal> {
        self.whole().filter(|number| range.contains(number)).ok_or_else(|| {
            self.expected(&format!("a whole number of {unit} from {} to {}", range.start(), range.end()))
        })
    }

    /// A whole number from 0 to 2^64-1, if it is one.
    pub(super) fn whole(&self) -> Option<u64> {
        match self.value {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&self) -> Result<bool, Refusal> {
        match self.value {
            DeValue::Boolean(boolean) => Ok(*boolean),
            _ => Err(self.expected("true or false")),
        }
    }

    /// A list. People count from 1, and so do the paths: `pool[2]` is the second `[[pool]]`.
    pub(super) fn list(&self, expected: &str) -> Result<Vec<Self>, Refusal> {
        let DeValue::Array(list) = self.value else {
            return Err(self.expected(expected));
        };
        let place = |(index, value)| Self::new(format!("{}[{}]", self.key, index + 1), value, self.without);
        Ok(list.iter().enumerate().filter_map(place).collect())
    }

    /// A list that is not empty.
    pub(super) fn filled_list(&self, expected: &str) -> Result<Vec<Self>, Refusal> {
        let list = self.list(expected)?;
        if list.is_empty() { Err(self.expected(expected)) } else { Ok(list) }
    }

    /// A table.
    pub(super) fn table(&self, expected: &str) -> Result<Table<'d>, Refusal> {
        match self.value {
            DeValue::Table(table) => {
                Ok(Table { key: self.key.clone(), at: self.at, entries: Some(table), without: self.without })
            }
            _ => Err(self.expected(expected)),
        }
    }
}

/// The keys of one table and where it starts.
pub(super) struct Table<'d> {
    /// Path of it.
    pub(super) key: String,
    at: usize,
    /// `None`: the document does not have this table.
    entries: Option<&'d DeTable<'d>>,
    /// Paths that were taken out.
    without: &'d BTreeSet<String>,
}

impl<'d> Table<'d> {
    /// The whole document.
    fn root(document: &'d Spanned<DeTable<'d>>, without: &'d BTreeSet<String>) -> Self {
        Self { key: String::new(), at: 0, entries: Some(document.get_ref()), without }
    }

    /// Refuses every key but these; a hint names what may have been meant.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.entries().into_iter().find(|(name, _)| !known.contains(name)) {
            None => Ok(()),
            Some((name, place)) => Err(place.refuse(format!(
                "unknown key {}: expected one of {}{}",
                quoted(name),
                known.join(", "),
                did_you_mean(name, known)
            ))),
        }
    }

    /// Whether this key was refused already and taken out; a stand-in lets the rest be read.
    pub(super) fn is_out(&self, name: &str) -> bool {
        self.without.contains(&self.path(name))
    }

    /// The value of a key.
    pub(super) fn get(&self, name: &str) -> Option<Place<'d>> {
        let value = self.entries?.get(name)?;
        Place::new(self.path(name), value, self.without)
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, name: &str, expected: &str) -> Result<Place<'d>, Refusal> {
        self.get(name).ok_or_else(|| Refusal {
            key: self.path(name),
            ..Refusal::new(self.at, &self.key, format!("missing, expected {expected}"))
        })
    }

    /// The table under a key; one without keys where there is none.
    pub(super) fn section(&self, name: &str) -> Result<Self, Refusal> {
        match self.get(name) {
            Some(place) => place.table(&format!("a table [{name}]")),
            None => Ok(Self { key: self.path(name), at: self.at, entries: None, without: self.without }),
        }
    }

    /// Every key with its value, as they stand in the text.
    pub(super) fn entries(&self) -> Vec<(&'d str, Place<'d>)> {
        let mut entries: Vec<_> = self
            .entries
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| {
                Some((name.get_ref().as_ref(), Place::new(self.path(name.get_ref()), value, self.without)?))
            })
            .collect();
        entries.sort_by_key(|(_, place)| place.at);
        entries
    }

    /// The refusal of the table as a whole.
    pub(super) fn refuse(&self, message: &str) -> Refusal {
        Refusal { is_of_table: true, ..Refusal::new(self.at, &self.key, message.to_owned()) }
    }

    fn path(&self, name: &str) -> String {
        let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        let name = if bare { cut(name) } else { quoted(name) };
        if self.key.is_empty() { name } else { format!("{}.{name}", self.key) }
    }
}

/// A number or bare key, not too long.
fn cut(ascii: &str) -> String {
    match ascii.get(..FOUND_CHARS_MAX) {
        Some(start) if start.len() < ascii.len() => format!("{start}…"),
        _ => ascii.to_owned(),
    }
}
