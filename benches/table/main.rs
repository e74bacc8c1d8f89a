//! Press to frame, measured beside a bare epoll loop: `cargo bench -p buzzer-benches --bench table`.
//!
//! In: nothing but options. Out: one table on stdout, progress on stderr.
//! Guarantees: all peers are measured in one run, taking turns round by round, by the same clients and presses; it
//! reports and judges no time. Only a frame that is lost, doubled or out of turn makes it fail.
//!
//! A round ([`round`]) starts a server ([`subject`]: the [`floor`] or `buzzerd`), attaches virtual buzzers to it
//! ([`presser`]), connects WebSocket clients ([`load`]), and presses: first with pauses, for latency, then eight at
//! once ([`burst`]), then as fast as frames come back ([`sustain`]); at the end beside a [`crowd`]. The [`sheet`] takes the figures of all rounds and makes the table.
//!
//! How to read it. Times are from just before the write of the records to the moment at which the last client has
//! the frame in user space; the load client's own delay is in them, for every peer alike. Ratios are to the floor of
//! the same block. On a machine that does other work too, wall-clock times are upper bounds; CPU per press hardly
//! suffers. Rounds in which others took more than 15 % of a core are left out of the medians and counted as noisy.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to who runs it")]

mod burst;
mod crowd;
mod floor;
mod load;
mod options;
mod presser;
mod proc;
mod record;
mod round;
mod sheet;
mod subject;
mod sustain;
mod tally;

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use buzzer_benches::{clock, machine, stats};
use options::Options;
use proc::Cores;
use round::{Place, Plan};
use sheet::Row;
use stats::Random;
use subject::Peer;

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some(floor::ARGUMENT.as_ref()) {
        let socket = PathBuf::from(arguments.next().unwrap_or_default());
        return done(floor::run(&socket).map(|()| true));
    }
    if env::args().any(|argument| argument == "--help") {
        println!("{}", options::HELP);
        return ExitCode::SUCCESS;
    }
    match Options::parse() {
        Ok(options) => done(table(&options)),
        Err(message) => {
            eprintln!("{message}\n{}", options::HELP);
            ExitCode::from(2)
        }
    }
}

fn done(outcome: io::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// False when a frame was lost or astray.
fn table(options: &Options) -> io::Result<bool> {
    proc::raise_file_limit()?;
    let floor_only = options.peers.iter().all(|&peer| peer == Peer::Floor);
    let buzzerd = if floor_only { PathBuf::new() } else { machine::buzzerd()? };
    let place = Place { buzzerd, cores: Cores::look()? };
    let begin = clock::now();
    let mut random = Random(options.seed);
    let mut rows = Vec::new();
    for &plan in &options.plans {
        rows.extend(block(options, plan, &place, &mut random)?);
    }
    let seconds = (clock::now() - begin) / clock::SECOND;
    let command: String =
        env::args().skip(1).filter(|word| word != "--bench").map(|word| format!(" {word}")).collect();
    let dashes = if command.is_empty() { "" } else { " --" };
    println!("{}", machine::describe());
    println!(
        "cargo bench -p buzzer-benches --bench table{dashes}{command}   ({} rounds, {seconds} s)",
        options.rounds
    );
    println!();
    sheet::print(&rows);
    if let Some(plan) = options.plans.iter().find(|plan| plan.clients == 1 && plan.held && options.crowd) {
        crowd::run(*plan, options.rounds, &place, &mut random)?;
    }
    Ok(rows.iter().all(|row| row.faults() == 0))
}

/// All peers under one plan, interleaved, so that a change of the machine's mood meets each of them.
fn block(options: &Options, plan: Plan, place: &Place, random: &mut Random) -> io::Result<Vec<Row>> {
    let mut rows: Vec<Row> =
        options.peers.iter().map(|&peer| Row { peer, plan, rounds: Vec::new() }).collect();
    for count in 1..=options.rounds {
        eprintln!("{} clients, round {count} of {}", plan.clients, options.rounds);
        for row in &mut rows {
            row.rounds.push(round::run(row.peer, plan, place, random)?);
        }
    }
    Ok(rows)
}
