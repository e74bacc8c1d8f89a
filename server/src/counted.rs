//! A number with its noun. In: how many of what. Out: words. Guarantee: one is singular, everything else plural.

/// `1 record`, `2 records`, `2 presses`, `3 marks of a button`.
pub fn counted(count: u64, one: &str) -> String {
    let (noun, rest) = one.split_at(one.find(" of ").unwrap_or(one.len()));
    let s = match noun {
        _ if count == 1 => "",
        noun if noun.ends_with(['s', 'h']) => "es",
        _ => "s",
    };
    format!("{count} {noun}{s}{rest}")
}

/// `1 more press`, `2 more presses`.
pub fn more(count: u64, one: &str) -> String {
    counted(count, &format!("more {one}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!([1, 2].map(|count| counted(count, "press")).join(", "), "1 press, 2 presses");
        assert_eq!(
            [0, 1, 2].map(|count| counted(count, "record")).join(", "),
            "0 records, 1 record, 2 records"
        );
        assert_eq!(
            [1, 2].map(|count| counted(count, "mark of a button")).join(", "),
            "1 mark of a button, 2 marks of a button"
        );
        assert_eq!(counted(2, "photo finish"), "2 photo finishes");
        assert_eq!([1, 2].map(|count| more(count, "tie")).join(", "), "1 more tie, 2 more ties");
    }
}
