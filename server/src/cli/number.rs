//! Values on the command line. In: what a person types. Out: a number, an address, or what was expected, in the words of the
//! manual.

use std::net::SocketAddr;
use std::ops::RangeInclusive;

/// A whole number of this range.
pub(super) fn whole<T: TryFrom<u64>>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync {
    move |text| {
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let number =
            number.filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| match (range.start(), range.end()) {
            (first, &u64::MAX) => format!("expected a whole number from {first} on"),
            (first, last) => format!("expected a whole number from {first} to {last}"),
        })
    }
}

/// An address to listen on.
pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "expected an IP address with its port, such as 127.0.0.1:7401 or [::1]:7401")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_of_the_range_is_refused_in_plain_words() {
        let buzzer = whole::<u16>(0..=65535);
        assert_eq!(buzzer("65535"), Ok(65535));
        for text in ["", "x", "-1", "+1", "65536", "99999999999999999999", " 1"] {
            assert_eq!(buzzer(text), Err("expected a whole number from 0 to 65535".to_owned()), "{text}");
        }
        assert_eq!(whole::<u64>(1..=u64::MAX)("0"), Err("expected a whole number from 1 on".to_owned()));
    }
}
