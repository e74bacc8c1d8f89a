//! Records in words, for the demo. In: records, in order. Out: lines for people. Guarantee: who reads them without having read
//! anything else knows who leads, by how much, how sure that is, and what went wrong; numbers are those of the records.

use std::collections::VecDeque;

use buzzer_core::quote::listed;
use buzzer_server::judge::explain::GAP_US;
use buzzer_server::judge::explain::verdict::flag_words;
use buzzer_server::judge::sentence::{self, ms};
use buzzer_server::record::{Fact, Flag, Record, Rival};

/// Presses that a photo finish can still be with.
const REMEMBERED: usize = 64;

/// What the lines so far were about.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// `seq`, buzzer and time of the last presses.
    presses: VecDeque<(u64, u16, u64)>,
    place: usize,
    first_us: u64,
    last_us: u64,
}

impl Story {
    /// What there is to say about this record; mostly nothing or one line.
    pub(super) fn lines(&mut self, record: &Record) -> Vec<String> {
        match &record.fact {
            Fact::Press { buzzer, delay_us, final_at_us, flags, photo, tie, .. } => {
                let mut lines = vec![self.press(record, *buzzer, *final_at_us)];
                if tie.is_some() {
                    lines.push(remark("TIE: drawn by lot, as said above"));
                }
                if let Some(text) = self.photo_finish(photo, *delay_us) {
                    lines.push(remark(&text));
                }
                // A late press has a record of its own.
                let doubts = flags.0.iter().filter(|flag| **flag != Flag::Late);
                lines.extend(doubts.map(|flag| remark(&flag_words(flag, *delay_us))));
                self.remember(record.seq, *buzzer, record.at_us);
                lines
            }
            // Everything that is no press and worth a line.
            Fact::Draw { .. }
            | Fact::Late { .. }
            | Fact::StaleStamp { .. }
            | Fact::Proved { .. }
            | Fact::Held { .. }
            | Fact::Stuck { .. }
            | Fact::Chattering { .. }
            | Fact::Gap { .. }
            | Fact::ReaderStall { .. }
            | Fact::RingFull { .. }
            | Fact::HeapFull { .. }
            | Fact::Detach { certain: false, .. } => vec![format!("      {}", sentence::of(&record.fact))],
            _ => Vec::new(),
        }
    }

    fn press(&mut self, record: &Record, buzzer: u16, final_at_us: u64) -> String {
        if self.place == 0 || record.at_us.saturating_sub(self.last_us) >= GAP_US {
            (self.place, self.first_us) = (1, record.at_us);
            self.last_us = record.at_us;
            let open = ms(final_at_us.saturating_sub(record.at_us));
            let surety = if final_at_us > record.at_us {
                format!("provisional for {open}: until then a press may come that was made earlier")
            } else {
                "final".to_owned()
            };
            return format!("   1. buzzer {buzzer}   FIRST   ({surety})");
        }
        self.place += 1;
        self.last_us = self.last_us.max(record.at_us);
        let gap = match record.at_us.checked_sub(self.first_us) {
            Some(0) => "in the same µs as the first".to_owned(),
            Some(behind) => format!("{} after the first", ms(behind)),
            None => format!("{} before the first, by its own time", ms(self.first_us - record.at_us)),
        };
        format!("{:>4}. buzzer {buzzer}   {gap}", self.place)
    }

    fn photo_finish(&self, photo: &[Rival], delay_us: [i64; 2]) -> Option<String> {
        let mut rivals: Vec<u16> = photo
            .iter()
            .filter_map(|rival| self.presses.iter().find(|(known, ..)| *known == rival.seq))
            .map(|(_, buzzer, _)| *buzzer)
            .collect();
        rivals.dedup();
        (!photo.is_empty()).then(|| {
            format!(
                "PHOTO FINISH with buzzer {}: its time may be up to {} late, so it may have been earlier; the host decides",
                listed(rivals),
                ms(delay_us[1].max(0).cast_unsigned()),
            )
        })
    }

    fn remember(&mut self, seq: u64, buzzer: u16, at_us: u64) {
        if self.presses.len() == REMEMBERED {
            self.presses.pop_front();
        }
        self.presses.push_back((seq, buzzer, at_us));
    }
}

fn remark(text: &str) -> String {
    format!("           {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use buzzer_server::record::Flags;

    fn tell(story: &mut Story, seq: u64, at_us: u64, fact: Fact) -> String {
        story.lines(&Record { seq, at_us, fact }).join("\n")
    }

    fn press(buzzer: u16, final_at_us: u64, flags: &[Flag], photo: &[u64], tie: Option<u64>) -> Fact {
        Fact::Press {
            pool: "p".parse().unwrap(),
            buzzer,
            device: 1,
            delay_us: [0, 9500],
            final_at_us,
            flags: Flags(flags.to_vec()),
            photo: photo.iter().map(|seq| Rival { seq: *seq, chance_permille: None }).collect(),
            photo_more: false,
            tie,
            frame: 0,
        }
    }

    #[test]
    fn a_race_is_told_with_its_gaps_ties_and_photo_finishes() {
        let mut story = Story::default();
        let draw = Fact::Draw { seed: "00ff".into(), presses: 2 };
        let said = tell(&mut story, 5, 1_000_000, draw);
        assert_eq!(said, "      draw among 2 presses of one stamp, seed 00ff");
        assert_eq!(
            tell(&mut story, 6, 1_000_000, press(3, 1_019_000, &[], &[], Some(5))),
            "   1. buzzer 3   FIRST   (provisional for 19 ms: until then a press may come that was made earlier)\n           \
             TIE: drawn by lot, as said above"
        );
        assert_eq!(
            tell(&mut story, 7, 1_000_000, press(1, 1_019_000, &[], &[], Some(5))).lines().next(),
            Some("   2. buzzer 1   in the same µs as the first")
        );
        assert_eq!(
            tell(&mut story, 8, 1_007_250, press(4, 1_026_250, &[], &[6, 7], None)),
            "   3. buzzer 4   7.25 ms after the first\n           PHOTO FINISH with buzzer 3, 1: its time may be up to \
             9.5 ms late, so it may have been earlier; the host decides"
        );
        let said = tell(&mut story, 9, 999_000, press(2, 1_018_000, &[Flag::Late, Flag::Suspect], &[], None));
        assert!(said.starts_with("   4. buzzer 2   1 ms before the first, by its own time\n"), "{said}");
        assert!(
            said.contains("its button had not been seen to work") && said.lines().count() == 2,
            "late has its own record: {said}"
        );
        let late = Fact::Late { device: 1, pool: "p".parse().unwrap(), press: 9, behind_us: 8250 };
        assert!(
            tell(&mut story, 10, 999_000, late)
                .contains("its stamp is 8.25 ms before one that was told already")
        );
        let next = tell(&mut story, 11, 5_000_000, press(2, 5_000_000, &[], &[], None));
        assert_eq!(next, "   1. buzzer 2   FIRST   (final)", "3 s later another race begins");
    }

    #[test]
    fn what_is_no_news_is_not_told() {
        let release = Fact::Release { pool: "p".parse().unwrap(), buzzer: 1, device: 1 };
        assert_eq!(tell(&mut Story::default(), 1, 1, release), "");
        let gone = |certain| Fact::Detach {
            device: 1,
            pool: "p".parse().unwrap(),
            reason: "unplugged".into(),
            certain,
        };
        assert_eq!(tell(&mut Story::default(), 1, 1, gone(true)), "");
        assert!(
            tell(&mut Story::default(), 1, 1, gone(false)).contains("presses it had not shown yet are lost")
        );
    }
}
