//! `buzzerd demo`. In: keys 1 to 4, or chance where there is no terminal. Out: every buzz, in words ([`super::story`]).
//! Guarantee: nothing is pretended: each press goes through the attachment socket, the ring, the log and WebSocket of
//! a daemon like any other; what is printed was read from its frames and its log. Nothing of it is left behind.

use std::fs::DirBuilder;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use buzzer_core::io::sys;
use buzzer_core::press::decode::Record as InputRecord;
use buzzer_core::press::keys::KeyCode;
use buzzer_core::quote::Toml;
use buzzer_core::time::{KernelTime, Micros};
use buzzer_server::config::Config;
use buzzer_server::io::machine::handed::Handed;
use buzzer_server::io::machine::host;
use buzzer_server::io::store::log_reader::LogReader;
use buzzer_server::judge::explain::GAP_US;
use buzzer_server::log;
use clap::Args;
use crossterm::event::{Event, KeyCode as Key, KeyEventKind, KeyModifiers};
use crossterm::terminal;

use super::story::Story;
use super::{Failure, number, serve, stdout};

const BUZZERS: u16 = 4;
/// A year.
const SECONDS_MAX: u64 = 31_536_000;
/// Key codes of the demo's buzzers: BTN_TRIGGER_HAPPY1 and on, as a Buzz! hub has them.
const FIRST_KEY: u16 = 704;

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// End after so many seconds
    #[arg(long, value_name = "N", value_parser = number::whole::<u64>(0..=SECONDS_MAX))]
    seconds: Option<u64>,
}

impl Demo {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let folder = Folder::new()?;
        let dir = folder.0.as_path();
        let (config, address) = config(dir)?;
        // A game for one evening on one keyboard: what this machine lacks for a match is of no interest.
        if std::env::var_os("BUZZERD_LOG").is_none() {
            ::log::set_max_level(::log::LevelFilter::Error);
        }
        let daemon = serve::start(&config, Handed::default())?;
        let running = thread::Builder::new().name("server".into()).spawn(move || daemon.run());
        let running = running.context("the server thread")?;
        let played = play(dir, address, self.seconds.map(Duration::from_secs));
        // The daemon ends as it always does: a signal, close frames, the log synced.
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)
            .context("stopping the daemon")?;
        running.join().map_err(|_| anyhow!("the server thread panicked"))?.context("the daemon")?;
        played
    }
}

/// Where the demo's log and socket are, for as long as it runs.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let name = format!("buzzerd-demo-{:016x}", u64::from_le_bytes(host::random()));
        let path = std::env::temp_dir().join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("{}: cannot be made", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            ::log::error!("{}: cannot be removed: {error}", self.0.display());
        }
    }
}

/// A virtual pool `demo` on port 7400, or on any free one.
fn config(dir: &Path) -> Result<(Config, SocketAddr)> {
    let free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).and_then(|socket| socket.local_addr());
    let address = free(7400).or_else(|_| free(0)).context("no free port on 127.0.0.1")?;
    let text = format!(
        "[server]\nlisten = [\"{address}\"]\n[log]\ndir = {dir}\n\
         [[pool]]\nid = \"demo\"\nsocket = {socket}\nautoconnect = true\n",
        dir = Toml(&dir.display().to_string()),
        socket = Toml(&socket(dir).display().to_string()),
    );
    Ok((Config::parse(&text, "demo").context("the demo's own configuration")?, address))
}

fn socket(dir: &Path) -> PathBuf {
    dir.join("demo.sock")
}

fn play(dir: &Path, address: SocketAddr, seconds: Option<Duration>) -> Result<(), Failure> {
    let (lines, over) = watch(dir, address)?;
    let pads = [attach(&socket(dir), "left", 1)?, attach(&socket(dir), "right", 3)?];
    let keyboard = std::io::stdin().is_terminal();
    stdout::print_more(&format!(
        "buzzerd demo: pool \"demo\", buzzers 1 and 2 on one device, 3 and 4 on another\n  \
           screen     http://{address}/    (open it in a browser)\n  \
           WebSocket  ws://{address}/\n  \
           log        {} (until the demo ends)\n  \
           raw frames curl -sN -H 'Connection: Upgrade' -H 'Upgrade: websocket' \\\n               \
           -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: YnV6emVyZCBkZW1vIGtleQ==' \\\n               \
           http://{address}/\n",
        dir.display()
    ))?;
    let until = seconds.map(|seconds| sys::now() + Micros::from_us(seconds.as_micros() as u64));
    let mut game = Game { pads, until, lines, over };
    if keyboard {
        stdout::print_more("Press 1, 2, 3, 4; t: 1 and 2 in one report; p: 1, then 3 at once; q ends.\n\n")?;
        terminal::enable_raw_mode().context("the terminal")?;
        let played = game.keys();
        terminal::disable_raw_mode().context("the terminal")?;
        stdout::print_more("\n")?;
        played
    } else {
        stdout::print_more(
            "No terminal on stdin: four random players, some of them at once. Ctrl-C ends.\n\n",
        )?;
        game.chance()
    }
}

