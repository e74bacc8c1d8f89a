//! Who is named by a photo finish. In: a press and its chance. Out: a part of a record. Guarantee: data only.

use serde::{Deserialize, Serialize};

/// A press that another one may in truth precede.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rival {
    /// Its record.
    pub seq: u64,
    /// How probable that is, in permille, from measured delays; 1000: it is certain; `null`: not known.
    pub chance_permille: Option<u16>,
}
