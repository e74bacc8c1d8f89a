//! Judges what came of a world. In: [`Played`]. Out: nothing, or what is wrong. Guarantee: every rule about order, marks,
//! ties, photo finishes and faults is worked out again here from the records and the script, with no code of the program but
//! the shapes of its records.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use buzzer_core::press::stamp::Stamps;
use buzzer_server::game::state::State;
use buzzer_server::log::{self, ChainHash};
use buzzer_server::record::{Fact, Flag, Record};
use buzzer_server::wire::v1;
use sha2::{Digest, Sha256};

use super::script::{Delay, End, Life};
use super::threads::Played;
use super::truth::{Button, Truth};

/// Presses are remembered up to this number, and one names so many.
const RECENT_MAX: usize = 4096;
const NAMED_MAX: usize = 64;

/// What a world had in it, so that a campaign can say what it has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) presses: u64,
    pub(crate) prompt: u64,
    pub(crate) late: u64,
    pub(crate) stale: u64,
    pub(crate) recovered: u64,
    pub(crate) suspect: u64,
    pub(crate) tied: u64,
    pub(crate) photos: u64,
    pub(crate) reversed: u64,
    pub(crate) wide: u64,
    pub(crate) gaps: u64,
    pub(crate) lost: u64,
    pub(crate) stalls: u64,
    pub(crate) ring_full: u64,
    pub(crate) heap_full: u64,
    pub(crate) unplugged: u64,
    pub(crate) ignored: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.presses += other.presses;
        self.prompt += other.prompt;
        self.late += other.late;
        self.stale += other.stale;
        self.recovered += other.recovered;
        self.suspect += other.suspect;
        self.tied += other.tied;
        self.photos += other.photos;
        self.reversed += other.reversed;
        self.wide += other.wide;
        self.gaps += other.gaps;
        self.lost += other.lost;
        self.stalls += other.stalls;
        self.ring_full += other.ring_full;
        self.heap_full += other.heap_full;
        self.unplugged += other.unplugged;
        self.ignored += other.ignored;
    }
}

/// A press as the log has it.
#[derive(Clone, Debug)]
struct Told {
    seq: u64,
    at: u64,
    device: u32,
    pool: String,
    buzzer: u16,
    rank: u32,
    late: bool,
    /// Stale or recovered: ordered by another time than its own.
    unstamped: bool,
    tie: Option<u64>,
    photo: Vec<(u64, Option<u16>)>,
    photo_more: bool,
    delay: Delay,
    own_us: [i64; 2],
    physical: Option<u64>,
    prompt: bool,
}

struct Device {
    life: Life,
    truth: Truth,
    buttons: BTreeMap<u16, Button>,
    attached: bool,
    gaps: Vec<(u64, u64)>,
    /// Each with how many it sums.
    stalls: Vec<(u64, u32)>,
    /// Presses with a receipt stamp that is worth less than it should be.
    wide: Vec<u64>,
    /// Some of its ignored edges came as a sum of several buttons.
    is_summed: bool,
    stale_reports: u64,
    ignored: BTreeMap<u16, u64>,
    /// Presses told, by buzzer.
    pressed: BTreeMap<u16, usize>,
    seen_down: BTreeSet<u16>,
    proved: BTreeSet<u16>,
    held: u16,
}

macro_rules! ensure {
    ($what:expr, $($message:tt)*) => {
        if !$what {
            return Err(format!($($message)*));
        }
    };
}

