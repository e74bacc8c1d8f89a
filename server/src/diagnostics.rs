//! What the program says to people on stderr, before it is written. In: messages with their time and the place that makes
//! them, and how each write went. Out: lines, in order. Guarantee: at most [`LINES_MAX`] lines wait; one message is one line,
//! without control or direction characters; what is left out is counted and the count is told; once repeats are limited, a
//! warning or an error of one kind leaves at most once in [`REPEAT_US`], and the sum of what was like it follows by itself.

use buzzer_core::quote::{Plain, kernel_words};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use buzzer_core::time::{KernelTime, Micros};
use log::Level;

use crate::counted::counted;

/// So many lines wait for a terminal, a pipe or journald.
pub const LINES_MAX: usize = 1024;
/// A message is cut behind so many characters.
pub const MESSAGE_CHARS_MAX: usize = 4096;
/// A message of one kind is said so often at most.
pub const REPEAT_US: Micros = Micros::from_ms(1000);
/// So many kinds are told apart at a time; a message of a further one is left out.
const KINDS_MAX: usize = 512;

/// Who makes the message: file and line of the call, and its target where one call speaks for several things.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallSite {
    /// The source file.
    pub file: &'static str,
    /// The line in it.
    pub line: u32,
    /// The target of the call, else its module.
    pub target: String,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `buzzerd: warning: …`
    Words,
    /// `<4>…`, from which journald takes the priority (sd-daemon(3)).
    Journal,
}

/// A line to write; it goes back to [`Diagnostics::written`].
#[derive(Debug)]
pub struct Message {
    /// All of it, with its end.
    pub text: String,
    messages: u64,
}

/// What waits.
#[derive(Debug)]
pub struct Diagnostics {
    form: Form,
    waiting: VecDeque<Waiting>,
    /// Messages that were taken out and could not be written.
    failed: u64,
    is_limited: bool,
    kinds: BTreeMap<CallSite, Repeats>,
}

#[derive(Debug)]
enum Waiting {
    Text(String),
    /// Messages that found no room here.
    LeftOut(u64),
}

/// What was said of one kind since its last line.
#[derive(Debug)]
struct Repeats {
    until: KernelTime,
    level: Level,
    first: String,
    count: u64,
}

impl Diagnostics {
    /// Nothing waits, nothing is limited.
    pub const fn new(form: Form) -> Self {
        Self { form, waiting: VecDeque::new(), failed: 0, is_limited: false, kinds: BTreeMap::new() }
    }

    /// From now on the same place is heard once in [`REPEAT_US`]. Before, it names one after the other what was found at
    /// start, and nobody outside can make it speak.
    pub const fn limit_repeats(&mut self) {
        self.is_limited = true;
    }

    /// Takes a message of a place.
    pub fn say(&mut self, now: KernelTime, level: Level, place: CallSite, message: fmt::Arguments<'_>) {
        if !self.is_limited || level > Level::Warn {
            return self.push_message(level, &message.to_string());
        }
        let is_known = self.kinds.get(&place).is_some_and(|repeats| now < repeats.until);
        if !is_known {
            self.sum_up(now);
        }
        if let Some(repeats) = self.kinds.get_mut(&place) {
            if repeats.count == 0 {
                repeats.first = message.to_string();
                repeats.level = level;
            }
            repeats.count += 1;
            return;
        }
        if self.kinds.len() >= KINDS_MAX {
            return self.leave_out(1);
        }
        self.push_message(level, &message.to_string());
        let repeats = Repeats { until: now + REPEAT_US, level, first: String::new(), count: 0 };
        self.kinds.insert(place, repeats);
    }

    /// Takes a final error: one line, without a level.
    pub fn push_line(&mut self, message: &str) {
        self.push(self.line((3, ""), &cut(message)));
    }

    /// Takes a text of our own making as it is: a help page, a progress that overwrites itself.
    pub fn push(&mut self, text: String) {
        match self.waiting.len() < LINES_MAX {
            true => self.waiting.push_back(Waiting::Text(text)),
            false => self.leave_out(1),
        }
    }

