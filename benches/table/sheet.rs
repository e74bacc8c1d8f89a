//! The table.
//!
//! In: the figures of every round. Out: fixed-width text.
//! Guarantees: p50, p99, CPU and the rest are medians over the rounds that others left alone (over all of them when
//! there is none), ratios are medians of the ratios round by round, and bursts are pooled over those rounds. p99.9 and
//! max come from every press of every round, noisy or not, because a tail must not be averaged away.

use crate::round::{Figures, Plan};
use crate::stats::{Sorted, median};
use crate::subject::Peer;

/// One line: all rounds of one peer under one plan.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) peer: Peer,
    pub(crate) plan: Plan,
    pub(crate) rounds: Vec<Figures>,
}

/// What stands over a column, its name, its width.
const COLUMNS: [(&str, &str, usize); 21] = [
    ("", "server", 24),
    ("", "clients", 7),
    ("", "cores", 5),
    ("first", "p50 us", 6),
    ("last", "p50 us", 6),
    ("last", "p99 us", 6),
    ("last", "p99.9", 6),
    ("last", "max us", 6),
    ("p50", "to (a)", 6),
    ("p99", "to (a)", 6),
    ("CPU us", "a press", 7),
    ("CPU", "to (a)", 6),
    ("8 at once", "p50 ms", 9),
    ("8 at once", "p99 ms", 9),
    ("presses", "a second", 8),
    ("memory", "MiB", 6),
    ("start", "ms", 5),
    ("others", "% core", 6),
    ("noisy", "rounds", 6),
    ("", "lost", 4),
    ("", "astray", 6),
];

/// Must and aim of one ratio or amount.
struct Goal {
    what: String,
    value: f64,
    unit: &'static str,
    must: f64,
    aim: f64,
}

impl Row {
    fn over(&self, of: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        let quiet = median(self.rounds.iter().filter(|round| !round.noisy()).filter_map(&of));
        quiet.or_else(|| median(self.rounds.iter().filter_map(&of)))
    }

    /// Every press of every round.
    fn all(&self) -> Sorted {
        Sorted::new(self.rounds.iter().flat_map(|round| round.last.samples()).copied().collect())
    }

    /// Bursts are too few for a percentile of each round.
    fn bursts(&self) -> Sorted {
        let any = self.rounds.iter().any(|round| !round.noisy());
        let rounds = self.rounds.iter().filter(|round| !any || !round.noisy());
        Sorted::new(rounds.flat_map(|round| round.burst.samples()).copied().collect())
    }

    /// The median of the ratios round by round: a change of the machine's mood is in both halves of each.
    fn to(&self, floor: Option<&Self>, of: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        let pairs: Vec<(&Figures, &Figures)> = self.rounds.iter().zip(&floor?.rounds).collect();
        let ratio = |pair: &(&Figures, &Figures)| Some(of(pair.0)? / of(pair.1)?);
        let quiet = median(pairs.iter().filter(|(own, its)| !own.noisy() && !its.noisy()).filter_map(ratio));
        quiet.or_else(|| median(pairs.iter().filter_map(ratio)))
    }

    fn mib(&self) -> Option<f64> {
        self.over(|round| Some(round.resident as f64 / 1024.0))
    }

    fn listening(&self) -> Option<f64> {
        self.over(|round| Some(round.listening as f64 / 1e6))
    }

    pub(crate) fn faults(&self) -> u64 {
        self.rounds.iter().map(|round| round.lost + round.astray).sum()
    }

