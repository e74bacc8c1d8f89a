//! What each kind of record is about. In: a fact. Out: its name, its [`Class`] and its [`Subject`]. Guarantee: this table has every
//! kind, or nothing compiles; a fold that asks for class or subject needs no list of the kinds that are none of its business.

use super::Fact;
use crate::record::pool_id::PoolId;

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The box as a whole: the process, the clock, the log.
    Whole,
    /// A pool.
    Pool(&'a PoolId),
    /// A device of a pool.
    Device(&'a PoolId, u32),
    /// A button of a device.
    Button(&'a PoolId, u32, u16),
}

impl<'a> Subject<'a> {
    /// The pool.
    pub const fn pool(self) -> Option<&'a PoolId> {
        match self {
            Self::Whole => None,
            Self::Pool(pool) | Self::Device(pool, _) | Self::Button(pool, ..) => Some(pool),
        }
    }
}

/// What a fact changes, or tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Which pools are connected. All that is left of the state after the next `start`.
    Pools,
    /// Which devices serve them.
    Devices,
    /// What was pressed, and in which order.
    Game,
    /// How a button is, and what of it did not count.
    Button,
    /// What may have cost the order something.
    Integrity,
    /// The log's own storage.
    Storage,
    /// What was set, asked for or measured. It changes nothing.
    Note,
}

impl Fact {
    /// A `storage` record that is about no records in particular, and not of what the kernel answered.
    pub fn storage(what: impl Into<String>, file: impl Into<String>, done: impl Into<String>) -> Self {
        let (what, file, done) = (what.into(), file.into(), done.into());
        Self::Storage { what, errno: None, file, first_seq: 0, last_seq: 0, done }
    }
}

macro_rules! subject {
    () => {
        Subject::Whole
    };
    ($pool:ident) => {
        Subject::Pool($pool)
    };
    ($pool:ident $device:ident) => {
        Subject::Device($pool, *$device)
    };
    ($pool:ident $device:ident $buzzer:ident) => {
        Subject::Button($pool, *$device, *$buzzer)
    };
}

macro_rules! kinds {
    ($($kind:ident $name:literal $class:ident [$($field:ident)*],)*) => {
        impl Fact {
            /// The name of each kind in the log.
            pub const KINDS: &[&str] = &[$($name),*];

            /// Its class.
            pub const fn class(&self) -> Class {
                match self {
                    $(Self::$kind { .. } => Class::$class,)*
                }
            }

            /// What it is about.
            pub const fn subject(&self) -> Subject<'_> {
                match self {
                    $(Self::$kind { $($field,)* .. } => subject!($($field)*),)*
                }
            }
        }

        impl Class {
            /// The class of a kind by its name in the log, for what is not worth reading whole.
            pub fn of(kind: &str) -> Option<Self> {
                match kind {
                    $($name => Some(Self::$class),)*
                    _ => None,
                }
            }
        }
    };
}

// Kind, its name in the log, its class, the fields that say what it is about.
kinds! {
    Start "start" Pools [],
    Expired "expired" Pools [],
    Connect "connect" Pools [pool],
    Disconnect "disconnect" Pools [pool],
    Attach "attach" Devices [pool device],
    Detach "detach" Devices [pool device],
    Press "press" Game [pool device buzzer],
    Release "release" Game [pool device buzzer],
    Draw "draw" Game [],
    Held "held" Button [pool device buzzer],
    Proved "proved" Button [pool device buzzer],
    Stuck "stuck" Button [pool device buzzer],
    Chattering "chattering" Button [pool device buzzer],
    Ignored "ignored" Button [pool device buzzer],
    Uncounted "uncounted" Button [pool device buzzer],
    Late "late" Integrity [pool device],
    StaleStamp "stale_stamp" Integrity [pool device],
    Gap "gap" Integrity [pool device],
    ReaderStall "reader_stall" Integrity [pool device],
    RingFull "ring_full" Integrity [],
    HeapFull "heap_full" Integrity [],
    Degraded "degraded" Integrity [],
    Storage "storage" Storage [],
    Recovered "recovered" Storage [],
    Damage "damage" Storage [],
    Lost "lost" Storage [],
    Roster "roster" Note [pool],
    Refuse "refuse" Note [],
    Anchor "anchor" Note [],
    Config "config" Note [],
    Stop "stop" Note [],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_name_that_the_log_has() {
        let error = serde_json::from_str::<Fact>(r#"{"kind":""}"#).unwrap_err().to_string();
        let names: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
        assert!(names.contains(&"ring_full"), "{error}");
        for name in names {
            assert!(Class::of(name).is_some(), "{name}");
        }
    }
}
