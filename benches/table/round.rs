//! One round of one peer: start it, press, end it.
//!
//! In: a peer, how many clients, how many presses. Out: its figures.
//! Guarantees: the machine is idle between presses, so that each pays for waking the server as in a quiz; the pause
//! begins when the last client has the frame and is random, so that presses fall in step with no timer.

use std::io;
use std::path::PathBuf;

use crate::burst;
use crate::clock::{self, MS, SECOND};
use crate::load::Load;
use crate::machine;
use crate::presser::Presser;
use crate::proc::{self, Cores, Machine};
use crate::record::BUZZERS;
use crate::stats::{Random, Sorted};
use crate::subject::{Peer, Server};
use crate::sustain;

/// Presses whose figures are thrown away: first-time costs of both processes.
const WARM_UP: u64 = 2 * BUZZERS;

/// A frame that is not there by then is lost.
const PATIENCE: u64 = 2 * SECOND;

/// So long a silence ends a round.
const STRAGGLERS: u64 = 20 * MS;

/// More than this share of a core taken by others marks a round.
pub(crate) const NOISY: f64 = 0.15;

/// What a round is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    /// The server held to one core and the clients to another.
    pub(crate) held: bool,
    pub(crate) presses: u64,
    pub(crate) bursts: u64,
    /// How long to press as fast as frames come back, in nanoseconds.
    pub(crate) sustain: u64,
}

/// What stays the same over all rounds.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) buzzerd: PathBuf,
    pub(crate) cores: Cores,
}

/// Times in nanoseconds.
#[derive(Debug)]
pub(crate) struct Figures {
    /// Press to the first client that has the frame.
    pub(crate) first: Sorted,
    /// Press to the last client that has it.
    pub(crate) last: Sorted,
    /// CPU time of the server per press, all its threads.
    pub(crate) cpu: f64,
    /// CPU taken by others meanwhile, in shares of a core.
    pub(crate) others: f64,
    /// KiB, with all clients connected and served.
    pub(crate) resident: u64,
    pub(crate) listening: u64,
    pub(crate) rate: f64,
    /// Eight presses at once to the host having all eight.
    pub(crate) burst: Sorted,
    pub(crate) lost: u64,
    pub(crate) astray: u64,
}

impl Figures {
    pub(crate) fn noisy(&self) -> bool {
        self.others > NOISY
    }
}

pub(crate) fn run(peer: Peer, plan: Plan, place: &Place, random: &mut Random) -> io::Result<Figures> {
    // What is started inherits this; there is no moment at which the server runs elsewhere.
    place.cores.hold_server(plan.held)?;
    let server = Server::start(peer, &place.buzzerd)?;
    place.cores.hold_clients(plan.held)?;
    measure(peer, plan, &server, random).map_err(|error| server.blame(error))
}

fn measure(peer: Peer, plan: Plan, server: &Server, random: &mut Random) -> io::Result<Figures> {
    let mut presser = Presser::attach(&server.socket())?;
    let _idle = peer.has_idle_device().then(|| Presser::idle(&server.socket())).transpose()?;
    let mut load = Load::new(plan.clients)?;
    load.join(server.address)?;
    if peer != Peer::Floor {
        connect(&mut load, BUZZERS as usize + usize::from(peer.has_idle_device()))?;
    }
    for _ in 1..plan.clients {
        load.join(server.address)?;
    }
    for _ in 0..WARM_UP {
        one(&mut load, &mut presser, random)?;
    }
    let (machine, cpu) = (Machine::look(server.pid())?, machine::cpu_time(server.pid())?);
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for _ in 0..plan.presses {
        if let Some((to_first, to_last)) = one(&mut load, &mut presser, random)? {
            first.push(to_first);
            last.push(to_last);
        }
    }
    let cpu = (machine::cpu_time(server.pid())? - cpu) as f64 / plan.presses as f64;
    let others = Machine::look(server.pid())?.others_since(&machine);
    let resident = proc::resident(server.pid())?;
    let burst = Sorted::new(burst::run(&mut load, &mut presser, random, plan.bursts)?);
    let rate = sustain::rate(&mut load, &mut presser, plan.sustain)?;
    // What comes after the last frame was due is one too many.
    while load.take(clock::now() + STRAGGLERS)? {}
    Ok(Figures {
        first: Sorted::new(first),
        last: Sorted::new(last),
        cpu,
        others,
        resident,
        listening: server.listening,
        rate,
        burst,
        lost: load.tally.lost,
        astray: load.tally.astray,
    })
}

/// The times of presses to the last client, and nothing else.
pub(crate) fn presses(server: &Server, plan: Plan, random: &mut Random) -> io::Result<Sorted> {
    let mut presser = Presser::attach(&server.socket())?;
    let mut load = Load::new(plan.clients)?;
    load.join(server.address)?;
    connect(&mut load, BUZZERS as usize)?;
    let mut last = Vec::new();
    for _ in 0..WARM_UP + plan.presses {
        last.extend(one(&mut load, &mut presser, random)?.map(|(_, to_last)| to_last));
    }
    last.drain(..last.len().min(WARM_UP as usize));
    Ok(Sorted::new(last))
}

/// Connects the pool and waits until all its buzzers are there: an attachment may be welcomed before it counts.
///
/// Before the other clients come, so that nobody else is told and the first frame of each of them is a buzz.
fn connect(load: &mut Load, expected: usize) -> io::Result<()> {
    load.ask(r#"{"command":"connect","pool":"bench"}"#, "result")?;
    let deadline = clock::now() + PATIENCE;
    loop {
        let reply = load.ask(r#"{"list":"buzzers"}"#, "pools")?;
        let there = reply["pools"][0]["buzzers"].as_array().map_or(0, Vec::len);
        if there == expected {
            return Ok(());
        }
        if clock::now() > deadline {
            return Err(io::Error::other(format!("{expected} buzzers are attached, but: {reply}")));
        }
        // As often as a client may ask for ever.
        clock::sleep(20 * MS);
    }
}

/// A pause, a press, its frames, the release. None when a client has waited in vain.
fn one(load: &mut Load, presser: &mut Presser, random: &mut Random) -> io::Result<Option<(u64, u64)>> {
    clock::sleep(2 * MS + random.below(MS));
    let press = load.tally.press();
    let at = presser.press(press)?;
    let complete = load.take_until(press + 1, PATIENCE)?;
    if !complete {
        load.tally.give_up(clock::now());
    }
    presser.release(press)?;
    let arrival = load.tally.arrival(press);
    Ok(complete.then(|| (arrival.first - at, arrival.last - at)))
}