    /// The next line to write, with what had to be left out before it.
    pub fn next_line(&mut self, now: KernelTime) -> Option<Message> {
        self.sum_up(now);
        let (mut text, messages) = match self.waiting.pop_front()? {
            Waiting::Text(text) => (text, 1),
            Waiting::LeftOut(count) => (self.left_out(count), count),
        };
        if self.failed > 0 {
            text.insert_str(0, &self.left_out(self.failed));
        }
        Some(Message { text, messages: messages + self.failed })
    }

    /// How the write of a line went. One that failed is told of with the next line.
    pub const fn written(&mut self, line: &Message, is_written: bool) {
        self.failed = if is_written { 0 } else { line.messages };
    }

    /// When a sum is due that nothing else will bring out.
    pub fn due(&self) -> Option<KernelTime> {
        self.kinds.values().filter(|repeats| repeats.count > 0).map(|repeats| repeats.until).min()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Ends: every sum is due.
    pub fn finish(&mut self) {
        self.kinds.values_mut().for_each(|repeats| repeats.until = KernelTime::ZERO);
        self.sum_up(KernelTime::ZERO);
    }

    /// Brings out the sums that are due, and forgets the kinds that are quiet again.
    fn sum_up(&mut self, now: KernelTime) {
        let due: Vec<_> = self.kinds.extract_if(.., |_, repeats| repeats.until <= now).collect();
        for (place, repeats) in due {
            let Repeats { level, first, count, .. } = repeats;
            match count {
                0 => continue,
                1 => self.push_message(level, &first),
                count => {
                    let text = format!("{} (and {} more like it)", cut(&first), count - 1);
                    self.push(self.line(grade(level), &text));
                }
            }
            // The sum is a line too: the next one is a second away.
            let repeats = Repeats { until: now + REPEAT_US, level, first: String::new(), count: 0 };
            self.kinds.insert(place, repeats);
        }
    }

    fn push_message(&mut self, level: Level, message: &str) {
        self.push(self.line(grade(level), &cut(message)));
    }

    fn leave_out(&mut self, count: u64) {
        match self.waiting.back_mut() {
            Some(Waiting::LeftOut(before)) => *before += count,
            _ => self.waiting.push_back(Waiting::LeftOut(count)),
        }
    }

    fn left_out(&self, count: u64) -> String {
        self.line((4, ""), &format!("{} left out", counted(count, "message")))
    }

    fn line(&self, (priority, word): (u8, &str), text: &str) -> String {
        match self.form {
            Form::Words => format!("buzzerd: {word}{text}\n"),
            Form::Journal => format!("<{priority}>{text}\n"),
        }
    }
}

/// The priority of a level (syslog(3)), and how it is said.
const fn grade(level: Level) -> (u8, &'static str) {
    match level {
        Level::Error => (3, "error: "),
        Level::Warn => (4, "warning: "),
        Level::Info => (6, ""),
        Level::Debug | Level::Trace => (7, "debug: "),
    }
}

/// A message as a line shows it.
fn cut(message: &str) -> String {
    let message = &*kernel_words(&message);
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((at, _)) => format!("{}…", Plain(&message[..at])),
        None => Plain(message).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> KernelTime {
        KernelTime::from_us(ms * 1000)
    }

    fn place(line: u32) -> CallSite {
        CallSite { file: "x.rs", line, target: "buzzerd".to_owned() }
    }

    /// Everything that comes out at this time, written well or badly.
    fn lines(diagnostics: &mut Diagnostics, ms: u64, is_written: bool) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = diagnostics.next_line(at(ms)) {
            diagnostics.written(&line, is_written);
            lines.push(line.text);
        }
        lines
    }

