//! The table.
//!
//! In: how long each job took, round by round. Out: fixed-width text on stdout.
//! Guarantees: a figure is the best of all rounds, the one that others on the machine disturbed least; a ratio is the
//! median of the ratios round by round, so that a change of the machine's mood is in both halves of each. CPU time is
//! what others disturb least; it leaves out what a disk is waited for.

use std::io;
use std::ops::{Add, AddAssign};
use std::time::Duration;

use buzzer_benches::clock;
use buzzer_benches::stats::median;

/// How a time is told. The number is how many records, or commits, took it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unit {
    Nanos(u64),
    Micros(u64),
    Millis,
    PerSecond(u64),
}

/// What is asked of our figure, in its unit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) must: f64,
    pub(crate) aim: Option<f64>,
}

/// What a job took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// All threads, the kernel's part for them included.
    pub(crate) cpu: Duration,
}

/// One job.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    unit: Unit,
    goal: Option<Goal>,
    ours: Vec<Cost>,
    its: Vec<Cost>,
}

/// All jobs, in the order in which they were first done.
#[derive(Debug, Default)]
pub(crate) struct Sheet(Vec<Row>);

/// What this process took for it.
pub(crate) fn timed(job: impl FnOnce() -> io::Result<()>) -> io::Result<Cost> {
    let (begin, cpu) = (clock::now(), clock::own_cpu());
    job()?;
    let (wall, cpu) = (clock::now() - begin, clock::own_cpu() - cpu);
    Ok(Cost { wall: Duration::from_nanos(wall), cpu: Duration::from_nanos(cpu) })
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { wall: self.wall + other.wall, cpu: self.cpu + other.cpu }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Unit {
    fn of(self, time: Duration) -> f64 {
        let nanos = time.as_nanos() as f64;
        match self {
            Self::Nanos(count) => nanos / count as f64,
            Self::Micros(count) => nanos / count as f64 / 1e3,
            Self::Millis => nanos / 1e6,
            Self::PerSecond(count) => count as f64 / (nanos / 1e9),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Nanos(_) => "ns each",
            Self::Micros(_) => "us each",
            Self::Millis => "ms",
            Self::PerSecond(_) => "a second",
        }
    }

    fn reaches(self, value: f64, goal: f64) -> bool {
        if matches!(self, Self::PerSecond(_)) { value >= goal } else { value <= goal }
    }
}

impl Sheet {
    /// A round of a job: our time, and SQLite's if it does the same.
    pub(crate) fn add(&mut self, name: &str, unit: Unit, ours: Cost, its: Option<Cost>) -> &mut Row {
        let place = self.0.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.0.push(Row { name: name.to_owned(), unit, goal: None, ours: Vec::new(), its: Vec::new() });
            self.0.len() - 1
        });
        let row = &mut self.0[place];
        row.ours.push(ours);
        row.its.extend(its);
        row
    }

    pub(crate) fn print(&self) {
        line(["", "buzzerd", "SQLite", "", "SQLite to", "buzzerd", "goal"]);
        line(["job", "best", "best", "", "time", "CPU", ""]);
        for row in &self.0 {
            row.print();
        }
    }
}

/// The first cell and the last to the left, as the units, the figures to the right.
fn line([job, ours, its, unit, time, cpu, goal]: [&str; 7]) {
    let text = format!("{job:56}{ours:>10}{its:>10} {unit:8}{time:>10}{cpu:>10}  {goal}");
    println!("{}", text.trim_end());
}

impl Row {
    pub(crate) const fn goal(&mut self, must: f64, aim: Option<f64>) {
        self.goal = Some(Goal { must, aim });
    }

    fn print(&self) {
        let best = |costs: &[Cost]| costs.iter().map(|cost| cost.wall).min().map(|wall| self.unit.of(wall));
        let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), grouped);
        let (ours, its) = (best(&self.ours), best(&self.its));
        let goal = self.goal.zip(ours).map(|(goal, value)| self.verdict(goal, value)).unwrap_or_default();
        let (time, cpu) = (self.ratio(|cost| cost.wall), self.ratio(|cost| cost.cpu));
        line([&self.name, &cell(ours), &cell(its), self.unit.name(), &time, &cpu, &goal]);
    }

    fn ratio(&self, of: impl Fn(&Cost) -> Duration) -> String {
        let rounds = self.ours.iter().zip(&self.its);
        let ratio = median(rounds.map(|(ours, its)| of(its).div_duration_f64(of(ours))));
        ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
    }

    fn verdict(&self, Goal { must, aim }: Goal, value: f64) -> String {
        let word = match aim {
            Some(aim) if self.unit.reaches(value, aim) => "aim reached",
            _ if self.unit.reaches(value, must) => "must reached",
            _ => "MISSED",
        };
        let aim = aim.map_or_else(String::new, |aim| format!(", aim {}", grouped(aim)));
        format!("must {}{aim}: {word}", grouped(must))
    }
}

/// "1 234 567"; one digit behind the point below 100.
fn grouped(value: f64) -> String {
    if value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
