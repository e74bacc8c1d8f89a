//! Who may come. In: connections and clients with their addresses. Out: whom a newcomer replaces, and whether a client may be
//! one more. Guarantee: a newcomer is never refused for those who have not said yet what they want, one of them goes instead; no
//! address but loopback has more than a quarter of the places; some places are kept for loopback.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// Clients at once.
pub const CLIENTS_MAX: usize = 8192;
/// Connections at once that are no clients: their head, or the answer to it, is on its way.
pub const ARRIVING_MAX: usize = 256;
/// Places of both kinds that only loopback has.
const LOOPBACK: usize = 16;
/// One address has at most one of so many parts.
const PARTS: usize = 4;

/// Everybody who is there. A connection is called by the number of its place.
#[derive(Debug, Default)]
pub struct Admission {
    /// Connections that are no clients, the oldest first.
    arriving: VecDeque<(usize, IpAddr)>,
    clients: HashMap<IpAddr, usize>,
    count: usize,
}

impl Admission {
    /// The connection that has to go before one from this address can come.
    pub fn replaced(&self, address: IpAddr) -> Option<usize> {
        let oldest = |wanted: &dyn Fn(&IpAddr) -> bool, places: usize| {
            let mut found = self.arriving.iter().filter(|(_, of)| wanted(of));
            let first = found.next();
            first.filter(|_| 1 + found.count() >= places).map(|(key, _)| *key)
        };
        let is_remote = |of: &IpAddr| !of.is_loopback();
        if address.is_loopback() {
            let all = self.arriving.len() >= ARRIVING_MAX;
            return if all { oldest(&is_remote, 1).or_else(|| oldest(&|_| true, 1)) } else { None };
        }
        oldest(&|of| *of == address, ARRIVING_MAX / PARTS)
            .or_else(|| oldest(&is_remote, ARRIVING_MAX - LOOPBACK))
    }

    /// A connection has come.
    pub fn arrive(&mut self, key: usize, address: IpAddr) {
        self.arriving.push_back((key, address));
    }

    /// A connection is gone, or is a client now.
    pub fn leave(&mut self, key: usize) {
        if let Some(place) = self.arriving.iter().position(|(of, _)| *of == key) {
            self.arriving.remove(place);
        }
    }

    /// Whether a client from this address may be one more.
    ///
    /// # Errors
    /// Why not.
    pub fn may_join(&self, address: IpAddr) -> Result<(), &'static str> {
        let is_loopback = address.is_loopback();
        let max = if is_loopback { CLIENTS_MAX } else { CLIENTS_MAX - LOOPBACK };
        if self.count >= max {
            return Err("too many clients; try again later");
        }
        let same = self.clients.get(&address).copied().unwrap_or(0);
        if !is_loopback && same >= CLIENTS_MAX / PARTS {
            return Err("too many clients from this address");
        }
        Ok(())
    }

    /// A client has joined.
    pub fn join(&mut self, address: IpAddr) {
        *self.clients.entry(address).or_default() += 1;
        self.count += 1;
    }

    /// A client is gone.
    pub fn part(&mut self, address: IpAddr) {
        if let Some(same) = self.clients.get_mut(&address) {
            *same -= 1;
            self.count -= 1;
            if *same == 0 {
                self.clients.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(n: usize) -> IpAddr {
        IpAddr::from([10, 0, (n / 200) as u8, (n % 200) as u8])
    }

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// A newcomer: whom it replaces.
    fn arrive(admission: &mut Admission, key: usize, address: IpAddr) -> Option<usize> {
        let replaced = admission.replaced(address);
        replaced.into_iter().for_each(|key| admission.leave(key));
        admission.arrive(key, address);
        replaced
    }

    #[test]
    fn one_address_replaces_its_own() {
        let mut admission = Admission::default();
        assert_eq!(arrive(&mut admission, 1000, remote(1)), None);
        for key in 0..ARRIVING_MAX / PARTS {
            assert_eq!(arrive(&mut admission, key, remote(2)), None);
        }
        assert_eq!(arrive(&mut admission, 2000, remote(2)), Some(0));
        assert_eq!(arrive(&mut admission, 2001, remote(2)), Some(1));
        assert_eq!(arrive(&mut admission, 2002, remote(1)), None);
    }

    #[test]
    fn full_means_that_the_oldest_goes_and_loopback_has_places() {
        let mut admission = Admission::default();
        for key in 0..ARRIVING_MAX - LOOPBACK {
            assert_eq!(arrive(&mut admission, key, remote(key)), None);
        }
        assert_eq!(arrive(&mut admission, 1000, remote(999)), Some(0));
        for key in 2000..2000 + LOOPBACK {
            assert_eq!(arrive(&mut admission, key, LOCAL), None);
        }
        assert_eq!(arrive(&mut admission, 3000, LOCAL), Some(1), "a stranger goes first");
        let mut local = Admission::default();
        for key in 0..ARRIVING_MAX {
            assert_eq!(arrive(&mut local, key, LOCAL), None);
        }
        assert_eq!(arrive(&mut local, 3000, LOCAL), Some(0));
    }

    #[test]
    fn clients_have_a_bound_in_all_and_for_each_address() {
        let mut admission = Admission::default();
        for _ in 0..CLIENTS_MAX / PARTS {
            assert_eq!(admission.may_join(remote(1)), Ok(()));
            admission.join(remote(1));
        }
        assert!(admission.may_join(remote(1)).is_err());
        admission.part(remote(1));
        assert_eq!(admission.may_join(remote(1)), Ok(()));
        while admission.may_join(remote(2)).is_ok() {
            admission.join(remote(2));
        }
        let mut other = 3;
        while admission.count < CLIENTS_MAX - LOOPBACK {
            assert_eq!(admission.may_join(remote(other)), Ok(()));
            admission.join(remote(other));
            other += 1;
        }
        assert!(admission.may_join(remote(other)).is_err());
        for _ in 0..LOOPBACK {
            assert_eq!(admission.may_join(LOCAL), Ok(()));
            admission.join(LOCAL);
        }
        assert!(admission.may_join(LOCAL).is_err());
    }
}