    #[test]
    fn a_flood_of_one_kind_is_a_line_a_second_and_its_sum_needs_no_further_message() {
        let mut all = Diagnostics::new(Form::Words);
        all.limit_repeats();
        for ms in 0..2500 {
            for n in 0..10 {
                all.say(at(ms), Level::Warn, place(1), format_args!("origin {}", ms * 10 + n));
            }
        }
        all.say(at(2500), Level::Warn, place(2), format_args!("another kind"));
        let mut said = lines(&mut all, 2500, true);
        assert_eq!(all.due(), Some(at(3000)));
        assert!(lines(&mut all, 2999, true).is_empty());
        said.extend(lines(&mut all, 3000, true));
        assert_eq!(
            said,
            [
                "buzzerd: warning: origin 0\n",
                "buzzerd: warning: origin 1 (and 9998 more like it)\n",
                "buzzerd: warning: origin 10000 (and 9999 more like it)\n",
                "buzzerd: warning: another kind\n",
                "buzzerd: warning: origin 20000 (and 4999 more like it)\n",
            ]
        );
        assert_eq!(all.due(), None);
    }

    #[test]
    fn at_start_one_place_names_all_that_it_finds_and_a_target_tells_things_apart() {
        let mut all = Diagnostics::new(Form::Journal);
        (0..3).for_each(|pool| all.say(at(0), Level::Warn, place(1), format_args!("pool {pool}")));
        all.limit_repeats();
        for pool in ["a", "b"] {
            let place = CallSite { target: pool.to_owned(), ..place(1) };
            (0..2).for_each(|_| all.say(at(0), Level::Error, place.clone(), format_args!("pool {pool}")));
        }
        (0..2).for_each(|_| all.say(at(0), Level::Info, place(3), format_args!("listening")));
        assert_eq!(
            lines(&mut all, 0, true).concat(),
            "<4>pool 0\n<4>pool 1\n<4>pool 2\n<3>pool a\n<3>pool b\n<6>listening\n<6>listening\n"
        );
        all.finish();
        assert_eq!(lines(&mut all, 0, true).concat(), "<3>pool a\n<3>pool b\n");
    }

    #[test]
    fn a_full_queue_and_a_failed_write_are_counted_where_they_happened() {
        let mut all = Diagnostics::new(Form::Words);
        for n in 0..LINES_MAX + 7 {
            all.say(at(0), Level::Info, place(1), format_args!("{n}"));
        }
        for _ in 0..2 {
            let line = all.next_line(at(0)).unwrap();
            all.written(&line, true);
        }
        all.push_line("last");
        let said = lines(&mut all, 0, true);
        assert_eq!(
            said[LINES_MAX - 3..],
            ["buzzerd: 1023\n", "buzzerd: 7 messages left out\n", "buzzerd: last\n"]
        );

        // A full disk: each line is tried once, and the first that is written says how many were not.
        (0..3).for_each(|n| all.push_line(&n.to_string()));
        assert_eq!(lines(&mut all, 0, false).len(), 3);
        assert!(all.is_empty() && all.due().is_none(), "nothing is tried again by itself");
        all.push_line("3");
        assert_eq!(lines(&mut all, 0, true), ["buzzerd: 3 messages left out\nbuzzerd: 3\n"]);
        all.push_line("4");
        assert_eq!(lines(&mut all, 0, true), ["buzzerd: 4\n"]);
    }

    #[test]
    fn one_message_is_one_line_however_it_tries() {
        let mut all = Diagnostics::new(Form::Journal);
        all.push_line(&format!("a\n<0>forged\u{202e}\x1b[2J\u{2028}{}", "x".repeat(2 * MESSAGE_CHARS_MAX)));
        let line = all.next_line(at(0)).unwrap().text;
        assert!(line.starts_with("<3>a\\n<0>forged\\u{202e}\\u{1b}[2J\\u{2028}xxx"), "{line}");
        assert_eq!(line.find('\n'), Some(line.len() - 1));
        assert!(line.chars().count() < MESSAGE_CHARS_MAX + 40);
    }

    #[test]
    fn kinds_are_bounded() {
        let mut all = Diagnostics::new(Form::Words);
        all.limit_repeats();
        for line in 0..600 {
            all.say(at(0), Level::Warn, place(line), format_args!("x"));
        }
        assert_eq!(lines(&mut all, 0, true).last().unwrap(), "buzzerd: 88 messages left out\n");
        all.say(at(1001), Level::Warn, place(600), format_args!("y"));
        assert_eq!(lines(&mut all, 1001, true), ["buzzerd: warning: y\n"]);
    }
}