pub(crate) fn judge(played: Played, encoded: bool) -> Result<Count, String> {
    replays(&played, encoded)?;
    let Played { records, told, devices, .. } = played;
    let mut devices: Vec<Device> = devices
        .into_iter()
        .map(|(life, truth)| {
            let (buttons, truth) = truth.by_number(life.first_buzzer);
            Device {
                life,
                truth,
                buttons,
                attached: false,
                gaps: Vec::new(),
                stalls: Vec::new(),
                wide: Vec::new(),
                is_summed: false,
                stale_reports: 0,
                ignored: BTreeMap::new(),
                pressed: BTreeMap::new(),
                seen_down: BTreeSet::new(),
                proved: BTreeSet::new(),
                held: 0,
            }
        })
        .collect();
    let mut count = Count::default();
    let mut presses = Vec::new();
    let mut draws = HashMap::new();
    // When the last press or release of a device without a true stamp may have been made, at the latest.
    let mut unstamped_at = 0;
    let (mut late, mut latest) = (HashMap::new(), 0);
    for (record, seq) in records.iter().zip(1..) {
        ensure!(record.seq == seq, "seq {} where {seq} is due", record.seq);
        if let Fact::Draw { seed, presses } = &record.fact {
            draws.insert(seq, (seed.clone(), *presses, record.at_us));
        }
        if let Fact::Late { press, device, behind_us, .. } = &record.fact {
            let right = late.remove(press) == Some((*device, record.at_us));
            ensure!(right, "no late press has that record: {record:?}");
            // What it came behind is among what was told, and has that stamp; or it is of a pool that is not connected.
            ensure!(record.at_us + behind_us >= latest, "it came behind {latest}: {record:?}");
        }
        if matches!(record.fact, Fact::Press { .. } | Fact::Release { .. }) {
            latest = latest.max(record.at_us);
        }
        if let Fact::Press { device, flags, .. } = &record.fact {
            if flags.has(&Flag::Late) {
                late.insert(seq, (*device, record.at_us));
            }
            let told = press(record, &mut devices, &mut count, &mut unstamped_at)?;
            presses.push(told);
        } else {
            other(record, &mut devices, &mut count)?;
        }
    }
    ensure!(late.is_empty(), "late without a record of its own: {late:?}");
    let buzzes = told.iter().filter(|text| text.starts_with(r#"{"event":"buzz""#));
    let wanted = presses
        .iter()
        .map(|press| format!(r#"{{"event":"buzz","pool":"{}","buzzer":{}}}"#, press.pool, press.buzzer));
    ensure!(buzzes.cloned().eq(wanted), "clients were told other presses than the log has");
    order(&presses)?;
    ties(&presses, &draws, &mut count)?;
    photos(&presses, &mut count)?;
    for (device, id) in devices.iter().zip(0..) {
        whole(device, &mut count).map_err(|what| format!("device {id}: {what}"))?;
    }
    Ok(count)
}

/// A press is one that was made, with the right time, marks and interval.
fn press(
    record: &Record,
    devices: &mut [Device],
    count: &mut Count,
    unstamped_at: &mut u64,
) -> Result<Told, String> {
    let Fact::Press { pool, buzzer, device, delay_us, final_at_us, flags, photo, photo_more, tie, frame } =
        &record.fact
    else {
        return Err("no press".to_owned());
    };
    let connected = devices.iter().filter(|device| device.attached && device.life.pool != "spare");
    let most = connected.map(|device| device.life.delay.us[1]).max().unwrap_or(0);
    let open_us = most.cast_signed().saturating_sub(delay_us[0]).max(0).unsigned_abs();
    ensure!(*final_at_us == record.at_us + open_us, "final_at_us is not {open_us} after: {record:?}");
    let source = &mut devices[*device as usize];
    ensure!(source.attached, "a press of a device that is not attached: {record:?}");
    ensure!(pool.as_str() == source.life.pool && pool.as_str() != "spare", "not its pool: {record:?}");
    let button = source.buttons.get_mut(buzzer).ok_or_else(|| format!("no such button: {record:?}"))?;
    let due = button.presses.pop_front().ok_or_else(|| format!("nobody pressed: {record:?}"))?;
    *source.pressed.entry(*buzzer).or_default() += 1;
    source.seen_down.insert(*buzzer);
    let late = flags.has(&Flag::Late);
    let mut wanted: Vec<&str> = Vec::new();
    for (name, is) in
        [("late", late), ("stale_stamp", due.stale), ("recovered", due.recovered), ("suspect", due.suspect)]
    {
        wanted.extend(is.then_some(name));
    }
    ensure!(flags.names().eq(wanted.iter().copied()), "the flags should be {wanted:?}: {record:?}; {due:?}");
    ensure!(*frame == due.rank, "its report is the one of number {}: {record:?}; {due:?}", due.rank);
    ensure!(record.at_us == due.at, "it should be at {}: {record:?}; {due:?}", due.at);
    let [min_us, max_us] = source.life.delay.us.map(u64::cast_signed);
    let interval_us = [min_us, max_us + due.back_us.cast_signed()];
    match due.reach_us.map(|reach_us| reach_us.map(u64::cast_signed)) {
        None => ensure!(*delay_us == interval_us, "its interval is {interval_us:?}: {record:?}; {due:?}"),
        // How much of what is possible the reader can exclude is its own affair; the truth has to be in it.
        Some([back_us, early_us]) => {
            let is_least = delay_us[0] <= min_us && delay_us[1] >= max_us;
            let is_most = delay_us[0] >= min_us - early_us && delay_us[1] <= max_us + back_us;
            ensure!(
                is_least && is_most,
                "its interval is within {back_us} and {early_us}: {record:?}; {due:?}"
            );
            if delay_us[1] > min_us + (max_us - min_us).max(1000) || early_us > 1000 {
                source.wide.push(record.at_us);
                count.wide += 1;
            }
        }
    }
    if let Some(physical) = due.physical {
        let at = due.at.cast_signed();
        let interval = at - delay_us[1]..=at - delay_us[0];
        ensure!(interval.contains(&physical.cast_signed()), "it was made at {physical}: {record:?}; {due:?}");
    }
    ensure!(!(late && due.prompt), "it was in time: {record:?}; {due:?}");
    let unstamped = due.stale || due.recovered;
    if unstamped {
        *unstamped_at = (*unstamped_at).max(due.made);
    } else if due.prompt {
        // At least as early by its true stamp, and yet told behind.
        ensure!(due.at > *unstamped_at || *unstamped_at == 0, "one without a stamp beat it: {record:?}");
    }
    count.presses += 1;
    count.prompt += u64::from(due.prompt);
    count.late += u64::from(late);
    count.stale += u64::from(due.stale);
    count.recovered += u64::from(due.recovered);
    count.suspect += u64::from(due.suspect);
    Ok(Told {
        seq: record.seq,
        at: record.at_us,
        device: *device,
        pool: pool.to_string(),
        buzzer: *buzzer,
        rank: due.rank,
        late,
        unstamped,
        tie: *tie,
        photo: photo.iter().map(|rival| (rival.seq, rival.chance_permille)).collect(),
        photo_more: *photo_more,
        delay: source.life.delay,
        own_us: *delay_us,
        physical: due.physical,
        prompt: due.prompt,
    })
}

/// Everything that is no press.
fn other(record: &Record, devices: &mut [Device], count: &mut Count) -> Result<(), String> {
    let at = record.at_us;
    match &record.fact {
        Fact::Attach { device, .. } => devices[*device as usize].attached = true,
        Fact::Detach { device, reason, certain, .. } => {
            let device = &mut devices[*device as usize];
            ensure!(device.attached, "it was not attached: {record:?}");
            device.attached = false;
            let truth = &device.truth;
            let right = truth.end.as_ref() == Some(reason) && truth.certain == *certain;
            ensure!(right, "it ended with {:?}: {record:?}", truth.end);
            count.unplugged += u64::from(!*certain);
        }
        Fact::Held { device, buzzer, .. } => {
            let device = &mut devices[*device as usize];
            device.held |= 1 << (buzzer - device.life.first_buzzer);
        }
        Fact::Release { device, buzzer, .. } => {
            let device = &mut devices[*device as usize];
            let button = device.buttons.get_mut(buzzer).ok_or("no such button")?;
            let due = button.releases.pop_front().ok_or_else(|| format!("nobody let go: {record:?}"))?;
            let pressed = device.pressed.get(buzzer).copied().unwrap_or(0);
            ensure!(due.at == at && pressed >= due.behind, "its place is {due:?}: {record:?}");
        }
        Fact::Proved { device, buzzer, .. } => {
            let device = &mut devices[*device as usize];
            ensure!(device.seen_down.contains(buzzer), "never pressed: {record:?}");
            ensure!(device.proved.insert(*buzzer), "proved twice: {record:?}");
        }
        Fact::Ignored { device, buzzer, edges, others, .. } => {
            devices[*device as usize].is_summed |= *others > 0;
            count.ignored += u64::from(*edges);
            *devices[*device as usize].ignored.entry(*buzzer).or_default() += u64::from(*edges);
        }
        Fact::Gap { device, since_us, .. } => {
            count.gaps += 1;
            devices[*device as usize].gaps.push((*since_us, at));
        }
        Fact::StaleStamp { device, times, .. } => {
            devices[*device as usize].stale_reports += u64::from(*times)
        }
        Fact::HeapFull { full_us } => {
            ensure!(*full_us > 0, "full for no time: {record:?}");
            count.heap_full += 1;
        }
        Fact::ReaderStall { device, times, .. } => {
            count.stalls += 1;
            devices[*device as usize].stalls.push((at, *times));
        }
        Fact::RingFull { waiting_max } => {
            ensure!(*waiting_max > 0, "a full ring on which nothing waited");
            count.ring_full += 1;
        }
        _ => {}
    }
    Ok(())
}

/// Unmarked presses are in the order of their stamps, whatever else was told between.
fn order(presses: &[Told]) -> Result<(), String> {
    let mut latest = 0;
    for press in presses {
        ensure!(press.late || press.at >= latest, "an inversion without a mark: {press:?} behind {latest}");
        latest = latest.max(press.at);
    }
    Ok(())
}

/// What cannot be told apart is drawn as a whole, as anybody can check with the seed in the log.
fn ties(presses: &[Told], draws: &HashMap<u64, (String, u32, u64)>, count: &mut Count) -> Result<(), String> {
    let mut drawn: HashMap<u64, u32> = HashMap::new();
    for same in presses.chunk_by(|a, b| a.tie == b.tie && a.at == b.at && a.unstamped == b.unstamped) {
        let Some(tie) = same[0].tie else { continue };
        count.tied += same.len() as u64;
        *drawn.entry(tie).or_default() += same.len() as u32;
        ensure!(same.len() > 1, "a tie of one: {same:?}");
        let (seed, _, at) = draws.get(&tie).ok_or_else(|| format!("no such draw: {same:?}"))?;
        let _ = at;
        let seed = u64::from_str_radix(seed, 16).map_err(|_| format!("a seed: {seed}"))?.to_be_bytes();
        let who = same.iter().map(|press| (press.device, press.buzzer, press.rank));
        ensure!(is_drawn(seed, same), "not the order of the draw: {:?}", who.collect::<Vec<_>>());
    }
    for (seq, (_, presses, _)) in draws {
        ensure!(drawn.get(seq) == Some(presses), "draw {seq} of {presses} placed {:?}", drawn.get(seq));
    }
    // The other way round: presses of one stamp that were in time are one tie.
    let in_time: Vec<&Told> = presses.iter().filter(|press| press.prompt).collect();
    for same in in_time.chunk_by(|a, b| a.at == b.at) {
        let certain =
            same.windows(2).all(|pair| pair[0].device == pair[1].device && pair[0].rank < pair[1].rank);
        if certain {
            continue;
        }
        let one = same[0].tie.is_some() && same.iter().all(|press| press.tie == same[0].tie);
        ensure!(one, "not drawn as a whole: {same:?}");
    }
    Ok(())
}

/// Place by place: of the presses that nothing of their own device precedes the smallest SHA-256 of seed, pool, a zero byte,
/// buzzer, a zero byte and the place comes next; where two devices draw the same for one buzzer, the smallest with a zero
/// byte and the device behind that. All places behind the 128th are one draw, with the number 129.
fn is_drawn(seed: [u8; 8], same: &[Told]) -> bool {
    (0..same.len()).all(|at| {
        let rest = &same[at..];
        let lot = |press: &Told| {
            let place = (at + 1).min(129).to_string();
            let buzzer = press.buzzer.to_string();
            let text =
                [&seed[..], press.pool.as_bytes(), &[0], buzzer.as_bytes(), &[0], place.as_bytes()].concat();
            let device = [&text[..], &[0], press.device.to_string().as_bytes()].concat();
            (Sha256::digest(text), Sha256::digest(device))
        };
        let may_be_next =
            |press: &&Told| !rest.iter().any(|other| other.device == press.device && other.rank < press.rank);
        let least = rest.iter().filter(may_be_next).map(lot).min();
        may_be_next(&&rest[0]) && least == Some(lot(&rest[0]))
    })
}

/// Each press names those that it may in truth precede, and no others; and what is called certain is true.
fn photos(presses: &[Told], count: &mut Count) -> Result<(), String> {
    let mut recent: BTreeMap<(u64, u64), &Told> = BTreeMap::new();
    let mut forgotten: Option<i64> = None;
    // So long after its stamp some press may have been made.
    let mut reach = 0;
    for press in presses {
        reach = reach.max((-press.own_us[0]).max(0).unsigned_abs());
        let mut wanted: Vec<(u64, Option<u16>)> = Vec::new();
        // With an earlier stamp, nothing was made behind it.
        let from = press.at.saturating_sub(press.own_us[1].unsigned_abs() + reach);
        for told in recent.range((from, 0)..).map(|(_, told)| *told) {
            if (told.device, told.at, told.rank) == (press.device, press.at, press.rank) {
                continue;
            }
            let is_late = press.at < told.at;
            let (first, second) = if is_late { (press, told) } else { (told, press) };
            let [first_wins, second_wins] = possible(first, second);
            // The record is that of the press told later: what matters is whether it can have been before.
            let (was_before, was_behind) =
                if is_late { (first_wins, second_wins) } else { (second_wins, first_wins) };
            if was_before {
                wanted.push((told.seq, (!was_behind).then_some(1000)));
                count.reversed += u64::from(!was_behind);
            }
            if let (Some(a), Some(b)) = (told.physical, press.physical)
                && (told.device != press.device || told.delay.scan_us != Some(0))
            {
                ensure!(was_before || a <= b, "certain, and wrong: {told:?} {press:?}");
                ensure!(was_behind || b <= a, "reversed, and wrong: {told:?} {press:?}");
            }
        }
        let forgets = forgotten.is_some_and(|latest| latest > press.at as i64 - press.own_us[1]);
        let more = wanted.len() > NAMED_MAX || forgets;
        wanted.truncate(NAMED_MAX);
        ensure!(
            (&press.photo, press.photo_more) == (&wanted, more),
            "it names {wanted:?}, {more}: {press:?}"
        );
        count.photos += wanted.len() as u64;
        if recent.len() == RECENT_MAX
            && let Some((_, gone)) = recent.pop_first()
        {
            forgotten = forgotten.max(Some(gone.at as i64 - gone.own_us[0]));
        }
        recent.insert((press.at, press.seq), press);
    }
    Ok(())
}

/// Whether the first, by its stamp, can have been made before the second, and the second before the first.
fn possible(first: &Told, second: &Told) -> [bool; 2] {
    let lead = (second.at - first.at) as i64;
    let [first_min, first_max] = first.own_us;
    let [second_min, second_max] = second.own_us;
    let mut second_wins = lead < second_max - first_min;
    let mut first_wins = lead > second_min - first_max;
    let is_one = first.device == second.device;
    let width = (first.delay.width_us.unwrap_or(first.delay.us[1] - first.delay.us[0])) as i64;
    let path = match (first.delay.scan_us, first.delay.poll_us) {
        (Some(0), _) if is_one => {
            return [true, false];
        }
        (Some(scan), Some(poll)) if is_one => Some((scan + poll) as i64),
        _ if is_one => Some(width),
        _ if first.delay.model.is_some()
            && first.delay.model == second.delay.model
            && first.delay.scan_us == second.delay.scan_us =>
        {
            Some(width)
        }
        _ => None,
    };
    // A stamp that is worth less than its device's adds what it is worth less.
    let extra = second_max - second.delay.us[1] as i64 + first.delay.us[0] as i64 - first_min;
    if path.is_some_and(|path| lead >= path + extra) {
        second_wins = false;
    }
    if is_one || !second_wins {
        first_wins = true;
    }
    [first_wins, second_wins]
}

/// Each gap is told, and what is told is one gap, or several that follow each other: from the earliest beginning to the
/// latest end. Gaps can be alike, so there can be several ways to divide them.
fn are_told(told: &[(u64, u64)], gaps: &[(u64, u64)]) -> bool {
    let mut done = BTreeSet::from([0]);
    for (since, end) in told {
        let mut next = BTreeSet::new();
        for from in &done {
            let (mut first, mut last) = (u64::MAX, 0);
            for (gap, number) in gaps[*from..].iter().zip(from + 1..) {
                (first, last) = (first.min(gap.0), last.max(gap.1));
                if last > *end {
                    break;
                }
                if (first, last) == (*since, *end) {
                    next.insert(number);
                }
            }
        }
        done = next;
    }
    done.contains(&gaps.len())
}

/// Nothing of a device is missing, or a record says so.
fn whole(device: &Device, count: &mut Count) -> Result<(), String> {
    let Device { life, truth, .. } = device;
    ensure!(!device.attached, "it was never detached");
    ensure!(device.held == life.held, "held keys {:b}, told {:b}", life.held, device.held);
    if life.pool == "spare" {
        let told = device.pressed.len() + device.gaps.len() + device.ignored.len();
        ensure!(told == 0, "its pool is not connected, and yet it was told");
        return Ok(());
    }
    for (number, button) in &device.buttons {
        ensure!(button.presses.is_empty(), "buzzer {number}: not told: {:?}", button.presses);
        ensure!(button.releases.is_empty(), "buzzer {number}: not let go: {:?}", button.releases);
        let ignored = device.ignored.get(number).copied().unwrap_or(0);
        let is_right = ignored == button.ignored || device.is_summed;
        ensure!(is_right, "buzzer {number}: {ignored} of {} ignored", button.ignored);
    }
    let (ignored, due): (u64, u64) =
        (device.ignored.values().sum(), device.buttons.values().map(|button| button.ignored).sum());
    ensure!(ignored == due, "{ignored} of {due} ignored");
    ensure!(are_told(&device.gaps, &truth.gaps), "gaps {:?}, told {:?}", truth.gaps, device.gaps);
    if life.stamps == Stamps::Receipt {
        // At once or in a sum, which has the time of the last.
        let told = |at: &&u64| !device.stalls.iter().any(|(stall, _)| stall >= *at);
        ensure!(!device.wide.iter().any(|at| told(&at)), "wide without a word: {:?}", device.wide);
    }
    let mut stalls = truth.stalls.iter();
    let all_told = device.stalls.iter().all(|(at, times)| {
        let summed = stalls.by_ref().take(*times as usize);
        summed.last() == Some(at)
    });
    let all_told = all_told && stalls.next().is_none();
    let all_told = all_told || life.stamps == Stamps::Receipt;
    ensure!(all_told, "stalls {:?}, told {:?}", truth.stalls, device.stalls);
    let (told, due) = (device.stale_reports, truth.stale_reports);
    ensure!(told == due, "{due} reports with a stamp that cannot be true, told {told}");
    count.lost += truth.lost.len() as u64;
    let ended = truth.end.as_deref().is_some_and(|end| end != "released" && end != "closed by its sender")
        || life.end.is_some_and(|(_, end)| end == End::LetGo);
    for made in &truth.lost {
        let covered = device.gaps.iter().any(|(since, at)| (*since..=*at).contains(made));
        ensure!(covered || ended, "lost without a word: {made}; {:?}", device.gaps);
    }
    Ok(())
}

/// Replay is run: the log gives the same state and the same messages; `encoded`: read back from its bytes.
fn replays(played: &Played, encoded: bool) -> Result<(), String> {
    let (mut state, mut told) = (State::default(), Vec::new());
    let mut apply = |record: &Record| state.apply(record, |news| told.push(v1::event(&news)));
    if encoded {
        let (mut head, mut lines) = (ChainHash::START, Vec::new());
        played.records.iter().for_each(|record| log::encode(record, &mut head, &mut lines));
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for (line, record) in lines.zip(&played.records) {
            let read = log::decode(line).map_err(|error| format!("{record:?}: {error}"))?;
            ensure!(read == *record, "{record:?} reads as {read:?}");
            apply(&read);
        }
    } else {
        played.records.iter().for_each(apply);
    }
    ensure!(state == played.state, "a replay gives another state");
    ensure!(told == played.told, "a replay tells something else");
    Ok(())
}
