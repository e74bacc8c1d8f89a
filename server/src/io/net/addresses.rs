//! Where a browser finds this box. In: the addresses that are listened on. Out: addresses that can be typed. Guarantee: an
//! address of the network is named only if something listens there; what `/proc` does not show is left out, never guessed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The screen's address for each address that is listened on; for one that stands for all, those of this machine.
pub fn screens(listened: &[SocketAddr]) -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let mut own = None;
    let mut screens = Vec::new();
    for address in listened {
        let all = if address.ip().is_unspecified() {
            let own = own.get_or_insert_with(|| {
                (ipv4(&read("/proc/net/fib_trie")), ipv6(&read("/proc/net/if_inet6")))
            });
            if address.is_ipv4() { own.0.clone() } else { own.1.clone() }
        } else {
            vec![address.ip()]
        };
        screens.extend(all.into_iter().map(|ip| format!("http://{}/", SocketAddr::new(ip, address.port()))));
    }
    screens
}

/// `/proc/net/fib_trie`: an address is followed by `/32 host LOCAL` if it is this machine's. The loopback one comes first.
fn ipv4(table: &str) -> Vec<IpAddr> {
    let mut found = BTreeSet::new();
    let mut last = None;
    for line in table.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last.filter(|ip| !ip.is_loopback()));
        }
    }
    std::iter::once(Ipv4Addr::LOCALHOST).chain(found).map(IpAddr::V4).collect()
}

/// `/proc/net/if_inet6`: 32 digits, index, prefix, scope (00 is global), flags, name. One of a link alone needs the name of
/// an interface of who types it, so it is left out.
fn ipv6(table: &str) -> Vec<IpAddr> {
    let found: BTreeSet<Ipv6Addr> = table
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let digits = words.next()?;
            (words.nth(2)? == "00").then_some(Ipv6Addr::from(u128::from_str_radix(digits, 16).ok()?))
        })
        .collect();
    std::iter::once(Ipv6Addr::LOCALHOST).chain(found).map(IpAddr::V6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_a_machine_are_read() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.0\n        /8 host LOCAL\n     |-- 127.0.0.1\n        /32 host \
                    LOCAL\n     |-- 192.168.7.2\n        /32 host LOCAL\n     |-- 192.168.7.255\n        /32 link \
                    BROADCAST\nLocal:\n     |-- 192.168.7.2\n        /32 host LOCAL\n";
        assert_eq!(ipv4(trie), ["127.0.0.1", "192.168.7.2"].map(|ip| ip.parse::<IpAddr>().unwrap()));
        let inet6 = "fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n\
                     00000000000000000000000000000001 01 80 10 80       lo\n\
                     fd000000000000000000000000000002 04 40 00 82     eth0\n";
        assert_eq!(ipv6(inet6), ["::1", "fd00::2"].map(|ip| ip.parse::<IpAddr>().unwrap()));
        for nonsense in ["", "|-- x\n/32 host LOCAL", "\u{0}", "zz 1 2 00 3 x"] {
            assert_eq!((ipv4(nonsense).len(), ipv6(nonsense).len()), (1, 1));
        }
    }

    #[test]
    fn a_network_is_named_only_where_it_is_listened_on() {
        let of = |listened: &[&str]| {
            screens(&listened.iter().map(|address| address.parse().unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(of(&["127.0.0.1:7400", "[::1]:1"]), ["http://127.0.0.1:7400/", "http://[::1]:1/"]);
        assert_eq!(of(&["192.168.7.2:80"]), ["http://192.168.7.2:80/"]);
        assert_eq!(of(&["0.0.0.0:7400"])[0], "http://127.0.0.1:7400/");
        assert!(
            of(&["0.0.0.0:7400"])
                .iter()
                .all(|screen| screen.ends_with(":7400/") && !screen.contains("0.0.0.0"))
        );
    }
}