/// A device with two buzzers, this one and the next.
fn attach(socket: &Path, name: &str, first: u16) -> Result<UnixStream> {
    let mut stream = UnixStream::connect(socket).context("attaching")?;
    let buzzers: Vec<_> =
        [first, first + 1].iter().map(|n| format!("\"{}\":{n}", FIRST_KEY + n - 1)).collect();
    writeln!(stream, "{{\"name\":\"demo, {name}\",\"buzzers\":{{{}}}}}", buzzers.join(","))?;
    let mut answer = String::new();
    BufReader::new(stream.try_clone()?).read_line(&mut answer)?;
    if answer.trim() == r#"{"ok":true}"# { Ok(stream) } else { Err(anyhow!("attaching: {answer}")) }
}

/// Follows the frames; for each buzz the log, written before it, has the time. Gives lines to print, and what is closed at the
/// end.
fn watch(dir: &Path, address: SocketAddr) -> Result<(Receiver<String>, Receiver<()>)> {
    let (done, over) = mpsc::channel();
    let stream = TcpStream::connect(address).context("connecting")?;
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/"), stream).context("WebSocket")?;
    let mut log = LogReader::open(&[dir.to_owned()]).context("reading the log")?;
    let (send, lines) = mpsc::channel();
    thread::Builder::new().name("watch".into()).spawn(move || {
        let mut story = Story::default();
        while let Ok(message) = socket.read() {
            if !message.is_text() {
                continue;
            }
            while let Ok(Some(line)) = log.next_line() {
                let Ok(record) = log::decode(&line.bytes) else { continue };
                story.lines(&record).into_iter().for_each(|line| drop(send.send(line)));
            }
        }
        drop(done);
    })?;
    Ok((lines, over))
}

/// What is played, and until when.
struct Game {
    /// Two devices with two buttons each, attached like any other program's: so there can be ties within a device, and photo
    /// finishes between them.
    pads: [UnixStream; 2],
    until: Option<KernelTime>,
    lines: Receiver<String>,
    /// Nobody sends there: it is closed when the daemon has ended.
    over: Receiver<()>,
}

impl Game {
    /// These buttons of one device in one report.
    fn press(&mut self, buzzers: &[u16]) -> Result<()> {
        let now = sys::now();
        let mut bytes = Vec::new();
        for down in [true, false] {
            for buzzer in buzzers {
                let key = KeyCode::new(FIRST_KEY + buzzer - 1).context("a key")?;
                bytes.extend(InputRecord::key(now, key, down).to_bytes());
            }
            bytes.extend(InputRecord::report(now).to_bytes());
        }
        let is_right = buzzers.first().is_some_and(|buzzer| *buzzer > 2);
        self.pads[usize::from(is_right)].write_all(&bytes).context("the daemon closed the attachment")
    }

    /// One behind the other, on two devices.
    fn press_close(&mut self) -> Result<()> {
        [1, 3].iter().try_for_each(|buzzer| self.press(&[*buzzer]))
    }

    fn print(&self) -> Result<(), Failure> {
        // A raw terminal wants the carriage return.
        let text: String = self.lines.try_iter().map(|line| format!("{line}\r\n")).collect();
        if text.is_empty() { Ok(()) } else { stdout::print_more(&text) }
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= sys::now())
    }

    fn keys(&mut self) -> Result<(), Failure> {
        while !self.is_over() && self.over.try_recv() == Err(TryRecvError::Empty) {
            self.print()?;
            // Both the keyboard and the frames are waited for; a person does not see 20 ms.
            if !crossterm::event::poll(Duration::from_millis(20)).context("the keyboard")? {
                continue;
            }
            let Event::Key(key) = crossterm::event::read().context("the keyboard")? else { continue };
            if key.kind != KeyEventKind::Press {
                continue;
            }
            match key.code {
                Key::Char('q') | Key::Esc => return Ok(()),
                Key::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                Key::Char('t') => self.press(&[1, 2])?,
                Key::Char('p') => self.press_close()?,
                Key::Char(digit) => match digit.to_digit(10) {
                    Some(buzzer) if (1..=u32::from(BUZZERS)).contains(&buzzer) => {
                        self.press(&[buzzer as u16])?;
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(())
    }

    /// Races at human pace: somebody is first, the others follow within about 0.4 s, then the next question is read. In every
    /// third race or so two are so close that their order is not certain.
    fn chance(&mut self) -> Result<(), Failure> {
        let random = |below: u64| u64::from_le_bytes(host::random()) % below;
        let mut goes_on = self.pause(500)?;
        while goes_on {
            let mut players: Vec<u16> = (1..=BUZZERS).collect();
            match random(6) {
                0 => {
                    self.press(&[1, 2])?;
                    players.retain(|player| *player > 2);
                }
                1 => {
                    self.press_close()?;
                    players.retain(|player| *player % 2 == 0);
                }
                _ => {}
            }
            for _ in 0..=random(u64::from(BUZZERS)) {
                if players.is_empty() {
                    break;
                }
                self.press(&[players.remove(random(players.len() as u64) as usize)])?;
                if !self.pause(20 + random(180))? {
                    return Ok(());
                }
            }
            goes_on = self.pause(GAP_US / 1000 + random(1500))?;
        }
        Ok(())
    }

    /// Waits so long at the most. False: it is over.
    fn pause(&self, ms: u64) -> Result<bool, Failure> {
        let left = self.until.map_or(u64::MAX, |until| until.since(sys::now()).as_us());
        let wait = Duration::from_micros(left.min(ms * 1000));
        let alive = matches!(self.over.recv_timeout(wait), Err(RecvTimeoutError::Timeout));
        self.print()?;
        Ok(alive && !self.is_over())
    }
}
