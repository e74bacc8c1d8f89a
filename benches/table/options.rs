//! What the command line asks for.
//!
//! In: the arguments after `cargo bench -p buzzer-benches --bench table --`. Out: the plans and the peers.
//! Guarantees: an argument that is not known is an error that names it; the default run takes about three minutes.

use std::env;

use crate::clock::MS;
use crate::round::Plan;
use crate::subject::Peer;

pub(crate) const HELP: &str = "\
cargo bench -p buzzer-benches --bench table -- [OPTIONS]
  --clients 1,1000     numbers of clients, one block of the table each
  --rounds 5           rounds, peers taking turns in each
  --presses 800        presses a round for one client, held; blocks that take longer or tell less get fewer
  --peers floor,zero,sender,receipt
  --held | --free      only with, or only without, server and clients held to a core each
                       (default: held, and the first block free as well)
  --seed 1             of the pauses between presses
  --no-crowd           without the press beside a crowd
  --quick              one short round
$BUZZERD names another daemon than the one of this workspace.";

#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) plans: Vec<Plan>,
    pub(crate) peers: Vec<Peer>,
    pub(crate) rounds: usize,
    pub(crate) seed: u64,
    /// A press beside a crowd, too.
    pub(crate) crowd: bool,
}

impl Options {
    pub(crate) fn parse() -> Result<Self, String> {
        let (mut clients, mut rounds, mut presses) = (vec![1, 1000], 5, 800);
        let (mut peers, mut seed) = (Peer::ALL.to_vec(), 1);
        let (mut held, mut free, mut crowd) = (true, true, true);
        let (mut sustain, mut bursts) = (500 * MS, 20);
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--clients" => {
                    clients = list(&value()?, |word| word.parse().ok().filter(|&count| count > 0))?
                }
                "--rounds" => rounds = number(&value()?)? as usize,
                "--presses" => presses = number(&value()?)?,
                "--seed" => seed = number(&value()?)?,
                "--peers" => {
                    peers = list(&value()?, |word| Peer::ALL.into_iter().find(|peer| peer.word() == word))?;
                }
                "--held" => free = false,
                "--free" => held = false,
                "--no-crowd" => crowd = false,
                "--quick" => (rounds, presses, bursts, sustain) = (1, 200, 10, 200 * MS),
                // Cargo adds it.
                "--bench" => {}
                _ => return Err(format!("{argument}: not known")),
            }
        }
        let mut plans = Vec::new();
        for (at, &clients) in clients.iter().enumerate() {
            let presses = presses / (1 + clients as u64 / 150);
            for side in [held.then_some(true), (free && (at == 0 || !held)).then_some(false)] {
                let share = |held| if held { presses } else { presses / 2 };
                plans.extend(side.map(|held| Plan {
                    clients,
                    held,
                    presses: share(held).max(1),
                    bursts,
                    sustain,
                }));
            }
        }
        let crowd = crowd && peers.contains(&Peer::Zero);
        Ok(Self { plans, peers, rounds, seed, crowd })
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().ok().filter(|&number| number > 0).ok_or(format!("{word}: a number above 0 is expected"))
}

fn list<T>(words: &str, item: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    words.split(',').map(|word| item(word).ok_or(format!("{word}: not expected in this list"))).collect()
}
