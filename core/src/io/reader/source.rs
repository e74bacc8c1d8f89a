//! What the reader thread is asked, with descriptors. In: open, configured, non-blocking descriptors. Out: [`Attachment`] and
//! [`ReaderRequest`]. Guarantee: that of [`crate::merge::source`].

use std::os::fd::OwnedFd;

use crate::merge::source;

/// A source on its way to the reader.
pub type Attachment = source::NewSource<OwnedFd>;
/// What the reader is asked to do.
pub type ReaderRequest = source::PassRequest<OwnedFd>;