    fn print(&self, floor: Option<&Self>) {
        let all = self.all();
        let burst = self.bursts();
        let noisy = self.rounds.iter().filter(|round| round.noisy()).count();
        let others = median(self.rounds.iter().map(|round| round.others * 100.0));
        line([
            self.peer.title().to_string(),
            self.plan.clients.to_string(),
            if self.plan.held { "held" } else { "free" }.to_string(),
            cell(self.over(|round| round.first.percentile(0.5).map(micros)), 0),
            cell(self.over(p50), 0),
            cell(self.over(p99), 0),
            cell(all.percentile(0.999).map(micros), 0),
            cell(all.max().map(micros), 0),
            cell(self.to(floor, p50), 2),
            cell(self.to(floor, p99), 2),
            cell(self.over(cpu), 1),
            cell(self.to(floor, cpu), 2),
            cell(burst.percentile(0.5).map(millis), 2),
            cell(burst.percentile(0.99).map(millis), 2),
            cell(self.over(|round| Some(round.rate)), 0),
            cell(self.mib(), 1),
            cell(self.listening(), 1),
            cell(others, 0),
            noisy.to_string(),
            self.rounds.iter().map(|round| round.lost).sum::<u64>().to_string(),
            self.rounds.iter().map(|round| round.astray).sum::<u64>().to_string(),
        ]);
    }

    fn goals(&self, floor: Option<&Self>, goals: &mut Vec<Goal>) {
        let clients = self.plan.clients;
        let name =
            format!("{}, {} client{}", self.peer.title(), clients, if clients == 1 { "" } else { "s" });
        let mut add = |what: &str, value: Option<f64>, unit, must, aim| {
            if let Some(value) = value {
                goals.push(Goal { what: format!("{name}: {what}"), value, unit, must, aim });
            }
        };
        // Settling is meant to take its time: only with `settle_us = 0` is the floor's latency the measure.
        if self.peer == Peer::Zero {
            let latency = self.to(floor, p50);
            match (self.plan.held, clients) {
                (false, _) => add("p50 to (a), free", latency, "x", 2.0, 1.3),
                (true, 1) => add("p50 to (a)", latency, "x", 1.30, 1.10),
                (true, _) => add("p50 to (a)", latency, "x", 1.30, 1.15),
            }
            if self.plan.held && clients > 1 {
                let burst = self.bursts().percentile(0.99).map(millis);
                add("host's p99 for 8 at once", burst, "ms", 3.0, 1.0);
                add("CPU to (a)", self.to(floor, cpu), "x", 1.30, 1.15);
            }
            if self.plan.held {
                let thousands = clients as f64 / 1024.0;
                add("memory", self.mib(), "MiB", 16.0 + 4.0 * thousands, 8.0 + 3.0 * thousands);
                add("listening", self.listening(), "ms", 300.0, 100.0);
            }
        }
    }
}

pub(crate) fn print(rows: &[Row]) {
    line(COLUMNS.map(|(over, _, _)| over.to_string()));
    line(COLUMNS.map(|(_, name, _)| name.to_string()));
    let mut goals = Vec::new();
    let mut before: Option<&Row> = None;
    for row in rows {
        if before.is_some_and(|before| !same_plan(before, row)) {
            println!();
        }
        before = Some(row);
        let floor = rows.iter().find(|other| other.peer == Peer::Floor && same_plan(other, row));
        row.print(floor);
        row.goals(floor, &mut goals);
    }
    println!();
    for goal in goals {
        let verdict = match goal.value {
            value if value <= goal.aim => "aim reached",
            value if value <= goal.must => "must reached",
            _ => "MISSED",
        };
        println!(
            "{:64}{:>8.2} {:3}  must {:>6.2}  aim {:>6.2}  {verdict}",
            goal.what, goal.value, goal.unit, goal.must, goal.aim
        );
    }
}

/// The first cell to the left, the figures to the right.
fn line(cells: [String; COLUMNS.len()]) {
    let mut text = String::new();
    for ((_, _, width), cell) in COLUMNS.iter().zip(cells) {
        text += &if text.is_empty() { format!("{cell:width$}") } else { format!(" {cell:>width$}") };
    }
    println!("{}", text.trim_end());
}

fn same_plan(one: &Row, other: &Row) -> bool {
    (one.plan.clients, one.plan.held) == (other.plan.clients, other.plan.held)
}

fn p50(round: &Figures) -> Option<f64> {
    round.last.percentile(0.5).map(micros)
}

fn p99(round: &Figures) -> Option<f64> {
    round.last.percentile(0.99).map(micros)
}

fn cpu(round: &Figures) -> Option<f64> {
    Some(round.cpu / 1e3)
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

fn millis(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}"))
}
