//! Words that the log has only a few of. In: the text of a record. Out: a value to match on. Guarantee: a word that this version does
//! not know is kept as it is, so that a log of another version is read and written again to the letter.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $word:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $word,)*
            /// A word of another version.
            Other(Box<str>),
        }

        impl $name {
            /// The word.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$word => $text,)*
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$word,)*
                    other => Self::Other(other.into()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Ok(Self::from(&*String::deserialize(deserializer)?))
            }
        }
    };
}

words! {
    /// What is to be known of a press.
    Flag {
        /// It became visible after what has a later stamp had left the reader.
        Late = "late",
        /// Its stamp cannot be true.
        StaleStamp = "stale_stamp",
        /// It was found after the kernel had dropped events.
        Recovered = "recovered",
        /// Its button was never seen to work on its own.
        Suspect = "suspect",
        /// It waited in the kernel while no buzzerd ran.
        DuringRestart = "during_restart",
    }
}

words! {
    /// Who stamps the presses of a device.
    Stamps {
        /// The kernel.
        Kernel = "kernel",
        /// The reader, when it reads them.
        Receipt = "receipt",
        /// The program at the other end.
        Sender = "sender",
    }
}

/// The flags of a press.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(pub Vec<Flag>);

impl Flags {
    /// Whether this is one of them.
    pub fn has(&self, flag: &Flag) -> bool {
        self.0.contains(flag)
    }

    /// Whether the press is ordered by the time it was read because its own is not known.
    pub fn is_without_stamp(&self) -> bool {
        self.has(&Flag::StaleStamp) || self.has(&Flag::Recovered)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Flag::as_str)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<buzzer_core::event::Flags> for Flags {
    fn from(flags: buzzer_core::event::Flags) -> Self {
        Self(flags.names().map(Flag::from).collect())
    }
}

impl From<buzzer_core::press::stamp::Stamps> for Stamps {
    fn from(stamps: buzzer_core::press::stamp::Stamps) -> Self {
        use buzzer_core::press::stamp::Stamps as By;
        match stamps {
            By::Kernel => Self::Kernel,
            By::Receipt => Self::Receipt,
            By::Sender => Self::Sender,
        }
    }
}
